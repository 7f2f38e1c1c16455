"""Statements of the hot path, run by the database's driver itself.

Each is made of a table or of a SQLAlchemy statement, once for each kind of database, and run as text from then on:
SQLAlchemy's way from a statement to the driver takes twice the time of the statement. Types are the driver's own, so
this is for numbers, texts and bytes. Nothing is ever put into the text: values are bound.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Executable, Table
from sqlalchemy.sql import ClauseElement

Values = Mapping[str, Any]
"""Values by the name of their parameter; Any because they differ in type."""


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for every column, in the order of the columns; Any because columns differ."""
    if rows:
        connection.exec_driver_sql(_insert(connection.dialect.name, table), list(rows))


def run(connection: Connection, statement: Executable, values: Values) -> CursorResult[Any]:
    """Run a statement that is kept for ever, a constant of its module. Any: rows come as the driver gives them."""
    text, names, constants = _text(connection.dialect, statement)
    given = {**constants, **values}
    return connection.exec_driver_sql(text, given if names is None else tuple(given[name] for name in names))


@cache
def _insert(dialect: str, table: Table) -> str:
    mark = "%s" if dialect == "postgresql" else "?"
    columns = [column.name for column in table.columns]
    # Names of our own tables and columns, nothing else.
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - see above


@lru_cache(maxsize=512)
def _text(dialect: Dialect, statement: ClauseElement) -> tuple[str, tuple[str, ...] | None, Values]:
    """Return the text, its parameters in their order, None where they have names in it, and its constants."""
    compiled = statement.compile(dialect=dialect)
    names = getattr(compiled, "positiontup", None)
    return str(compiled), tuple(names) if names is not None else None, compiled.params
