"""Receipts that come back: where each item then stands with the partner that confirms it.

The batches that came together are read and written as a whole, however many lines they have: what they are about is
looked up once, each line is applied in order to what the lines before it have left, and what has changed is written at
the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind
from exchange.policy.decision import Reason
from exchange.receipts.model import ReceiptBatch, ReceiptLine, ReceiptStatus
from nodes import alarms
from nodes.store import recalls, reports, sending
from nodes.store.rows import Addressee, Event, Reach

_REACHED = {
    ReceiptStatus.STORED: Reach.RECEIPTED,
    ReceiptStatus.REFUSED: Reach.REFUSED,
    ReceiptStatus.RETRACTED: Reach.RETRACTED,
    ReceiptStatus.PURGED: Reach.PURGED,
}
_STORY = {
    ReceiptStatus.STORED: "receipted",
    ReceiptStatus.REFUSED: "refused",
    ReceiptStatus.RETRACTED: "retracted",
    ReceiptStatus.PURGED: "purged",
}
_GONE = frozenset({ReceiptStatus.RETRACTED, ReceiptStatus.PURGED})
STRANGER_TRIES = 4
STEP_PREKEY = 4
"""Of the recipient's checks: it holds the prekey."""

STRANGER_WAIT_MS = 5_000
"""A recipient that does not know the community yet is tried again after this, then after twice as long each time."""

_FINAL = {Reach.RETRACTED: 1, Reach.PURGED: 2}
"""States that a later receipt does not take back."""


@dataclass(frozen=True, slots=True)
class Given:
    """A verified batch, with the signed bytes that it came in."""

    batch: ReceiptBatch
    statement: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """What receipts mean beyond the store."""

    alarms: Sequence[tuple[str, str, str]]
    """Kind, subject, text."""
    waits: bool
    """A report is to go once more, after a while."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line about an envelope that this node sealed for who signed it."""

    partner: str
    said: ReceiptLine
    item: bytes
    batch: bytes
    """Hash of the batch that it stands in."""

    @property
    def place(self) -> tuple[bytes, str]:
        """Item and recipient."""
        return self.item, self.partner


@dataclass(slots=True)
class _Standing:
    """Where items stand with partners, by item and recipient, while receipts are applied."""

    rows: dict[tuple[bytes, str], Addressee]
    changed: set[tuple[bytes, str]] = field(default_factory=set)

    def put(self, row: Addressee) -> None:
        self.rows[row.item, row.recipient] = row
        self.changed.add((row.item, row.recipient))


def apply(connection: Connection, given: Sequence[Given], now_ms: int) -> Applied:
    """Apply verified batches to the items that they are about."""
    sending.add_receipt_batches(connection, [_batch_row(each, now_ms) for each in given])
    lines = list(_meant(connection, given))
    partners = {line.partner for line in lines}
    standing = _Standing(reports.rows_with(connection, {line.item for line in lines}, partners))
    events: list[Event] = []
    for line in lines:
        if line.said.status in _GONE:
            recalls.confirmed(connection, line.item, line.partner, line.said.status, line.said.at_ms)
        event = _apply_line(standing, line, now_ms)
        if event is not None:
            events.append(event)
    changed = [standing.rows[place] for place in sorted(standing.changed)]
    reports.replace_addressees(connection, changed)
    sending.add_receipts(connection, [_receipt_row(line) for line in lines])
    reports.add_events(connection, events)
    return Applied(list(_strange(given, lines)), any(row.state is Reach.WAITING for row in changed))


def _strange(given: Sequence[Given], lines: Sequence[_Line]) -> Iterator[tuple[str, str, str]]:
    """Yield one alarm for each partner that made something up: that must not bury what others did."""
    counts: dict[str, int] = {}
    for each in given:
        counts[each.batch.from_party] = counts.get(each.batch.from_party, 0) + len(each.batch.lines)
    for line in lines:
        counts[line.partner] -= 1
    for partner, strange in counts.items():
        if strange:
            text = f"{partner} gave {strange} receipts for envelopes that were never sealed for it"
            yield alarms.SENDER, f"{partner}/receipts", text


