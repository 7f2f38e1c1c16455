"""Statements that are compiled once and then handed to the driver: for what runs with every frame.

To run a statement through SQLAlchemy costs ten times what an embedded database needs for it. Here its text is made once
for each kind of database; values go to the driver as they are, and rows come back as plain tuples in the order of the
columns. So it is for columns that drivers take and give as we hold them: numbers, text and bytes; a truth value may be
written, and comes back from SQLite as a number. Errors are SQLAlchemy's.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

from exchange.errors import InternalError

Row = Mapping[str, Any]
"""Values by name; Any because columns differ."""

Tuple = tuple[Any, ...]
"""A row that was found; Any because columns differ."""

AMONG_MOST = 64
"""Values that one query looks for; of more, so many at a time."""


class _Prepared(NamedTuple):
    text: str
    fixed: Row
    """Values that stand in the statement itself."""


def fetch(connection: Connection, statement: Select[Any], **given: Any) -> list[Tuple]:
    """Return the rows of a query that is run with these values; Any because columns differ."""
    return _fetch(connection, _prepared(statement, connection.dialect.name), given)


def fetch_among(connection: Connection, statement: Select[Any], values: Sequence[Any], **given: Any) -> list[Tuple]:
    """Return the rows of a query with a condition `one_of`, for these values; none for none. Any: of any type."""
    found: list[Tuple] = []
    for at in range(0, len(values), AMONG_MOST):
        some = values[at : at + AMONG_MOST]
        # The text of a query names each value: few lengths, so that few texts are kept. A repeat finds nothing more.
        count = 1 << (len(some) - 1).bit_length()
        wanted = dict(zip(_names(count), [*some, *[some[-1]] * (count - len(some))], strict=True))
        found += _fetch(connection, _prepared(statement, connection.dialect.name, count), given | wanted)
    return found


def run_each(connection: Connection, statement: UpdateBase, rows: Sequence[Row]) -> int:
    """Run a statement once for each of these rows, which all name the same columns; return how many rows it changed."""
    if not rows:
        return 0
    text, fixed = _prepared(statement, connection.dialect.name, columns=tuple(rows[0]))
    return _run_many(connection, text, [{**fixed, **row} for row in rows] if fixed else rows)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Tuple]) -> None:
    """Insert rows that have a value for every column, in the order of the columns; none of them may exist."""
    if rows:
        _run_many(connection, _insert(connection.dialect.name, table), rows)


def _run_many(connection: Connection, text: str, rows: Sequence[Row] | Sequence[Tuple]) -> int:
    try:
        cursor = _driver(connection).cursor()
        if len(rows) == 1:
            cursor.execute(text, rows[0])
        else:
            cursor.executemany(text, rows)
        changed = int(cursor.rowcount)
        if len(rows) > 1 and connection.dialect.name == "postgresql":
            # It sends many rows as one pipeline, after which the server does not watch for silence (engine.HOLDER_S).
            cursor.execute("SELECT 1")
        cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:
        raise _of_sqlalchemy(connection, text, error) from error
    return changed


def _fetch(connection: Connection, prepared: _Prepared, given: Row) -> list[Tuple]:
    try:
        found: list[Tuple] = _driver(connection).execute(prepared.text, {**prepared.fixed, **given}).fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        raise _of_sqlalchemy(connection, prepared.text, error) from error
    return found


def _driver(connection: Connection) -> Any:
    """Return the driver's connection. Any: two drivers, the same methods."""
    if not connection.in_transaction():
        raise InternalError("a store function was called outside a transaction")
    return connection.connection.dbapi_connection


def _of_sqlalchemy(connection: Connection, text: str, error: Exception) -> BaseException:
    dialect = connection.dialect
    return DBAPIError.instance(text, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect)


@cache
def _prepared(
    statement: Select[Any] | UpdateBase, database: str, among: int | None = None, *, columns: tuple[str, ...] = ()
) -> _Prepared:
    """Return a statement in the words of a kind of database; `among` so many values where it has a `one_of`."""
    compiled = statement.compile(dialect=_dialect(database), column_keys=list(columns) or None)
    text, values = str(compiled), compiled.params
    if among is not None:
        text = compiled.construct_expanded_state({**values, "values": [None] * among}).statement
    return _Prepared(text, {name: value for name, value in values.items() if isinstance(value, int | str | bytes)})


@cache
def _insert(database: str, table: Table) -> str:
    mark = "%s" if database == "postgresql" else "?"
    columns = [column.name for column in table.columns]
    # Names of our own tables and columns, nothing else: values are bound.
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - see above


@cache
def _names(count: int) -> tuple[str, ...]:
    """Return what SQLAlchemy calls the values of a `one_of` with so many."""
    return tuple(f"values_{number}" for number in range(1, count + 1))


@cache
def _dialect(database: str) -> Dialect:
    if database == "postgresql":
        return psycopg.dialect()  # type: ignore[no-untyped-call]  # it has no types
    return sqlite.dialect(paramstyle="named")
