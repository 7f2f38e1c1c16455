"""Receipts that this node gives: what it confirms to senders. Those that come back are applied in nodes/receipted.py.

They wait in a queue that is filled in the transaction that stores a report. What waits becomes one signed batch a
sender, all under one signature, and leaves as control envelopes: of flash reports at once, of others at once as well
when the last round was 2 s ago, so that a report on its own never waits and a stream of them costs few signatures.
Nothing looks at an empty queue. A receipt is never receipted.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.binding import item_hash
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import ExchangeError
from exchange.names import ID_BYTES
from exchange.receipts.codec import encode_receipts
from exchange.receipts.model import RECEIPT_LINES_SAFE, ReceiptBatch, ReceiptLine, ReceiptStatus
from exchange.receipts.verify import RECEIPTS
from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.store import receiving, sending
from nodes.store.rows import Addressee, Control, QueuedReceipt, Reach

QUEUE_READ = 4_000
"""Queued receipts that one round takes."""


class Receipts:
    """Gives receipts. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake
        self._urgent = asyncio.Event()
        self._others = asyncio.Event()
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Give what waits for flash reports, at once."""
        self._urgent.set()

    def wait(self) -> None:
        """Give what waits for other reports, when the pace allows it."""
        self._others.set()

    async def run_urgent(self) -> None:
        """Give receipts for flash reports until cancelled."""
        await self._run(self._urgent, urgent=True, pace_s=0)

    async def run(self) -> None:
        """Give receipts for other reports until cancelled."""
        await self._run(self._others, urgent=False, pace_s=self._core.timing.receipts_s)

    async def _run(self, due: asyncio.Event, *, urgent: bool, pace_s: float) -> None:
        due.set()  # a crash may have left some
        while True:
            await due.wait()
            due.clear()
            try:
                await self.give(urgent=urgent)
            except ExchangeError as error:
                self._log.error("receipts.failed", reason=error.reason, detail=str(error))
                due.set()
                await asyncio.sleep(self._core.timing.receipts_s)
            await asyncio.sleep(pace_s)

    async def give(self, *, urgent: bool) -> int:
        """Sign what waits and place it in the outbox; return how many receipts that were."""
        core = self._core
        given = 0
        read = partial(receiving.queued_receipts, urgent=urgent, limit=QUEUE_READ)
        more = True
        while more and (queued := await core.database.read(read)):
            # What is queued from here on calls for a round of its own.
            more = len(queued) == QUEUE_READ
            now_ms = core.clock()
            groups = _groups(queued)
            payloads = [encode_receipts(self._batch(group, now_ms)) for group in groups]
            signed = await core.signer.sign_each(RECEIPTS, payloads)
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
    """Return receipts by sender, in batches that fit."""
    by_sender: dict[str, list[QueuedReceipt]] = {}
    for each in queued:
        by_sender.setdefault(each.sender, []).append(each)
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
