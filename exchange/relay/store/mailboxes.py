"""MailboxStore on SQL."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, delete, func, select, update

from exchange.envelope.model import Lane
from exchange.names import PartyId
from exchange.relay.mailbox import Accepted, Answered, Backlog, Deleted, Row, Sealed
from exchange.relay.slots import PART, part_key, recipients_of
from exchange.relay.store import tables
from exchange.runtime.prepared import fetch, fetch_among, insert_rows, run_each
from exchange.runtime.upsert import add_up, insert_or_keep, one_of, rise
from exchange.tlog.entry import decode_entry

T = TypeVar("T")

CHUNK = 500
"""Values bound in one statement: SQLite's oldest limit is 999."""

_accepted, _refused, _mailbox, _held, _cursor = (
    table.c for table in (tables.accepted, tables.refused, tables.mailbox, tables.held, tables.cursor)
)
_PROMISED = select(_accepted.hash, _accepted.promise, _accepted.decisions).where(
    one_of(_accepted.hash), _accepted.sender == bindparam("by")
)
_REFUSED = select(_refused.hash, _refused.answer).where(one_of(_refused.hash), _refused.sender == bindparam("by"))
_TAKEN = select(_accepted.envelope_id, _accepted.hash).where(
    one_of(_accepted.envelope_id), _accepted.sender == bindparam("by")
)
_OF_LANE = (_mailbox.recipient == bindparam("whose"), _mailbox.lane == bindparam("in_lane"))
_WAITING = (
    select(_mailbox.position, _mailbox.place, _mailbox.size)
    .where(*_OF_LANE, _mailbox.position > bindparam("after"))
    .order_by(_mailbox.position)
    .limit(bindparam("most", type_=Integer))
)
_WAITING_OF_KIND = _WAITING.where(_mailbox.kind == bindparam("of_kind"))
_REACHED = (*_OF_LANE, _mailbox.position <= bindparam("up_to"))
_LESS_TO_WAIT_FOR = (
    update(tables.held)
    .where(_held.id.in_(select(_mailbox.position).where(*_REACHED)))
    .values(remaining=_held.remaining - 1)
)
_FREE = delete(tables.mailbox).where(*_REACHED)
_HELD_BYTES_OF = select(tables.held_bytes.c.bytes).where(tables.held_bytes.c.sender == bindparam("whose"))
_envelope, _slots = tables.envelope.c, tables.slots.c
_GOING = (
    select(_held.id, _held.lane, _held.parts, func.length(_envelope.body))
    .join(tables.envelope, _envelope.id == _held.id)
    .limit(bindparam("most", type_=Integer))
)
_DONE = _GOING.where(_held.remaining == 0).order_by(_held.id)
_EXPIRED = _GOING.where(_held.expires_ms <= bindparam("now_ms")).order_by(_held.expires_ms)
_SLOT_BYTES = select(_slots.envelope, func.length(_slots.data)).where(one_of(_slots.key))
_WHOSE = (
    select(_accepted.id, _accepted.hash, _accepted.sender, func.length(_envelope.header) + func.length(_envelope.body))
    .join(tables.envelope, _envelope.id == _accepted.id)
    .where(one_of(_accepted.id))
)
_DELETE_SLOTS = delete(tables.slots).where(_slots.key == bindparam("gone"))
_DELETE = tuple(delete(table).where(table.c.id == bindparam("gone")) for table in (tables.held, tables.envelope))
_HAS_GONE = (
    select(_held.id).where(_held.remaining == 0).limit(1),
    select(_held.id).where(_held.expires_ms <= bindparam("now_ms")).limit(1),
    select(_refused.hash).where(_refused.at_ms < bindparam("refusals_before_ms")).limit(1),
)
_CURSORS = select(_cursor.lane, _cursor.position).where(_cursor.recipient == bindparam("whose"))


class _Going(NamedTuple):
    """A ciphertext that goes."""

    id: int
    lane: int
    parts: int
    size: int


