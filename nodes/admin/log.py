"""`concord log`: check what the relay's logs say against what this node was promised."""

from typing import Annotated

import typer

from exchange.errors import BadProof
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.admin.witnesses import witness
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb

app = typer.Typer(help="Check the relay's logs.", no_args_is_help=True)
app.command("witness")(witness)


@app.callback()
def log() -> None:
    """Keep `log` a noun with verbs."""


@app.command()
def verify(
    home: NodeHome = DEFAULT_HOME,
    full: Annotated[bool, typer.Option("--full", help="Read every entry of the traffic log.")] = False,
    as_json: Json = False,
) -> None:
    """Check both logs: checkpoints, consistency with what was seen before, and every promise made to this node.

    Exit code 4 when anything does not hold.

    Example: concord log verify --full
    """
    results: list[pb.VerifyLogResponse] = []
    with connect(home) as node:
        for step in node.VerifyLog(pb.VerifyLogRequest(full=full)):
            if step.result:
                results.append(step)
            elif not as_json:
                output.progress(f"{step.log}: {step.step}", step.done, step.total)
    if as_json:
        output.as_json([plain(r) for r in results])
    else:
        rows = [(r.log, r.step, r.result, f"{r.done:,}", r.detail or "-") for r in results]
        output.table(("log", "check", "result", "checked", "what"), rows, empty="nothing to check yet")
    failed = [r for r in results if r.result != "ok"]
    if failed:
        raise BadProof(
            f"{len(failed)} checks failed: {failed[0].detail}",
            hint="the relay's log does not match its promises: tell the council, and keep this node's home as evidence",
        )
