"""Take in files for a report that is going to be pushed, and look after what lies on this disk.

Nothing is sent here. A file is sealed as it comes, under a key that is in memory alone until the report's push makes it
durable together with the report (nodes/outbox.py); what is not pushed is gone with its key after an hour, or when the
node stops. What lies on the disk and belongs to nothing that the store knows is removed: so a purge, which destroys the
keys and then says so in the store, needs nothing more, and a crash anywhere leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.random import random_bytes
from exchange.envelope.attachments import check_size, file_name, media_type
from exchange.envelope.blob import KEY_BYTES, BlobSealing, blob_size, new_blob_id, open_blob
from exchange.envelope.model import Attachment, BlobKey
from exchange.errors import BadInput, NotFound, RateLimited, StorageFull
from exchange.limits import ATTACHMENTS
from exchange.names import ID_BYTES
from exchange.runtime.logs import get_logger
from nodes import vault
from nodes.attached import Attached, kept_outgoing, key_of
from nodes.blob_files import BlobFiles
from nodes.core import Core
from nodes.store import blobs, reports
from nodes.store.blobs import BlobState, KeptBlob, Way
from nodes.taking import Taking, Writing

STAGED_MS = 60 * 60 * 1000
"""A file that no push has taken goes after this."""

STAGED_MOST = 4 * ATTACHMENTS
"""Files that wait for a push or are on their way: so many of people, and so many of sensors."""


@dataclass(frozen=True, slots=True)
class _Staged:
    attached: Attached
    at_ms: int
    owner: str


class Attaching:
    """Files of reports on this node's disk. For one event loop."""

    def __init__(self, core: Core, files: BlobFiles, *, least_free: int) -> None:
        """Keep sealed files in `files`, and leave so many bytes of its disk free."""
        self._least_free = least_free
        self._core = core
        self._files = files
        self._staged: dict[bytes, _Staged] = {}
        self._taking: dict[bytes, Taking] = {}
        self._busy: set[bytes] = set()
        self.log = get_logger(__name__)

    # -- for a push ----------------------------------------------------------------------------------------------------

    async def take(self, name: str, kind: str, size: int, parts: AsyncIterator[bytes]) -> Attached:
        """Return a file of this name and declared size once it lies here, sealed; kept for a push within the hour.

        Raises:
            MalformedInput, TooLarge: name, type or size are not acceptable, or more or less came than `size`.
            RateLimited: too many wait for a push already.
            StorageFull: there is no room for it.
        """
        taking = self.begin(Attachment(name, kind, size, b""))
        try:
            at = 0
            async for part in parts:
                at = await asyncio.to_thread(taking.add, at, part, self._core.clock())
            return await self.end(taking)
        except BaseException:
            await asyncio.to_thread(self.drop, taking)
            raise

    def begin(self, announced: Attachment, *, owner: str = "") -> Taking:
        """Begin to take a file in; only `owner`, a sensor, may push it. It goes when nothing of it comes for an hour.

        Raises:
            MalformedInput, TooLarge: name, type or size are not acceptable.
            RateLimited: too many wait for a push already.
            StorageFull: there is no room for it, with what else is on its way.
        """
        file_name(announced.name)
        media_type(announced.media_type)
        check_size(announced.size)
        owners = [*(each.owner for each in self._taking.values()), *(each.owner for each in self._staged.values())]
        if sum(bool(each) == bool(owner) for each in owners) >= STAGED_MOST:
            raise RateLimited("too many files wait for a push", hint="push them, or wait an hour")
        coming = sum(each.to_write for each in self._taking.values())
        if self._files.free() - coming - blob_size(announced.size) < self._least_free:
            raise StorageFull(f"the disk has no room for {announced.name!r}", hint="make room; nothing was sent")
        taking = Taking(self._files, announced, owner=owner, now_ms=self._core.clock())
        self._taking[taking.file] = taking
        return taking

    async def end(self, taking: Taking) -> Attached:
        """Return a file once it lies here, sealed, and keep it for a push within the hour; raises as Taking.end."""
        # To its end, also when whoever asked has left: what was ended once cannot be ended by who asks next.
        return await asyncio.shield(asyncio.ensure_future(self._end(taking)))

    async def _end(self, taking: Taking) -> Attached:
        made = await asyncio.to_thread(taking.end)
        if self._taking.pop(taking.file, None) is not None:
            self._staged[taking.file] = _Staged(made, self._core.clock(), taking.owner)
        return made

    def drop(self, taking: Taking) -> None:
        """Take no more of a file, and remove what lies here of it."""
        self._taking.pop(taking.file, None)
        self._staged.pop(taking.file, None)
        taking.close()
        self._files.remove(taking.file)

    def under_way(self, owner: str) -> list[Taking]:
        """Return the files of a sensor that are on their way in."""
        return [each for each in self._taking.values() if each.owner == owner]

    def waiting(self, owner: str) -> list[Attached]:
        """Return the files of a sensor that wait for a push."""
        return [each.attached for each in self._staged.values() if each.owner == owner]

    def staged(self, ids: Sequence[str]) -> tuple[Attached, ...]:
        """Return a person's files that wait for a push, by the ids that they were given.

        Raises:
            NotFound: one is not here any more.
        """
        found = []
        for each in ids:
            kept = self._staged.get(_file(each))
            if kept is None or kept.owner:
                raise NotFound(f"no file {each[:40]} waits here", hint="attach it again: it is kept for an hour")
            found.append(kept.attached)
        return tuple(found)

    def pushed(self, attached: Sequence[Attached]) -> None:
        """Let go of files that a push has taken, or that repeated an earlier push."""
        for each in attached:
            self._staged.pop(each.file, None)

    # -- for passing on ------------------------------------------------------------------------------------------------

    async def copy(self, item: bytes, rows: Sequence[KeptBlob]) -> None:
        """Seal the files of a received report anew, for passing it on; `rows` are those that came, all of them here.

        Raises:
            VerificationFailed: one is damaged on this disk.
        """
        core = self._core
        keys, report = await core.keybox.keys([item]), await core.database.read(partial(reports.report_of, item=item))
        if report is None or item not in keys or not report.record:
            return
        attachments = vault.open_report(keys[item], item, report.record).statement.attachments
        new, made = [random_bytes(ID_BYTES) for _ in rows], []
        self._busy.update(new)
        try:
            for file, row in zip(new, rows, strict=True):
                attachment = attachments[row.place]
                key = key_of(row, attachment, keys[item])
                made.append(await asyncio.to_thread(self._copy, file, key, attachment, row))
            kept = kept_outgoing(made, item, keys[item], me=core.me, lane=report.lane, now_ms=core.clock())
            await core.database.write(partial(_add_copies, item=item, kept=kept))
        finally:
            self._busy.difference_update(new)

    def _copy(self, file: bytes, key: BlobKey, attachment: Attachment, row: KeptBlob) -> Attached:
        blob_id, new_key = new_blob_id(), random_bytes(KEY_BYTES)
        sealing, writing = BlobSealing(blob_id, new_key), Writing(self._files, file)
        writing.add(sealing.start)
        for part in open_blob(key, self._files.read(row.file)):
            writing.add(sealing.add(part))
        for sealed in sealing.end():
            writing.add(sealed)
        writing.finish(blob_size(sealing.size))
        return Attached(attachment, sealing.ref, file, new_key)

    # -- what lies here ------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """At the start: fetch anew what the store says is here and is not, after a restore for example."""
        for row in (await self._core.database.read(blobs.files)).values():
            if row.way is Way.IN and row.state is not BlobState.WAITING and not self._files.is_whole(row.file):
                self.log.warning("attachment.not-here", file=row.file.hex())
                again = partial(blobs.change, file=row.file, was=row.state, state=BlobState.WAITING, done=0)
                await self._core.database.write(again)
        await self.tidy()

    async def tidy(self) -> int:
        """Remove what belongs to nothing; return how many files went. Repeating it changes nothing."""
        late_ms = self._core.clock() - STAGED_MS
        for file, each in list(self._staged.items()):
            if each.at_ms < late_ms:
                del self._staged[file]
        for taking in list(self._taking.values()):
            if taking.moved_ms < late_ms:
                await asyncio.to_thread(self.drop, taking)
        lying = await asyncio.to_thread(self._files.names)
        if not lying:
            return 0
        # Read after the listing: what came in between is not among what lies here.
        known = set(await self._core.database.read(blobs.files)) | set(self._staged) | set(self._taking) | self._busy
        stray = lying - known
        for file in stray:
            await asyncio.to_thread(self._files.remove, file)
        if stray:
            self.log.info("attachments.removed", count=len(stray))
        return len(stray)

    def check(self, row: KeptBlob, key: BlobKey, *, part: bool) -> None:
        """Read a file that lies here through; only when this returns it is all that its originator signed for.

        Raises:
            VerificationFailed: it is not.
        """
        for _ in open_blob(key, self._files.read(row.file, 0, row.size, part=part)):
            pass


def _add_copies(connection: Connection, item: bytes, kept: Sequence[KeptBlob]) -> None:
    report = reports.report_of(connection, item)
    if report is not None and report.state in blobs.STANDING and not blobs.of_item(connection, item, Way.OUT):
        blobs.add(connection, kept)


def _file(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadInput(f"{text[:40]!r} is no attached file") from error
