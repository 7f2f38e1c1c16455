"""Accept a report: sign it, decide who may get it, and make that durable before the push returns (PROTOCOL 3).

1. a repeat of an earlier push gets that push's item
2. label, release and statement become bytes, once; the item is the hash of the statement's bytes
3. decide for every partner; a partner that must only wait stays in the audience (nodes/waiting.py)
4. sign with the statement key, together with whatever else waits to be signed
5. the report's own key, durable in keys.db; then report, audience and story in one transaction
Nothing is sealed or sent here: nodes/sender.py does that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import encode_report
from exchange.envelope.model import REPORT_TYPE, EnvelopeKind, ReportStatement
from exchange.errors import Conflict, NeedsConfirmation
from exchange.names import ID_BYTES, PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.codec import encode_label, encode_release
from exchange.policy.consent import Consent
from exchange.policy.decide import who_gets
from exchange.policy.decision import Decision, Item, Reason, Role, Step
from exchange.policy.question import Question
from nodes import vault
from nodes.author import AuthoredReport
from nodes.communities import epochs_addressed
from nodes.core import Core
from nodes.decisions import Stage, by_sender, seal_decisions
from nodes.narrowing import Narrowed, left_out, prepare
from nodes.narrowing import apply as narrow
from nodes.onward import look_again
from nodes.passing import grants_for
from nodes.store import approvals, communities, readers, reports
from nodes.store.decisions import add_decisions
from nodes.store.provenance import Provenance, add_provenances
from nodes.store.rows import Addressee, DecisionRow, Direction, Event, ItemState, Reach, Report
from nodes.waiting import after_denial, failures, told

_KEY_LABEL = b"concord/v1/node/push\x00"
_CONTENT_LABEL = b"concord/v1/node/push-content\x00"

_ADDRESSED = frozenset({Reason.EXCLUDED, Reason.AGREEMENT_SUSPENDED, Reason.COMMUNITY_SUSPENDED})
"""Reasons in the audience's step of a partner that the release speaks of."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who pushes: an operator's name, `sensor/NAME`, or empty when nobody is told."""

    name: str = ""
    confirmed: Sequence[str] = ()
    """What was unusual and confirmed, with its partners (nodes/guard.py)."""
    looked_at: frozenset[PartyId] | None = None
    """Who would get it when that was confirmed; None when nobody looked."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A push that is durable."""

    item: bytes
    decisions: Sequence[tuple[PartyId, Decision]]
    repeated: bool


