"""The part of NodeService that is about agreements: their texts, their signatures, and what became of them since."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from exchange.crypto.codec import decode_signed
from exchange.errors import ExchangeError, NotFound
from exchange.names import PartyId, hash_bytes, id_bytes
from exchange.policy.agreement import held_sentence, payload_sha256, promises_of
from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.changes.codec import CHANGE_BYTES, decode_notice
from exchange.policy.changes.course import Course, begin
from exchange.policy.changes.model import NoticeAction
from exchange.policy.codec import decode_agreement, decode_view
from exchange.policy.explain import sentence
from exchange.policy.simulate import Flow
from exchange.policy.terms import AgreementStatus
from exchange.receipts.codec import decode_agreement_text
from exchange.runtime.logs import get_logger
from nodes.agreements import VIEW_BYTES, Agreements
from nodes.caller import Caller
from nodes.core import Core
from nodes.kept_changes import needs_acknowledgement
from nodes.notices import Notices
from nodes.publishing import Publishing
from nodes.shelf import Shelf
from nodes.simulation import Simulation
from nodes.store import agreements as store
from nodes.store.rows import ACCESSION, ANNOUNCED, KeptAgreement, KeptChange
from nodes.v1 import agreements_pb2 as pb
from nodes.waiting import failures


class AgreementMethods:
    """Agreements, as NodeService has them."""

    def __init__(  # noqa: PLR0917 - what it calls
        self,
        core: Core,
        agreements: Agreements,
        publishing: Publishing,
        notices: Notices,
        simulation: Simulation,
        shelf: Shelf,
    ) -> None:
        """Call these use cases."""
        self._core = core
        self._agreements = agreements
        self._publishing = publishing
        self._notices = notices
        self._simulation = simulation
        self._shelf = shelf
        self._log = get_logger(__name__)

    async def list_(self) -> pb.ListAgreementsResponse:
        """List this party's agreements, and those that it may accede to, by title."""
        found = await self._summaries()
        return pb.ListAgreementsResponse(agreements=sorted(found, key=lambda each: (each.title, each.version)))

    async def import_(self, request: pb.ImportAgreementRequest) -> pb.ImportAgreementResponse:
        """Take in an agreement, pass it on, and publish it when it is complete."""
        commitment = await self._take(request.agreement)
        return pb.ImportAgreementResponse(agreement=await self._summary(commitment))

    async def _take(self, agreement: bytes) -> bytes:
        """Take in an agreement and return its commitment."""
        taken = await self._agreements.take(decode_agreement_text(agreement))
        await self._publishing.pass_on(taken)
        try:
            await self._publishing.publish_complete()
        except ExchangeError as error:
            self._log.info("agreement.publish-later", reason=error.reason)
        return taken.kept.commitment

    async def export(self, request: pb.ExportAgreementRequest) -> pb.ExportAgreementResponse:
        """Return the signed file of an agreement whose text is known here."""
        commitment = hash_bytes(bytes.fromhex(request.commitment), "a commitment")
        kept = await self._core.database.read(partial(store.agreement_of, commitment=commitment))
        if kept is None or not kept.text:
            raise NotFound("the text of this agreement is not known here", hint="ask another party for the signed file")
        return pb.ExportAgreementResponse(agreement=kept.text)

    async def change(self, request: pb.ChangeAgreementRequest) -> pb.ChangeAgreementResponse:
        """Take in an accession or a notice of this party."""
        if request.agreement:
            await self._take(request.agreement)
        kept = await self._notices.make(request.change)
        return pb.ChangeAgreementResponse(
            agreement=await self._summary(kept.commitment), counts=kept.place != ANNOUNCED
        )

    async def acknowledge(self, request: pb.AcknowledgeAgreementRequest) -> pb.AcknowledgeAgreementResponse:
        """Take note of every notice on an agreement."""
        agreement_id = id_bytes(bytes.fromhex(request.id), "an agreement's id")
        noted = await self._notices.acknowledge(agreement_id)
        return pb.AcknowledgeAgreementResponse(notices=[_event(each) for each in noted])

    async def simulate(
        self, request: pb.SimulateAgreementRequest, *, caller: Caller
    ) -> AsyncIterator[pb.SimulateAgreementResponse]:
        """Replay what this node sent against a draft, saying how far it has come, and of what the caller may read."""
        replaces = id_bytes(bytes.fromhex(request.replaces), "an agreement's id") if request.replaces else None
        among = partial(self._shelf.among, caller)
        done = 0
        async for batch in self._simulation.run(request.text, replaces=replaces, days=request.days, among=among):
            done += batch.replayed
            flows = [_flow(item, flow) for item, flow in batch.flows]
            yield pb.SimulateAgreementResponse(done=done, destroyed=batch.destroyed, flows=flows)

    # -- how an agreement stands ---------------------------------------------------------------------------------------

    async def _summary(self, commitment: bytes) -> pb.AgreementSummary:
        wanted = commitment.hex()
        return next(each for each in await self._summaries() if each.commitment == wanted)

    async def _summaries(self) -> list[pb.AgreementSummary]:
        database = self._core.database
        changes: dict[bytes, list[KeptChange]] = {}
        for change in await database.read(store.changes):
            changes.setdefault(change.commitment, []).append(change)
        acknowledged = await database.read(store.acknowledgements)
        return [
            self._made(kept, changes.get(kept.commitment, ()), acknowledged) for kept in await self._agreements.all()
        ]

    def _made(
        self, kept: KeptAgreement, changes: Sequence[KeptChange], acknowledged: Mapping[tuple[bytes, str], int]
    ) -> pb.AgreementSummary:
        signed = decode_signed(kept.view, limit=VIEW_BYTES, what="a stored view")
        shown = self._agreements.courses.get(kept.commitment)
        course = shown or begin(decode_view(signed.payload))
        view = course.now
        missing = () if shown else self._agreements.missing(signed, view.parties)
        made = pb.AgreementSummary(
            id=kept.agreement_id.hex(),
            version=kept.version,
            title=kept.agreement_id.hex()[:12],
            parties=view.parties,
            status=self._status(course, missing, shown=shown is not None),
            missing=missing,
            valid_from_ms=view.valid_from_ms,
            valid_until_ms=view.valid_until_ms,
            commitment=kept.commitment.hex(),
            stands=course.now_ref.commitment.hex(),
            suspended=view.suspended,
            left=view.left,
            events=[self._event(change, course, acknowledged) for change in changes],
            held_items=held_sentence(view.held_items, view.held_within_days),
        )
        if kept.text:
            agreement = decode_agreement(decode_agreement_text(kept.text).agreement.payload)
            made.title = parse_agreement_text(agreement.text).title
            made.text = agreement.text
            made.promises.extend(promises_of(agreement))
            made.payload_sha256 = payload_sha256(agreement).hex()
            made.previous_sha256 = agreement.previous_sha256.hex()
            made.counters_sha256 = agreement.counters_sha256.hex()
        return made

    def _status(self, course: Course, missing: Sequence[str], *, shown: bool) -> str:
        core = self._core
        directory = core.trust.now.directory
        status = directory.agreement_status(course.now_ref.commitment, at_size=directory.size)
        if status is None:
            return "collecting" if missing else "complete"
        if not shown:
            # Only its parties are told what became of it since.
            return "open" if core.me not in course.members else "complete"
        if status.name == AgreementStatus.TERMINATED.name:
            return "terminated"
        if 0 < course.now.valid_until_ms <= core.clock():
            return "lapsed"
        return _own(course, core.me) or AgreementStatus(status).word

    def _event(
        self, change: KeptChange, course: Course, acknowledged: Mapping[tuple[bytes, str], int]
    ) -> pb.AgreementEvent:
        event = _event(change)
        event.acknowledge = needs_acknowledgement(change, self._core.me)
        if change.party == self._core.me and change.action != ACCESSION:
            event.acknowledged.extend(sorted(party for notice, party in acknowledged if notice == change.hash))
            event.waiting.extend(
                party for party in sorted(course.members - {self._core.me}) if (change.hash, party) not in acknowledged
            )
        return event


def _flow(item: bytes, flow: Flow) -> pb.SimulatedFlow:
    permits, denies = (flow.after, flow.before) if flow.newly else (flow.before, flow.after)
    return pb.SimulatedFlow(
        item=item.hex(),
        partner=flow.recipient,
        newly=flow.newly,
        clause=permits.clause,
        reasons=[sentence(finding) for finding in failures(denies)],
    )


def _own(course: Course, me: PartyId) -> str:
    """Return how an agreement stands for this party, where that is not how it stands for all."""
    if me in course.now.left:
        return "left"
    if me not in course.members:
        return "open"
    return "suspended" if me in course.now.suspended else ""


def _event(change: KeptChange) -> pb.AgreementEvent:
    signed = decode_signed(change.statement, limit=CHANGE_BYTES, what="a stored change")
    notice = None if change.action == ACCESSION else decode_notice(signed.payload)
    return pb.AgreementEvent(
        party=change.party,
        action="accede" if notice is None else NoticeAction(change.action).word,
        at_ms=change.at_ms,
        text="" if notice is None else notice.text,
        counts=change.place != ANNOUNCED,
    )
