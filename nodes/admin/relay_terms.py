"""`concord log relay`, `concord root relay-keys` and `root limits`: the relay's keys, and the exchange's limits."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from exchange.directory.relay_keys import spoken
from exchange.errors import BadInput
from exchange.limits import MIB
from exchange.runtime.relay_info import read_relay_keys
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.reportfile import naming
from nodes.root_home import check_free_file, read_text, write_file
from nodes.statement_file import write_request
from nodes.v1 import relay_terms_pb2 as pb

Out = Annotated[Path, typer.Option("--out", help="Where to write the statement for the council to sign.")]


def relay(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show which keys the relay has had since when, and the limits that the council has set.

    Example: concord log relay --json
    """
    from nodes.node_client import connect  # noqa: PLC0415 - loads gRPC, which the other commands on roots do without

    with connect(home) as node:
        found = node.GetRelayTerms(pb.GetRelayTermsRequest())
    if as_json:
        output.as_json(plain(found))
        return
    limits = found.limits
    output.table(
        ("since", "entry", "standing", "fingerprint"),
        [(output.when(each.since_ms), str(each.index), _standing(each), each.fingerprint) for each in found.keys],
        empty="no keys",
    )
    output.fields(
        {
            "limits set by": f"entry {found.limits_index}" if found.limits_index else "the genesis",
            "report": f"{limits.report_bytes:,} bytes",
            "recipients": f"{limits.recipients} of one envelope",
            "reports": _or_relay(limits.reports_per_minute, "a minute and partner"),
            "control": _or_relay(limits.control_per_minute, "a minute and partner"),
            "held": _or_relay(limits.held_bytes, "bytes of one partner"),
            "statements": _or_relay(limits.statements_per_day, "a day and partner"),
        }
    )


def _standing(keys: pb.RelayKeysShown) -> str:
    if keys.stolen_since_ms:
        return f"{keys.standing}; those before suspect since {output.when(keys.stolen_since_ms)}"
    return keys.standing


def _or_relay(value: int, what: str) -> str:
    return f"{value:,} {what}" if value else "as the relay is configured"


def relay_keys(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `concord relay rotate` has written.")],
    out: Out,
    stolen_since: Annotated[
        datetime | None,
        typer.Option("--stolen-since", help="Keys in force may be in other hands since then, UTC: they end at once."),
    ] = None,
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Draft the naming of the relay's next keys for the council to sign.

    A node drafts it, because it knows the council's next place in the directory. Compare the fingerprint with the one
    that the relay's operator reads out. Then `root sign` by council root after council root, and `partner publish`.

    Example: concord root relay-keys relay.next --out relay-keys.request
    """
    check_free_file(out)
    with naming(file):
        proposed = read_relay_keys(read_text(file))
    keys = proposed.keys
    since_ms = round(stolen_since.replace(tzinfo=UTC).timestamp() * 1000) if stolen_since else 0
    from nodes.node_client import connect  # noqa: PLC0415 - as above

    with connect(home) as node:
        exchange = node.GetRelayTerms(pb.GetRelayTermsRequest()).exchange
        if proposed.exchange != exchange:
            raise BadInput(f"{file} is of {proposed.exchange}, not of {exchange}", hint="concord relay rotate")
        drafted = node.DraftRelayKeys(
            pb.DraftRelayKeysRequest(
                promise=keys.promise.raw,
                log=keys.log.ed25519.raw,
                log_mldsa=keys.log.mldsa.raw,
                transport_ca=keys.transport_ca,
                stolen_since_ms=since_ms,
            )
        )
    write_file(out, write_request(drafted.type, drafted.payload), secret=False)
    output.data(str(out))
    output.say(f"compare with the relay's operator: {spoken(keys)}")


def limits(
    out: Out,
    report_bytes: Annotated[
        int | None, typer.Option("--report-bytes", min=1, max=MIB, help="Plain content of one report.")
    ] = None,
    recipients: Annotated[int | None, typer.Option("--recipients", min=1, max=256, help="Of one envelope.")] = None,
    reports_per_minute: Annotated[
        int | None, typer.Option("--reports-per-minute", min=0, help="Of one partner; 0 leaves it to the relay.")
    ] = None,
    control_per_minute: Annotated[
        int | None, typer.Option("--control-per-minute", min=0, help="Control envelopes of one partner; 0 as above.")
    ] = None,
    held_mib: Annotated[
        int | None, typer.Option("--held-mib", min=0, help="Of one partner that may wait at the relay; 0 as above.")
    ] = None,
    statements_per_day: Annotated[
        int | None, typer.Option("--statements-per-day", min=0, help="Of one partner in the directory; 0 as above.")
    ] = None,
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Draft the exchange's limits for the council to sign; what is not given stays as it is.

    Example: concord root limits --recipients 64 --reports-per-minute 600 --out limits.request
    """
    check_free_file(out)
    given = {
        "report_bytes": report_bytes,
        "recipients": recipients,
        "reports_per_minute": reports_per_minute,
        "control_per_minute": control_per_minute,
        "held_bytes": None if held_mib is None else held_mib * MIB,
        "statements_per_day": statements_per_day,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    if not changed:
        raise BadInput("no limit is given", hint="concord root limits --help names them")
    from nodes.node_client import connect  # noqa: PLC0415 - as above

    with connect(home) as node:
        wanted = node.GetRelayTerms(pb.GetRelayTermsRequest()).limits
        for name, value in changed.items():
            setattr(wanted, name, value)
        drafted = node.DraftLimits(pb.DraftLimitsRequest(limits=wanted))
    write_file(out, write_request(drafted.type, drafted.payload), secret=False)
    output.data(str(out))
