"""Sealed files of reports, on an open transaction: what is here, what is to be fetched, what is to be uploaded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from exchange.runtime.upsert import insert_or_keep
from nodes.store import tables
from nodes.store.rows import ItemState, Reach
from nodes.store.rule_tables import blob, blob_wanted

_blob = blob.c

STANDING = (ItemState.CURRENT, ItemState.REPLACED)
"""States of reports whose files move."""


class Way(StrEnum):
    """Where a sealed file comes from."""

    OUT = "out"
    """Made here, for the relay."""
    IN = "in"
    """From the relay."""


class BlobState(StrEnum):
    """How a sealed file stands."""

    WAITING = "waiting"
    """In: not all of it is here."""
    HERE = "here"
    """All of it is here, and was found to be what its originator signed for."""
    KEPT = "kept"
    """In, and the relay knows that it is here; out, and the relay has it."""
    BROKEN = "broken"
    """In: what its sender uploaded is not what the originator signed for."""
    LOST = "lost"
    """The relay has it no more."""
    GONE = "gone"
    """In: it is not wanted any more, and the relay is not told yet."""


@dataclass(frozen=True, slots=True)
class KeptBlob:
    """One sealed file."""

    file: bytes
    item: bytes
    place: int
    way: Way
    sender: str
    """Who uploads it to the relay."""
    blob_id: bytes
    sha256: bytes
    size: int
    state: BlobState
    lane: int
    added_ms: int
    sealed_key: bytes = field(repr=False)
    done: int = 0
    """In: bytes that are durable here."""
    why: str = ""
    tries: int = 0
    due_ms: int = 0
    """Not tried earlier."""


def add(connection: Connection, rows: Sequence[KeptBlob]) -> None:
    """Store new files."""
    if rows:
        connection.execute(insert(blob), [asdict(row) for row in rows])


def of_item(connection: Connection, item: bytes, way: Way | None = None) -> list[KeptBlob]:
    """Return an item's files in the order of its attachments, without those that are gone; of one way only if given."""
    wanted = select(blob).where(_blob.item == item, _blob.state != BlobState.GONE).order_by(_blob.place, _blob.way)
    if way is not None:
        wanted = wanted.where(_blob.way == way)
    return [_to_blob(row) for row in connection.execute(wanted)]


def of_file(connection: Connection, file: bytes) -> KeptBlob | None:
    """Return one file."""
    found = connection.execute(select(blob).where(_blob.file == file)).one_or_none()
    return None if found is None else _to_blob(found)


def files(connection: Connection) -> dict[bytes, KeptBlob]:
    """Return every file that belongs on the disk, wholly or in part."""
    wanted = select(blob).where(_blob.state.not_in([BlobState.GONE, BlobState.LOST, BlobState.BROKEN]))
    return {row.file: _to_blob(row) for row in connection.execute(wanted)}


def change(connection: Connection, file: bytes, was: BlobState, **values: Any) -> bool:
    """Set columns of one file if it still stands so; say whether it did. Any because columns differ."""
    rows = update(blob).where(_blob.file == file, _blob.state == was)
    return connection.execute(rows.values(**values)).rowcount > 0


def forget(connection: Connection, item: bytes) -> None:
    """Let go of an item's files: their keys are destroyed, and the relay is told of those that it holds for us."""
    mine = _blob.item == item
    there = mine & (_blob.way == Way.IN) & _blob.state.in_([BlobState.WAITING, BlobState.HERE, BlobState.BROKEN])
    connection.execute(update(blob).where(there).values(state=BlobState.GONE, sealed_key=b"", done=0))
    connection.execute(delete(blob).where(mine, _blob.state != BlobState.GONE))
    connection.execute(delete(blob_wanted).where(blob_wanted.c.item == item))


# -- receiving ---------------------------------------------------------------------------------------------------------


def arrived(connection: Connection, rows: Sequence[KeptBlob]) -> bool:
    """Note the files of an envelope that came; say whether something is to be fetched.

    What came once more in another envelope is fetched from there when it is not here yet.
    """
    fetch = False
    for row in rows:
        known = {each.place: each for each in of_item(connection, row.item, Way.IN)}.get(row.place)
        if known is None or (known.state not in {BlobState.HERE, BlobState.KEPT} and known.file != row.file):
            if known is not None:
                change(connection, known.file, known.state, state=BlobState.GONE, done=0)
            connection.execute(delete(blob).where(_blob.file == row.file))
            add(connection, [row])
            fetch = True
        elif known.file == row.file:
            again = (BlobState.LOST, BlobState.BROKEN)
            values = {"state": BlobState.WAITING, "done": 0, "tries": 0, "due_ms": 0, "why": ""}
            fetch |= any(change(connection, row.file, was, **values) for was in again)
            # The relay holds it for us once more: it is told once more.
            fetch |= change(connection, row.file, BlobState.KEPT, state=BlobState.HERE)
        else:
            not_wanted(connection, [row])
            fetch = True
    return fetch


