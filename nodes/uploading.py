"""Bring the files of reports to the relay, before anything that names them is sealed (PROTOCOL 3).

The sender asks for it once somebody is permitted to get a report (nodes/sealing.py): what waits for approvals or for
its time does not leave the node. Files go one after the other, flash first; one that is more urgent interrupts another,
which goes on later from where the relay is. When the relay has all files of a report, what waits for that is sealed.
The files of a report that is passed on are sealed anew first, once all of them are here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.errors import ExchangeError, Unavailable, VerificationFailed
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.attached import ref_of
from nodes.attaching import Attaching
from nodes.blob_files import BlobFiles
from nodes.core import Core
from nodes.relay_port import RelayBlobs
from nodes.sealing import UPLOADING
from nodes.store import blobs, reports
from nodes.store.blobs import BlobState, KeptBlob, Way
from nodes.store.rows import Direction, Event, Reach

IDLE_S = 60.0


class Uploading:
    """The uploading half of one node's files. For one event loop."""

    def __init__(
        self, core: Core, relay: RelayBlobs, files: BlobFiles, attaching: Attaching, *, wake: Callable[[], None]
    ) -> None:
        """`wake` tells the sender that something can be sealed."""
        self._core = core
        self._relay = relay
        self._files = files
        self._attaching = attaching
        self._wake = wake
        self._due = asyncio.Event()
        self._backoff = core.backoff()
        self.progress: dict[bytes, int] = {}
        """Bytes that the relay has of the file that is on its way."""
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Look for work at once."""
        self._due.set()

    async def run(self) -> None:
        """Upload what is wanted, until cancelled."""
        while True:
            self._due.clear()
            wait_s = IDLE_S
            try:
                while await self.one():
                    self._backoff.reset()
            except ExchangeError as error:
                self._log.info("upload.lost", reason=error.reason, detail=str(error))
                wait_s = next(self._backoff)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._due.wait()

    async def one(self) -> bool:
        """Bring one report a step further; say whether anything was to be done."""
        failed: ExchangeError | None = None
        for item, lane in await self._core.database.read(blobs.wanted):
            try:
                if await self._bring(item, lane):
                    return True
            except Unavailable:
                raise
            except ExchangeError as error:
                # What stands against one report, its size for example, must not hold up the others.
                failed = error
        if failed is not None:
            raise failed
        return False

    async def _bring(self, item: bytes, lane: int) -> bool:
        """Bring the files of one report to the relay; False when nothing can be done about them now."""
        rows = await self._rows(item)
        if rows is None:
            return False
        for row in rows:
            if row.state is BlobState.HERE and not await self._upload(row, item, lane):
                return True
        await self._core.database.write(partial(_done, item=item, now_ms=self._core.clock()))
        self._wake()
        return True

    async def _rows(self, item: bytes) -> list[KeptBlob] | None:
        """Return what is uploaded of a report; None while it has files that have not come, or when it is given up."""
        core = self._core
        report = await core.database.read(partial(reports.report_of, item=item))
        rows = await core.database.read(partial(blobs.of_item, item=item))
        out = [row for row in rows if row.way is Way.OUT]
        if out or report is None or report.direction is Direction.SENT:
            return out
        if not all(row.state in {BlobState.HERE, BlobState.KEPT} for row in rows):
            return None
        try:
            await self._attaching.copy(item, rows)
        except VerificationFailed:
            await self._give_up(rows[0], item, "is damaged on this disk")
            return None
        return await core.database.read(partial(blobs.of_item, item=item, way=Way.OUT))

    async def _upload(self, row: KeptBlob, item: bytes, lane: int) -> bool:
        """Bring one file to the relay; False when something more urgent came up on the way, or it is given up."""
        if not self._files.is_whole(row.file):
            await self._give_up(row, item, "is not on this disk any more")
            return False
        complete = False
        try:
            async with aclosing(self._relay.upload(ref_of(row), partial(self._read, row))) as answers:  # type: ignore[type-var]
                async for held, complete in answers:
                    self.progress[row.file] = held
                    if not complete and await self._more_urgent(item, lane):
                        return False
        except VerificationFailed as error:
            if await asyncio.to_thread(self._is_damaged, row):
                await self._give_up(row, item, "is damaged on this disk")
                return False
            text = f"the relay says that an attachment of {item.hex()[:12]} is damaged, and it is not: {error}"
            await self._core.alarms.raise_(alarms.RELAY, f"attachment {row.file.hex()[:12]}", text)
            raise
        finally:
            self.progress.pop(row.file, None)
        if not complete:
            raise Unavailable("the relay ended an upload early")
        await self._core.database.write(partial(blobs.change, file=row.file, was=row.state, state=BlobState.KEPT))
        return True

    async def _more_urgent(self, item: bytes, lane: int) -> bool:
        first = next(iter(await self._core.database.read(blobs.wanted)), None)
        return first is None or (first[0] != item and first[1] < lane)

    async def _read(self, row: KeptBlob, start: int) -> AsyncIterator[bytes]:
        parts = self._files.read(row.file, start)
        while data := await asyncio.to_thread(next, parts, b""):
            yield data

    def _is_damaged(self, row: KeptBlob) -> bool:
        digest = sha256()
        for data in self._files.read(row.file):
            digest.update(data)
        return digest.digest() != row.sha256

    async def _give_up(self, row: KeptBlob, item: bytes, why: str) -> None:
        """Send a report to nobody any more of which a file cannot be had, after a restore for example."""
        text = f"an attachment of {item.hex()[:12]} {why}: it cannot be sent"
        await self._core.alarms.raise_(alarms.FILES, row.file.hex()[:12], text)
        await self._core.database.write(
            partial(_give_up, item=item, why=f"an attachment {why}", now_ms=self._core.clock())
        )


def _done(connection: Connection, item: bytes, now_ms: int) -> None:
    rows = blobs.of_item(connection, item, Way.OUT)
    if all(row.state is BlobState.KEPT for row in rows):
        blobs.uploaded(connection, item, UPLOADING)
        detail = f"{len(rows)} attachments are at the relay"
        reports.add_events(connection, [Event(item, now_ms, "uploaded", detail=detail)])


def _give_up(connection: Connection, item: bytes, why: str, now_ms: int) -> None:
    waiting = [
        row.recipient
        for row in reports.addressees_of(connection, item)
        if row.state in {Reach.WAITING, Reach.AGAIN} and row.why == UPLOADING
    ]
    reports.change_addressees(connection, item, waiting, state=Reach.REFUSED, why=why)
    blobs.uploaded(connection, item, UPLOADING)
    reports.add_events(connection, [Event(item, now_ms, "refused", detail=why)])
