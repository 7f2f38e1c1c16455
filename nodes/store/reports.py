"""Reports, who gets them, their story, retractions and idempotency keys, on an open transaction."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, exists, func, or_, select, tuple_, union_all, update

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.names import HASH_BYTES
from exchange.policy.terms import AgreementRef
from exchange.runtime.prepared import Tuple, fetch, fetch_among, run_each
from exchange.runtime.upsert import (
    columns_of,
    insert_all,
    insert_next,
    insert_or_keep,
    insert_or_replace,
    next_number,
    one_of,
    row_of,
)
from nodes.store import tables
from nodes.store.rows import Addressee, Direction, Event, ItemState, Reach, Report, Withdrawal
from nodes.store.rule_tables import recall

AnyRow = Row[Any]
"""A row of a select; Any because columns differ."""

_report = tables.report.c
_audience = tables.audience.c

ROWS_TO_SEAL = 1024
"""Rows of one look at what waits to be sealed, and those of its last item."""

_STATES = select(_report.item, _report.state).where(one_of(_report.item))
_THREADS = select(_report.thread).where(one_of(_report.thread)).distinct()
_WITHDRAWALS = select(*columns_of(Withdrawal, tables.retraction)).where(one_of(tables.retraction.c.item))

# -- reports -----------------------------------------------------------------------------------------------------------


def add_report(connection: Connection, report: Report) -> bool:
    """Store a version and say whether it is new; a repeat changes nothing."""
    if connection.execute(select(_report.number).where(_report.item == report.item)).first() is not None:
        return False
    number = next_number(connection, _report.number)
    insert_all(connection, tables.report, [{**row_of(report), "number": number}])
    return True


def add_reports(connection: Connection, new: Sequence[Report]) -> None:
    """Store versions of which none is here yet, in the order in which they came."""
    if new:
        first = next_number(connection, _report.number)
        rows = [{**row_of(report), "number": first + place} for place, report in enumerate(new)]
        insert_all(connection, tables.report, rows)


def states_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, ItemState]:
    """Return what has become of those of these items that are here."""
    return {item: ItemState(state) for item, state in fetch_among(connection, _STATES, items)}


def threads_with_versions(connection: Connection, threads: Sequence[bytes]) -> set[bytes]:
    """Return those of these threads that have a version here."""
    return {thread for (thread,) in fetch_among(connection, _THREADS, threads)}


def report_of(connection: Connection, item: bytes) -> Report | None:
    """Return one version, if it is here."""
    found = connection.execute(select(tables.report).where(_report.item == item)).one_or_none()
    return None if found is None else _to_report(found)


def reports_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, Report]:
    """Return those of these versions that are here, by item."""
    found = (dict(zip(Report.__slots__, row, strict=True)) for row in fetch_among(connection, _REPORTS, items))
    return {row["item"]: _made(row) for row in found}


_REPORTS = select(*columns_of(Report, tables.report)).where(one_of(_report.item))


def lights_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, int]:
    """Return the TLP of those of these items that are here."""
    wanted = select(_report.item, _report.tlp).where(_report.item.in_(list(items)))
    return {row.item: row.tlp for row in connection.execute(wanted)}


def unpurged_items(connection: Connection, items: Sequence[bytes]) -> set[bytes]:
    """Return those of these items that are here and not purged: they need their key."""
    wanted = select(_report.item).where(_report.item.in_(list(items)), _report.state != ItemState.PURGED)
    return set(connection.execute(wanted).scalars())


def with_prefix(connection: Connection, prefix: str, *, limit: int, skip: int = 0) -> dict[bytes, int]:
    """Return items whose hexadecimal form begins with `prefix`, each with its TLP, in order of the hash."""
    least = bytes.fromhex(prefix.ljust(2 * HASH_BYTES, "0"))
    most = bytes.fromhex(prefix.ljust(2 * HASH_BYTES, "f"))
    wanted = select(_report.item, _report.tlp).where(_report.item >= least, _report.item <= most)
    page = wanted.order_by(_report.item).limit(limit).offset(skip)
    return {row.item: row.tlp for row in connection.execute(page)}


def with_stix(connection: Connection, digest: bytes, *, limit: int, skip: int = 0) -> dict[bytes, int]:
    """Return versions of the report whose STIX id has this digest, each with its TLP, newest first."""
    wanted = select(_report.item, _report.tlp).where(_report.stix_digest == digest)
    page = wanted.order_by(_report.authored_ms.desc(), _report.item.desc()).limit(limit).offset(skip)
    return {row.item: row.tlp for row in connection.execute(page)}


def list_reports(connection: Connection, *, direction: Direction | None, limit: int, before: int) -> list[Report]:
    """Return versions, newest arrival first; `before` is a report's number, 0 for none."""
    wanted: Select[Any] = select(tables.report).order_by(_report.number.desc()).limit(limit)
    if direction is not None:
        wanted = wanted.where(_report.direction == direction)
    if before:
        wanted = wanted.where(_report.number < before)
    return [_to_report(row) for row in connection.execute(wanted)]


