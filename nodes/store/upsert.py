"""Rows in, many at once: INSERT with and without ON CONFLICT, which SQLAlchemy spells by dialect; numbers of rows.

A statement is made once and kept: to make it costs more than to run it. So the queries of the hot path stand in their
modules as constants, and take their values when they run. What is run once for each of many rows goes to the driver as
text: SQLAlchemy looks at every value of every row, which costs more than to store it, and no column here needs that.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

Row = Mapping[str, Any]
"""Column values by name; Any because columns differ."""


def row_of(value: Any) -> dict[str, Any]:
    """Return the fields of a value with slots by name, as dataclasses.asdict without copying what they hold."""
    return {name: getattr(value, name) for name in value.__slots__}


def one_of(column: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of the `values` with which a statement is run; Any: of any type."""
    return column.in_(bindparam("values", expanding=True))


def run_each(connection: Connection, statement: Insert | Update, rows: Sequence[Row]) -> None:
    """Run a statement once for each of these rows, which have the same names."""
    if not rows:
        return
    text, places = _text(connection.dialect, statement, tuple(rows[0]))
    if places is None:
        connection.exec_driver_sql(text, list(rows))
    else:
        connection.exec_driver_sql(text, [tuple(map(row.__getitem__, places)) for row in rows])


@lru_cache(maxsize=512)
def _text(dialect: Dialect, statement: Insert | Update, names: tuple[str, ...]) -> tuple[str, tuple[str, ...] | None]:
    """Return a statement as the driver takes it, and whose value stands where; None where the driver goes by name."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return compiled.string, None if compiled.positiontup is None else tuple(compiled.positiontup)


def insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, of which none may exist."""
    run_each(connection, _plain(table), rows)


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists takes its place."""
    if rows:
        run_each(connection, _replacing(connection.dialect.name, table, tuple(rows[0])), rows)


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists stays as it was."""
    run_each(connection, _keeping(connection.dialect.name, table), rows)


def next_number(connection: Connection, column: Column[int]) -> int:
    """Return the number after the highest one in `column`, from 1; safe because there is one writer."""
    return int(connection.execute(_highest(column)).scalar_one()) + 1


@cache
def _plain(table: Table) -> Insert:
    return insert(table)


@cache
def _replacing(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table)
    keys = {column.name for column in table.primary_key}
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


@cache
def _keeping(dialect: str, table: Table) -> Insert:
    return _insert(dialect, table).on_conflict_do_nothing(index_elements=list(table.primary_key))


@cache
def _highest(column: Column[int]) -> Select[int]:
    return select(func.coalesce(func.max(column), 0))


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
