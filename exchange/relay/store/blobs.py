"""BlobStore on SQL: a row for each blob, its bytes in parts of about a MiB, and who may still read it."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, or_, select, update

from exchange.envelope.model import BlobRef
from exchange.names import PartyId
from exchange.relay.blobs import BlobState, Kept, Used
from exchange.relay.store import tables
from exchange.runtime.upsert import insert_or_keep

_blob = tables.blob.c
_part = tables.blob_part.c
_reader = tables.blob_reader.c


_GOING = select(_blob.sender, _blob.blob_id).where(_blob.state == BlobState.GOING).limit(1)


class SqlBlobs:
    """Blobs within one open transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on `connection`; its transaction is the caller's."""
        self._connection = connection

    def kept(self, sender: PartyId, blob_id: bytes) -> Kept | None:
        """Return a blob as it is."""
        wanted = select(_blob.sha256, _blob.size, _blob.held, _blob.state).where(_is(sender, blob_id))
        row = self._connection.execute(wanted).one_or_none()
        return None if row is None else Kept(row.sha256, row.size, row.held, BlobState(row.state))

    def used(self, sender: PartyId) -> Used:
        """Return what a partner has here."""
        size = func.coalesce(func.sum(_blob.size), 0)
        mine = select(size, func.count()).where(_blob.sender == sender)
        total, _ = self._connection.execute(mine).one()
        _, open_ = self._connection.execute(mine.where(_blob.state == BlobState.OPEN)).one()
        return Used(int(total), int(open_))

    def begin(self, sender: PartyId, ref: BlobRef, now_ms: int) -> None:
        """Note a blob of which nothing is here yet."""
        row = {
            "sender": sender,
            "blob_id": ref.blob_id,
            "sha256": ref.sha256,
            "size": ref.size,
            "held": 0,
            "state": int(BlobState.OPEN),
            "touched_ms": now_ms,
            "expires_ms": 0,
        }
        self._connection.execute(insert(tables.blob), [row])

    def append(self, sender: PartyId, blob_id: bytes, at: int, data: bytes, now_ms: int) -> None:
        """Store what follows the first `at` bytes."""
        row = {"sender": sender, "blob_id": blob_id, "start": at, "data": data}
        self._connection.execute(insert(tables.blob_part), [row])
        grown = update(tables.blob).where(_is(sender, blob_id))
        self._connection.execute(grown.values(held=at + len(data), touched_ms=now_ms))

    def complete(self, sender: PartyId, blob_id: bytes) -> None:
        """Note that all of it is here."""
        self._set(sender, blob_id, BlobState.COMPLETE)

    def go(self, sender: PartyId, blob_id: bytes) -> None:
        """Let a blob be deleted."""
        self._set(sender, blob_id, BlobState.GOING)

    def part(self, sender: PartyId, blob_id: bytes, at: int) -> bytes:
        """Return stored bytes from an offset on, as many as were stored together."""
        wanted = select(_part.start, _part.data).where(
            _part.sender == sender, _part.blob_id == blob_id, _part.start <= at
        )
        row = self._connection.execute(wanted.order_by(_part.start.desc()).limit(1)).one_or_none()
        return b"" if row is None else bytes(row.data[at - row.start :])

    def are_complete(self, sender: PartyId, refs: Sequence[BlobRef]) -> bool:
        """Say whether all of these are here, with these hashes and sizes."""
        kept = [self.kept(sender, ref.blob_id) for ref in refs]
        return all(
            found is not None
            and found.state is BlobState.COMPLETE
            and (found.sha256, found.size) == (ref.sha256, ref.size)
            for found, ref in zip(kept, refs, strict=True)
        )

    def claim(self, sender: PartyId, refs: Sequence[BlobRef], recipients: Sequence[PartyId], expires_ms: int) -> None:
        """Note that an envelope for these recipients names these blobs."""
        ids = [ref.blob_id for ref in refs]
        longer = update(tables.blob).where(_blob.sender == sender, _blob.blob_id.in_(ids))
        self._connection.execute(longer.where(_blob.expires_ms < expires_ms).values(expires_ms=expires_ms))
        rows = [{"sender": sender, "blob_id": each, "reader": party} for each in ids for party in recipients]
        insert_or_keep(self._connection, tables.blob_reader, rows)

    def readable(self, sender: PartyId, blob_id: bytes, reader: PartyId) -> bool:
        """Say whether a blob is complete and for this reader."""
        mine = exists().where(_reader.sender == sender, _reader.blob_id == blob_id, _reader.reader == reader)
        wanted = select(_blob.size).where(_is(sender, blob_id), _blob.state == BlobState.COMPLETE)
        if reader != sender:
            wanted = wanted.where(mine)
        return self._connection.execute(wanted).first() is not None

    def release(self, sender: PartyId, blob_id: bytes, reader: PartyId) -> None:
        """Note that a recipient needs a blob no more."""
        mine = (_reader.sender == sender, _reader.blob_id == blob_id, _reader.reader == reader)
        self._connection.execute(delete(tables.blob_reader).where(*mine))

    def release_all(self, reader: PartyId) -> int:
        """Note that a partner needs no blob any more."""
        return self._connection.execute(delete(tables.blob_reader).where(_reader.reader == reader)).rowcount

    def overdue(self, now_ms: int, orphans_before_ms: int, limit: int) -> Sequence[tuple[PartyId, bytes]]:
        """Return blobs that go."""
        read = exists().where(_reader.sender == _blob.sender, _reader.blob_id == _blob.blob_id)
        named = (_blob.expires_ms > 0) & ((_blob.expires_ms <= now_ms) | ~read)
        orphan = (_blob.expires_ms == 0) & (_blob.touched_ms < orphans_before_ms)
        wanted = select(_blob.sender, _blob.blob_id).where(_blob.state != BlobState.GOING, or_(named, orphan))
        return [(PartyId(row.sender), row.blob_id) for row in self._connection.execute(wanted.limit(limit))]

    def going(self) -> bool:
        """Say whether anything is left of a blob that goes."""
        return self._connection.execute(_GOING).first() is not None

    def delete(self, limit: int) -> None:
        """Delete at most `limit` parts of a blob that goes, and with the last one the blob."""
        row = self._connection.execute(_GOING).one_or_none()
        if row is None:
            return
        mine = (_part.sender == row.sender, _part.blob_id == row.blob_id)
        starts = select(_part.start).where(*mine).order_by(_part.start).limit(limit)
        gone = list(self._connection.execute(starts).scalars())
        self._connection.execute(delete(tables.blob_part).where(*mine, _part.start.in_(gone)))
        if len(gone) < limit:
            of_it = (_reader.sender == row.sender, _reader.blob_id == row.blob_id)
            self._connection.execute(delete(tables.blob_reader).where(*of_it))
            self._connection.execute(delete(tables.blob).where(_is(row.sender, row.blob_id)))

    def _set(self, sender: PartyId, blob_id: bytes, state: BlobState) -> None:
        self._connection.execute(update(tables.blob).where(_is(sender, blob_id)).values(state=int(state)))


def _is(sender: PartyId, blob_id: bytes) -> ColumnElement[bool]:
    return (_blob.sender == sender) & (_blob.blob_id == blob_id)
