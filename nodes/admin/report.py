"""`concord report`: write, check, push and follow reports. Every command asks the running node."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import Conflict, NotFound, PolicyDenied
from exchange.policy.use import Obstacle
from exchange.runtime.secrets import write_private
from nodes import templates
from nodes.admin import four_eyes, output
from nodes.admin.attachments import attach as hand_over
from nodes.admin.attachments import write_attachment
from nodes.admin.options import DEFAULT_HOME, Accept, Json, NodeHome, Yes
from nodes.admin.plain import plain
from nodes.admin.views import (
    PROVES,
    attachments_table,
    confirm_unusual,
    decisions_table,
    findings_list,
    report_row,
    revision_view,
    trace_view,
)
from nodes.admin.why import why_view
from nodes.local_file import LocalFile, look_at
from nodes.node_client import connect
from nodes.reportfile import read_report_file
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.attachment_pb2 import ExportAttachmentRequest
from nodes.v1.holding_pb2 import (
    ExportReportRequest,
    KeepReportRequest,
    ListOverdueRequest,
    PurgeReportRequest,
    WhyReportRequest,
)
from nodes.v1.suspect_pb2 import ReviewReportRequest

app = typer.Typer(help="Write, check, push and follow reports.", no_args_is_help=True)

ReportPath = Annotated[Path, typer.Argument(metavar="FILE", help="STIX 2.1 bundle; - reads stdin.")]
LabelPath = Annotated[
    Path | None,
    typer.Option("--label", help="Label (YAML). Without it FILE.label.yaml beside the report, then its own handling."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Item (12 characters do), or the STIX id of the report.")]


Sources = Annotated[
    list[str] | None,
    typer.Option("--derived-from", metavar="ID", help="A report that this one is made of; repeat it for several."),
]


Attach = Annotated[
    list[Path] | None,
    typer.Option("--attach", metavar="FILE", help="A file that travels with the report; repeat it for several."),
]


def _file(path: Path, label: Path | None) -> pb.ReportFile:
    content, label_yaml = read_report_file(path, label)
    return pb.ReportFile(content=content, label_yaml=label_yaml)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the two files to write, without an ending.")],
    kind: Annotated[str, typer.Option(help="Kind of report, as in docs/concepts.md.")] = "incident-report",
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Title",
) -> None:
    """Write a report and its label to fill in: NAME.json and NAME.label.yaml.

    Example: concord report new roadblock --kind incident-report --title "Roadblock near the dam"
    """
    written = templates.write_report(Path(name), kind=kind, title=title)
    for path in written:
        output.data(str(path))
    output.say(f"fill in both files, then: concord report check {written[0]}")


@app.command()
def check(
    file: ReportPath,
    label: LabelPath = None,
    sources: Sources = None,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> int:
    """Check a report and its label. Nothing is stored or sent.

    Example: concord report check roadblock.json
    """
    request = pb.CheckReportRequest(report=_file(file, label), derived_from=sources)
    with connect(home) as node:
        reply = node.CheckReport(request)
    if as_json:
        output.as_json(plain(reply))
    else:
        findings_list(reply.findings)
        output.fields({"title": reply.title, "kind": reply.kind})
        output.data(reply.label_yaml.rstrip())
    return 0


@app.command("who-gets")
def who_gets(
    file: ReportPath,
    label: LabelPath = None,
    sources: Sources = None,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Show every partner, yes or no, with the clause, and what is unusual. Nothing is stored or sent.

    Example: concord report who-gets roadblock.json
    """
    request = pb.WhoGetsRequest(report=_file(file, label), derived_from=sources)
    with connect(home) as node:
        reply = node.WhoGets(request)
    if as_json:
        output.as_json(plain(reply))
    else:
        decisions_table(reply)


@app.command()
def push(
    file: ReportPath,
    label: LabelPath = None,
    sources: Sources = None,
    home: NodeHome = DEFAULT_HOME,
    yes: Yes = False,
    accept: Accept = None,
    attach: Attach = None,
    as_json: Json = False,
    key: Annotated[str, typer.Option("--key", help="Idempotency key; a repeat returns the first answer.")] = "",
) -> None:
    """Show who gets a report, ask, then sign it and send it.

    Whatever is unusual about it is asked about one by one; --yes does not answer that, --accept does. Returns when the
    signed report is durable in the outbox; the node sends it as soon as the relay can be reached.

    A report that is made of others says so (--derived-from): its label may then say no more than theirs do together,
    what it leaves out they fill in, and their originators must consent to its release.

    Files travel with it (--attach): each sealed under a key of its own, 2 GiB at most, and named with its hash in what
    is signed. Recipients' nodes fetch them by themselves.

    Example: concord report push roadblock.json --attach map.pdf --yes --accept FIRST_TIME_TO_PARTNER:XV
    """
    request = pb.PushReportRequest(
        report=_file(file, label), idempotency_key=key, confirmed=accept or [], derived_from=sources
    )
    _push(request, home, look_at(attach or []), yes=yes, as_json=as_json)


