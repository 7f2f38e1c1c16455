"""Record what was judged: log, store and promise a frame of submissions, in one write function.

Runs in the writer's transaction (PROTOCOL.md 5). Everything that the answers say is durable when the transaction is, so
the same envelope gets the same promise bytes for ever. A frame that was judged under a directory that has grown since
is not recorded at all: it is judged again.
All answers of a frame stand under one signature (PROTOCOL.md 1), by the key in force as of the directory size in them.
Whether the attachments that an envelope names are here is looked at in this transaction too: none can go in between.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import sign_batch
from exchange.crypto.signing import Ed25519Key
from exchange.envelope.model import EnvelopeKind
from exchange.envelope.verify import Verified
from exchange.names import ID_BYTES, ExchangeName, PartyId
from exchange.receipts.codec import encode_decisions, encode_promise, encode_refusal
from exchange.receipts.model import DecisionRecord, Promise, Refusal, RelayDecision
from exchange.receipts.verify import PROMISE, REFUSAL
from exchange.relay.blobs import BlobStore
from exchange.relay.mailbox import Accepted, Answered, MailboxStore, Placed
from exchange.relay.quota import Counted, DayQuota, HeldQuota, SpentStore
from exchange.relay.sequencer import Log, LogState, LogStore, Sequencer
from exchange.relay.slots import Slot, encode_slots
from exchange.tlog.entry import EntryKind, TrafficEntry, directory_head_hash, encode_entry

ID_REUSED = "ENVELOPE_ID_REUSED"
"""Reason for an envelope whose id the sender has used for another one."""

TOO_MUCH_HELD = "TOO_MUCH_HELD"
"""Reason for an envelope for which its sender has no room here until its recipients have taken what waits."""

ATTACHMENT_MISSING = "ATTACHMENT_MISSING"
"""Reason for an envelope of which an attachment is not here, not wholly, or with another hash or size."""

STEP_ATTACHMENTS = 13

SLOT_BYTES = 1_800
"""What a slot takes in the store, about: leaf, proof and wrapped key."""


@dataclass(frozen=True, slots=True)
class Permitted:
    """A submission that passed every check."""

    verified: Verified
    decisions: tuple[RelayDecision, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A submission that failed a check. `final` says that these bytes will never be accepted."""

    hash: bytes
    reason: str
    step: int
    clause: str = ""
    recipient: str = ""
    final: bool = False
    detail: str = field(default="", compare=False)
    """For the operator's log only."""


Judged = Permitted | Refused


