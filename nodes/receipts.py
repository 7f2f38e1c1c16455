"""Receipts, both ways: what this node confirms to senders, and what recipients confirm to it.

Given ones wait in a queue that is filled in the transaction that stores a report. Every 2 s, or at once when a flash
report waits, the queue becomes one signed batch a sender, all under one signature, and leaves as control envelopes.
A receipt is never receipted.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.binding import item_hash
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import ExchangeError
from exchange.names import ID_BYTES
from exchange.policy.decision import Reason
from exchange.receipts.codec import encode_receipts
from exchange.receipts.model import RECEIPT_LINES_SAFE, ReceiptBatch, ReceiptLine, ReceiptStatus
from exchange.receipts.verify import RECEIPTS
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.core import Core
from nodes.store import recalls, receiving, reports, sending
from nodes.store.rows import Addressee, Control, Event, QueuedReceipt, Reach

QUEUE_READ = 4_000
"""Queued receipts that one round takes."""


class Receipts:
    """Gives receipts. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake
        self._urgent = asyncio.Event()
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Give what waits at once."""
        self._urgent.set()

    async def run(self) -> None:
        """Give receipts until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._core.timing.receipts_s):
                    await self._urgent.wait()
            except TimeoutError:
                pass
            self._urgent.clear()
            try:
                await self.give()
            except ExchangeError as error:
                self._log.error("receipts.failed", reason=error.reason, detail=str(error))

    async def give(self) -> int:
        """Sign what waits and place it in the outbox; return how many receipts that were."""
        core = self._core
        given = 0
        while queued := await core.database.read(partial(receiving.queued_receipts, limit=QUEUE_READ)):
            now_ms = core.clock()
            groups = _groups(queued)
            payloads = [encode_receipts(self._batch(group, now_ms)) for group in groups]
            signed = await asyncio.gather(*(core.signer.sign(RECEIPTS, payload) for payload in payloads))
            await core.database.write(partial(_store, groups=groups, signed=signed, now_ms=now_ms))
            given += len(queued)
            self._wake()
        return given

    def _batch(self, group: Sequence[QueuedReceipt], now_ms: int) -> ReceiptBatch:
        return ReceiptBatch(
            exchange=self._core.exchange,
            from_party=self._core.me,
            to_party=group[0].sender,
            lines=tuple(
                ReceiptLine(
                    envelope_hash=each.envelope,
                    item_hash=each.item,
                    status=ReceiptStatus(each.status),
                    at_ms=each.at_ms,
                    step=each.step,
                    reason=each.reason,
                )
                for each in group
            ),
            at_ms=now_ms,
            salt=random_bytes(ID_BYTES),
        )


def _groups(queued: Sequence[QueuedReceipt]) -> list[list[QueuedReceipt]]:
    """Return receipts by sender, urgent ones apart so that only they take the flash lane, in batches that fit."""
    by_sender: dict[tuple[str, bool], list[QueuedReceipt]] = {}
    for each in queued:
        by_sender.setdefault((each.sender, each.urgent), []).append(each)
    return [
        lines[at : at + RECEIPT_LINES_SAFE]
        for lines in by_sender.values()
        for at in range(0, len(lines), RECEIPT_LINES_SAFE)
    ]


def _store(
    connection: Connection, groups: Sequence[Sequence[QueuedReceipt]], signed: Sequence[Signed], now_ms: int
) -> None:
    for group, each in zip(groups, signed, strict=True):
        lane = Lane.FLASH if group[0].urgent else Lane.ROUTINE
        add_control(connection, each, [group[0].sender], lane=lane, now_ms=now_ms)
        receiving.drop_receipts(connection, [line.number for line in group])


def add_control(connection: Connection, signed: Signed, recipients: Sequence[str], *, lane: Lane, now_ms: int) -> bytes:
    """Place a signed control statement in the outbox and return its item hash."""
    item = item_hash(signed.payload)
    control = Control(item, signed.payload_type, encode_signed(signed), now_ms)
    rows = [Addressee(item, each, int(EnvelopeKind.CONTROL), int(lane), Reach.WAITING) for each in recipients]
    sending.add_control(connection, control, rows)
    return item


# -- receipts that come back -------------------------------------------------------------------------------------------

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
STRANGER_TRIES = 4
STEP_PREKEY = 4
"""Of the recipient's checks: it holds the prekey."""

