"""INSERT ... ON CONFLICT, which SQLite and PostgreSQL both speak and SQLAlchemy spells by dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = Mapping[str, Any]
"""Column values by name; Any because columns differ."""


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists takes its place."""
    if rows:
        statement = _insert(connection, table)
        keys = {column.name for column in table.primary_key}
        changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), rows)


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key exists stays as it was."""
    if rows:
        statement = _insert(connection, table)
        connection.execute(statement.on_conflict_do_nothing(index_elements=list(table.primary_key)), rows)


def add_up(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; what they say is added to the row whose key exists."""
    if rows:
        statement = _insert(connection, table)
        keys = {column.name for column in table.primary_key}
        sums = {name: table.c[name] + statement.excluded[name] for name in rows[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums), rows)


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