def _meant(connection: Connection, given: Sequence[Given]) -> Iterator[_Line]:
    """Yield the lines that are about envelopes of this node for their signer, each with its item, in order."""
    envelopes = {line.envelope_hash for each in given for line in each.batch.lines}
    sent = sending.items_sent(connection, envelopes, {each.batch.from_party for each in given})
    for each in given:
        partner, hash_ = each.batch.from_party, sha256(each.statement).digest()
        for said in each.batch.lines:
            of_envelope = sent.get((said.envelope_hash, partner))
            item = said.item_hash or of_envelope
            if of_envelope is None or item is None:
                continue
            if item == of_envelope or _answers_a_retraction(connection, said, partner):
                yield _Line(partner, said, item, hash_)


def _batch_row(each: Given, now_ms: int) -> dict[str, object]:
    batch = each.batch
    return {
        "hash": sha256(each.statement).digest(),
        "sender": batch.from_party,
        "at_ms": batch.at_ms,
        "stored_ms": now_ms,
        "statement": each.statement,
    }


def _answers_a_retraction(connection: Connection, line: ReceiptLine, partner: str) -> bool:
    """Say whether a line may be about another item than its envelope's: only about one that was to be withdrawn."""
    return line.status in _GONE and recalls.was_asked(connection, line.item_hash, partner)


def _receipt_row(line: _Line) -> dict[str, object]:
    said = line.said
    return {
        "envelope": said.envelope_hash,
        "recipient": line.partner,
        "status": int(said.status),
        "item": line.item,
        "at_ms": said.at_ms,
        "step": said.step,
        "reason": said.reason,
        "batch": line.batch,
    }


def _apply_line(standing: _Standing, applied: _Line, now_ms: int) -> Event | None:
    row, line = standing.rows.get(applied.place), applied.said
    if row is None or row.kind != EnvelopeKind.REPORT:
        return None
    reached = _REACHED[line.status]
    if row.state is reached or _FINAL.get(row.state, 0) > _FINAL.get(reached, 0):
        return None
    if line.status is ReceiptStatus.REFUSED and row.state is Reach.RECEIPTED:
        return None  # an envelope sealed anew came after the item was stored
    if line.status is ReceiptStatus.REFUSED and row.tries < STRANGER_TRIES:
        if line.reason == Reason.COMMUNITY_UNKNOWN:
            return _again(standing, row, line, now_ms, "its membership of the community has not come yet")
        if line.step == STEP_PREKEY:
            return _again(standing, row, line, now_ms, "it no longer has the prekey that it was sealed for")
    why = f"refused there: {line.reason}, step {line.step}" if line.status is ReceiptStatus.REFUSED else ""
    if line.status is ReceiptStatus.STORED:
        purge_by_ms = _purge_by_ms(row, line.at_ms)
        standing.put(replace(row, state=reached, why=why, receipted_ms=line.at_ms, purge_by_ms=purge_by_ms))
    else:
        standing.put(replace(row, state=reached, why=why))
    return Event(row.item, now_ms, _STORY[line.status], row.recipient, why, line.envelope_hash)


def _purge_by_ms(row: Addressee, stored_ms: int) -> int:
    """Return when a partner that has stored a report must have destroyed it at the latest; 0 for never."""
    ends = (row.purge_by_ms, stored_ms + row.keep_ms if row.keep_ms else 0)
    return min((end for end in ends if end), default=0)


def _again(standing: _Standing, row: Addressee, line: ReceiptLine, now_ms: int, words: str) -> Event:
    """Let a report wait and go once more: it overtook what its recipient opens it by, or came too late for that."""
    why = f"refused there: {words}"
    standing.put(
        replace(
            row,
            state=Reach.WAITING,
            why=why,
            tries=row.tries + 1,
            due_ms=now_ms + (STRANGER_WAIT_MS << row.tries),
            alone=True,
            envelope=b"",
        )
    )
    return Event(row.item, now_ms, "waiting", row.recipient, why, line.envelope_hash)
