"""A new store's migrations, computed once: hundreds of tests begin with an empty store, each at the same revision.

The first time that the migrations of a package run on an empty database of a kind, each statement that they execute is
recorded; every other empty database executes the same statements, without Alembic's work of coming to them. A database
that holds anything, and every package that a test makes, is migrated by Alembic as always.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event

PACKAGES = ("exchange/relay/store/migrations", "nodes/store/migrations")
"""Where the migrations lie that are recorded."""

ASKS = ("SELECT", "PRAGMA", "SHOW")
"""Statements that change nothing."""

alembic_upgrade: Callable[[Config, str], None] = command.upgrade
_recorded: dict[tuple[str, str], list[tuple[str, Any]]] = {}


def upgrade(config: Config, revision: str) -> None:
    """Be alembic.command.upgrade."""
    connection: sa.Connection = config.attributes["connection"]
    place = config.get_main_option("script_location") or ""
    if not place.endswith(PACKAGES) or sa.inspect(connection).get_table_names():
        alembic_upgrade(config, revision)
        return
    key = (place, connection.dialect.name)
    if key not in _recorded:
        with _recording(connection) as statements:
            alembic_upgrade(config, revision)
        _recorded[key] = statements
        return
    for statement, parameters in _recorded[key]:
        connection.exec_driver_sql(statement, parameters)


@contextmanager
def _recording(connection: sa.Connection) -> Iterator[list[tuple[str, Any]]]:
    """Collect what this connection executes. Any: parameters are what the driver takes."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if not statement.lstrip().upper().startswith(ASKS):
            statements.append((statement, parameters or None))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(connection, "before_cursor_execute", note)