STRANGER_WAIT_MS = 5_000
"""A recipient that does not know the community yet is tried again after this, then after twice as long each time."""

_FINAL = {Reach.RETRACTED: 1, Reach.PURGED: 2}
"""States that a later receipt does not take back."""


def apply(connection: Connection, batch: ReceiptBatch, *, statement: bytes, now_ms: int) -> list[tuple[str, str, str]]:
    """Apply a verified batch to the items that it is about; return alarms as (kind, subject, text)."""
    hash_ = sha256(statement).digest()
    sending.add_receipt_batch(
        connection, hash_=hash_, sender=batch.from_party, at_ms=batch.at_ms, stored_ms=now_ms, statement=statement
    )
    strange = 0
    events: list[Event] = []
    rows = []
    for line in batch.lines:
        sent = sending.item_sent(connection, line.envelope_hash, batch.from_party)
        if sent is None:
            strange += 1
            continue
        item = line.item_hash or sent
        if item != sent and not _answers_a_retraction(connection, line, batch.from_party):
            strange += 1
            continue
        rows.append(_receipt_row(batch.from_party, line, item, hash_))
        recalls.confirmed(connection, item, batch.from_party, line.status, line.at_ms)
        event = _apply_line(connection, batch.from_party, line, item, now_ms)
        if event is not None:
            events.append(event)
    sending.add_receipts(connection, rows)
    reports.add_events(connection, events)
    # One alarm a partner: what it makes up must not bury the others.
    text = f"{batch.from_party} gave {strange} receipts for envelopes that were never sealed for it"
    return [(alarms.SENDER, f"{batch.from_party}/receipts", text)] if strange else []


def _answers_a_retraction(connection: Connection, line: ReceiptLine, partner: str) -> bool:
    """Say whether a line may be about another item than its envelope's: only about one that was to be withdrawn."""
    if line.status not in {ReceiptStatus.RETRACTED, ReceiptStatus.PURGED}:
        return False
    return recalls.was_asked(connection, line.item_hash, partner)


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


def _apply_line(connection: Connection, recipient: str, line: ReceiptLine, item: bytes, now_ms: int) -> Event | None:
    row = reports.addressee(connection, item, recipient)
    if row is None or row.kind != EnvelopeKind.REPORT:
        return None
    reached = _REACHED[line.status]
    if row.state is reached or _FINAL.get(row.state, 0) > _FINAL.get(reached, 0):
        return None
    if line.status is ReceiptStatus.REFUSED and row.state is Reach.RECEIPTED:
        return None  # an envelope sealed anew came after the item was stored
    if line.status is ReceiptStatus.REFUSED and row.tries < STRANGER_TRIES:
        if line.reason == Reason.COMMUNITY_UNKNOWN:
            return _again(connection, row, line, now_ms, "its membership of the community has not come yet")
        if line.step == STEP_PREKEY:
            return _again(connection, row, line, now_ms, "it no longer has the prekey that it was sealed for")
    why = f"refused there: {line.reason}, step {line.step}" if line.status is ReceiptStatus.REFUSED else ""
    changed: dict[str, object] = {"state": reached, "why": why}
    if line.status is ReceiptStatus.STORED:
        ends = [row.purge_by_ms, line.at_ms + row.keep_ms if row.keep_ms else 0]
        changed |= {"receipted_ms": line.at_ms, "purge_by_ms": min((end for end in ends if end), default=0)}
    reports.change_addressees(connection, item, [recipient], **changed)
    return Event(item, now_ms, _STORY[line.status], recipient, why, line.envelope_hash)


def _again(connection: Connection, row: Addressee, line: ReceiptLine, now_ms: int, words: str) -> Event:
    """Let a report wait and go once more: it overtook what its recipient opens it by, or came too late for that."""
    why = f"refused there: {words}"
    reports.change_addressees(
        connection,
        row.item,
        [row.recipient],
        state=Reach.WAITING,
        why=why,
        tries=row.tries + 1,
        due_ms=now_ms + (STRANGER_WAIT_MS << row.tries),
        alone=True,
        envelope=b"",
    )
    return Event(row.item, now_ms, "waiting", row.recipient, why, line.envelope_hash)
