"""Receipts that come back: where each item then stands with the partner that confirms it.

A batch is read and written as a whole, however many lines it has: what it is about is looked up once, each line is
applied in order to what the lines before it have left, and what has changed is written at the end.
"""

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


@dataclass(slots=True)
class _Standing:
    """Where items stand with one partner, while its receipts are applied."""

    rows: dict[bytes, Addressee]
    """By item."""
    changed: set[bytes] = field(default_factory=set)

    def put(self, row: Addressee) -> None:
        self.rows[row.item] = row
        self.changed.add(row.item)


def apply(connection: Connection, batch: ReceiptBatch, *, statement: bytes, now_ms: int) -> list[tuple[str, str, str]]:
    """Apply a verified batch to the items that it is about; return alarms as (kind, subject, text)."""
    hash_, partner = sha256(statement).digest(), batch.from_party
    sending.add_receipt_batch(
        connection, hash_=hash_, sender=partner, at_ms=batch.at_ms, stored_ms=now_ms, statement=statement
    )
    meant = _meant(connection, batch)
    standing = _Standing(reports.rows_with(connection, sorted({item for _, item in meant}), partner))
    events: list[Event] = []
    for line, item in meant:
        if line.status in _GONE:
            recalls.confirmed(connection, item, partner, line.status, line.at_ms)
        event = _apply_line(standing, line, item, now_ms)
        if event is not None:
            events.append(event)
    reports.replace_addressees(connection, [standing.rows[item] for item in sorted(standing.changed)])
    sending.add_receipts(connection, [_receipt_row(partner, line, item, hash_) for line, item in meant])
    reports.add_events(connection, events)
    strange = len(batch.lines) - len(meant)
    # One alarm a partner: what it makes up must not bury the others.
    text = f"{partner} gave {strange} receipts for envelopes that were never sealed for it"
    return [(alarms.SENDER, f"{partner}/receipts", text)] if strange else []


def _meant(connection: Connection, batch: ReceiptBatch) -> list[tuple[ReceiptLine, bytes]]:
    """Return the lines that are about envelopes of this node for their signer, each with its item, in order."""
    sent = sending.items_sent(connection, [line.envelope_hash for line in batch.lines], batch.from_party)
    meant = []
    for line in batch.lines:
        of_envelope = sent.get(line.envelope_hash)
        item = line.item_hash or of_envelope
        if of_envelope is None or item is None:
            continue
        if item == of_envelope or _answers_a_retraction(connection, line, batch.from_party):
            meant.append((line, item))
    return meant


def _answers_a_retraction(connection: Connection, line: ReceiptLine, partner: str) -> bool:
    """Say whether a line may be about another item than its envelope's: only about one that was to be withdrawn."""
    return line.status in _GONE and recalls.was_asked(connection, line.item_hash, partner)


def _receipt_row(recipient: str, line: ReceiptLine, item: bytes, batch: bytes) -> dict[str, object]:
    return {
        "envelope": line.envelope_hash,
        "recipient": recipient,
        "status": int(line.status),
        "item": item,
        "at_ms": line.at_ms,
        "step": line.step,
        "reason": line.reason,
        "batch": batch,
    }


def _apply_line(standing: _Standing, line: ReceiptLine, item: bytes, now_ms: int) -> Event | None:
    row = standing.rows.get(item)
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
    changed = replace(row, state=reached, why=why)
    if line.status is ReceiptStatus.STORED:
        ends = [row.purge_by_ms, line.at_ms + row.keep_ms if row.keep_ms else 0]
        changed = replace(changed, receipted_ms=line.at_ms, purge_by_ms=min((end for end in ends if end), default=0))
    standing.put(changed)
    return Event(item, now_ms, _STORY[line.status], row.recipient, why, line.envelope_hash)


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
