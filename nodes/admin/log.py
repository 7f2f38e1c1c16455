"""`concord log`: check what the relay's logs say against what this node was promised."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import BadProof, NotFound
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.admin.relay_terms import relay
from nodes.admin.witnesses import witness
from nodes.node_client import connect
from nodes.root_home import check_free_file, write_file
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.log_proof_pb2 import ExportProofRequest
from nodes.v1.witness_pb2 import ListLogEvidenceRequest

app = typer.Typer(help="Check the relay's logs.", no_args_is_help=True)
app.command("witness")(witness)
app.command("relay")(relay)


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


@app.command()
def evidence(
    home: NodeHome = DEFAULT_HOME,
    out: Annotated[Path | None, typer.Option("--out", help="Write one file of evidence.")] = None,
    hash_: Annotated[str, typer.Option("--hash", help="Which: its hash, or the beginning; else the newest.")] = "",
    as_json: Json = False,
) -> None:
    """List evidence against the relay, or write one of it to a file that `concord verify` checks without any node.

    It holds hashes and signatures only, and convinces whoever knows the genesis hash.

    Example: concord log evidence --out fork.evidence
    """
    if out is not None:
        check_free_file(out)
    with connect(home) as node:
        found = list(node.ListLogEvidence(ListLogEvidenceRequest()).evidence)
        chosen = next((each for each in found if each.hash.startswith(hash_.lower())), None)
        if out is not None and chosen is not None:
            with_file = node.ListLogEvidence(ListLogEvidenceRequest(file_of=chosen.hash)).evidence
            chosen = next((each for each in with_file if each.file), None)
    if out is not None:
        if chosen is None:
            raise NotFound("there is no such evidence", hint="concord log evidence")
        write_file(out, chosen.file, secret=False)
        output.data(str(out))
        output.say(f"{chosen.what}: concord verify {out}")
    elif as_json:
        output.as_json([plain(each) for each in found])
    else:
        rows = [(output.short(each.hash), each.kind, output.when(each.found_ms), each.what) for each in found]
        output.table(("evidence", "kind", "found", "what"), rows, empty="the relay has not contradicted itself")


@app.command("export-proof")
def export_proof(
    report: Annotated[str, typer.Argument(metavar="ID", help="Item (12 characters do), or the STIX id of the report.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the proof, often NAME.tlog-proof.")],
    home: NodeHome = DEFAULT_HOME,
    partner: Annotated[str, typer.Option("--partner", help="Recipient whose envelope is meant.")] = "",
) -> None:
    """Write a proof that an envelope with a report stands in the relay's log, for `concord verify` or anybody else.

    It tells that, and by when, and nothing of the report. docs/guides/check-a-proof.md checks one without Concord.

    Example: concord log export-proof 3f9a1c --out alert.tlog-proof
    """
    check_free_file(out)
    with connect(home) as node:
        made = node.ExportProof(ExportProofRequest(id=report, partner=partner))
    write_file(out, made.file, secret=False)
    output.data(str(out))
    by = "a quorum of witnesses has cosigned that" if made.cosigned else "no quorum of witnesses has cosigned that yet"
    output.say(f"envelope {made.envelope} is entry {made.index:,} of {made.size:,}; {by}")
