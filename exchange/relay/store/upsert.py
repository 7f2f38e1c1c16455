"""INSERT ... ON CONFLICT, which SQLite and PostgreSQL both speak and SQLAlchemy spells by dialect.

A statement is made once and kept: to make it costs more than to run it. So the queries of the hot path stand in their
modules as constants, and take their values when they run.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Insert, Table, and_, bindparam
from sqlalchemy.dialects import postgresql, sqlite

from exchange.relay.store.driver import run

Row = Mapping[str, Any]
"""Column values by name; Any because columns differ."""


def one_of(column: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of the `values` with which a statement is run; Any: of any type."""
    return column.in_(bindparam("values", expanding=True))


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists takes its place."""
    for row in rows:
        run(connection, _replacing(connection.dialect.name, table, tuple(row)), row)


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists stays as it was."""
    if rows:
        connection.execute(_keeping(connection.dialect.name, table), rows)


def add_up(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; what they say is added to the row whose key exists."""
    for row in rows:
        run(connection, _adding(connection.dialect.name, table, tuple(row)), row)


def rise(connection: Connection, table: Table, row: Row) -> None:
    """Insert a row; what it says takes the place of what is there when it is higher, in every column."""
    run(connection, _rising(connection.dialect.name, table, tuple(row)), row)


@cache
def _replacing(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table).values({name: bindparam(name) for name in names})
    changed = {name: statement.excluded[name] for name in names if not table.c[name].primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


@cache
def _keeping(dialect: str, table: Table) -> Insert:
    return _insert(dialect, table).on_conflict_do_nothing(index_elements=list(table.primary_key))


@cache
def _adding(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table).values({name: bindparam(name) for name in names})
    sums = {name: table.c[name] + statement.excluded[name] for name in names if not table.c[name].primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums)


@cache
def _rising(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, table).values({name: bindparam(name) for name in names})
    changed = {name: statement.excluded[name] for name in names if not table.c[name].primary_key}
    higher = and_(*(value > table.c[name] for name, value in changed.items()))
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed, where=higher)


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
