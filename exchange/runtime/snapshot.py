"""Copy a database that is in use: one unchanging view of it, whole or in part.

An embedded one into a new file, or the rows of tables from a store of either kind into an empty one of either kind. All
write the copy anew, row by row, so nothing of a deleted row comes along in a free page.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from exchange.errors import ConfigurationError, Conflict
from exchange.runtime.engine import Use, make_engine, our_errors

BUSY_S = 30.0

ROWS_AT_ONCE = 16
"""Rows that are in memory together; the largest hold a submission, 2 MiB."""


def copy_whole(source: Path, target: Path) -> None:
    """Copy a database to a new file that only we may read.

    Raises:
        ConfigurationError: there is none, or it is damaged.
        StorageFull, Unavailable: the disk is full, or it cannot be read now.
    """
    _make(target)
    with our_errors(), _reading(source) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def copy_tables(source: Path, target: Path, tables: Collection[str]) -> None:
    """Copy some tables, and nothing else, to a new database that only we may read; raises as `copy_whole`."""
    _make(target)
    with our_errors(), closing(sqlite3.connect(target, timeout=BUSY_S, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS source", (_read_only(source),))
        connection.execute("BEGIN")
        for name, sql in _definitions(connection, tables):
            connection.execute(sql)
            connection.execute(f'INSERT INTO main."{name}" SELECT * FROM source."{name}"')  # noqa: S608 - our own names
        connection.execute("COMMIT")
        connection.execute("DETACH source")


def copy_rows(source: str, target: str, tables: Sequence[sa.Table]) -> int:
    """Copy all rows of these tables from one store to another of the same version, by URL; return how many.

    The source is seen as it is at one moment and may be in use; in the target all rows appear together or none does.

    Raises:
        Conflict: the target holds rows already.
        StorageFull, Unavailable, ConfigurationError: one of them cannot be used now.
    """
    reading, writing = make_engine(source, Use.READ), make_engine(target, Use.WRITE)
    try:
        with our_errors(), reading.connect() as old, old.begin(), writing.connect() as new, new.begin():
            for table in tables:
                if new.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                    raise Conflict(f"the database holds something already: {table.name}", hint="name an empty one")
            return sum(_copy_table(old, new, table) for table in tables)
    finally:
        reading.dispose()
        writing.dispose()


def _copy_table(old: sa.Connection, new: sa.Connection, table: sa.Table) -> int:
    count = 0
    found = old.execute(sa.select(table), execution_options={"yield_per": ROWS_AT_ONCE})
    for rows in found.mappings().partitions():
        new.execute(sa.insert(table), [dict(row) for row in rows])
        count += len(rows)
    return count


def _definitions(connection: sqlite3.Connection, tables: Collection[str]) -> list[tuple[str, str]]:
    found = connection.execute("SELECT name, sql FROM source.sqlite_master WHERE type = 'table'").fetchall()
    return [(name, sql) for name, sql in found if name in tables]


@contextmanager
def _reading(source: Path) -> Iterator[sqlite3.Connection]:
    if not source.exists():
        raise ConfigurationError(f"{source} is missing", hint="check --home")
    with closing(sqlite3.connect(_read_only(source), uri=True, timeout=BUSY_S, isolation_level=None)) as connection:
        yield connection


def _read_only(source: Path) -> str:
    return f"{source.resolve().as_uri()}?mode=ro"


def _make(target: Path) -> None:
    """Make an empty file before anything is written into it, so that nobody else ever may read it."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