@dataclass(frozen=True, slots=True)
class Frame:
    """A judged frame: by whom, and under which directory."""

    sender: PartyId
    directory_size: int
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a frame came to: answers in its order, and the envelopes that are new."""

    answers: tuple[Answered, ...]
    new: tuple[Accepted, ...]
    head: LogState | None = None
    """The traffic log with them; None when nothing was logged."""
    placed: tuple[Placed, ...] = ()
    """Their rows, when all that is placed on this store is known."""
    spends: Mapping[Counted, int] = field(default_factory=dict)
    """In how many us each bucket of the sender that it used is full again."""


class Recorder:
    """Records frames; for the writer's thread."""

    def __init__(
        self,
        exchange: ExchangeName,
        promise_at: Callable[[int], Ed25519Key],
        sequencer: Sequencer,
        held: HeldQuota,
        refusals: DayQuota,
    ) -> None:
        """`promise_at` gives the promise key as of a directory size.

        What `held` has no room for is refused; `refusals` of each sender are remembered.
        """
        self._held = held
        self._refusals = refusals
        self._exchange = exchange
        self._promise_at = promise_at
        self._sequencer = sequencer

    def record(
        self,
        logs: LogStore,
        mailboxes: MailboxStore,
        spent: SpentStore,
        frame: Frame,
        now_ms: int,
        *,
        blobs: BlobStore | None = None,
    ) -> Recorded | None:
        """Return the answers, or None when the directory has grown since the frame was judged.

        `now_ms` becomes the time of receipt. Without a store of `blobs` no attachment is here.
        """
        if logs.state(Log.DIRECTORY).size != frame.directory_size:
            return None
        known = mailboxes.answered(frame.sender, [_hash_of(judged) for judged in frame.judged])
        drafts = [_with_blobs(draft, blobs) for draft in _drafts(mailboxes, frame, known, now_ms)]
        drafts = self._with_room(drafts, frame.sender, mailboxes)
        drafts = self._remembered(drafts, frame.sender, spent, now_ms)
        numbers = self._append(logs, drafts, frame.directory_size, now_ms)
        payloads = [
            self._payload(draft, number, frame.directory_size, now_ms)
            for draft, number in zip(drafts, numbers, strict=True)
        ]
        new: list[Accepted] = []
        answers: dict[int, Answered] = {}
        for draft, number, answer in zip(drafts, numbers, self._sign(payloads, frame.directory_size), strict=True):
            answered = Answered(answer, draft.decisions)
            answers |= dict.fromkeys(draft.places, answered)
            if isinstance(draft.judged, Permitted):
                new.append(_accepted(draft.judged, number, answered))
                _claim(draft.judged.verified, blobs)
            elif draft.judged.final:
                mailboxes.refuse(frame.sender, draft.judged.hash, answer, now_ms)
        mailboxes.deposit(new)
        return Recorded(
            tuple(
                answers[place] if place in answers else known[_hash_of(judged)]
                for place, judged in enumerate(frame.judged)
            ),
            tuple(new),
            self._sequencer.head(Log.TRAFFIC) if new else None,
        )

    def _with_room(self, drafts: Sequence["_Draft"], sender: PartyId, mailboxes: MailboxStore) -> list["_Draft"]:
        """Return the drafts with those refused, not for good, that the sender has no room for; the others still go."""
        fitting: list[_Draft] = []
        taken = mailboxes.held_bytes_of(sender)
        for draft in drafts:
            size = _size(draft.judged)
            if size and size > self._held.room(taken, control=_is_control(draft.judged)):
                detail = f"{sender} has no room left for {size} bytes"
                refused = Refused(_hash_of(draft.judged), TOO_MUCH_HELD, 0, detail=detail)
                fitting.append(_Draft(refused, b"", draft.places))
            else:
                fitting.append(draft)
                taken += size
        return fitting

    def _remembered(self, drafts: list["_Draft"], sender: PartyId, spent: SpentStore, now_ms: int) -> list["_Draft"]:
        """Return the drafts; what is refused for good is refused as such while the relay has room to remember it."""
        final = sum(map(_is_final, drafts))
        if not final:
            return drafts
        room = self._refusals.take_some(spent, sender, now_ms, final)
        remembered: list[_Draft] = []
        for draft in drafts:
            if _is_final(draft):
                remembered.append(draft if room > 0 else _not_for_good(draft))
                room -= 1
            else:
                remembered.append(draft)
        return remembered

    def _append(self, logs: LogStore, drafts: Sequence["_Draft"], directory_size: int, now_ms: int) -> list[int]:
        """Log what is accepted; return each draft's index in the traffic log, 0 for a refusal."""
        entries: list[bytes] = []
        offsets: list[int | None] = []
        if any(isinstance(draft.judged, Permitted) for draft in drafts) and logs.directory_mark() != directory_size:
            head = logs.state(Log.DIRECTORY)
            entries.append(_entry(EntryKind.DIRECTORY_HEAD, directory_head_hash(head.size, head.root), now_ms))
            logs.set_directory_mark(directory_size)
        for draft in drafts:
            if isinstance(draft.judged, Permitted):
                offsets.append(len(entries))
                entries.append(_entry(EntryKind.ENVELOPE, draft.judged.verified.envelope_hash, now_ms))
                entries.append(_entry(EntryKind.DECISIONS, sha256(draft.decisions).digest(), now_ms))
            else:
                offsets.append(None)
        first = self._sequencer.append(logs, Log.TRAFFIC, entries) if entries else 0
        return [0 if offset is None else first + offset for offset in offsets]

    def _payload(self, draft: "_Draft", number: int, directory_size: int, now_ms: int) -> tuple[str, bytes]:
        if isinstance(draft.judged, Permitted):
            promise = Promise(
                exchange=self._exchange,
                envelope_hash=draft.judged.verified.envelope_hash,
                log_index=number,
                received_ms=now_ms,
                directory_size=directory_size,
                decisions_sha256=sha256(draft.decisions).digest(),
                salt=random_bytes(ID_BYTES),
            )
            return PROMISE, encode_promise(promise)
        refusal = Refusal(
            exchange=self._exchange,
            envelope_hash=draft.judged.hash,
            reason=draft.judged.reason,
            step=draft.judged.step,
            clause=draft.judged.clause,
            recipient=draft.judged.recipient,
            directory_size=directory_size,
            refused_ms=now_ms,
            salt=random_bytes(ID_BYTES),
        )
        return REFUSAL, encode_refusal(refusal)

    def _sign(self, payloads: Sequence[tuple[str, bytes]], directory_size: int) -> list[bytes]:
        if not payloads:
            return []
        key = self._promise_at(directory_size)
        return [encode_signed(signed) for signed in sign_batch(key, payloads, context=self._exchange)]