@app.command()
def correct(
    report: Id,
    file: ReportPath,
    label: LabelPath = None,
    sources: Sources = None,
    purge: Annotated[bool, typer.Option("--purge", help="Ask whom it leaves out to destroy what they hold.")] = False,
    home: NodeHome = DEFAULT_HOME,
    yes: Yes = False,
    accept: Accept = None,
    attach: Attach = None,
    as_json: Json = False,
) -> None:
    """Replace a report that this node sent: same STIX id, later `modified`.

    Partners that hold a version before and do not get this one are asked to withdraw what they hold. Files of the
    version before do not come along by themselves: attach them again.

    Example: concord report correct 3f9a1c roadblock-v2.json
    """
    request = pb.PushReportRequest(
        report=_file(file, label),
        supersedes=report,
        purge_left_out=purge,
        confirmed=accept or [],
        derived_from=sources,
    )
    with connect(home) as node:
        # Before anything is asked; and no id at all must not make it a new report.
        node.ShowReport(pb.ShowReportRequest(id=report))
    _push(request, home, look_at(attach or []), yes=yes, as_json=as_json)


def _push(request: pb.PushReportRequest, home: Path, files: Sequence[LocalFile], *, yes: bool, as_json: bool) -> None:
    with connect(home) as node:
        rehearsal = pb.WhoGetsRequest(
            report=request.report, supersedes=request.supersedes, derived_from=request.derived_from
        )
        dry_run = node.WhoGets(rehearsal)
        decisions_table(dry_run, to_stderr=True)
        confirm_unusual(dry_run.hints, request.confirmed)
        reached = sum(decision.permit or decision.waiting for decision in dry_run.decisions)
        question = f"send it to {reached} of {len(dry_run.decisions)} partners?"
        output.ask(question, yes=yes, refusal="nothing was sent")
        request.attached.extend(hand_over(node, files))
        reply = node.PushReport(request)
    if as_json:
        output.as_json(plain(reply))
        return
    output.data(reply.item)
    if reply.repeated_push:
        output.say("this was pushed before; nothing was sent again")
    if not reached:
        output.say("warning: it reaches nobody")
    output.say(f"signed and in the outbox; follow it with: concord report trace {output.short(reply.item)}")


