"""The part of NodeService that is about reports: check, who-gets, push, list, show, trace, retract."""

from collections.abc import Mapping, Sequence

from exchange.envelope.model import Lane
from exchange.errors import BadInput
from exchange.names import PartyId
from exchange.policy.decision import Decision
from exchange.policy.explain import duties, sentence
from exchange.policy.label_yaml import label_to_mapping, label_to_yaml
from exchange.policy.model import Tlp
from exchange.receipts.model import RetractionAction
from nodes.attached import Attached
from nodes.attachment_service import attachment_of
from nodes.caller import Caller
from nodes.communities import name_of
from nodes.core import Core
from nodes.desk import Authoring, Draft, DryRun
from nodes.outbox import Outbox
from nodes.reader_policies import ReaderPolicies, warnings
from nodes.report_files import ReportFiles
from nodes.revision import CHANGES_MOST, Version, revision
from nodes.shelf import Listed, Shelf, Shown, Story
from nodes.store.rows import Direction
from nodes.titles import Titles
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.approval_pb2 import Hint
from nodes.v1.revision_pb2 import FieldChange, Revision
from nodes.vault import Opened
from nodes.waiting import failures
from nodes.withdrawing import withdraw


class ReportMethods:
    """Reports, as NodeService has them."""

    def __init__(
        self,
        core: Core,
        authoring: Authoring,
        outbox: Outbox,
        shelf: Shelf,
        policies: ReaderPolicies,
        *,
        files: ReportFiles,
        titles: Titles,
    ) -> None:
        """Call these use cases."""
        self._files = files
        self._core = core
        self._authoring = authoring
        self._outbox = outbox
        self._shelf = shelf
        self._policies = policies
        self._titles = titles

    async def check(self, request: pb.CheckReportRequest, *, caller: Caller) -> pb.CheckReportResponse:
        """Check a report and its label without storing anything; what is wrong with them is an error, as in a push."""
        authored = await self._authoring.check(_draft(request.report, derived_from=request.derived_from), caller=caller)
        return pb.CheckReportResponse(
            findings=[pb.Finding(severity="warning", reason="WARNING", message=word) for word in authored.warnings],
            kind=authored.kind,
            title=authored.title,
            label_yaml=label_to_yaml(authored.label, authored.release),
        )

    async def who_gets(self, request: pb.WhoGetsRequest, *, caller: Caller) -> pb.WhoGetsResponse:
        """Decide for every partner; nothing is stored."""
        draft = _draft(request.report, request.supersedes, request.derived_from)
        dry_run = await self._authoring.look(draft, caller=caller)
        return pb.WhoGetsResponse(
            decisions=await self._dry_run(dry_run),
            title=dry_run.authored.title,
            tlp=dry_run.authored.label.tlp.word,
            left_out=await self._outbox.left_out(dry_run.authored, dry_run.decisions),
            hints=[Hint(code=hint.code, text=hint.text, accept=hint.accept) for hint in dry_run.hints],
        )

    async def push(self, request: pb.PushReportRequest, *, caller: Caller) -> pb.PushReportResponse:
        """Sign and place in the outbox."""
        attached = self._files.attaching.staged(request.attached)
        draft = _draft(request.report, request.supersedes, request.derived_from, attached)
        accepted = await self._authoring.push(
            draft,
            caller=caller,
            key=request.idempotency_key,
            confirmed=request.confirmed,
            purge_left_out=request.purge_left_out,
        )
        self._files.attaching.pushed(attached)
        return pb.PushReportResponse(
            item=accepted.item.hex(),
            decisions=await self._decisions(accepted.decisions),
            repeated_push=accepted.repeated,
        )

    async def list_(self, request: pb.ListReportsRequest, *, caller: Caller) -> pb.ListReportsResponse:
        """List reports, newest first."""
        if request.direction not in ("", *Direction):
            raise BadInput("direction is sent, received or empty")
        before = await self._shelf.cleared(caller, request.before) if request.before else None
        listed = await self._shelf.list_(
            caller,
            direction=Direction(request.direction) if request.direction else None,
            limit=request.limit,
            before=before,
            current_only=request.current_only,
        )
        return pb.ListReportsResponse(reports=[summary(each) for each in listed])

    async def show(self, request: pb.ShowReportRequest, *, caller: Caller) -> pb.ShowReportResponse:
        """Show one report."""
        shown = await self._shelf.show(caller, await self._shelf.cleared(caller, request.id))
        response = _shown(shown, as_data=request.as_data)
        if shown.opened is not None:
            standing = await self._files.standing(shown.listed.report.item, shown.opened.statement.attachments)
            response.attachments.extend(attachment_of(each) for each in standing)
        if request.changes and shown.before is not None:
            before = await self._shelf.shown(shown.before.report.item)
            response.revision.CopyFrom(_revision(shown.before, before, shown.opened, as_data=request.as_data))
        return response

    async def trace(self, request: pb.TraceReportRequest, *, caller: Caller) -> pb.TraceReportResponse:
        """Tell one report's story."""
        return _story(await self._shelf.story(caller, await self._shelf.cleared(caller, request.id)))

    async def retract(self, request: pb.RetractReportRequest, *, caller: Caller) -> pb.RetractReportResponse:
        """Withdraw a report."""
        item = await self._shelf.cleared(caller, request.id)
        withdrawn = await withdraw(
            self._core,
            item,
            reason_code=request.reason_code,
            text=request.text,
            purge=request.purge,
            wake=self._outbox.changed,
        )
        return pb.RetractReportResponse(item=withdrawn.item.hex(), recipients=sorted(withdrawn.recipients))

    async def _dry_run(self, dry_run: DryRun) -> list[pb.PartnerDecision]:
        known, rule = await self._policies.known(), dry_run.authored.label.readers
        made = await self._decisions(dry_run.decisions)
        for each in made:
            if each.permit or each.waiting:
                each.warnings.extend(warnings(rule, PartyId(each.partner), known))
        return made

    async def _decisions(self, decisions: Sequence[tuple[PartyId, Decision]]) -> list[pb.PartnerDecision]:
        titles = await self._titles.of(each.basis.id for _, each in decisions if each.basis)
        # Partners under the same term share their obligations: they are put into words once.
        shared = {id(found.obligations): found.obligations for _, found in decisions if found.obligations}
        told = {key: duties(obligations) for key, obligations in shared.items()}
        return [self._decision(party, each, titles, told.get(id(each.obligations), ())) for party, each in decisions]

    def _decision(
        self, party: PartyId, decision: Decision, titles: Mapping[bytes, str], told: Sequence[str]
    ) -> pb.PartnerDecision:
        snapshot = self._core.trust.now
        record = snapshot.directory.party(party)
        basis = decision.basis
        waiting = decision.waits or (decision.permit and snapshot.prekey(party, self._core.clock()) is None)
        return pb.PartnerDecision(
            partner=party,
            display_name=record.display_name if record else "",
            permit=decision.permit,
            agreement=titles.get(basis.id, basis.id.hex()[:12]) if basis else "",
            clause=decision.clause,
            reasons=[
                pb.Reason(
                    step=finding.step.value,
                    code=str(finding.reason or ""),
                    text=sentence(finding),
                    clause=finding.clause,
                )
                for finding in failures(decision)
            ],
            obligations=told,
            waiting=waiting,
            community=name_of(decision.via, snapshot.communities) if decision.via else "",
        )