@dataclass(frozen=True, slots=True)
class _Draft:
    """One answer to be made, and the places of the frame that get it."""

    judged: Judged
    decisions: bytes
    places: list[int]


def _drafts(mailboxes: MailboxStore, frame: Frame, known: Mapping[bytes, Answered], now_ms: int) -> list[_Draft]:
    """Return what has no answer yet: one answer for an envelope that comes twice, none for an id used twice."""
    permitted = [judged.verified for judged in frame.judged if isinstance(judged, Permitted)]
    taken = dict(mailboxes.taken(frame.sender, [verified.core.envelope_id for verified in permitted]))
    drafts: list[_Draft] = []
    by_hash: dict[bytes, _Draft] = {}
    for place, judged in enumerate(frame.judged):
        hash_ = _hash_of(judged)
        if hash_ in known:
            continue
        if hash_ in by_hash:
            by_hash[hash_].places.append(place)
            continue
        answer: Judged = judged
        if isinstance(judged, Permitted):
            id_ = judged.verified.core.envelope_id
            if taken.setdefault(id_, hash_) != hash_:
                header = encode_signed(judged.verified.header_signed)
                mailboxes.keep_evidence(hash_, frame.sender, id_, header, now_ms)
                answer = Refused(hash_, ID_REUSED, 0, final=True)
        draft = _Draft(answer, _decisions(answer), [place])
        drafts.append(draft)
        if isinstance(answer, Permitted) or answer.final:
            by_hash[hash_] = draft
    return drafts


def _is_final(draft: _Draft) -> bool:
    return isinstance(draft.judged, Refused) and draft.judged.final


def _not_for_good(draft: _Draft) -> _Draft:
    """Return a refusal that nobody need remember."""
    judged = replace(draft.judged, final=False) if isinstance(draft.judged, Refused) else draft.judged
    return _Draft(judged, b"", draft.places)


def _with_blobs(draft: _Draft, blobs: BlobStore | None) -> _Draft:
    """Return a draft, refused for good when it names an attachment that is not here as it says."""
    if isinstance(draft.judged, Refused) or not draft.judged.verified.core.blobs:
        return draft
    verified = draft.judged.verified
    if blobs is not None and blobs.are_complete(verified.core.sender, verified.core.blobs):
        return draft
    refused = Refused(verified.envelope_hash, ATTACHMENT_MISSING, STEP_ATTACHMENTS, final=True)
    return _Draft(refused, b"", draft.places)


def _claim(verified: Verified, blobs: BlobStore | None) -> None:
    core = verified.core
    if blobs is not None and core.blobs:
        blobs.claim(core.sender, core.blobs, [leaf.leaf.recipient for leaf in verified.leaves], core.expires_ms)


def _decisions(judged: Judged) -> bytes:
    if isinstance(judged, Refused):
        return b""
    core, hash_ = judged.verified.core, judged.verified.envelope_hash
    return encode_decisions(DecisionRecord(core.exchange, hash_, judged.decisions, random_bytes(ID_BYTES)))


def _is_control(judged: Judged) -> bool:
    return isinstance(judged, Permitted) and judged.verified.core.kind is EnvelopeKind.CONTROL


def _size(judged: Judged) -> int:
    """Return about how many bytes an envelope will take in the store; 0 when it is refused."""
    if isinstance(judged, Refused):
        return 0
    verified = judged.verified
    return len(verified.header_signed.payload) + len(verified.body) + SLOT_BYTES * len(verified.leaves)


def _accepted(permitted: Permitted, number: int, answered: Answered) -> Accepted:
    verified = permitted.verified
    slots = tuple(
        Slot(leaf.leaf.recipient, leaf.index, leaf.data, proof, leaf.wrap)
        for leaf, proof in zip(verified.leaves, verified.proofs, strict=True)
    )
    return Accepted(
        id=number,
        hash=verified.envelope_hash,
        sender=verified.core.sender,
        envelope_id=verified.core.envelope_id,
        lane=verified.core.lane,
        kind=int(verified.core.kind),
        expires_ms=verified.core.expires_ms,
        header=encode_signed(verified.header_signed),
        slots=slots,
        parts=encode_slots(slots),
        body=verified.body,
        promise=answered.answer,
        decisions=answered.decisions,
    )


def _hash_of(judged: Judged) -> bytes:
    return judged.hash if isinstance(judged, Refused) else judged.verified.envelope_hash


def _entry(kind: EntryKind, digest: bytes, at_ms: int) -> bytes:
    return encode_entry(TrafficEntry(kind, digest, at_ms))
