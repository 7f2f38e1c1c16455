"""What statements that are compiled once promise, on every kind of database."""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256

import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError

from exchange.errors import InternalError
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from exchange.runtime.prepared import AMONG_MOST, fetch, fetch_among, insert_rows, run_each
from exchange.runtime.upsert import (
    add_up,
    columns_of,
    insert_all,
    insert_next,
    insert_or_keep,
    insert_or_replace,
    next_number,
    one_of,
    rise,
    row_of,
)
from nodes.app import MIGRATIONS
from nodes.store import tables
from nodes.store.rows import Cursor, Event, ItemState

_PUSH = tables.idempotency.c
_OF_KEYS = select(_PUSH.key, _PUSH.at_ms).where(one_of(_PUSH.key))
_EARLY = select(_PUSH.key).where(_PUSH.at_ms < 10).order_by(_PUSH.key)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def key(number: int) -> bytes:
    return sha256(number.to_bytes(4)).digest()


def pushes(count: int) -> list[dict[str, object]]:
    return [{"key": key(number), "item": b"item", "at_ms": number} for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 8, AMONG_MOST, AMONG_MOST + 1, 3 * AMONG_MOST + 5])
def test_a_query_among_values_finds_each_row_once_however_many_are_asked_for(database: Database, count: int) -> None:
    database.write_now(lambda c: insert_all(c, tables.idempotency, pushes(count)))
    asked = [key(number) for number in range(count + 2)]
    found = database.read_now(lambda c: fetch_among(c, _OF_KEYS, asked))
    assert sorted(found) == sorted((key(number), number) for number in range(count))
    assert database.read_now(lambda c: fetch_among(c, _OF_KEYS, [])) == []


def test_values_that_stand_in_a_statement_are_given_with_it(database: Database) -> None:
    database.write_now(lambda c: insert_all(c, tables.idempotency, pushes(12)))
    found = database.read_now(lambda c: fetch(c, _EARLY))
    assert {row[0] for row in found} == {key(number) for number in range(10)}
    late = update(tables.idempotency).where(_PUSH.key == bindparam("of")).values(item=ItemState.PURGED.encode())
    database.write_now(lambda c: run_each(c, late, [{"of": key(2)}, {"of": key(3)}]))
    gone = select(_PUSH.key).where(_PUSH.item == b"purged")
    assert {row[0] for row in database.read_now(lambda c: fetch(c, gone))} == {key(2), key(3)}


def test_a_row_comes_back_in_the_order_of_the_fields(database: Database) -> None:
    cursors = [Cursor(0, 7, 9), Cursor(3, (1 << 63) - 1, 0)]
    rows = [{"drained_ms": each.drained_ms, "lane": each.lane, "position": each.position} for each in cursors]
    database.write_now(lambda c: insert_or_replace(c, tables.cursor, rows))
    wanted = select(*columns_of(Cursor, tables.cursor)).order_by(tables.cursor.c.lane)
    assert [Cursor(*row) for row in database.read_now(lambda c: fetch(c, wanted))] == cursors


def test_what_is_there_is_kept_or_replaced_as_asked_and_numbers_go_on(database: Database) -> None:
    event = {"item": b"i", "at_ms": 1, "event": "x", "partner": "", "detail": "", "envelope": b"", "log_position": 0}
    assert database.read_now(lambda c: next_number(c, tables.event.c.number)) == 1
    database.write_now(lambda c: insert_all(c, tables.event, [{"number": 41, **event}]))
    assert database.read_now(lambda c: next_number(c, tables.event.c.number)) == 42
    first, second = pushes(1)[0], {**pushes(1)[0], "at_ms": 5}
    for row, write, at_ms in [(first, insert_or_keep, 0), (second, insert_or_keep, 0), (second, insert_or_replace, 5)]:
        database.write_now(lambda c, write=write, row=row: write(c, tables.idempotency, [row]))  # type: ignore[misc]
        assert database.read_now(lambda c: fetch_among(c, _OF_KEYS, [key(0)])) == [(key(0), at_ms)]


def test_rows_get_the_numbers_behind_the_highest_as_they_go_in(database: Database) -> None:
    number = tables.event.c.number
    for count in (2, 0, 1):
        told = [row_of(Event(b"item", place, "pushed")) for place in range(count)]
        database.write_now(partial(insert_next, table=tables.event, rows=told))
    assert database.read_now(lambda c: fetch(c, select(number, tables.event.c.at_ms).order_by(number))) == [
        (1, 0),
        (2, 1),
        (3, 0),
    ]


def test_rows_in_the_order_of_the_columns_are_inserted_and_what_is_changed_is_counted(database: Database) -> None:
    columns = [column.name for column in tables.idempotency.columns]
    rows = [tuple(row[name] for name in columns) for row in pushes(3)]
    database.write_now(lambda c: insert_rows(c, tables.idempotency, rows))
    later = update(tables.idempotency).where(_PUSH.at_ms >= bindparam("least")).values(at_ms=20)
    assert database.write_now(lambda c: run_each(c, later, [{"least": 1}])) == 2
    assert database.write_now(lambda c: run_each(c, later, [{"least": 21}])) == 0
    assert database.write_now(lambda c: run_each(c, later, [])) == 0
    assert [row[0] for row in database.read_now(lambda c: fetch(c, _EARLY))] == [key(0)]
    with pytest.raises(IntegrityError):
        database.write_now(lambda c: insert_rows(c, tables.idempotency, rows[:1]))


def test_what_is_there_is_added_to_or_rises_and_never_falls(database: Database) -> None:
    wanted = select(*columns_of(Cursor, tables.cursor))

    def stands(write: object, *rows: dict[str, int]) -> Cursor:
        for row in rows:
            given = [row] if write is add_up else row
            database.write_now(lambda c, given=given: write(c, tables.cursor, given))  # type: ignore[misc,operator]
        return Cursor(*database.read_now(lambda c: fetch(c, wanted))[0])

    assert stands(add_up, {"lane": 1, "position": 5, "drained_ms": 1}) == Cursor(1, 5, 1)
    assert stands(add_up, {"lane": 1, "position": 2, "drained_ms": 10}) == Cursor(1, 7, 11)
    assert stands(rise, {"lane": 1, "position": 9, "drained_ms": 12}) == Cursor(1, 9, 12)
    assert stands(rise, {"lane": 1, "position": 8, "drained_ms": 11}) == Cursor(1, 9, 12)


def test_a_row_that_may_not_be_there_is_refused_in_words_of_sqlalchemy_and_takes_nothing_with_it(
    database: Database,
) -> None:
    with pytest.raises(IntegrityError):
        database.write_now(lambda c: insert_all(c, tables.idempotency, [*pushes(3), *pushes(1)]))
    assert database.read_now(lambda c: fetch(c, _EARLY)) == []
    database.write_now(lambda c: insert_all(c, tables.idempotency, pushes(1)))
    assert len(database.read_now(lambda c: fetch(c, _EARLY))) == 1


def test_a_statement_outside_a_transaction_is_our_own_mistake(database: Database) -> None:
    with database._reading.connect() as connection, pytest.raises(InternalError):
        fetch(connection, _EARLY)