def versions(connection: Connection, thread: bytes, originator: str) -> list[Report]:
    """Return every version of a report that its originator made, oldest first."""
    wanted = select(tables.report).where(_report.thread == thread, _report.originator == originator)
    return [_to_report(row) for row in connection.execute(wanted.order_by(_report.authored_ms, _report.item))]


def later_versions(connection: Connection, older: Sequence[Report]) -> dict[bytes, dict[bytes, int]]:
    """Return, for each of these versions, those that take its place, each with its TLP."""
    wanted = select(_report.item, _report.tlp, _report.thread, _report.originator, _report.authored_ms).where(
        _report.thread.in_({each.thread for each in older}), _report.state != ItemState.REJECTED
    )
    found: dict[tuple[bytes, str], list[tuple[int, bytes, int]]] = {}
    for row in connection.execute(wanted) if older else ():
        found.setdefault((row.thread, row.originator), []).append((row.authored_ms, row.item, row.tlp))
    return {
        each.item: {
            item: tlp
            for authored_ms, item, tlp in found.get((each.thread, each.originator), ())
            if (authored_ms, item) > (each.authored_ms, each.item)
        }
        for each in older
    }


def settle_thread(connection: Connection, thread: bytes, originator: str) -> None:
    """Make the version with the latest authored_ms current and the others replaced, in whatever order they came.

    A version that is withdrawn or purged stays so, and still makes older ones replaced; one that was rejected does not.
    """
    known = [version for version in versions(connection, thread, originator) if version.state != ItemState.REJECTED]
    for version in known:
        state = ItemState.CURRENT if version.item == known[-1].item else ItemState.REPLACED
        if version.state in (ItemState.CURRENT, ItemState.REPLACED) and version.state != state:
            set_state(connection, version.item, state)


def set_state(connection: Connection, item: bytes, state: ItemState) -> None:
    """Change what has become of a version."""
    connection.execute(update(tables.report).where(_report.item == item).values(state=state))


def purge_soon(connection: Connection, item: bytes, now_ms: int) -> None:
    """Let a version be purged by the next look at obligations."""
    connection.execute(update(tables.report).where(_report.item == item).values(purge_at_ms=now_ms))


def forget_content(connection: Connection, item: bytes) -> None:
    """Mark a version as purged and drop its sealed bytes; its key must be destroyed before."""
    gone = {"state": ItemState.PURGED, "title": b"", "record": b""}
    connection.execute(update(tables.report).where(_report.item == item).values(gone))


def to_purge(connection: Connection, now_ms: int, *, limit: int) -> list[Report]:
    """Return versions whose time has come."""
    due = and_(_report.purge_at_ms > 0, _report.purge_at_ms <= now_ms, _report.state != ItemState.PURGED)
    return [_to_report(row) for row in connection.execute(select(tables.report).where(due).limit(limit))]


def stored_items(connection: Connection, *, after: bytes, limit: int) -> list[bytes]:
    """Return items that are not purged, in order of the hash, to compare with the keys."""
    wanted = select(_report.item).where(_report.item > after, _report.state != ItemState.PURGED)
    return list(connection.execute(wanted.order_by(_report.item).limit(limit)).scalars())


