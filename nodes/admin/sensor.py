"""`concord sensor`: machines that push reports to this node by themselves, each within a scope."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.limits import LABEL_BYTES, RECIPIENTS
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.reportfile import read_bounded
from nodes.v1 import node_service_pb2 as pb
from nodes.v1 import sensor_ca_pb2

app = typer.Typer(help="Machines that push reports to this node by themselves.", no_args_is_help=True)

DAY_MS = 24 * 60 * 60 * 1000
Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")]


@app.command()
def add(
    name: Name,
    category: Annotated[list[str], typer.Option("--category", help="May push this category; repeat it for more.")],
    ceiling: Annotated[str, typer.Option(help="Strictest TLP that it may push.")] = "green",
    per_hour: Annotated[int, typer.Option(min=1, max=100_000, help="Reports an hour.")] = 60,
    recipients: Annotated[
        int, typer.Option(min=0, max=RECIPIENTS, help="Recipients of one report; 0 for as many as are usual here.")
    ] = 0,
    attach_mib: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="MiB of files that it may attach in an hour; 0 for none.")
    ] = 0,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days until the token ends.")] = 90,
    default_label: Annotated[Path | None, typer.Option(help="Label for reports that bring none.")] = None,
    ca_out: Annotated[Path | None, typer.Option("--ca", help="Write the CAs that the sensor must pin here.")] = None,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Let a sensor push, within categories, a TLP ceiling and rates. Its token is shown once.

    Example: concord sensor add watch-feed --category cyber_indicator --ceiling green --ca sensor-ca.pem
    """
    _check_words(category, ceiling)
    scope = pb.SensorScope(
        name=name,
        categories=category,
        ceiling=ceiling,
        per_hour=per_hour,
        default_label_yaml=read_bounded(default_label, LABEL_BYTES, "label") if default_label else b"",
        until_ms=now_ms() + days * DAY_MS,
        recipients_most=recipients,
        attach_mib=attach_mib,
    )
    with connect(home) as node:
        reply = node.AddSensor(pb.AddSensorRequest(scope=scope))
    # The token first: nobody can show it again when the other file cannot be written.
    if as_json:
        output.as_json(plain(reply))
    else:
        output.data(reply.token)
    if ca_out is not None:
        ca_out.write_text(reply.ca_certificate)
    output.say(f"give this token to the sensor now; it is not kept here. It pushes to {reply.address or 'the spool'}")


def _check_words(categories: list[str], ceiling: str) -> None:
    for word in categories:
        if word not in {c.word for c in Category}:
            raise typer.BadParameter(f"{word!r}; one of {', '.join(c.word for c in Category)}", param_hint="--category")
    if ceiling not in {t.word for t in Tlp}:
        raise typer.BadParameter(f"{ceiling!r}; one of {', '.join(t.word for t in Tlp)}", param_hint="--ceiling")


@app.command("list")
def list_sensors(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """List the sensors with their scopes.

    Example: concord sensor list
    """
    with connect(home) as node:
        sensors = node.ListSensors(pb.ListSensorsRequest()).sensors
    if as_json:
        output.as_json([plain(s) for s in sensors])
        return
    rows = [
        (
            s.scope.name,
            s.status,
            ", ".join(s.scope.categories),
            s.scope.ceiling.upper(),
            str(s.scope.per_hour),
            str(s.scope.recipients_most or "usual"),
            f"{s.scope.attach_mib:,} MiB" if s.scope.attach_mib else "none",
            f"{s.pushed:,}",
            f"{s.refused:,}",
            output.when(s.last_ms),
            output.when(s.scope.until_ms),
            "knows it" if s.ca_known else "OLD: give it the new one",
        )
        for s in sensors
    ]
    columns = (
        "sensor",
        "status",
        "categories",
        "ceiling",
        "an hour",
        "recipients",
        "files an hour",
        "pushed",
        "refused",
        "last",
        "until",
        "next CA",
    )
    output.table(columns, rows, empty="no sensors")


@app.command()
def ca(
    out: Annotated[Path | None, typer.Option("--out", help="Write them here, for a sensor that cannot ask.")] = None,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Show the CAs that sensors are to pin, and when the node changes to the next one.

    Example: concord sensor ca --out sensor-ca.pem
    """
    with connect(home) as node:
        reply = node.GetSensorCa(sensor_ca_pb2.GetSensorCaRequest())
    if out is not None:
        out.write_text(reply.ca_certificates)
    if as_json:
        output.as_json(plain(reply))
    elif out is not None:
        output.data(str(out))
    else:
        output.data(reply.ca_certificates.rstrip())
    when = (
        f"the next one is shown from {output.when(reply.changes_ms)} UTC on" if reply.changes_ms else "no other follows"
    )
    output.say(when)


@app.command()
def revoke(name: Name, home: NodeHome = DEFAULT_HOME) -> None:
    """Refuse a sensor from now on.

    Example: concord sensor revoke watch-feed
    """
    with connect(home) as node:
        node.RevokeSensor(pb.RevokeSensorRequest(name=name))
    output.say(f"{name} is refused from now on")
