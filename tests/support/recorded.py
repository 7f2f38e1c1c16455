"""A new store's migrations, computed once: hundreds of tests begin with an empty store, each at the same revision.

The first time that the migrations of a package run on an empty database of a kind, what makes the same store is kept,
and every other empty database executes that, without Alembic's work of coming to it. Of SQLite that is what the file
says of itself at the end, and its rows; of a server, each statement that the migrations executed. A database that
holds anything, and every package that a test makes, is migrated by Alembic as always.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event

PACKAGES = ("exchange/relay/store/migrations", "nodes/store/migrations")
"""Where the migrations lie that are recorded."""

ASKS = ("SELECT", "PRAGMA", "SHOW")
"""Statements that change nothing."""

Statements = list[tuple[str, Any]]
"""Statements and their parameters. Any: they are what the driver takes."""

alembic_upgrade: Callable[[Config, str], None] = command.upgrade
_recorded: dict[tuple[str, str], Statements] = {}


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
        _recorded[key] = _as_it_is(connection) if connection.dialect.name == "sqlite" else statements
        return
    # By the driver itself: of the time that a statement takes through SQLAlchemy, most is not the database's.
    with closing(connection.connection.cursor()) as cursor:
        for statement, parameters in _recorded[key]:
            cursor.execute(statement, *([parameters] if parameters else []))


@contextmanager
def _recording(connection: sa.Connection) -> Iterator[Statements]:
    """Collect what this connection executes. Any: parameters are what the driver takes."""
    statements: Statements = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if not statement.lstrip().upper().startswith(ASKS):
            statements.append((statement, parameters or None))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(connection, "before_cursor_execute", note)


def _as_it_is(connection: sa.Connection) -> Statements:
    """Return what makes an SQLite database like this one: tables, their rows, and what follows from them."""
    made = connection.exec_driver_sql("SELECT type = 'table', name, sql FROM sqlite_master WHERE sql NOT NULL").all()
    tables = [(name, sql) for is_table, name, sql in made if is_table and not name.startswith("sqlite_")]
    rows: Statements = []
    for name, _ in tables:
        for row in connection.exec_driver_sql(f"SELECT * FROM {name}"):  # noqa: S608 - a name of our own
            rows.append((f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", tuple(row)))  # noqa: S608
    return [*((sql, None) for _, sql in tables), *rows, *((sql, None) for is_table, _, sql in made if not is_table)]