def push_digest(key: str, content: bytes, label: bytes, *, who: str = "") -> bytes:
    """Return under what a push is remembered: the caller's key, else content and label; `who` keeps callers apart."""
    caller = sha256(who.encode()).digest()
    if key:
        return sha256(_KEY_LABEL + caller + key.encode()).digest()
    return sha256(_CONTENT_LABEL + caller + sha256(content).digest() + sha256(label).digest()).digest()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for every partner, and the directory size as of which."""

    question: Question
    directory_size: int


class Outbox:
    """Where reports and retractions of this node enter. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None], on_change: Callable[[], None] = lambda: None) -> None:
        """`wake` tells the sender that there is work, `on_change` whoever answers for what is replaced or retracted."""
        self._core = core
        self._wake = wake
        self._on_change = on_change

    def wake(self) -> None:
        """Tell the sender that there is work."""
        self._wake()

    def changed(self) -> None:
        """Tell everybody concerned that a report was replaced or retracted."""
        self._wake()
        self._on_change()

    async def rehearse(self, authored: AuthoredReport) -> list[tuple[PartyId, Decision]]:
        """Return the decision for every other partner, by id, as a push now would come to it; nothing is stored."""
        core = self._core
        # A report that is not signed has no grants of its own, only those for what it derives from.
        held = partial(grants_for, me=core.me, item=b"", label=authored.label, now_ms=core.clock())
        consents, _ = await core.database.read(held)
        return self._decide(authored, consents)[1]

    def _decide(
        self, authored: AuthoredReport, consents: tuple[Consent, ...]
    ) -> tuple[_Asked, list[tuple[PartyId, Decision]]]:
        core, snapshot = self._core, self._core.trust.now
        rules, now_ms = snapshot.rules_at(snapshot.size), core.clock()
        item = Item.to_send(authored.label, authored.release, authored_ms=now_ms, consents=consents)
        decisions = who_gets(item, sender=core.me, rules=rules, now_ms=now_ms)
        return _Asked(Question(Role.SENDER, core.me, core.me, now_ms, item, rules), snapshot.size), decisions

    def _named(self, authored: AuthoredReport) -> Mapping[bytes, int]:
        """Return the communities that a report names, each with the epoch whose members it is addressed to now."""
        core = self._core
        named = [target.community for target in authored.release.to if target.community is not None]
        return epochs_addressed(core.trust.rules_now(), core.me, core.clock(), named) if named else {}

    async def left_out(self, authored: AuthoredReport, decisions: Iterable[tuple[PartyId, Decision]]) -> list[str]:
        """Return the partners that hold a version before, do not get this one, and will be asked to withdraw it."""
        if not authored.supersedes:
            return []
        core, keep = self._core, getting(decisions)
        read = partial(left_out, thread=authored.thread_id, originator=core.me, keep=keep)
        found = await core.database.read(read)
        return sorted({partner for partners in found.values() for partner in partners})

    async def pushed_before(self, digest: bytes) -> bytes | None:
        """Return the item of an earlier push with this digest."""
        return await self._core.database.read(lambda connection: reports.pushed_before(connection, digest))

    async def accept(
        self, authored: AuthoredReport, digest: bytes, *, by: Author | None = None, purge_left_out: bool = False
    ) -> Accepted:
        """Return once the signed report is durable in the outbox; a repeat with the same digest changes nothing.

        `by` is kept with it: nobody approves what he wrote. Whom a correction leaves out is asked to withdraw what it
        holds, or to destroy it (nodes/narrowing.py).

        Raises:
            Conflict: it replaces a version that is not the newest of its thread, or not this node's.
            NeedsConfirmation: somebody gets it who did not when a person looked.
        """
        core, by = self._core, by or Author()
        # 1
        before = await self.pushed_before(digest)
        if before is not None:
            return Accepted(before, await self.rehearse(authored), repeated=True)
        # 2
        now_ms = core.clock()
        authored_ms = await self._authored_ms(authored, now_ms)
        payload = encode_report(self._statement(authored, authored_ms))
        item = item_hash(payload)
        # 3
        held = partial(grants_for, me=core.me, item=item, label=authored.label, now_ms=now_ms)
        consents, _ = await core.database.read(held)
        (asked, decisions), named = self._decide(authored, consents), self._named(authored)
        _looked_at(decisions, by)
        # 4
        signed = await core.signer.sign(REPORT_TYPE, payload)
        # 5
        key = (await core.keybox.new_keys([item]))[item]
        report = self._sealed(authored, item, key, signed, authored_ms=authored_ms, now_ms=now_ms)
        decided = seal_decisions(key, item, by_sender(Stage.PUSHED, asked.question, asked.directory_size, decisions))
        audience = [each for party, decision in decisions if (each := addressee(report, authored, party, decision))]
        narrowed = None
        if authored.supersedes:
            narrowed = await prepare(core, authored.thread_id, getting(decisions), purge=purge_left_out)
        rule = vault.seal_readers(core.keys.master, item, authored.label.readers)
        new = _New(
            digest,
            report,
            audience,
            decided,
            narrowed,
            authored.supersedes,
            named,
            rule,
            by,
            signed.signatures[0].key_id,
        )
        if not await core.database.write(partial(_store, new=new)):
            return await self._late_repeat(digest, decisions)
        (self.changed if authored.supersedes else self._wake)()
        return Accepted(item, decisions, repeated=False)

    async def _late_repeat(self, digest: bytes, decisions: Sequence[tuple[PartyId, Decision]]) -> Accepted:
        """Answer a push whose twin was stored a moment before it; its own key is swept at the next start."""
        item = await self.pushed_before(digest)
        if item is None:
            raise Conflict("a push with this key was stored and is gone", hint="push again")
        return Accepted(item, decisions, repeated=True)

    async def _authored_ms(self, authored: AuthoredReport, now_ms: int) -> int:
        """Return a time later than that of every version before, so that the newest wins everywhere."""
        if not authored.supersedes:
            return now_ms
        core = self._core
        known = await core.database.read(lambda c: reports.versions(c, authored.thread_id, core.me))
        standing = [version.item for version in known if version.state is not ItemState.REJECTED]
        if authored.supersedes not in standing[-1:]:
            raise Conflict(
                "a newer version of this report exists, or this one was rejected",
                hint="correct the newest that stands: concord report list; or push a new report",
            )
        return max(now_ms, known[-1].authored_ms + 1)

    def _statement(self, authored: AuthoredReport, authored_ms: int) -> ReportStatement:
        return ReportStatement(
            exchange=self._core.exchange,
            originator=self._core.me,
            label=encode_label(authored.label),
            kind=authored.kind,
            media_type=authored.media_type,
            content=authored.content,
            thread_id=authored.thread_id,
            supersedes=authored.supersedes,
            authored_ms=authored_ms,
            salt=random_bytes(ID_BYTES),
        )

    def _sealed(
        self, authored: AuthoredReport, item: bytes, key: bytes, signed: Signed, *, authored_ms: int, now_ms: int
    ) -> Report:
        core, release = self._core, encode_release(authored.release)
        title, record = vault.seal_report(
            key, item, title=authored.title, signed=encode_signed(signed), release=release
        )
        return Report(
            item=item,
            thread=authored.thread_id,
            direction=Direction.SENT,
            originator=core.me,
            sender=core.me,
            kind=authored.kind,
            tlp=int(authored.label.tlp),
            lane=int(authored.lane),
            authored_ms=authored_ms,
            stored_ms=now_ms,
            state=ItemState.CURRENT,
            stix_digest=vault.stix_digest(core.keys.master, authored.stix_id),
            title=title,
            record=record,
            review_at_ms=authored.label.review_on_ms,
        )


