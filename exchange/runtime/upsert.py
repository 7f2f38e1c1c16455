"""Rows in, many at once: INSERT with and without ON CONFLICT, which SQLAlchemy spells by dialect; numbers of rows.

A statement is made once and kept: to make it costs more than to run it. So the queries of the hot path stand in their
modules as constants, take their values when they run, and go straight to the driver (exchange/runtime/prepared.py).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Insert, Select, Table, and_, bindparam, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from exchange.runtime.prepared import Row, fetch, run_each


def row_of(value: Any) -> dict[str, Any]:
    """Return the fields of a value with slots by name, as dataclasses.asdict without copying what they hold."""
    return {name: getattr(value, name) for name in value.__slots__}


def columns_of(kind: type, table: Table) -> list[Column[Any]]:
    """Return a table's columns in the order of the fields of a class with slots, so that a row is `kind(*row)`."""
    return [table.c[name] for name in kind.__slots__]  # type: ignore[attr-defined]  # of every dataclass with slots


def one_of(column: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of the `values` with which a statement is run; Any: of any type."""
    return column.in_(bindparam("values", expanding=True))


def insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, of which none may exist."""
    run_each(connection, _plain(table), rows)


def insert_next(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows that bear no `number`: each gets the one after the highest, from 1; there is one writer."""
    if rows:
        run_each(connection, _numbered(table, tuple(rows[0])), rows)


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists takes its place."""
    if rows:
        run_each(connection, _replacing(connection.dialect.name, table, tuple(rows[0])), rows)


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert rows; one whose key exists stays as it was. Return how many are new."""
    return run_each(connection, _keeping(connection.dialect.name, table), rows)


def add_up(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; what they say is added to the row whose key exists."""
    if rows:
        run_each(connection, _adding(connection.dialect.name, table, tuple(rows[0])), rows)


def rise(connection: Connection, table: Table, row: Row) -> None:
    """Insert a row; what it says takes the place of what is there when it is higher, in every column."""
    run_each(connection, _rising(connection.dialect.name, table, tuple(row)), [row])


def next_number(connection: Connection, column: Column[int]) -> int:
    """Return the number after the highest one in `column`, from 1; safe because there is one writer."""
    ((highest,),) = fetch(connection, _highest(column))
    return int(highest) + 1


@cache
def _plain(table: Table) -> Insert:
    return insert(table)


@cache
def _numbered(table: Table, names: tuple[str, ...]) -> Insert:
    following = select(func.coalesce(func.max(table.c.number), 0) + 1).scalar_subquery()
    return insert(table).inline().values({**{name: bindparam(name) for name in names}, "number": following})


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
def _adding(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table)
    sums = {name: table.c[name] + statement.excluded[name] for name in names if not table.c[name].primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums)


@cache
def _rising(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table)
    changed = {name: statement.excluded[name] for name in names if not table.c[name].primary_key}
    higher = and_(*(value > table.c[name] for name, value in changed.items()))
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed, where=higher)


@cache
def _highest(column: Column[int]) -> Select[int]:
    return select(func.coalesce(func.max(column), 0))


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
