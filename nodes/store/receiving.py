"""Envelopes that came, cursors, receipts to give, quarantine and streams heard, on an open transaction."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, func, select

from exchange.limits import MIB
from exchange.receipts.streams import STREAM_START, next_running_hash
from exchange.runtime.prepared import Tuple, fetch, fetch_among
from exchange.runtime.upsert import (
    columns_of,
    insert_all,
    insert_or_keep,
    insert_or_replace,
    next_number,
    one_of,
    row_of,
)
from nodes.store import missing, tables
from nodes.store.rows import Came, Cursor, HeardStream, QueuedReceipt, SetAside

SET_ASIDE_BYTES = 256 * MIB
"""Raw bytes of deliveries that failed a check; beyond it only hash, step and reason are kept."""

_inbox = tables.inbox.c
_queue = tables.receipt_queue.c
_head = tables.stream_head.c

_KNOWN = select(*columns_of(Came, tables.inbox)).where(one_of(_inbox.envelope))
_NUMBERS = select(_inbox.seq, _inbox.envelope).where(
    _inbox.sender == bindparam("sender"),
    _inbox.stream == bindparam("stream"),
    _inbox.lane == bindparam("lane"),
    one_of(_inbox.seq),
)
_HEARD = select(*columns_of(HeardStream, tables.stream_head)).where(
    _head.sender == bindparam("sender"), _head.stream == bindparam("stream"), _head.lane == bindparam("lane")
)
_OPEN_HEADS = select(*columns_of(HeardStream, tables.stream_head)).where(
    _head.state == "open", _head.head_seq > _head.checked_seq
)


def known_envelopes(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, Came]:
    """Return those of these envelopes that came before."""
    return {row[0]: Came(*row) for row in fetch_among(connection, _KNOWN, hashes)}


def add_came(connection: Connection, came: Sequence[Came]) -> None:
    """Remember envelopes for ever; a repeat changes nothing."""
    insert_or_keep(connection, tables.inbox, [row_of(each) for each in came])


def envelope_of_item(connection: Connection, item: bytes, sender: str) -> bytes | None:
    """Return the first envelope in which an item came from a sender."""
    wanted = select(_inbox.envelope).where(_inbox.item == item, _inbox.sender == sender)
    return connection.execute(wanted.order_by(_inbox.stored_ms).limit(1)).scalar_one_or_none()


def others_with_number(connection: Connection, came: Sequence[Came]) -> dict[bytes, bytes]:
    """Return, by envelope, another envelope under the same number: proof against the sender."""
    streams: dict[tuple[str, int, int], dict[int, bytes]] = {}
    others = {}
    for each in came:
        numbers = streams.setdefault((each.sender, each.stream, each.lane), {})
        first = numbers.setdefault(each.seq, each.envelope)
        if first != each.envelope:
            others[each.envelope] = first
    for (sender, stream, lane), numbers in streams.items():
        found = fetch_among(connection, _NUMBERS, list(numbers), sender=sender, stream=stream, lane=lane)
        others |= {numbers[seq]: envelope for seq, envelope in found if envelope != numbers[seq]}
    return others


def cursors(connection: Connection) -> dict[int, Cursor]:
    """Return how far each lane has been received."""
    found = connection.execute(select(tables.cursor))
    return {row.lane: Cursor(row.lane, row.position, row.drained_ms) for row in found}


def set_cursors(connection: Connection, changed: Sequence[Cursor]) -> None:
    """Replace the cursors of some lanes."""
    insert_or_replace(connection, tables.cursor, [row_of(cursor) for cursor in changed])


def set_aside(connection: Connection, deliveries: Sequence[SetAside], *, most: int = SET_ASIDE_BYTES) -> None:
    """Keep deliveries that failed a check; the same bytes are kept once.

    Beyond `most` bytes in all only hash, step and reason are kept: a partner must not fill the disk with junk.
    """
    if not deliveries:
        return
    held = connection.execute(select(func.coalesce(func.sum(func.length(tables.quarantine.c.raw)), 0))).scalar_one()
    rows = []
    for each in deliveries:
        held += len(each.raw)
        rows.append(row_of(each if held <= most else replace(each, raw=b"")))
    insert_or_keep(connection, tables.quarantine, rows)


def count_set_aside(connection: Connection) -> int:
    """Return how many deliveries are set aside."""
    return int(connection.execute(select(func.count()).select_from(tables.quarantine)).scalar_one())


def list_set_aside(connection: Connection, *, limit: int = 100) -> list[SetAside]:
    """Return deliveries that were set aside, newest first."""
    wanted = select(tables.quarantine).order_by(tables.quarantine.c.at_ms.desc()).limit(limit)
    return [SetAside(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def drop_set_aside(connection: Connection, before_ms: int) -> int:
    """Forget deliveries that were set aside before a time, and return how many."""
    return connection.execute(delete(tables.quarantine).where(tables.quarantine.c.at_ms < before_ms)).rowcount


# -- receipts to give --------------------------------------------------------------------------------------------------


def queue_receipts(connection: Connection, receipts: Sequence[QueuedReceipt]) -> None:
    """Let receipts wait for the next batch to their sender."""
    if receipts:
        number = next_number(connection, _queue.number)
        rows = [{**row_of(each), "number": number + place} for place, each in enumerate(receipts)]
        insert_all(connection, tables.receipt_queue, rows)


def queued_receipts(connection: Connection, *, urgent: bool, limit: int) -> list[QueuedReceipt]:
    """Return what waits for flash reports, or for the others, oldest first."""
    wanted = select(tables.receipt_queue).where(_queue.urgent == urgent).order_by(_queue.number).limit(limit)
    return [QueuedReceipt(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def drop_receipts(connection: Connection, numbers: Sequence[int]) -> None:
    """Forget receipts that a signed batch now carries."""
    connection.execute(delete(tables.receipt_queue).where(_queue.number.in_(list(numbers))))


# -- streams -----------------------------------------------------------------------------------------------------------


def heard_stream(connection: Connection, sender: str, stream: int, lane: int) -> HeardStream:
    """Return what is known of a sender's stream; a fresh record when nothing is."""
    for row in fetch(connection, _HEARD, sender=sender, stream=stream, lane=lane):
        return _to_heard(row)
    return HeardStream(sender, stream, lane, 0, STREAM_START, 0, b"", (), 0, "open")


