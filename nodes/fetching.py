"""Fetch the files of reports that came, after their envelopes are acknowledged (PROTOCOL 3).

1. the file that is next: flash first, then in the order in which they came; only of reports that stand, and while the
   disk has room. One that is more urgent interrupts another, which goes on later
2. ask the relay for what follows the bytes that are durable here; write, and say in the store how far it is durable
3. all of it is here: its hash is the one in the header, which the sender signed; else the relay is wrong, and it is
   fetched anew
4. read it through: it opens, and is the file that its originator signed for; else its sender is wrong
5. it gets its name, then the store says that it is here, then the relay is told
After a crash each step is done again from what is durable. Nothing is decrypted to the disk.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from exchange.directory.state import Status
from exchange.envelope.model import BlobKey
from exchange.errors import ExchangeError, NotFound, StorageFull, VerificationFailed
from exchange.limits import MIB
from exchange.names import PartyId
from exchange.runtime.logs import get_logger
from nodes import alarms, vault
from nodes.attached import key_of
from nodes.attaching import Attaching
from nodes.blob_files import BlobFiles
from nodes.core import Core
from nodes.relay_port import RelayBlobs
from nodes.store import blobs, reports
from nodes.store.blobs import BlobState, KeptBlob
from nodes.store.rows import Event

IDLE_S = 60.0
DURABLE_BYTES = 8 * MIB
"""What has come is made durable after so much."""

AGAIN_FIRST_MS = 2_000
AGAIN_MOST_MS = 60 * 60 * 1000
LOST_TRIES = 4
"""A file that the relay does not have is asked for so often."""


class Fetching:
    """The fetching half of one node's files. For one event loop."""

    def __init__(
        self,
        core: Core,
        relay: RelayBlobs,
        files: BlobFiles,
        attaching: Attaching,
        *,
        least_free: int,
        on_here: Callable[[], None],
    ) -> None:
        """Leave `least_free` bytes of the disk free; `on_here` is called when a file has come."""
        self._core = core
        self._relay = relay
        self._files = files
        self._attaching = attaching
        self._least_free = least_free
        self._on_here = on_here
        self._due = asyncio.Event()
        self._backoff = core.backoff()
        self.progress: dict[bytes, int] = {}
        """Bytes that are here of the file that is on its way."""
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Look for work at once."""
        self._due.set()

    async def run(self) -> None:
        """Fetch what is missing, until cancelled."""
        while True:
            self._due.clear()
            wait_s, looked_ms = IDLE_S, self._core.clock()
            try:
                await self._tell()
                while await self.one():
                    self._backoff.reset()
                    await self._tell()
                    looked_ms = self._core.clock()
            except ExchangeError as error:
                self._log.info("fetch.lost", reason=error.reason, detail=str(error))
                wait_s = next(self._backoff)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, await self._until_due(looked_ms))):
                    await self._due.wait()

    async def one(self) -> bool:
        """Bring one file a step further; say whether anything was to be done."""
        core = self._core
        if core.trust.now.status(core.me) is not Status.ADMITTED:
            return False
        # 1
        row = await core.database.read(partial(blobs.to_fetch, now_ms=core.clock()))
        if row is None:
            return False
        key = await self._key(row)
        if key is None:
            return False  # it is being destroyed
        free = await asyncio.to_thread(self._files.free)
        if free - (row.size - row.done) < self._least_free:
            await self._later(row, "the disk has no room for it", AGAIN_FIRST_MS * 30)
            return True
        try:
            await self._fetch(row, key)
        except StorageFull:
            await self._later(row, "the disk has no room for it", AGAIN_FIRST_MS * 30)
        except NotFound:
            await self._not_there(row)
        finally:
            self.progress.pop(row.file, None)
        return True

    # -- one file ------------------------------------------------------------------------------------------------------

    async def _fetch(self, row: KeptBlob, key: BlobKey) -> None:
        # 2
        digest, done = await asyncio.to_thread(self._begun, row)
        row = replace(row, done=done)
        writing = _Incoming(self._files, row, digest)
        try:
            row = await self._stream(row, writing)
        except _Interrupted:
            return
        finally:
            # Also when it was cut: the next attempt goes on behind all that came.
            await asyncio.to_thread(writing.end)
            row = await self._durable(row, writing)
        if writing.come > row.size:
            await self._wrong(row, "the relay sends more of an attachment than its sender signed for")
            return
        if row.done < row.size:
            await self._later(row, "the relay ended early")
            return
        # 3
        if writing.digest != row.sha256:
            await self._wrong(row, "the relay sends another attachment than its sender signed for")
            return
        # 4
        try:
            await asyncio.to_thread(partial(self._attaching.check, row, key, part=True))
        except VerificationFailed as error:
            await self._broken(row, str(error))
            return
        # 5
        await asyncio.to_thread(self._files.finish, row.file)
        await self._core.database.write(partial(_here, row=row, now_ms=self._core.clock()))
        await self._core.alarms.close(alarms.RELAY, _subject(row))
        self._on_here()

    async def _stream(self, row: KeptBlob, writing: "_Incoming") -> KeptBlob:
        """Take what the relay sends, and no more than one message too much."""
        async with aclosing(self._relay.fetch(PartyId(row.sender), row.blob_id, row.done)) as parts:  # type: ignore[type-var]
            async for data in parts:
                if await asyncio.to_thread(writing.add, data):
                    row = await self._durable(row, writing)
                    if await self._interrupted(row):
                        raise _Interrupted
                self.progress[row.file] = min(writing.come, row.size)
                if writing.come > row.size:
                    break
        return row

    def _begun(self, row: KeptBlob) -> tuple["hashlib._Hash", int]:
        """Return the hash of what is durable here, and how much that is."""
        done = min(row.done, self._files.size_of_part(row.file))
        digest = hashlib.sha256()
        if done:
            for data in self._files.read(row.file, 0, done, part=True):
                digest.update(data)
        return digest, done

    async def _durable(self, row: KeptBlob, writing: "_Incoming") -> KeptBlob:
        if writing.written == row.done:
            return row
        await self._change(row, done=writing.written, why="", tries=0)
        return replace(row, done=writing.written, tries=0)

    async def _interrupted(self, row: KeptBlob) -> bool:
        """Whether something else comes first by now: a more urgent file, or this one is not wanted any more."""
        following = await self._core.database.read(partial(blobs.to_fetch, now_ms=self._core.clock()))
        return following is None or (following.file != row.file and following.lane < row.lane)

    async def _key(self, row: KeptBlob) -> BlobKey | None:
        core = self._core
        keys, report = (
            await core.keybox.keys([row.item]),
            await core.database.read(partial(reports.report_of, item=row.item)),
        )
        if report is None or row.item not in keys or not report.record or not row.sealed_key:
            return None
        opened = vault.open_report(keys[row.item], row.item, report.record)
        return key_of(row, opened.statement.attachments[row.place], keys[row.item])

    # -- how it can end ------------------------------------------------------------------------------------------------

    async def _wrong(self, row: KeptBlob, text: str) -> None:
        """What the relay sent does not hold: drop it, say so, and ask again later."""
        await self._core.alarms.raise_(alarms.RELAY, _subject(row), f"{text} ({row.item.hex()[:12]})")
        await asyncio.to_thread(self._files.remove, row.file)
        await self._later(replace(row, done=0), text)

    async def _broken(self, row: KeptBlob, detail: str) -> None:
        """What the sender uploaded, and signed for, is not what the originator signed for."""
        text = f"an attachment from {row.sender} is not what was signed for: {detail}"
        await self._core.alarms.raise_(alarms.SENDER, f"{row.sender}/attachment", f"{text} ({row.item.hex()[:12]})")
        await self._change(row, state=BlobState.BROKEN, why=detail, done=0)
        await asyncio.to_thread(self._files.remove, row.file)

    async def _not_there(self, row: KeptBlob) -> None:
        if self._core.trust.now.status(self._core.me) is not Status.ADMITTED or row.tries < LOST_TRIES:
            await self._later(row, "the relay does not have it")
            return
        text = f"the relay does not have an attachment of {row.item.hex()[:12]} from {row.sender}"
        await self._core.alarms.raise_(alarms.FILES, _subject(row), text)
        await self._change(row, state=BlobState.LOST, why="the relay has it no more")

    async def _later(self, row: KeptBlob, why: str, wait_ms: int = 0) -> None:
        wait_ms = wait_ms or min(AGAIN_FIRST_MS << min(row.tries, 12), AGAIN_MOST_MS)
        due_ms = self._core.clock() + wait_ms
        await self._change(row, done=row.done, why=why, tries=row.tries + 1, due_ms=due_ms)

    async def _change(self, row: KeptBlob, **values: Any) -> None:
        """Set columns while it is still waited for. Any: columns differ."""
        await self._core.database.write(partial(blobs.change, file=row.file, was=BlobState.WAITING, **values))

    async def _tell(self) -> None:
        """Tell the relay of what is here, and of what is not wanted any more."""
        for row in await self._core.database.read(blobs.to_release):
            await self._relay.acknowledge(PartyId(row.sender), row.blob_id)
            await self._core.database.write(partial(blobs.released, row=row))

    async def _until_due(self, looked_ms: int) -> float:
        """Return for how long nothing more becomes due than when it was last looked."""
        due_ms = await self._core.database.read(partial(blobs.next_due_ms, after_ms=looked_ms))
        return IDLE_S if due_ms is None else max(0.05, (due_ms - self._core.clock()) / 1000)


class _Interrupted(Exception):
    """Something else comes first."""


class _Incoming:
    """Hashes and writes what comes. For one thread at a time."""

    def __init__(self, files: BlobFiles, row: KeptBlob, digest: "hashlib._Hash") -> None:
        self._files = files
        self._file = row.file
        self._digest = digest
        self._pending = bytearray()
        self._flushed = row.done
        self.written = row.done
        """Bytes that are durable."""
        self.come = row.done

    @property
    def digest(self) -> bytes:
        """Hash of all that came."""
        return self._digest.digest()

    def add(self, data: bytes) -> bool:
        """Take what follows; say whether more has become durable."""
        self._digest.update(data)
        self._pending += data
        self.come += len(data)
        if len(self._pending) >= MIB:
            self._write()
        if self._flushed - self.written < DURABLE_BYTES:
            return False
        self._files.flush(self._file)
        self.written = self._flushed
        return True

    def end(self) -> None:
        """Make all of it durable."""
        self._write()
        self._files.flush(self._file)
        self.written = self._flushed

    def _write(self) -> None:
        self._files.write(self._file, self._flushed, bytes(self._pending))
        self._flushed += len(self._pending)
        self._pending.clear()


def _subject(row: KeptBlob) -> str:
    """Return what an alarm about a file is about."""
    return f"attachment {row.file.hex()[:12]}"


def _here(connection: Connection, row: KeptBlob, now_ms: int) -> None:
    if blobs.change(connection, row.file, BlobState.WAITING, state=BlobState.HERE, done=row.size, why=""):
        detail = f"number {row.place + 1}, {row.size:,} bytes"
        reports.add_events(connection, [Event(row.item, now_ms, "attachment", row.sender, detail)])
