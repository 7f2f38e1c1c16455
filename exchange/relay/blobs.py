"""Attachments at the relay: take blobs in, hand them out, let them go. docs/decisions/0023-blobs-in-the-database.md.

A blob belongs to the partner that uploaded it, and has a name only together with that partner. What `held` says is
durable, so that both sides go on there after a cut. Once all of it is here its hash is checked, and only then an
envelope may name it; whoever an envelope that names it is for may read it until it acknowledges, or the envelope's time
is over. Nobody else learns that it is here.
No more than one part of a blob is in memory for each call, whatever the size of the blob.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from exchange.directory.state import Status
from exchange.envelope.blob import BLOB_BYTES, blob_size
from exchange.envelope.model import BlobRef
from exchange.errors import Conflict, MalformedInput, NotFound, RateLimited, TooLarge, Unavailable, VerificationFailed
from exchange.limits import BLOB_FRAME_BYTES, MIB
from exchange.names import HASH_BYTES, ID_BYTES, PartyId
from exchange.runtime.database import Database

PART_BYTES = MIB
"""An upload is made durable each time that so much of it has come."""

BLOB_LEAST = blob_size(0)


class BlobState(IntEnum):
    """How a blob stands."""

    OPEN = 1
    """Not all of it is here."""
    COMPLETE = 2
    GOING = 3
    """It is being deleted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob as it is stored."""

    sha256: bytes
    size: int
    held: int
    state: BlobState


@dataclass(frozen=True, slots=True)
class Used:
    """What one partner has here: bytes of its blobs, those announced included, and how many are not complete."""

    size: int
    open: int


class BlobStore(Protocol):
    """Blobs as stored, within one open transaction. A blob is named by who uploaded it and its id."""

    def kept(self, sender: PartyId, blob_id: bytes) -> Kept | None:
        """Return a blob as it is."""

    def used(self, sender: PartyId) -> Used:
        """Return what a partner has here."""

    def begin(self, sender: PartyId, ref: BlobRef, now_ms: int) -> None:
        """Note a blob of which nothing is here yet; there must be none under this name."""

    def append(self, sender: PartyId, blob_id: bytes, at: int, data: bytes, now_ms: int) -> None:
        """Store what follows the first `at` bytes of an open blob, and note that so much more is held."""

    def complete(self, sender: PartyId, blob_id: bytes) -> None:
        """Note that all of an open blob is here and has the hash that was announced."""

    def go(self, sender: PartyId, blob_id: bytes) -> None:
        """Let a blob be deleted; from now on it is as good as absent."""

    def part(self, sender: PartyId, blob_id: bytes, at: int) -> bytes:
        """Return stored bytes from an offset on, as many as were stored together; nothing beyond what is held."""

    def are_complete(self, sender: PartyId, refs: Sequence[BlobRef]) -> bool:
        """Say whether all of these are here, with these hashes and sizes."""

    def claim(self, sender: PartyId, refs: Sequence[BlobRef], recipients: Sequence[PartyId], expires_ms: int) -> None:
        """Note that an envelope for these recipients names these blobs, until its time is over."""

    def readable(self, sender: PartyId, blob_id: bytes, reader: PartyId) -> bool:
        """Say whether a blob is complete and this partner uploaded it, or an envelope for it names it."""

    def release(self, sender: PartyId, blob_id: bytes, reader: PartyId) -> None:
        """Note that a recipient needs a blob no more. A repeat changes nothing."""

    def release_all(self, reader: PartyId) -> int:
        """Note that a partner needs no blob any more; return how many it would have read."""

    def overdue(self, now_ms: int, orphans_before_ms: int, limit: int) -> Sequence[tuple[PartyId, bytes]]:
        """Return blobs that go: all recipients have them, their time is over, or no envelope named them in time."""

    def going(self) -> bool:
        """Say whether anything is left of a blob that goes."""

    def delete(self, limit: int) -> None:
        """Delete at most `limit` parts of a blob that goes, and with the last one the blob."""


Store = Callable[[Connection], BlobStore]


class Blobs:
    """Attachments of one relay. For one event loop."""

    def __init__(
        self, database: Database, store: Store, clock: Callable[[], int], *, most_bytes: int, most_open: int
    ) -> None:
        """One partner may have `most_bytes` here, and so many uploads unfinished."""
        self._database = database
        self._store = store
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_open = most_open

    async def open(self, sender: PartyId, ref: BlobRef) -> "Incoming":
        """Return an upload at the place where it goes on; one that is complete needs nothing more.

        Raises:
            MalformedInput, TooLarge: no envelope could name such a blob.
            Conflict: another one of the same partner has this id.
            RateLimited: the partner has too much here.
            Unavailable: it is being deleted.
        """
        _check(ref)
        kept = await self._database.write(partial(self._begin, sender=sender, ref=ref))
        incoming = Incoming(self._database, self._store, self._clock, sender=sender, ref=ref, held=kept.held)
        incoming.complete = kept.state is BlobState.COMPLETE
        if not incoming.complete:
            await incoming.catch_up(self.stored(sender, ref.blob_id, 0, kept.held))
        return incoming

    async def read(
        self, reader: PartyId, status: Status, sender: PartyId, blob_id: bytes, start: int
    ) -> AsyncIterator[bytes]:
        """Yield a blob from an offset on.

        Raises:
            NotFound: there is no such blob for this reader; why not, nobody is told.
        """
        at = start
        while True:
            part = await self._database.read(
                partial(self._part, reader=reader, status=status, sender=sender, blob_id=blob_id, at=at)
            )
            if not part:
                return
            at += len(part)
            for place in range(0, len(part), BLOB_FRAME_BYTES):
                yield part[place : place + BLOB_FRAME_BYTES]

    async def stored(self, sender: PartyId, blob_id: bytes, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield what is stored between two offsets."""
        at = start
        while at < end:
            part = await self._database.read(lambda c, at=at: self._store(c).part(sender, blob_id, at))  # type: ignore[misc]
            if not part:
                raise Unavailable("a part of the blob is gone")
            yield part[: end - at]
            at += len(part)

    async def release(self, reader: PartyId, sender: PartyId, blob_id: bytes) -> None:
        """Note that a recipient holds a blob durably, or wants it no more."""
        await self._database.write(lambda c: self._store(c).release(sender, blob_id, reader))

    # What follows runs in threads of the database.

    def _begin(self, connection: Connection, sender: PartyId, ref: BlobRef) -> Kept:
        store = self._store(connection)
        kept = store.kept(sender, ref.blob_id)
        if kept is not None:
            if (kept.sha256, kept.size) != (ref.sha256, ref.size):
                raise Conflict("another blob has this id")
            if kept.state is BlobState.GOING:
                raise Unavailable("the blob is being deleted", hint="try again in a minute")
            return kept
        used = store.used(sender)
        if used.size + ref.size > self._most_bytes or used.open >= self._most_open:
            raise RateLimited(
                f"{sender} has {used.size} bytes of attachments here, {used.open} of them incomplete",
                hint="it goes on when recipients have fetched what waits",
            )
        store.begin(sender, ref, self._clock())
        return Kept(ref.sha256, ref.size, 0, BlobState.OPEN)

    def _part(
        self, connection: Connection, *, reader: PartyId, status: Status, sender: PartyId, blob_id: bytes, at: int
    ) -> bytes:
        store = self._store(connection)
        # A suspended party gets no reports, and so none of their files.
        if status is not Status.ADMITTED or not store.readable(sender, blob_id, reader):
            raise NotFound("no such blob for this reader")
        return store.part(sender, blob_id, at)