def summary(listed: Listed) -> pb.ReportSummary:
    """Return one report in short."""
    report = listed.report
    return pb.ReportSummary(
        item=report.item.hex(),
        direction=report.direction,
        originator=report.originator,
        kind=report.kind,
        title=listed.title,
        tlp=Tlp(report.tlp).word,
        lane=Lane(report.lane).name.lower(),
        authored_ms=report.authored_ms,
        stored_ms=report.stored_ms,
        state=report.state,
        receipted=listed.receipted if report.direction is Direction.SENT else 0,
        recipients=listed.recipients if report.direction is Direction.SENT else 0,
        suspect=listed.suspect,
    )


def _draft(
    file: pb.ReportFile, supersedes: str = "", derived_from: Sequence[str] = (), attached: tuple[Attached, ...] = ()
) -> Draft:
    return Draft(file.content, file.label_yaml, supersedes, tuple(derived_from), attached)


def _shown(shown: Shown, *, as_data: bool) -> pb.ShowReportResponse:
    response = pb.ShowReportResponse(
        summary=summary(shown.listed), versions=[summary(version) for version in shown.versions]
    )
    if shown.withdrawal is not None:
        words = shown.withdrawal.text
        response.retraction = f"{shown.withdrawal.reason_code}: {words}" if words else shown.withdrawal.reason_code
    if shown.opened is not None:
        if as_data and _display_only(shown.opened):
            response.withheld = "it may be shown and not handed out"
        else:
            response.content = shown.opened.statement.content
        response.label_yaml = label_to_yaml(shown.opened.label, shown.opened.audience)
        response.obligations.extend(shown.opened.duties)
    return response


def _revision(version: Listed, before: Opened | None, after: Opened | None, *, as_data: bool) -> Revision:
    made = Revision(before=version.report.item.hex())
    if before is None or after is None:
        made.untold = "one of the two versions is withdrawn or destroyed"
    elif as_data and (_display_only(before) or _display_only(after)):
        made.untold = "it may be shown and not handed out"
    else:
        changes = revision(_version(before), _version(after))
        made.more = max(0, len(changes) - CHANGES_MOST)
        made.changes.extend(
            FieldChange(where=each.where, field=each.field, before=each.before, after=each.after)
            for each in changes[:CHANGES_MOST]
        )
    return made


def _version(opened: Opened) -> Version:
    return Version(opened.statement.content, label_to_mapping(opened.label, opened.audience))


def _display_only(opened: Opened) -> bool:
    return opened.holding is not None and opened.holding.obligations.display_only


def _story(story: Story) -> pb.TraceReportResponse:
    return pb.TraceReportResponse(
        summary=summary(story.listed),
        events=[
            pb.TraceEvent(
                at_ms=event.at_ms,
                event=event.event,
                partner=event.partner,
                detail=event.detail,
                envelope=event.envelope.hex(),
                log_position=event.log_position,
            )
            for event in story.events
        ],
        recipients=_recipients(story),
    )


def _recipients(story: Story) -> list[pb.TraceRecipient]:
    asked = {each.partner: each for each in story.recalls}
    made = [
        pb.TraceRecipient(
            partner=row.recipient,
            state=row.state,
            why=row.why,
            envelope=row.envelope.hex(),
            receipted_ms=row.receipted_ms,
        )
        for row in story.recipients
    ]
    direct = {each.partner for each in made}
    made += [
        pb.TraceRecipient(partner=each.partner, state="onward") for each in story.recalls if each.partner not in direct
    ]
    for each in made:
        recall = asked.get(each.partner)
        if recall is not None:
            each.asked_ms, each.asked_to = recall.asked_ms, RetractionAction(recall.action).name.lower()
            each.withdrawn_ms, each.purged_ms, each.onward = recall.retracted_ms, recall.purged_ms, recall.onward
    return made