def count_reports(connection: Connection) -> dict[Direction, int]:
    """Return how many versions there are, by direction."""
    wanted = select(_report.direction, func.count()).group_by(_report.direction)
    return {Direction(direction): count for direction, count in connection.execute(wanted)}


def _to_report(row: AnyRow) -> Report:
    return _made(dict(row._mapping))  # noqa: SLF001 - the documented way to a row's columns


def _made(values: dict[str, Any]) -> Report:
    """Return a version from its columns by name; Any because they differ."""
    return Report(**{**values, "direction": Direction(values["direction"]), "state": ItemState(values["state"])})


# -- audience ----------------------------------------------------------------------------------------------------------


def add_addressees(connection: Connection, addressees: Sequence[Addressee]) -> None:
    """Store where one item stands with each recipient; all get one number, the next in line."""
    if addressees:
        number = next_number(connection, _audience.number)
        insert_all(connection, tables.audience, [_from_addressee(each, number) for each in addressees])


def add_audiences(connection: Connection, audiences: Sequence[Sequence[Addressee]]) -> None:
    """Store where each of several items stands with its recipients; they get numbers in their order."""
    number = next_number(connection, _audience.number)
    rows = [_from_addressee(each, number + place) for place, group in enumerate(audiences) for each in group]
    insert_all(connection, tables.audience, rows)


def addressees_of(connection: Connection, item: bytes) -> list[Addressee]:
    """Return where an item stands with each recipient, by id."""
    wanted = select(tables.audience).where(_audience.item == item).order_by(_audience.recipient)
    return [_to_addressee(row) for row in connection.execute(wanted)]


def addressee(connection: Connection, item: bytes, recipient: str) -> Addressee | None:
    """Return where an item stands with one recipient."""
    wanted = select(tables.audience).where(_audience.item == item, _audience.recipient == recipient)
    found = connection.execute(wanted).one_or_none()
    return None if found is None else _to_addressee(found)


def change_addressees(connection: Connection, item: bytes, recipients: Iterable[str], **values: Any) -> None:
    """Set columns of some recipients' rows; Any because columns differ."""
    named = list(recipients)
    if named:
        rows = update(tables.audience).where(_audience.item == item, _audience.recipient.in_(named))
        connection.execute(rows.values(**values))


def replace_addressees(connection: Connection, changed: Sequence[Addressee]) -> None:
    """Write rows that are there anew, but for their numbers."""
    run_each(connection, _CHANGE, [_changes(each) for each in changed])


def promised(connection: Connection, sent: Iterable[tuple[bytes, bytes]]) -> None:
    """Note that the relay holds these items in these envelopes; a receipt may have overtaken its promise."""
    run_each(connection, _PROMISED, [{"of_item": item, "of_envelope": envelope} for item, envelope in sent])


def cited(connection: Connection, items: Sequence[bytes]) -> dict[tuple[bytes, str], bytes]:
    """Return the commitments of the agreements under which these items went, by (item, recipient)."""
    return {(item, recipient): commitment for item, recipient, commitment in fetch_among(connection, _CITED, items)}


_CITED = select(_audience.item, _audience.recipient, _audience.basis_commitment).where(one_of(_audience.item))
_PROMISED = (
    update(tables.audience)
    .where(
        _audience.item == bindparam("of_item"),
        _audience.envelope == bindparam("of_envelope"),
        _audience.state == Reach.SEALED,
    )
    .values(state=Reach.PROMISED, why="")
)


def waiting_among(connection: Connection, items: Sequence[bytes]) -> set[tuple[bytes, str]]:
    """Return (item, recipient) of what still waits to be sealed, of these items."""
    return {(item, recipient) for item, recipient in fetch_among(connection, _WAITING, items)}


_STILL_WAITS = or_(_audience.state == Reach.WAITING, _audience.state == Reach.AGAIN)
_WAITING = select(_audience.item, _audience.recipient).where(_STILL_WAITS, one_of(_audience.item))


def rows_of(connection: Connection, items: Sequence[bytes]) -> dict[tuple[bytes, str], Addressee]:
    """Return where these items stand, by (item, recipient)."""
    wanted = select(tables.audience).where(_audience.item.in_(list(items)))
    return {(row.item, row.recipient): _to_addressee(row) for row in connection.execute(wanted)}