def not_wanted(connection: Connection, rows: Sequence[KeptBlob]) -> None:
    """Note files of an envelope that nobody needs: the relay is told, and may let them go."""
    gone = [{**asdict(row), "state": BlobState.GONE, "sealed_key": b""} for row in rows]
    insert_or_keep(connection, blob, gone)


def to_fetch(connection: Connection, now_ms: int) -> KeptBlob | None:
    """Return the file that is fetched next: flash first, then in the order in which they came."""
    report = tables.report.c
    wanted = (
        select(blob)
        .join(tables.report, report.item == _blob.item)
        .where(_blob.way == Way.IN, _blob.state == BlobState.WAITING, _blob.due_ms <= now_ms)
        .where(report.state.in_(STANDING))
        .order_by(_blob.lane, _blob.added_ms, _blob.item, _blob.place)
        .limit(1)
    )
    found = connection.execute(wanted).one_or_none()
    return None if found is None else _to_blob(found)


def next_due_ms(connection: Connection, after_ms: int) -> int | None:
    """Return when, after a time, the next file is due to be fetched; None when none is."""
    wanted = select(func.min(_blob.due_ms)).where(_blob.way == Way.IN, _blob.state == BlobState.WAITING)
    found: int | None = connection.execute(wanted.where(_blob.due_ms > after_ms)).scalar_one()
    return found


def to_release(connection: Connection, *, limit: int = 100) -> list[KeptBlob]:
    """Return files that are here, or wanted no more, of which the relay is not told yet."""
    told = (_blob.way == Way.IN) & _blob.state.in_([BlobState.HERE, BlobState.GONE])
    return [_to_blob(row) for row in connection.execute(select(blob).where(told).limit(limit))]


def released(connection: Connection, row: KeptBlob) -> None:
    """Note that the relay knows."""
    change(connection, row.file, BlobState.HERE, state=BlobState.KEPT)
    connection.execute(delete(blob).where(_blob.file == row.file, _blob.state == BlobState.GONE))


def count_waiting(connection: Connection) -> dict[Way, int]:
    """Return how many files are to be fetched, and how many uploaded for who is permitted to get them."""
    coming = (_blob.way == Way.IN) & (_blob.state == BlobState.WAITING)
    going = (_blob.way == Way.OUT) & (_blob.state == BlobState.HERE) & _blob.item.in_(select(blob_wanted.c.item))
    counted = {
        way: select(func.count()).select_from(blob).where(which) for way, which in ((Way.IN, coming), (Way.OUT, going))
    }
    return {way: int(connection.execute(wanted).scalar_one()) for way, wanted in counted.items()}


# -- sending -----------------------------------------------------------------------------------------------------------


def want(connection: Connection, items: Sequence[bytes], now_ms: int) -> None:
    """Note that the relay must have the files of these items; a repeat changes nothing."""
    insert_or_keep(connection, blob_wanted, [{"item": item, "since_ms": now_ms} for item in items])


def wanted(connection: Connection) -> list[tuple[bytes, int]]:
    """Return items whose files the relay must have, each with its lane: flash first, then the oldest."""
    report = tables.report.c
    found = (
        select(blob_wanted.c.item, report.lane)
        .join(tables.report, report.item == blob_wanted.c.item)
        .where(report.state.in_(STANDING))
        .order_by(report.lane, blob_wanted.c.since_ms, blob_wanted.c.item)
    )
    return [(row.item, row.lane) for row in connection.execute(found)]


def uploaded(connection: Connection, item: bytes, why: str) -> None:
    """Note that the relay has all files of an item: whoever waits for that, which `why` says, is sealed for at once."""
    connection.execute(delete(blob_wanted).where(blob_wanted.c.item == item))
    audience = tables.audience.c
    waiting = audience.state.in_([Reach.WAITING, Reach.AGAIN])
    rows = update(tables.audience).where(audience.item == item, waiting, audience.why == why)
    connection.execute(rows.values(due_ms=0))


def upload_again(connection: Connection, item: bytes) -> None:
    """Note that the relay says that it has not all files of an item."""
    rows = update(blob).where(_blob.item == item, _blob.way == Way.OUT, _blob.state == BlobState.KEPT)
    connection.execute(rows.values(state=BlobState.HERE))


def _to_blob(row: Row[Any]) -> KeptBlob:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns
    return KeptBlob(**{**values, "way": Way(row.way), "state": BlobState(row.state)})