class SqlMailboxes:
    """Mailboxes within one open transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on `connection`; its transaction is the caller's."""
        self._connection = connection

    def answered(self, sender: PartyId, hashes: Sequence[bytes]) -> Mapping[bytes, Answered]:
        """Return the answers that the sender was given for these envelope hashes."""
        promised = fetch_among(self._connection, _PROMISED, hashes, by=sender)
        refused = fetch_among(self._connection, _REFUSED, hashes, by=sender)
        found = {hash_: Answered(promise, decisions) for hash_, promise, decisions in promised}
        return found | {hash_: Answered(answer, b"") for hash_, answer in refused}

    def taken(self, sender: PartyId, envelope_ids: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the envelope hash under which the sender has used each of these envelope ids."""
        return dict(fetch_among(self._connection, _TAKEN, envelope_ids, by=sender))

    def deposit(self, envelopes: Sequence[Accepted]) -> None:
        """Store envelopes and place each in every recipient's mailbox."""
        if not envelopes:
            return
        insert_rows(
            self._connection,
            tables.accepted,
            [(each.id, each.hash, each.sender, each.envelope_id, each.promise, each.decisions) for each in envelopes],
        )
        insert_rows(self._connection, tables.envelope, [(each.id, each.header, each.body) for each in envelopes])
        insert_rows(
            self._connection,
            tables.slots,
            [
                (part_key(each.id, PART * number), each.id, part)
                for each in envelopes
                for number, part in enumerate(each.parts)
            ],
        )
        insert_rows(
            self._connection,
            tables.held,
            [(each.id, len(each.slots), each.expires_ms, int(each.lane), len(each.parts)) for each in envelopes],
        )
        insert_rows(self._connection, tables.mailbox, [row for each in envelopes for row in _mailbox_rows(each)])
        self._count(envelopes, +1)

    def refuse(self, sender: PartyId, hash_: bytes, answer: bytes, at_ms: int) -> None:
        """Remember the final refusal of an envelope."""
        row = {"sender": sender, "hash": hash_, "answer": answer, "at_ms": at_ms}
        insert_or_keep(self._connection, tables.refused, [row])

    def keep_evidence(self, hash_: bytes, sender: PartyId, envelope_id: bytes, header: bytes, at_ms: int) -> None:
        """Keep a signed header that reuses an id."""
        row = {"hash": hash_, "sender": sender, "envelope_id": envelope_id, "header": header, "at_ms": at_ms}
        insert_or_keep(self._connection, tables.evidence, [row])

    def waiting(
        self, recipient: PartyId, lane: Lane, *, after: int, limit: int, kind: int | None = None
    ) -> Sequence[Row]:
        """Return what waits behind position `after`, in order."""
        given = {"whose": recipient, "in_lane": int(lane), "after": after, "most": limit}
        if kind is None:
            return [Row(*row) for row in fetch(self._connection, _WAITING, **given)]
        return [Row(*row) for row in fetch(self._connection, _WAITING_OF_KIND, **given, of_kind=kind)]

    def sealed(self, keys: Sequence[int]) -> Mapping[int, Sealed]:
        """Return what is stored under these keys of parts."""
        envelope, accepted, slots = tables.envelope.c, tables.accepted.c, tables.slots.c
        found: dict[int, Sealed] = {}
        for some in _chunks(keys):
            wanted = (
                select(slots.key, envelope.header, slots.data, envelope.body, accepted.promise)
                .join(tables.envelope, envelope.id == slots.envelope)
                .join(tables.accepted, accepted.id == slots.envelope)
                .where(slots.key.in_(some))
            )
            found |= {row.key: Sealed(*row) for row in self._connection.execute(wanted)}
        return found

    def acknowledge(self, recipient: PartyId, lane: Lane, position: int, *, kind: int | None = None) -> int:
        """Free everything up to `position` and return how many rows went."""
        if kind is None:
            given = {"whose": recipient, "in_lane": int(lane), "up_to": position}
            run_each(self._connection, _LESS_TO_WAIT_FOR, [given])
            count = run_each(self._connection, _FREE, [given])
        else:
            mine = (_mailbox.recipient == recipient, _mailbox.lane == int(lane), _mailbox.position <= position)
            count = self._free([*mine, _mailbox.kind == kind])
        rise(self._connection, tables.cursor, {"recipient": recipient, "lane": int(lane), "position": position})
        return count

    def drop(self, recipient: PartyId, *, kind: int, limit: int) -> int:
        """Free at most `limit` rows of one kind that wait and return how many went."""
        mailbox = tables.mailbox.c
        mine = (mailbox.recipient == recipient, mailbox.kind == kind)
        wanted = select(mailbox.lane, mailbox.position).where(*mine).order_by(mailbox.lane, mailbox.position)
        by_lane: dict[int, list[int]] = {}
        for lane, position in self._connection.execute(wanted.limit(limit)):
            by_lane.setdefault(lane, []).append(position)
        return sum(
            self._free([*mine, mailbox.lane == lane, mailbox.position.in_(some)])
            for lane, positions in by_lane.items()
            for some in _chunks(positions)
        )

    def _free(self, mine: Sequence[ColumnElement[bool]]) -> int:
        """Delete these rows of one mailbox; their envelopes have a recipient less to wait for."""
        held = tables.held.c
        freed = select(tables.mailbox.c.position).where(*mine)
        self._connection.execute(update(tables.held).where(held.id.in_(freed)).values(remaining=held.remaining - 1))
        return self._connection.execute(delete(tables.mailbox).where(*mine)).rowcount

    def cursors(self, recipient: PartyId) -> Mapping[Lane, int]:
        """Return the highest position acknowledged in each lane that has one."""
        rows = self._connection.execute(_CURSORS, {"whose": recipient})
        return {Lane(row.lane): row.position for row in rows}

    def has_gone(self, now_ms: int, *, refusals_before_ms: int) -> bool:
        """Say whether there is something to delete."""
        given = {"now_ms": now_ms, "refusals_before_ms": refusals_before_ms}
        return any(fetch(self._connection, each, **given) for each in _HAS_GONE)

    def delete_done(self, limit: int, most_bytes: int) -> Sequence[Deleted]:
        """Delete ciphertexts that every recipient has."""
        gone = self._going(_DONE, limit, most_bytes)
        return self._delete({each.id: each.parts for each in gone})

    def delete_expired(self, now_ms: int, limit: int, most_bytes: int) -> Sequence[Deleted]:
        """Delete ciphertexts whose time has come, and their rows."""
        mailbox = tables.mailbox.c
        gone = self._going(_EXPIRED, limit, most_bytes, now_ms=now_ms)
        for each in gone:
            for recipients in self._recipients(each.id, each.parts):
                mine = (mailbox.recipient.in_(recipients), mailbox.lane == each.lane, mailbox.position == each.id)
                self._connection.execute(delete(tables.mailbox).where(*mine))
        return self._delete({each.id: each.parts for each in gone})

    def _going(
        self, which: Select[tuple[int, int, int, int]], limit: int, most_bytes: int, **given: int
    ) -> list[_Going]:
        """Return at most `limit` of those that go, and as many as `most_bytes` hold, one at least."""
        going: list[_Going] = []
        for row in fetch(self._connection, which, most=limit, **given):
            each = _Going(*row)
            most_bytes -= each.size
            if going and most_bytes < 0:
                break
            going.append(each)
        return going

    def forget_refusals(self, before_ms: int) -> int:
        """Delete refusals given before a time."""
        return self._connection.execute(delete(tables.refused).where(tables.refused.c.at_ms < before_ms)).rowcount

    def backlogs(self) -> Mapping[tuple[PartyId, Lane], Backlog]:
        """Return what waits for each recipient in each lane, and since when; lanes in which nothing waits are left out.

        A position is an index of the traffic log, which says when.
        """
        first = func.min(_mailbox.position).label("first")
        lanes = select(_mailbox.recipient, _mailbox.lane, func.count().label("waiting"), first)
        found = lanes.group_by(_mailbox.recipient, _mailbox.lane).subquery()
        entry = tables.traffic_entry.c
        wanted = select(found, entry.entry).join(tables.traffic_entry, entry.number == found.c.first)
        return {
            (PartyId(row.recipient), Lane(row.lane)): Backlog(row.waiting, decode_entry(row.entry).at_ms)
            for row in self._connection.execute(wanted)
        }

    def held(self) -> int:
        """Return how many ciphertexts are stored."""
        return self._connection.execute(select(func.count()).select_from(tables.held)).scalar_one()

    def _recipients(self, envelope: int, parts: int) -> Iterable[Sequence[PartyId]]:
        slots = tables.slots.c
        keys = [part_key(envelope, PART * number) for number in range(parts)]
        for data in self._connection.execute(select(slots.data).where(slots.key.in_(keys))).scalars().all():
            yield recipients_of(data)

    def held_bytes(self) -> Mapping[PartyId, int]:
        """Return how many bytes of each sender wait."""
        counted = tables.held_bytes.c
        wanted = select(counted.sender, counted.bytes).where(counted.bytes > 0)
        return {PartyId(row.sender): row.bytes for row in self._connection.execute(wanted)}

    def held_bytes_of(self, sender: PartyId) -> int:
        """Return how many bytes of one sender wait."""
        found = fetch(self._connection, _HELD_BYTES_OF, whose=sender)
        return int(found[0][0]) if found else 0

    def _delete(self, parts: Mapping[int, int]) -> Sequence[Deleted]:
        """Delete ciphertexts, given how many parts of slots each has; return what went, oldest first."""
        ids = sorted(parts)
        keys = [part_key(number, PART * part) for number in ids for part in range(parts[number])]
        sizes: Counter[int] = Counter()
        for number, size in fetch_among(self._connection, _SLOT_BYTES, keys):
            sizes[number] += size
        gone = {
            number: Deleted(hash_, sender, size + sizes[number])
            for number, hash_, sender, size in fetch_among(self._connection, _WHOSE, ids)
        }
        run_each(self._connection, _DELETE_SLOTS, [{"gone": key} for key in keys])
        for each in _DELETE:
            run_each(self._connection, each, [{"gone": number} for number in ids])
        self._count(gone.values(), -1)
        return [gone[number] for number in ids]

    def _count(self, envelopes: Iterable[Accepted | Deleted], sign: int) -> None:
        """Count what was stored, or with sign -1 what was deleted."""
        sizes: Counter[PartyId] = Counter()
        for each in envelopes:
            sizes[each.sender] += sign * each.size
        add_up(self._connection, tables.held_bytes, [{"sender": party, "bytes": size} for party, size in sizes.items()])


def _mailbox_rows(each: Accepted) -> Iterable[tuple[PartyId, int, int, int, int, int]]:
    lane, most = int(each.lane), each.delivery_size
    return [(slot.recipient, lane, each.id, each.kind, place, most(slot)) for place, slot in enumerate(each.slots)]


def _chunks(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[at : at + CHUNK] for at in range(0, len(values), CHUNK))