class Incoming:
    """One upload. For one task."""

    def __init__(
        self, database: Database, store: Store, clock: Callable[[], int], *, sender: PartyId, ref: BlobRef, held: int
    ) -> None:
        """Go on behind the first `held` bytes, once `catch_up` has seen these."""
        self._database = database
        self._store = store
        self._clock = clock
        self._sender = sender
        self._ref = ref
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._come = held
        self.held = held
        """Bytes that are durable."""
        self.complete = False
        """All of it is here and has the hash that was announced."""

    async def catch_up(self, stored: AsyncIterator[bytes]) -> None:
        """Hash what came before this call."""
        async for part in stored:
            self._hash.update(part)
        if self.held == self._ref.size:
            await self._finish()

    async def add(self, data: bytes) -> bool:
        """Take what follows; say whether `held` has grown.

        Raises:
            MalformedInput: nothing, too much at once, or more than was announced.
            VerificationFailed: all of it came and is not what was announced; the upload is dropped.
            Conflict: another call has gone on with this upload.
        """
        if not 1 <= len(data) <= BLOB_FRAME_BYTES or self._come + len(data) > self._ref.size:
            raise MalformedInput("no part of the blob that was announced has this size")
        self._hash.update(data)
        self._pending.append(data)
        self._come += len(data)
        if self._come - self.held < PART_BYTES and self._come < self._ref.size:
            return False
        await self.store()
        if self.held == self._ref.size:
            await self._finish()
        return True

    async def store(self) -> None:
        """Make durable what has come."""
        data, self._pending = b"".join(self._pending), []
        if data:
            await self._database.write(partial(self._append, data=data))
            self.held += len(data)

    async def _finish(self) -> None:
        if self._hash.digest() != self._ref.sha256:
            await self._database.write(lambda c: self._store(c).go(self._sender, self._ref.blob_id))
            raise VerificationFailed("the blob has another hash than was announced")
        await self._database.write(self._complete)
        self.complete = True

    def _append(self, connection: Connection, data: bytes) -> None:
        self._standing(connection).append(self._sender, self._ref.blob_id, self.held, data, self._clock())

    def _complete(self, connection: Connection) -> None:
        self._standing(connection).complete(self._sender, self._ref.blob_id)

    def _standing(self, connection: Connection) -> BlobStore:
        store = self._store(connection)
        kept = store.kept(self._sender, self._ref.blob_id)
        if kept is None or kept.state is not BlobState.OPEN or kept.held != self.held:
            raise Conflict("another call has gone on with this upload", hint="ask how much is held")
        return store


def _check(ref: BlobRef) -> None:
    if len(ref.blob_id) != ID_BYTES or len(ref.sha256) != HASH_BYTES:
        raise MalformedInput(f"a blob has an id of {ID_BYTES} bytes and a hash of {HASH_BYTES}")
    if ref.size < BLOB_LEAST:
        raise MalformedInput(f"a blob has at least {BLOB_LEAST} bytes")
    if ref.size > BLOB_BYTES:
        raise TooLarge(f"a blob has at most {BLOB_BYTES} bytes")
