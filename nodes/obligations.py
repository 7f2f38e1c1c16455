"""Do with received reports what must be done: destroy them when their time has come, and say so.

The key goes first, then the row says so, then a receipt tells the sender. After a crash between the first two, a report
without its key is found at the start and the rest is done. Withdrawn content is hidden at once (nodes/heard.py) and is
destroyed here when the originator asked for that.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection

from exchange.errors import ExchangeError
from exchange.receipts.model import ReceiptStatus
from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.decisions import Stage
from nodes.ending import Endings
from nodes.store import blobs, decisions, receiving, reports
from nodes.store.rows import Direction, Event, QueuedReceipt, Report
from nodes.store.shown import KEPT_MS as SHOWN_KEPT_MS
from nodes.store.shown import drop_shown

PURGE_AT_ONCE = 500
COMPARE_AT_ONCE = 1_000
ASIDE_KEPT_MS = 90 * 24 * 60 * 60 * 1000
"""Deliveries that failed a check are kept so long: evidence, and not a way to fill the disk for ever."""


class Obligations:
    """Obligations of one node. For one event loop."""

    def __init__(self, core: Core, *, on_receipts: Callable[[], None]) -> None:
        """`on_receipts` is called when receipts wait."""
        self._core = core
        self._hurry = asyncio.Event()
        self._endings = Endings(core)
        self._on_receipts = on_receipts
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Look at once: something is to be destroyed now."""
        self._hurry.set()

    async def run(self) -> None:
        """Purge what is due, now and then and when asked to, until cancelled."""
        while True:
            self._hurry.clear()
            try:
                await self.look_after()
            except ExchangeError as error:
                self._log.error("obligations.failed", reason=error.reason, detail=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._core.timing.obligations_s):
                    await self._hurry.wait()

    async def recover(self) -> None:
        """Finish what a crash interrupted: purges whose row is behind, keys whose report never came to be."""
        core = self._core
        after = b""
        while items := await core.database.read(partial(reports.stored_items, after=after, limit=COMPARE_AT_ONCE)):
            after = items[-1]
            gone = await core.keybox.without_key(items)
            if gone:
                await self._say(await core.database.read(partial(_reports_of, items=sorted(gone))))
        swept = await core.keybox.sweep(self._wanted)
        if swept:
            self._log.info("keys.swept", count=swept)

    async def look_after(self) -> int:
        """Purge what is due; return how many reports went."""
        core = self._core
        await self._endings.look_after()
        done = 0
        while due := await core.database.read(partial(reports.to_purge, now_ms=core.clock(), limit=PURGE_AT_ONCE)):
            await core.keybox.destroy([report.item for report in due])
            await self._say(due)
            done += len(due)
        before_ms = core.clock() - ASIDE_KEPT_MS
        await core.database.write(partial(receiving.drop_set_aside, before_ms=before_ms))
        await core.database.write(partial(drop_shown, before_ms=core.clock() - SHOWN_KEPT_MS))
        await self._drop_denied(before_ms)
        return done

    async def _drop_denied(self, before_ms: int) -> None:
        """Destroy why deliveries were denied, as long ago as they were set aside."""
        core = self._core
        look = partial(decisions.without_report, stage=Stage.ARRIVED, before_ms=before_ms, limit=PURGE_AT_ONCE)
        while items := await core.database.read(look):
            await core.keybox.destroy(items)
            await core.database.write(partial(decisions.drop_of_items, items=items))

    async def _say(self, purged: Sequence[Report]) -> None:
        await self._core.database.write(partial(_store, purged=purged, now_ms=self._core.clock()))
        self._on_receipts()
        self._log.info("reports.purged", count=len(purged))

    async def _wanted(self, items: Sequence[bytes]) -> set[bytes]:
        return await self._core.database.read(partial(_needed, items=items))


def _needed(connection: Connection, items: Sequence[bytes]) -> set[bytes]:
    return reports.unpurged_items(connection, items) | decisions.items_among(connection, items)


def _reports_of(connection: Connection, items: Sequence[bytes]) -> list[Report]:
    found = (reports.report_of(connection, item) for item in items)
    return [report for report in found if report is not None]


def _store(connection: Connection, purged: Sequence[Report], now_ms: int) -> None:
    for report in purged:
        reports.forget_content(connection, report.item)
        blobs.forget(connection, report.item)
    decisions.drop_of_items(connection, [report.item for report in purged])
    reports.add_events(connection, [Event(report.item, now_ms, "purged") for report in purged])
    lines = [
        QueuedReceipt(party, envelope, report.item, int(ReceiptStatus.PURGED), now_ms)
        for report in purged
        if report.direction is Direction.RECEIVED
        for party, envelope in _owed(connection, report).items()
    ]
    receiving.queue_receipts(connection, lines)


def _owed(connection: Connection, report: Report) -> dict[str, bytes]:
    """Return who is told that a received report is destroyed, and in answer to which envelope.

    That is the partner that it came from, and its originator too when it asked for that: of what was passed on, the two
    differ.
    """
    came = receiving.envelope_of_item(connection, report.item, report.sender)
    asked = reports.withdrawal_of(connection, report.item, report.originator)
    owed = {report.originator: asked.envelope} if asked is not None else {}
    return owed | ({report.sender: came} if came is not None else {})