def rows_with(
    connection: Connection, items: Collection[bytes], recipients: Collection[str]
) -> dict[tuple[bytes, str], Addressee]:
    """Return where these items stand with these recipients, by (item, recipient)."""
    wanted = list(items)
    rows = [row for each in recipients for row in fetch_among(connection, _ROWS_WITH, wanted, recipient=each)]
    return {(row.item, row.recipient): row for row in map(_to_addressee, rows)}


_ROWS_WITH = select(tables.audience).where(one_of(_audience.item), _audience.recipient == bindparam("recipient"))


def to_seal(
    connection: Connection, now_ms: int, *, items: int, rows: int = ROWS_TO_SEAL, urgent_only: bool = False
) -> list[list[Addressee]]:
    """Return what waits to be sealed, flash first, oldest first: of each item all recipients that are due.

    No more than so many items, and no further one once there are so many rows.
    """
    # Which they are is found out first: behind the few that are taken a hundred thousand may wait.
    when = {"now_ms": now_ms, "last_lane": int(Lane.FLASH if urgent_only else Lane.ROUTINE)}
    waiting = fetch(connection, _FIRST, **when, most=rows)
    chosen: dict[bytes, int] = {}
    for item, count in [(row[0], row[3]) for row in sorted(waiting, key=lambda row: (row[1], row[2]))]:
        if item not in chosen and (len(chosen) == items or sum(chosen.values()) >= rows):
            break
        chosen[item] = chosen.get(item, 0) + count
    grouped: dict[bytes, list[Addressee]] = {item: [] for item in chosen}
    for row in map(_to_addressee, fetch_among(connection, _DUE_OF_ITEMS, list(chosen), **when)):
        grouped[row.item].append(row)
    return list(grouped.values())


_IS_DUE = (_audience.due_ms <= bindparam("now_ms"), _audience.lane <= bindparam("last_lane"))


def _first_waiting(state: Reach) -> Select[Any]:
    """Return the query for item, lane, number and count of what comes first; of one state, so that its index serves."""
    first = (
        select(_audience.item, _audience.lane, _audience.number)
        .where(_audience.state == state, *_IS_DUE)
        .order_by(_audience.lane, _audience.number)
        .limit(bindparam("most"))
        .subquery()
    )
    return select(first, func.count()).group_by(first.c.item, first.c.lane, first.c.number)


_FIRST = select(union_all(_first_waiting(Reach.AGAIN), _first_waiting(Reach.WAITING)).subquery())
_DUE_OF_ITEMS = (
    select(tables.audience)
    .where(_STILL_WAITS, *_IS_DUE, one_of(_audience.item))
    .order_by(_audience.lane, _audience.number, _audience.recipient)
)


def next_due_ms(connection: Connection, *, after_ms: int = -1) -> int | None:
    """Return when the earliest waiting row is due that is due after a time; None when there is none."""
    (times,) = fetch(connection, _NEXT_DUE, after_ms=after_ms)
    return min((due for due in times if due is not None), default=None)


_NEXT_DUE = select(
    *(
        select(func.min(_audience.due_ms))
        .where(_audience.state == state, _audience.due_ms > bindparam("after_ms"))
        .scalar_subquery()
        for state in (Reach.WAITING, Reach.AGAIN)
    )
)


def held_without_newest(connection: Connection, holding: Iterable[Reach]) -> list[tuple[bytes, str]]:
    """Return (item, recipient) of earlier versions of ours whose holders were denied the newest and not asked yet."""
    older, newest, later = (tables.report.alias(name) for name in ("older", "newest", "later"))
    held, denied = tables.audience.alias("held"), tables.audience.alias("denied")
    same_thread = and_(older.c.thread == newest.c.thread, older.c.originator == newest.c.originator)
    replaced = and_(later.c.thread == newest.c.thread, later.c.originator == newest.c.originator)
    asked = exists().where(recall.c.item == held.c.item, recall.c.partner == held.c.recipient)
    wanted = (
        select(held.c.item, held.c.recipient)
        .select_from(newest)
        .join(older, and_(same_thread, older.c.authored_ms < newest.c.authored_ms))
        .join(held, held.c.item == older.c.item)
        .join(denied, and_(denied.c.item == newest.c.item, denied.c.recipient == held.c.recipient))
        .where(
            newest.c.direction == Direction.SENT,
            newest.c.state.in_([ItemState.CURRENT, ItemState.PURGED]),
            older.c.state != ItemState.WITHDRAWN,
            ~exists().where(replaced, later.c.authored_ms > newest.c.authored_ms),
            held.c.state.in_(list(holding)),
            held.c.envelope != b"",
            denied.c.state.in_([Reach.DENIED, Reach.REFUSED]),
            ~asked,
        )
        .order_by(held.c.item, held.c.recipient)
    )
    return [(row.item, row.recipient) for row in connection.execute(wanted)]


