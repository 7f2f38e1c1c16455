"""Rows of a store copied into another, of whichever kinds the two are."""

import threading
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.errors import Conflict
from exchange.limits import KIB
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.runtime.snapshot import ROWS_AT_ONCE, copy_rows
from nodes.store import MIGRATIONS, tables
from nodes.store.columns import metadata

ROWS = ROWS_AT_ONCE * 2 + 1
LARGE = 256 * KIB
TABLES: Sequence[sa.Table] = metadata.sorted_tables


@pytest.fixture(params=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Another new store, of each kind in turn."""
    sqlite = request.param == "sqlite"
    url: str = sqlite_url(tmp_path / "copied.db") if sqlite else request.getfixturevalue("another_postgres_url")
    upgrade(url, MIGRATIONS)
    return url


@pytest.fixture
def source_url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


def a_value(column: Any, row: int) -> object:  # any column
    """Return a value that this column can hold, another one for each row."""
    match column.type:
        case sa.Boolean():
            return bool(row % 2)
        case sa.LargeBinary():
            return bytes([row, 0, 255]) * (row + 1)
        case sa.BigInteger():
            return row if column.primary_key else (1 << 62) + row
        case sa.Integer():
            return row
        case sa.String(length=length):
            return f"{row}'\"\\ü\n"[: length or 100]
    raise AssertionError(f"{column} holds {column.type!r}, of which this test knows nothing")


def fill(url: str) -> None:
    """Put some rows into every table."""
    with Database(url) as database:
        for table in TABLES:
            rows = [{column.name: a_value(column, row) for column in table.columns} for row in range(1, ROWS + 1)]
            database.write_now(partial(_insert, table=table, rows=rows))


def content(url: str) -> dict[str, set[tuple[object, ...]]]:
    with Database(url) as database:
        return {table.name: database.read_now(partial(_rows, table=table)) for table in TABLES}


def _rows(connection: sa.Connection, table: sa.Table) -> set[tuple[object, ...]]:
    return {tuple(row) for row in connection.execute(table.select())}


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    connection.execute(sa.insert(table), rows)


def test_every_row_of_every_table_arrives_as_it_was(source_url: str, target_url: str) -> None:
    fill(source_url)
    assert copy_rows(source_url, target_url, TABLES) == ROWS * len(TABLES)
    assert content(target_url) == content(source_url)


def test_a_store_that_holds_something_is_left_as_it_is(source_url: str, target_url: str) -> None:
    fill(source_url)
    with Database(target_url) as database:
        last = TABLES[-1]
        row = {column.name: a_value(column, 1) for column in last.columns}
        database.write_now(partial(_insert, table=last, rows=[row]))
    before = content(target_url)
    with pytest.raises(Conflict, match="holds something already"):
        copy_rows(source_url, target_url, TABLES)
    assert content(target_url) == before


def test_the_view_is_of_one_moment_while_the_node_writes(source_url: str, target_url: str) -> None:
    """Each write puts one row into two tables: a copy holds as many of the one as of the other."""
    pair = (tables.directory_entry, tables.event)
    stop = threading.Event()

    def write() -> None:
        with Database(source_url) as database:
            for number in range(1, 30_000):
                if stop.is_set():
                    return
                database.write_now(partial(add, number=number))

    def add(connection: sa.Connection, number: int) -> None:
        for table in pair:
            row = {column.name: a_value(column, 1) for column in table.columns}
            connection.execute(sa.insert(table), [row | {"number": number}])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copy_rows(source_url, target_url, TABLES)
    finally:
        stop.set()
        writer.join()
    copied = content(target_url)
    assert len(copied["directory_entry"]) == len(copied["event"])


def test_memory_does_not_grow_with_the_store(source_url: str, target_url: str) -> None:
    table, count = tables.directory_entry, 6 * ROWS_AT_ONCE
    with Database(source_url) as database:
        for number in range(1, count + 1):
            database.write_now(partial(_insert, table=table, rows=[{"number": number, "entry": bytes(LARGE)}]))
    tracemalloc.start()
    assert copy_rows(source_url, target_url, TABLES) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * ROWS_AT_ONCE * LARGE
