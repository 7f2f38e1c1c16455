"""Accept a report: sign it, decide who may get it, and make that durable before the push returns (PROTOCOL 3).

1. a repeat of an earlier push gets that push's item
2. label, release and statement become bytes, once; the item is the hash of the statement's bytes
3. decide for every partner; a partner that must only wait stays in the audience (nodes/waiting.py)
4. sign with the statement key, together with whatever else waits to be signed
5. meanwhile the report's own key becomes durable in keys.db
6. then report, its files' keys, audience and story, in one transaction
All three together with whatever else was pushed meanwhile (nodes/gathering.py).
Nothing is sealed or sent here: nodes/sender.py does that.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import encode_report
from exchange.envelope.model import REPORT_TYPE, EnvelopeKind, ReportStatement
from exchange.errors import Conflict, NeedsConfirmation, TooLarge
from exchange.names import ID_BYTES, PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.codec import encode_label, encode_release
from exchange.policy.consent import Consent
from exchange.policy.decide import who_gets
from exchange.policy.decision import Decision, Item, Reason, Role, Step
from exchange.policy.question import Question
from exchange.runtime.tracing import Leg
from nodes import vault
from nodes.attached import kept_outgoing
from nodes.author import AuthoredReport
from nodes.communities import epochs_addressed
from nodes.core import Core
from nodes.decisions import Stage, by_sender, seal_decisions
from nodes.gathering import Gathering
from nodes.narrowing import Narrowed, left_out, prepare
from nodes.narrowing import apply as narrow
from nodes.onward import look_again
from nodes.passing import grants_for
from nodes.store import approvals, blobs, communities, readers, reports
from nodes.store.blobs import KeptBlob
from nodes.store.decisions import add_decisions
from nodes.store.provenance import Provenance, add_provenances
from nodes.store.rows import Addressee, DecisionRow, Direction, Event, ItemState, Reach, Report
from nodes.trust import Snapshot
from nodes.waiting import after_denial, failures, told

PUSHES_MOST = 64
"""Pushes that are signed and stored together."""

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
class Looked:
    """What a push would come to for every other partner, and what that rests on."""

    decisions: Sequence[tuple[PartyId, Decision]]
    question: Question
    snapshot: Snapshot = field(repr=False)


class Outbox:
    """Where reports and retractions of this node enter. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None], on_change: Callable[[], None] = lambda: None) -> None:
        """`wake` tells the sender that there is work, `on_change` whoever answers for what is replaced or retracted."""
        self._core = core
        self._wake = wake
        self._on_change = on_change
        self._storing = Gathering(self._store_all, most=PUSHES_MOST)

    def wake(self) -> None:
        """Tell the sender that there is work."""
        self._wake()

    def changed(self) -> None:
        """Tell everybody concerned that a report was replaced or retracted."""
        self._wake()
        self._on_change()

    async def look(self, authored: AuthoredReport) -> Looked:
        """Return the decision for every other partner, by id, as a push now would come to it; nothing is stored."""
        # A report that is not signed has no grants of its own, only those for what it derives from.
        return self._decide(authored, await self._consents(authored, b""))

    async def rehearse(self, authored: AuthoredReport) -> Sequence[tuple[PartyId, Decision]]:
        """Return the decisions of `look`."""
        return (await self.look(authored)).decisions

    async def _consents(self, authored: AuthoredReport, item: bytes) -> tuple[Consent, ...]:
        core = self._core
        if not consent_needed(authored.label, core.me):
            return ()
        held = partial(grants_for, me=core.me, item=item, label=authored.label, now_ms=core.clock())
        consents, _ = await core.database.read(held)
        return consents

    def _decide(self, authored: AuthoredReport, consents: tuple[Consent, ...]) -> Looked:
        core, snapshot = self._core, self._core.trust.now
        rules, now_ms = snapshot.rules_at(snapshot.size), core.clock()
        item = Item.to_send(
            authored.label,
            authored.release,
            authored_ms=now_ms,
            consents=consents,
            uncompared=core.comparisons.at(authored.label.tlp),
        )
        decisions = who_gets(item, sender=core.me, rules=rules, now_ms=now_ms)
        return Looked(decisions, Question(Role.SENDER, core.me, core.me, now_ms, item, rules), snapshot)

    async def _decided(self, authored: AuthoredReport, item: bytes, looked: Looked | None) -> Looked:
        """Return the decisions that count: those of a moment ago, unless the rules changed or grants are for it."""
        consents = await self._consents(authored, item)
        if looked is not None and not consents and looked.snapshot is self._core.trust.now:
            return looked
        return self._decide(authored, consents)

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
        found = await self._core.database.read(partial(reports.pushed_before, keys=[digest]))
        return found.get(digest)

    async def accept(
        self,
        authored: AuthoredReport,
        digest: bytes,
        *,
        by: Author | None = None,
        purge_left_out: bool = False,
        looked: Looked | None = None,
    ) -> Accepted:
        """Return once the signed report is durable in the outbox; a repeat with the same digest changes nothing.

        `by` is kept with it: nobody approves what he wrote. Whom a correction leaves out is asked to withdraw what it
        holds, or to destroy it (nodes/narrowing.py). `looked` is what `look` gave a moment ago, when no push with this
        digest was known: neither is then found out again.

        Raises:
            TooLarge: it is over the limit that the council has set.
            Conflict: it replaces a version that is not the newest of its thread, or not this node's.
            NeedsConfirmation: somebody gets it who did not when a person looked.
        """
        core, by = self._core, by or Author()
        most = core.trust.now.directory.limits.report_bytes
        if len(authored.content) > most:
            raise TooLarge(f"the report has {len(authored.content):,} bytes; the exchange's limit is {most:,}")
        # 1
        before = await self.pushed_before(digest) if looked is None else None
        if before is not None:
            return Accepted(before, await self.rehearse(authored), repeated=True)
        # 2
        now_ms = core.clock()
        authored_ms = await self._authored_ms(authored, now_ms)
        payload = encode_report(self._statement(authored, authored_ms))
        item = item_hash(payload)
        # 3
        asked, named = await self._decided(authored, item, looked), self._named(authored)
        _looked_at(asked.decisions, by)
        narrowed = None
        if authored.supersedes:
            narrowed = await prepare(core, authored.thread_id, getting(asked.decisions), purge=purge_left_out)
        # 4, 5, 6
        draft = _Draft(authored, digest, by, payload, item, asked, named, narrowed, authored_ms, now_ms)
        if not await self._storing.ask(draft):
            return await self._late_repeat(digest, asked.decisions)
        (self.changed if authored.supersedes else self._wake)()
        return Accepted(item, asked.decisions, repeated=False)

    async def _store_all(self, drafts: Sequence["_Draft"]) -> Sequence[bool]:
        """Sign and store what was pushed meanwhile; say of each whether it was the first with its digest."""
        core, since = self._core, self._core.tracing.begin()
        # 4, 5
        signed, keys = await asyncio.gather(
            core.signer.sign_each(REPORT_TYPE, [draft.payload for draft in drafts]),
            core.keybox.new_keys([draft.item for draft in drafts]),
        )
        # 6
        new = [self._new(draft, keys[draft.item], each) for draft, each in zip(drafts, signed, strict=True)]
        stored = await core.database.write(partial(_store, pushed=new))
        core.tracing.end(
            Leg.PUSH, since, ((draft.item, "") for draft, first in zip(drafts, stored, strict=True) if first)
        )
        return stored

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
            attachments=tuple(each.attachment for each in authored.attached),
        )

    def _new(self, draft: "_Draft", key: bytes, signed: Signed) -> "_New":
        core, authored, asked = self._core, draft.authored, draft.asked
        report = self._sealed(draft, key, signed)
        return _New(
            digest=draft.digest,
            report=report,
            audience=[each for who, it in asked.decisions if (each := addressee(report, authored, who, it))],
            decided=seal_decisions(
                key, draft.item, by_sender(Stage.PUSHED, asked.question, asked.snapshot.size, asked.decisions)
            ),
            narrowed=draft.narrowed,
            supersedes=authored.supersedes,
            named=draft.named,
            readers=vault.seal_readers(core.keys.master, draft.item, authored.label.readers),
            by=draft.by,
            signer=signed.signatures[0].key_id,
            blobs=kept_outgoing(
                authored.attached, draft.item, key, me=core.me, lane=report.lane, now_ms=report.stored_ms
            ),
        )

    def _sealed(self, draft: "_Draft", key: bytes, signed: Signed) -> Report:
        core, authored, item = self._core, draft.authored, draft.item
        title, record = vault.seal_report(
            key, item, title=authored.title, signed=encode_signed(signed), release=encode_release(authored.release)
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
            authored_ms=draft.authored_ms,
            stored_ms=draft.now_ms,
            state=ItemState.CURRENT,
            stix_digest=vault.stix_digest(core.keys.master, authored.stix_id),
            title=title,
            record=record,
            review_at_ms=authored.label.review_on_ms,
        )