def make_due(connection: Connection, recipients: Sequence[str], now_ms: int) -> None:
    """Let what waits for these recipients be tried at once: they have published prekeys."""
    rows = update(tables.audience).where(_audience.state == Reach.WAITING, _audience.due_ms > now_ms)
    connection.execute(rows.where(_audience.recipient.in_(list(recipients)), _audience.tries == 0).values(due_ms=0))


def decide_again(connection: Connection, item: bytes | None = None) -> None:
    """Let what waits for the directory or for approvals be tried at once; of one item only, if one is given."""
    # One state at a time: SQLite takes the index of a state only when the question names that state alone.
    for state in (Reach.WAITING, Reach.AGAIN):
        rows = update(tables.audience).where(_audience.state == state, _audience.on_change)
        if item is not None:
            rows = rows.where(_audience.item == item)
        connection.execute(rows.values(due_ms=0))


def count_waiting(connection: Connection) -> dict[int, int]:
    """Return how many rows wait to be sealed, by lane."""
    found: dict[int, int] = {}
    for state in (Reach.WAITING, Reach.AGAIN):
        wanted = select(_audience.lane, func.count()).where(_audience.state == state).group_by(_audience.lane)
        for lane, count in connection.execute(wanted):
            found[lane] = found.get(lane, 0) + count
    return found


def backlogs(connection: Connection) -> list[tuple[str, Reach, int, int]]:
    """Return for each partner and each state before its receipt how many reports there are, and when the oldest came.

    As (partner, state, count, ms).
    """
    return [
        (partner, state, count, since)
        for state in (Reach.WAITING, Reach.AGAIN, Reach.SEALED, Reach.PROMISED)
        for partner, count, since in connection.execute(_backlog(state))
    ]


def _backlog(state: Reach) -> Select[Any]:
    """Return the query for one state: each has its index, and what is sealed is found by its envelope, which waits."""
    wanted = (
        select(_audience.recipient, func.count(), func.min(_report.stored_ms))
        .join(tables.report, _report.item == _audience.item)
        .where(_audience.state == state, _audience.kind == int(EnvelopeKind.REPORT))
        .group_by(_audience.recipient)
    )
    if state is not Reach.SEALED:
        return wanted
    slot = tables.slot.c
    unanswered = select(slot.item, slot.recipient).join(tables.outbox, tables.outbox.c.envelope == slot.envelope)
    return wanted.where(tuple_(_audience.item, _audience.recipient).in_(unanswered))


def count_unreceipted(connection: Connection) -> int:
    """Return how many reports the relay has promised to deliver and some recipient has not receipted."""
    wanted = select(func.count(_audience.item.distinct())).where(_audience.state == Reach.PROMISED)
    return int(connection.execute(wanted).scalar_one())


_CHANGE = update(tables.audience).where(
    _audience.item == bindparam("of_item"), _audience.recipient == bindparam("of_recipient")
)


def _changes(each: Addressee) -> dict[str, Any]:
    return {"of_item": each.item, "of_recipient": each.recipient, **_standing(each)}


def _from_addressee(each: Addressee, number: int) -> dict[str, Any]:
    return {
        "item": each.item,
        "recipient": each.recipient,
        "number": number,
        "kind": int(each.kind),
        "lane": int(each.lane),
        **_standing(each),
    }