def set_heard(connection: Connection, heard: HeardStream) -> None:
    """Replace what is known of a stream."""
    row = {**row_of(heard), "voided": ",".join(map(str, heard.voided))}
    insert_or_replace(connection, tables.stream_head, [row])


def open_heads(connection: Connection) -> list[HeardStream]:
    """Return streams whose last head could not be compared yet."""
    return [_to_heard(row) for row in fetch(connection, _OPEN_HEADS)]


def last_heard(connection: Connection) -> dict[str, int]:
    """Return when anything of each partner last came."""
    wanted = select(_head.sender, func.max(_head.heard_ms)).group_by(_head.sender)
    return {sender: heard_ms for sender, heard_ms in connection.execute(wanted) if heard_ms}


def streams_that_differ(connection: Connection) -> list[tuple[str, int, int]]:
    """Return sender, stream and lane of streams of which other envelopes came than their heads say."""
    wanted = select(_head.sender, _head.stream, _head.lane).where(_head.state == "gap")
    return [(row.sender, row.stream, row.lane) for row in connection.execute(wanted)]


def running_hash(connection: Connection, heard: HeardStream) -> bytes:
    """Return the running hash under a head: over what came, and over what its sender says stood in the gaps."""
    wanted = select(_inbox.seq, _inbox.envelope).where(
        _inbox.sender == heard.sender,
        _inbox.stream == heard.stream,
        _inbox.lane == heard.lane,
        _inbox.seq > heard.checked_seq,
        _inbox.seq <= heard.head_seq,
    )
    envelopes = missing.settled_numbers(connection, heard)
    envelopes |= {row.seq: row.envelope for row in connection.execute(wanted)}
    running = heard.checked_hash
    for seq in sorted(envelopes):
        if envelopes[seq]:
            running = next_running_hash(running, seq, envelopes[seq])
    return running


def _to_heard(row: Tuple) -> HeardStream:
    heard = HeardStream(*row)
    return replace(heard, voided=tuple(int(number) for number in row[_VOIDED].split(",") if number))


_VOIDED = HeardStream.__slots__.index("voided")