def addressee(report: Report, authored: AuthoredReport, party: PartyId, decision: Decision) -> Addressee | None:
    """Return where a new report stands with a partner; None when the partner is not in its audience at all."""
    if not decision.permit and any(
        finding.step is Step.AUDIENCE and finding.reason not in _ADDRESSED for finding in failures(decision)
    ):
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
class _Draft:
    """A push that is to be signed and stored."""

    authored: AuthoredReport
    digest: bytes
    by: Author
    payload: bytes
    item: bytes
    asked: Looked
    named: Mapping[bytes, int]
    narrowed: Narrowed | None
    authored_ms: int
    now_ms: int


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
    blobs: Sequence[KeptBlob]
    """Its files."""


def _store(connection: Connection, pushed: Sequence[_New]) -> list[bool]:
    """Store new reports; say of each whether it was stored: nothing is when a push with its digest was before it."""
    known = reports.pushed_before(connection, [each.digest for each in pushed])
    firsts = {each.digest: each for each in reversed(pushed) if each.digest not in known}
    stored = [firsts.get(each.digest) is each for each in pushed]
    new = [each for each, first in zip(pushed, stored, strict=True) if first]
    corrections = [each for each in new if each.supersedes]
    for each in corrections:
        if each.narrowed is not None:
            narrow(connection, each.narrowed, each.report.thread, each.report.originator, each.report.stored_ms)
    reports.add_reports(connection, [each.report for each in new])
    for each in corrections:
        # Of a report that is new as such no other version can be here.
        reports.settle_thread(connection, each.report.thread, each.report.originator)
        look_again(connection, each.supersedes)
    reports.add_audiences(connection, [each.audience for each in new])
    for each in new:
        communities.add_item(connection, each.report.item, each.named)
        blobs.add(connection, each.blobs)
    add_decisions(connection, [each.decided for each in new])
    reports.remember_pushes(connection, [(each.digest, each.report.item, each.report.stored_ms) for each in new])
    readers.put_rules(connection, {each.report.item: each.readers for each in new})
    add_provenances(connection, [Provenance(each.report.item, each.signer, b"", each.report.stored_ms) for each in new])
    approvals.set_authors(connection, {each.report.item: each.by.name for each in new})
    reports.add_events(connection, [event for each in new for event in _story(each)])
    return stored


def _story(new: _New) -> Iterator[Event]:
    """Yield the first lines of a report's story."""
    item, at_ms, by = new.report.item, new.report.stored_ms, new.by
    denied = [each for each in new.audience if each.state is Reach.DENIED]
    signed = f"for {len(new.audience) - len(denied)} recipients"
    yield Event(item, at_ms, "signed", detail=f"by {by.name}, {signed}" if by.name else signed)
    if by.confirmed:
        yield Event(item, at_ms, "confirmed", detail=f"{by.name} confirmed {', '.join(by.confirmed)}")
    for each in denied:
        yield Event(item, at_ms, "denied", each.recipient, each.why)
    for each in new.audience:
        if each.state is Reach.WAITING and each.why:
            yield Event(item, at_ms, "waiting", each.recipient, told(each.why))
