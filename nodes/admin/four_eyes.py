"""`concord report pending | approve | reject`: what waits for approvals, and what a releaser says of it."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import NotAllowed
from exchange.runtime.secrets import read_passphrase
from nodes import session
from nodes.admin import output
from nodes.admin.operator import DEFAULT_OPERATOR_HOME, OperatorHome
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome, PassphraseFd, PassphraseFile, Yes
from nodes.admin.plain import plain
from nodes.approval_client import Seen, approval_of, read_pending
from nodes.node_client import connect
from nodes.operator_home import open_operator
from nodes.session import Session
from nodes.v1 import approval_pb2 as pb

Id = Annotated[str, typer.Argument(metavar="ID", help="Item (12 characters do), or the STIX id of the report.")]
Own = OperatorHome


def add_to(app: typer.Typer) -> None:
    """Add these commands to the noun `report`."""
    for command in (pending, approve, reject):
        app.command()(command)


def pending(
    home: NodeHome = DEFAULT_HOME,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, oldest first.")] = 50,
    after: Annotated[str, typer.Option(help="Go on after this item.")] = "",
    as_json: Json = False,
) -> None:
    """List what waits for approvals: who has approved it, how many are missing, who would get it.

    Example: concord report pending
    """
    with connect(home) as node:
        reports = node.ListPending(pb.ListPendingRequest(limit=limit, after=after)).reports
    if as_json:
        output.as_json([plain(report) for report in reports])
        return
    rows = [
        (
            output.short(report.item),
            report.tlp.upper(),
            report.author or "-",
            ", ".join(each.operator for each in report.approved) or "-",
            str(report.missing),
            ", ".join(each.partner for each in report.recipients),
            output.when(report.authored_ms),
            report.title or "-",
        )
        for report in reports
    ]
    columns = ("item", "TLP", "author", "approved by", "missing", "for", "authored", "title")
    output.table(columns, rows, empty="nothing waits for an approval")
    if len(reports) == limit:
        output.say(f"more: --after {output.short(reports[-1].item)}")


def approve(
    report: Id,
    home: NodeHome = DEFAULT_HOME,
    own: Own = DEFAULT_OPERATOR_HOME,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show a report and who would get it, ask, then sign an approval of exactly this report with your own key.

    It goes as soon as enough have approved it. Nobody approves what he wrote.

    Example: concord report approve 3f9a1c
    """
    begun = _logged_in(own, home)
    with connect(home, operator_home=own) as node:
        reply = node.ShowPending(pb.ShowPendingRequest(id=report))
        seen = read_pending(reply)
        _show(reply.report, seen)
        output.ask("approve it?", yes=yes, refusal="nothing was approved")
        passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Your own passphrase: ")
        key = open_operator(own, passphrase)
        request = pb.ApproveReportRequest(id=seen.item.hex(), approval=approval_of(seen, key, begun))
        after = node.ApproveReport(request).report
    if as_json:
        output.as_json(plain(after))
        return
    output.data(after.item)
    output.say(f"{after.missing} more approvals are missing" if after.missing else "enough have approved it: it goes")


def reject(
    report: Id,
    text: Annotated[str, typer.Option("--text", help="Why, for its author.")],
    home: NodeHome = DEFAULT_HOME,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Reject a report that waits for approvals: to whom it has not gone, it never will.

    Example: concord report reject 3f9a1c --text "The source is not protected."
    """
    with connect(home) as node:
        reply = node.ShowPending(pb.ShowPendingRequest(id=report))
        _show(reply.report, read_pending(reply))
        output.ask("reject it?", yes=yes, refusal="nothing was rejected")
        after = node.RejectReport(pb.RejectReportRequest(id=reply.report.item, text=text))
    if as_json:
        output.as_json(plain(after))
        return
    output.data(after.item)
    output.say(f"rejected: it will not go to {', '.join(after.recipients)}")


def _logged_in(own: Path, home: Path) -> Session:
    begun = session.current_session(own, home)
    if begun is None:
        raise NotAllowed(
            f"nobody is logged in at {home} from {own}, and only an operator can approve",
            hint="concord operator login; a node without operators first needs: concord operator add",
        )
    return begun


def _show(report: pb.PendingReport, seen: Seen) -> None:
    """Show what is to be approved, on stderr: title, label and audience from its own bytes, and who would get it."""
    output.say(f"{seen.title} [TLP:{report.tlp.upper()}], by {report.author or 'nobody that is known'}")
    output.say(f"\n{seen.label_yaml.rstrip()}\n")
    for file in seen.attachments:
        output.say(f"attachment: {file.name}, {output.size(file.size)}, {file.media_type}, {file.sha256.hex()[:12]}")
    rows = [
        (
            each.partner,
            str(each.missing),
            "yes" if each.permit else "not yet, or no",
            each.clause or "-",
            each.why or "-",
        )
        for each in report.recipients
    ]
    columns = ("partner", "missing", "gets it then", "clause", "why")
    output.table(columns, rows, empty="nobody waits for it", to_stderr=True)
    output.say(f"its content: concord report show {output.short(report.item)}")