@app.command("list")
def list_reports(
    home: NodeHome = DEFAULT_HOME,
    direction: Annotated[str, typer.Option(help="sent or received; both when left out.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 50,
    every: Annotated[bool, typer.Option("--all-versions", help="Also versions that were replaced.")] = False,
    before: Annotated[str, typer.Option(help="Go on before this item.")] = "",
    as_json: Json = False,
) -> None:
    """List reports, newest first.

    Example: concord report list --direction received --json
    """
    if direction not in ("", "sent", "received"):
        raise typer.BadParameter("sent or received", param_hint="--direction")
    request = pb.ListReportsRequest(direction=direction, limit=limit, current_only=not every, before=before)
    with connect(home) as node:
        reply = node.ListReports(request)
    if as_json:
        output.as_json(plain(reply)["reports"])
        return
    columns = ("item", "way", "from", "kind", "TLP", "state", "receipts", "authored", "title")
    output.table(columns, [report_row(r) for r in reply.reports], empty="no reports yet")
    if len(reply.reports) == limit:
        output.say(f"more: --before {output.short(reply.reports[-1].item)}")


@app.command()
def show(
    report: Id,
    home: NodeHome = DEFAULT_HOME,
    content: Annotated[bool, typer.Option("--content", help="Write only the originator's bytes.")] = False,
    changes: Annotated[bool, typer.Option("--changes", help="Show what it changed in the version before.")] = False,
    as_json: Json = False,
) -> None:
    """Show a report: its label, versions, duties and content, or what it changed in the version before it.

    To use it elsewhere, export it: `concord report export`. What may only be shown is not written as data.

    Example: concord report show 3f9a1c --changes
    """
    with connect(home) as node:
        reply = node.ShowReport(pb.ShowReportRequest(id=report, as_data=content or as_json, changes=changes))
    if content:
        if reply.withheld:
            raise PolicyDenied(f"{Obstacle.USE_DISPLAY_ONLY}: {reply.withheld}", hint="concord report show")
        if not reply.content:
            raise NotFound(f"the content is {reply.summary.state}", hint=reply.retraction)
        sys.stdout.buffer.write(reply.content)
        return
    if as_json:
        output.as_json(plain(reply, text=("content",)))
        return
    summary = reply.summary
    output.fields(
        {
            "title": summary.title or "-",
            "item": summary.item,
            "from": summary.originator,
            "kind": summary.kind,
            "state": summary.state,
            **({"look again": summary.suspect} if summary.suspect else {}),
            "authored": output.when(summary.authored_ms),
            "stored": output.when(summary.stored_ms),
            **({"withdrawn": reply.retraction} if reply.retraction else {}),
            **(
                {"versions": ", ".join(output.short(v.item) for v in reply.versions)} if len(reply.versions) > 1 else {}
            ),
        }
    )
    if changes:
        revision_view(reply)
        return
    for duty in reply.obligations:
        output.fields({"duty": duty})
    if reply.attachments:
        attachments_table(reply.attachments)
    output.data("\n" + output.printable(reply.label_yaml).rstrip())
    if reply.content:
        output.data("\n" + output.printable(reply.content.decode()))


@app.command()
def export(
    report: Id,
    action: Annotated[str, typer.Option("--for", help="What you will do: the label's word for actions.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What for: the label's word for purposes.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; FILE.handling.yaml is written beside it.")],
    home: NodeHome = DEFAULT_HOME,
    place: Annotated[str, typer.Option("--in", help="Country where it is used, as in PK.")] = "",
    evidence: Annotated[bool, typer.Option("--as-evidence", help="For use in court.")] = False,
) -> None:
    """Hand a report out for use elsewhere, if its obligations permit that; every export is written down.

    What has left the node cannot be destroyed by it: a withdrawal then has to reach the copies by hand.

    Example: concord report export 3f9a1c --for internal_only --purpose protect_life --out roadblock.json
    """
    beside = out.with_name(out.name + ".handling.yaml")
    for path in (out, beside):
        if path.exists():
            raise Conflict(f"{path} exists", hint="choose another name")
    request = ExportReportRequest(id=report, action=action, purpose=purpose, place=place, as_evidence=evidence)
    with connect(home) as node:
        reply = node.ExportReport(request)
    # The handling first: content never lies about without it.
    write_private(beside, reply.handling_yaml)
    write_private(out, reply.content)
    output.data(str(out))
    output.say(f"{reply.marking}; how it may be used: {beside}")


@app.command("export-attachment")
def export_attachment(
    report: Id,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the attachment, as `report show` lists it.")],
    action: Annotated[str, typer.Option("--for", help="What you will do: the label's word for actions.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What for: the label's word for purposes.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; FILE.handling.yaml is written beside it.")],
    home: NodeHome = DEFAULT_HOME,
    place: Annotated[str, typer.Option("--in", help="Country where it is used, as in PK.")] = "",
    evidence: Annotated[bool, typer.Option("--as-evidence", help="For use in court.")] = False,
) -> None:
    """Hand a file of a report out for use elsewhere, by the same rules as its content; every export is written down.

    The file appears under its name only when all of it has come and is what its originator signed for.

    Example: concord report export-attachment 3f9a1c map.pdf --for internal_only --purpose protect_life --out map.pdf
    """
    request = ExportAttachmentRequest(
        id=report, name=name, action=action, purpose=purpose, place=place, as_evidence=evidence
    )
    with connect(home) as node:
        reply = write_attachment(node.ExportAttachment(request), out)
    output.data(str(out))
    output.say(f"{reply.marking}; how it may be used: {out.with_name(out.name + '.handling.yaml')}")


@app.command()
def why(
    report: Id,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="Partner that got it, or did not.")],
    home: NodeHome = DEFAULT_HOME,
    out: Annotated[Path | None, typer.Option("--out", help="Write an evidence file: concord verify FILE.")] = None,
    as_json: Json = False,
) -> None:
    """Tell why a report went to a partner, or did not: each decision that counted, step by step, and what it is now.

    The evidence file lets an auditor compute the decisions again without this node. It holds the label, at its sender
    the audience, and the agreements that were weighed; not the report's content.

    Example: concord report why 3f9a1c XN --out why.evidence
    """
    if out is not None and out.exists():
        raise Conflict(f"{out} exists", hint="choose another name")
    with connect(home) as node:
        reply = node.WhyReport(WhyReportRequest(id=report, partner=partner, evidence=out is not None))
    if out is not None:
        write_private(out, reply.evidence.encode())
        output.say(f"evidence written; check it anywhere with: concord verify {out}")
    if as_json:
        output.as_json({name: value for name, value in plain(reply).items() if name != "evidence"})
    else:
        why_view(reply)


