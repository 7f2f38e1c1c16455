"""How decisions, findings, reports and traces look to a person."""

from collections.abc import Iterable, MutableSequence

from exchange.runtime.clock import now_ms
from nodes.admin import output
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.approval_pb2 import Hint
from nodes.v1.attachment_pb2 import ReportAttachment

PROVES = "a confirmation proves a promise kept by the partner's software, not that nobody kept a copy"


def decisions_table(reply: pb.WhoGetsResponse, *, to_stderr: bool = False) -> None:
    """Show the dry run: every partner, yes or no, and by which clause."""
    rows = [(d.partner, d.display_name, _verdict(d), _by(d), _why(d)) for d in reply.decisions]
    heading = f"{reply.title} [TLP:{reply.tlp.upper()}]"
    columns = ("partner", "name", "gets it", "by", "why")
    output.table(columns, rows, title=heading, empty="no partners are admitted yet", to_stderr=to_stderr)
    if reply.left_out:
        output.say(f"will be asked to withdraw the versions before: {', '.join(reply.left_out)}")
    for warning in (words for decision in reply.decisions for words in decision.warnings):
        output.say(f"warning: {warning}")
    tell_unusual(reply.hints)


def tell_unusual(hints: Iterable[Hint]) -> None:
    """Say what is unusual, each with what confirms it."""
    for hint in hints:
        output.say(f"unusual: {hint.text} ({hint.accept})")


def confirm_unusual(hints: Iterable[Hint], confirmed: MutableSequence[str]) -> None:
    """Ask about each unusual thing that was not accepted beforehand; where nobody can answer, the node refuses."""
    for hint in hints:
        if hint.accept not in confirmed and output.can_ask():
            output.ask(f"{hint.text}. Is that meant?", yes=False, refusal="nothing was sent")
            confirmed.append(hint.accept)


def _verdict(decision: pb.PartnerDecision) -> str:
    if decision.waiting:
        return "yes, later" if decision.permit else "not yet"
    return "yes" if decision.permit else "no"


def _by(decision: pb.PartnerDecision) -> str:
    by = f"{decision.agreement}, {decision.clause}" if decision.clause else decision.agreement or "-"
    return f"{by}, by way of {decision.community}" if decision.community else by


def _why(decision: pb.PartnerDecision) -> str:
    if decision.waiting and decision.permit:
        return "waits: the partner has no valid prekey"
    return " ".join(reason.text for reason in decision.reasons) or " ".join(decision.obligations) or "-"


def findings_list(findings: Iterable[pb.Finding]) -> None:
    """Say what was found, worst first."""
    for finding in sorted(findings, key=lambda f: f.severity):
        output.say(f"{finding.severity}: {f'{finding.place}: ' if finding.place else ''}{finding.message}")
        if finding.hint:
            output.say(f"hint: {finding.hint}")


def report_row(report: pb.ReportSummary) -> tuple[str, ...]:
    """Return one report as cells of the list."""
    receipts = f"{report.receipted}/{report.recipients}" if report.direction == "sent" else "-"
    return (
        output.short(report.item),
        report.direction,
        report.originator,
        report.kind,
        report.tlp.upper(),
        f"{report.state}, suspect" if report.suspect else report.state,
        receipts,
        output.when(report.authored_ms),
        report.title or "-",
    )


def attachments_table(attachments: Iterable[ReportAttachment]) -> None:
    """Show the files of a report, and how far each has come."""
    output.data("")
    rows = [(each.name, each.media_type, output.size(each.size), _how_far(each)) for each in attachments]
    output.table(("attachment", "type", "size", "state"), rows)


def _how_far(attachment: ReportAttachment) -> str:
    words = attachment.state
    if attachment.state == "fetching" or (attachment.state == "here" and attachment.done < attachment.total):
        what = "" if attachment.state == "fetching" else ", at the relay"
        words = f"{words}{what} {output.size(attachment.done)} of {output.size(attachment.total)}"
    return f"{words}: {attachment.why}" if attachment.why else words


def revision_view(reply: pb.ShowReportResponse) -> None:
    """Show what a version changed in the one before it, field by field."""
    if not reply.HasField("revision"):
        output.say("no version before it is here")
        return
    made = reply.revision
    if made.untold:
        output.say(f"what it changed in {output.short(made.before)} cannot be told: {made.untold}")
        return
    output.data("")
    rows = [(each.where, each.field or "-", each.before or "-", each.after or "-") for each in made.changes]
    columns = ("object", "field", f"in {output.short(made.before)}", f"in {output.short(reply.summary.item)}")
    output.table(columns, rows, empty="nothing differs")
    if made.more:
        output.say(f"{made.more} more fields differ")


def trace_view(reply: pb.TraceReportResponse) -> None:
    """Show where a report stands with each partner, then what happened in order of time."""
    output.fields(
        {
            "title": reply.summary.title or "-",
            "item": reply.summary.item,
            "state": reply.summary.state,
            "as of": output.when(now_ms()),
        }
    )
    output.data("")
    columns = ("partner", "state", "stored there", "envelope", "why")
    output.table(columns, [_recipient(r) for r in reply.recipients], empty="it goes to nobody")
    asked = [recipient for recipient in reply.recipients if recipient.asked_ms]
    if asked:
        output.data("")
        output.table(("partner", "asked to", "when", "withdrawn there", "destroyed there"), [_asked(r) for r in asked])
        output.say(PROVES)
    output.data("")
    output.table(("when", "event", "partner", "log", "what"), [_event(e) for e in reply.events], empty="no events")


def _recipient(recipient: pb.TraceRecipient) -> tuple[str, ...]:
    return (
        recipient.partner,
        recipient.state,
        output.when(recipient.receipted_ms),
        output.short(recipient.envelope) or "-",
        recipient.why or "-",
    )


def _asked(recipient: pb.TraceRecipient) -> tuple[str, ...]:
    destroyed = (
        output.when(recipient.purged_ms) if recipient.purged_ms or recipient.asked_to == "purge" else "not asked"
    )
    return (
        recipient.partner,
        _ASKED_TO[recipient.asked_to],
        output.when(recipient.asked_ms),
        output.when(recipient.withdrawn_ms),
        destroyed,
    )


_ASKED_TO = {"withdraw": "hide it", "purge": "destroy it"}


def _event(event: pb.TraceEvent) -> tuple[str, ...]:
    return (
        output.when(event.at_ms),
        event.event,
        event.partner or "-",
        f"#{event.log_position - 1}" if event.log_position else "-",
        event.detail or "-",
    )