def _standing(each: Addressee) -> dict[str, Any]:
    """Return the columns that change."""
    return {
        "state": each.state,
        "why": each.why,
        "due_ms": each.due_ms,
        "on_change": each.on_change,
        "tries": each.tries,
        "alone": each.alone,
        "basis_id": each.basis.id if each.basis else b"",
        "basis_version": each.basis.version if each.basis else 0,
        "basis_commitment": each.basis.commitment if each.basis else b"",
        "clause": each.clause,
        "envelope": each.envelope,
        "receipted_ms": each.receipted_ms,
        "purge_by_ms": each.purge_by_ms,
        "keep_ms": each.keep_ms,
    }


def _to_addressee(row: AnyRow | Tuple) -> Addressee:
    """Return a row of the whole table; by place, which takes a third of the time that names take."""
    columns: tuple[Any, ...] = tuple(row)
    item, recipient, number, kind, lane, state, why, due_ms, on_change, tries, alone = columns[:11]
    basis_id, version, commitment, clause, envelope, receipted_ms, purge_by_ms, keep_ms = columns[11:]
    return Addressee(
        item=item,
        recipient=recipient,
        kind=kind,
        lane=lane,
        state=_REACHES[state],
        why=why,
        due_ms=due_ms,
        on_change=bool(on_change),
        tries=tries,
        alone=bool(alone),
        basis=AgreementRef(basis_id, version, commitment) if basis_id else None,
        clause=clause,
        envelope=envelope,
        receipted_ms=receipted_ms,
        purge_by_ms=purge_by_ms,
        keep_ms=keep_ms,
        number=number,
    )


_REACHES = {reach.value: reach for reach in Reach}


# -- story, retractions, idempotency -----------------------------------------------------------------------------------


def add_events(connection: Connection, events: Iterable[Event]) -> None:
    """Add lines to the story, in this order."""
    insert_next(connection, tables.event, [row_of(event) for event in events])


def events_of(connection: Connection, item: bytes) -> list[Event]:
    """Return an item's story in order."""
    row = tables.event.c
    wanted = select(tables.event).where(row.item == item).order_by(row.number)
    return [
        Event(each.item, each.at_ms, each.event, each.partner, each.detail, each.envelope, each.log_position)
        for each in connection.execute(wanted)
    ]


def add_withdrawal(connection: Connection, withdrawal: Withdrawal) -> bool:
    """Store a retraction and say whether it changes anything: the first one stays, unless the next asks for more.

    Whoever claims to be the originator has a place of its own: of an item that has not come yet nobody knows whose it
    is, and a stranger's retraction must not keep the originator's out.
    """
    before = withdrawal_of(connection, withdrawal.item, withdrawal.originator)
    if before is not None and before.action >= withdrawal.action:
        return False
    insert_or_replace(connection, tables.retraction, [row_of(withdrawal)])
    return True


def withdrawals_of(connection: Connection, items: Sequence[bytes]) -> dict[tuple[bytes, str], Withdrawal]:
    """Return the retractions of these items, by item and who signed."""
    found = (Withdrawal(*row) for row in fetch_among(connection, _WITHDRAWALS, items))
    return {(each.item, each.originator): each for each in found}


def withdrawal_of(connection: Connection, item: bytes, originator: str) -> Withdrawal | None:
    """Return the retraction of an item that this originator signed, also of an item that never came."""
    row = tables.retraction.c
    wanted = select(tables.retraction).where(row.item == item, row.originator == originator)
    found = connection.execute(wanted).one_or_none()
    return None if found is None else Withdrawal(**dict(found._mapping))  # noqa: SLF001


def pushed_before(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the items that pushes with these key digests made, by digest."""
    return dict(fetch_among(connection, _PUSHES, keys))


_PUSHES = select(tables.idempotency.c.key, tables.idempotency.c.item).where(one_of(tables.idempotency.c.key))


def remember_pushes(connection: Connection, pushes: Sequence[tuple[bytes, bytes, int]]) -> None:
    """Tie key digests to items: (digest, item, time)."""
    rows = [{"key": key, "item": item, "at_ms": at_ms} for key, item, at_ms in pushes]
    insert_or_keep(connection, tables.idempotency, rows)