@app.command()
def overdue(
    home: NodeHome = DEFAULT_HOME,
    after: Annotated[float, typer.Option("--after", min=0, help="Hours that something may be missing.")] = 24.0,
    as_json: Json = False,
) -> None:
    """List what partners have not confirmed, and what waits for a person here.

    A confirmation proves a promise kept by the partner's software, not that nobody kept a copy; a missing one may only
    mean that its node is cut off.

    Example: concord report overdue --after 2
    """
    with connect(home) as node:
        # Less than a second is a second: nothing at all would mean a day.
        reply = node.ListOverdue(ListOverdueRequest(after_s=max(1, round(after * 3600))))
    if as_json:
        output.as_json(plain(reply)["items"])
        return
    rows = [(i.kind, output.short(i.item), i.partner, output.when(i.since_ms), i.hint) for i in reply.items]
    output.table(("missing", "report", "partner", "since", "what to do"), rows, empty="nothing is overdue")
    if any(item.kind in {"withdrawal", "destruction", "expiry"} for item in reply.items):
        output.say(PROVES)


@app.command()
def keep(
    report: Id,
    days: Annotated[int, typer.Option("--days", min=1, help="Ask again after so many days.")],
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Keep a report whose review has come, or whose expiry asks a person; that is written into its story.

    It is kept no longer than its originator and the agreement permit.

    Example: concord report keep 3f9a1c --days 30
    """
    with connect(home) as node:
        reply = node.KeepReport(KeepReportRequest(id=report, days=days))
    if as_json:
        output.as_json(plain(reply))
        return
    latest = f"; it is destroyed on {output.when(reply.purge_at_ms)}" if reply.purge_at_ms else ""
    output.say(f"kept; you are asked again on {output.when(reply.until_ms)}{latest}")


@app.command()
def purge(report: Id, home: NodeHome = DEFAULT_HOME, yes: Yes = False, as_json: Json = False) -> None:
    """Destroy a report in this node: its key, then its content. Its story stays.

    What was exported is not reached: its handling file says where it was to be used, and the story who took it.

    Example: concord report purge 3f9a1c
    """
    with connect(home) as node:
        shown = node.ShowReport(pb.ShowReportRequest(id=report))
        question = f"destroy {shown.summary.title or output.short(shown.summary.item)!r} in this node for good?"
        output.ask(output.printable(question), yes=yes, refusal="nothing was destroyed")
        reply = node.PurgeReport(PurgeReportRequest(id=shown.summary.item))
    if as_json:
        output.as_json(plain(reply))
        return
    output.say(f"it is being destroyed: concord report trace {output.short(reply.item)}")


@app.command()
def reviewed(report: Id, home: NodeHome = DEFAULT_HOME) -> None:
    """Note that you have looked at a report that a stolen key may have signed.

    Ask whom it names as originator, by another way than this exchange, whether it is theirs. What is not is purged.

    Example: concord report reviewed 3f9a1c
    """
    with connect(home) as node:
        reply = node.ReviewReport(ReviewReportRequest(id=report))
    output.say(f"noted: concord report trace {output.short(reply.item)}")


@app.command()
def trace(report: Id, home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Tell one report's whole story: signed, sealed, promised, delivered, receipted, refused, waiting.

    Example: concord report trace 3f9a1c
    """
    with connect(home) as node:
        reply = node.TraceReport(pb.TraceReportRequest(id=report))
    if as_json:
        output.as_json(plain(reply))
    else:
        trace_view(reply)


@app.command()
def retract(
    report: Id,
    text: Annotated[str, typer.Option("--text", help="Why, in words for the recipients.")],
    home: NodeHome = DEFAULT_HOME,
    reason: Annotated[str, typer.Option(help="wrong, source-withdrawn, over-shared or legal.")] = "wrong",
    purge: Annotated[bool, typer.Option("--purge", help="Ask recipients to destroy it, not only to hide it.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Withdraw a report that this node sent.

    Recipients' nodes hide it, or with --purge destroy its key. That proves a promise kept by their software, not
    that nobody kept a copy.

    Example: concord report retract 3f9a1c --reason wrong --text "Source withdrew the report."
    """
    with connect(home) as node:
        shown = node.ShowReport(pb.ShowReportRequest(id=report))
        question = f"withdraw {shown.summary.title!r} from all {shown.summary.recipients} recipients?"
        output.ask(output.printable(question), yes=yes, refusal="nothing was withdrawn")
        request = pb.RetractReportRequest(id=shown.summary.item, reason_code=reason, text=text, purge=purge)
        reply = node.RetractReport(request)
    if as_json:
        output.as_json(plain(reply))
        return
    output.say(f"the retraction goes to {', '.join(reply.recipients) or 'nobody: it had reached no one'}")
    output.say(f"who has applied it: concord report trace {output.short(reply.item)}; {PROVES}")


four_eyes.add_to(app)