def addressee(report: Report, authored: AuthoredReport, party: PartyId, decision: Decision) -> Addressee | None:
    """Return where a new report stands with a partner; None when the partner is not in its audience at all."""
    if any(finding.step is Step.AUDIENCE and finding.reason not in _ADDRESSED for finding in failures(decision)):
        return None
    made = Addressee(
        item=report.item,
        recipient=party,
        kind=int(EnvelopeKind.REPORT),
        lane=report.lane,
        state=Reach.WAITING,
        # Grants name their recipient: no other recipient of a product may see them.
        alone=consent_needed(authored.label, PartyId(report.originator)),
        basis=decision.basis,
        clause=decision.clause,
    )
    if decision.permit:
        return made
    row = after_denial(made, decision, authored.label)
    # Decided on once more when it is stored: the directory may have changed in between.
    return replace(row, due_ms=0) if row.on_change else row


def getting(decisions: Iterable[tuple[PartyId, Decision]]) -> set[PartyId]:
    """Return who gets a report, now or once nothing stands against it any more."""
    return {party for party, decision in decisions if decision.permit or decision.waits}


def _looked_at(decisions: Iterable[tuple[PartyId, Decision]], by: Author) -> None:
    """Return when nobody gets a report who did not when it was looked at: the rules may have changed in between."""
    more = sorted(getting(decisions) - by.looked_at) if by.looked_at is not None else []
    if more:
        raise NeedsConfirmation(
            f"nothing was sent: by now it also goes to {', '.join(more)}", hint="look at who gets it, then push again"
        )


@dataclass(frozen=True, slots=True)
class _New:
    """What one push stores."""

    digest: bytes
    report: Report
    audience: Sequence[Addressee]
    decided: DecisionRow
    narrowed: Narrowed | None
    supersedes: bytes
    named: Mapping[bytes, int]
    readers: bytes
    """Reader rule, sealed."""
    by: Author
    signer: bytes
    """Id of the key that signed it."""


def _store(connection: Connection, new: _New) -> bool:
    """Store a new report; False when another push with this digest was stored first, and nothing is then."""
    if reports.pushed_before(connection, new.digest) is not None:
        return False
    report, audience, by = new.report, new.audience, new.by
    if new.narrowed is not None:
        narrow(connection, new.narrowed, report.thread, report.originator, report.stored_ms)
    reports.add_report(connection, report)
    reports.settle_thread(connection, report.thread, report.originator)
    if new.supersedes:
        look_again(connection, new.supersedes)
    reports.add_addressees(connection, audience)
    communities.add_item(connection, report.item, new.named)
    add_decisions(connection, [new.decided])
    reports.remember_push(connection, new.digest, report.item, report.stored_ms)
    readers.put_rules(connection, {report.item: new.readers})
    add_provenances(connection, [Provenance(report.item, new.signer, b"", report.stored_ms)])
    approvals.set_author(connection, report.item, by.name)
    confirmed = f"{by.name} confirmed {', '.join(by.confirmed)}"
    denied = [each for each in audience if each.state is Reach.DENIED]
    signed = f"for {len(audience) - len(denied)} recipients"
    waiting = [each for each in audience if each.state is Reach.WAITING and each.why]
    reports.add_events(
        connection,
        [
            Event(report.item, report.stored_ms, "signed", detail=f"by {by.name}, {signed}" if by.name else signed),
            *([Event(report.item, report.stored_ms, "confirmed", detail=confirmed)] if by.confirmed else []),
            *(Event(report.item, report.stored_ms, "denied", each.recipient, each.why) for each in denied),
            *(Event(report.item, report.stored_ms, "waiting", each.recipient, told(each.why)) for each in waiting),
        ],
    )
    return True
