"""`concord agreement simulate`: what a draft would newly let flow, and what it would stop."""

from pathlib import Path
from typing import Annotated

import typer

from nodes import agreement_file as files
from nodes.admin import output
from nodes.admin.agreement_names import known_agreements, named
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.reportfile import naming, read_bounded
from nodes.v1 import agreements_pb2 as pb


def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Draft (YAML) or signed file.")],
    replaces: Annotated[
        str, typer.Option("--replaces", help="Agreement whose versions it would replace: id or title.")
    ] = "",
    days: Annotated[int, typer.Option(min=1, max=3_650, help="Replay the reports of so many days.")] = 90,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Replay what your node sent against a draft: what would newly flow, and what would stop. Nothing is sent.

    A signed file replaces the agreement whose id it has. Dates of agreements and approvals are taken as given.

    Example: concord agreement simulate liaison-2.yaml --replaces "Liaison protocol" --days 90
    """
    with naming(file):
        data = read_bounded(file, files.ARMOURED_BYTES, "agreement")
        signed = files.open_file(data) if files.is_signed_file(data) else None
    agreement_id = signed.agreement.agreement_id.hex() if signed else ""
    if replaces:
        agreement_id = named(known_agreements(home), replaces)[0].id
    request = pb.SimulateAgreementRequest(
        text=signed.agreement.text if signed else data, replaces=agreement_id, days=days
    )
    flows: list[pb.SimulatedFlow] = []
    done = destroyed = 0
    with connect(home) as node:
        for response in node.SimulateAgreement(request):
            flows += response.flows
            done, destroyed = response.done, destroyed + response.destroyed
            output.progress("replayed", done, done + 1)
    if as_json:
        output.as_json({"replayed": done, "destroyed": destroyed, "flows": [plain(flow) for flow in flows]})
        return
    rows = [
        (
            output.short(flow.item),
            flow.partner,
            "newly flows" if flow.newly else "stops",
            flow.clause or "-",
            "; ".join(flow.reasons) or "-",
        )
        for flow in flows
    ]
    output.table(("item", "partner", "would", "clause", "why not"), rows, empty="nothing would change")
    gone = f"; {destroyed} are destroyed and could not be" if destroyed else ""
    output.say(f"{done} reports of {days} days were replayed{gone}")
