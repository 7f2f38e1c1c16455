"""Stores that tests begin with are what the migrations make, though Alembic runs once for all of them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config

from exchange.relay.store.tables import metadata as relay_tables
from exchange.runtime.database import Database
from exchange.runtime.engine import is_sqlite, sqlite_url
from exchange.runtime.migrate import differences, examine, upgrade
from nodes.store.columns import metadata as node_tables
from tests.support import recorded

PACKAGES = {"exchange.relay.store.migrations": relay_tables, "nodes.store.migrations": node_tables}


ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def shape(url: str) -> object:
    """Return all that the database says of its tables, and every row that migrations wrote."""

    def read(connection: sa.Connection) -> object:
        tables = sa.inspect(connection)
        names = sorted(tables.get_table_names())
        asks: list[Callable[[str], object]] = [
            tables.get_columns,
            tables.get_pk_constraint,
            tables.get_foreign_keys,
            tables.get_unique_constraints,
            tables.get_check_constraints,
            tables.get_indexes,
            lambda name: connection.execute(sa.select(sa.text("*")).select_from(sa.table(name))).all(),
        ]
        found = {name: [ADDRESS.sub("", str(ask(name))) for ask in asks] for name in names}
        if connection.dialect.name == "sqlite":
            found[""] = [str(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master ORDER BY name").all())]
        return found

    with Database(url) as database:
        return database.read_now(read)


@pytest.fixture
def another_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> str:
    """The URL of another new, empty database of the same kind."""
    if is_sqlite(database_url):
        return sqlite_url(tmp_path / "another.db")
    url: str = request.getfixturevalue("another_postgres_url")
    return url


@pytest.mark.parametrize("package", PACKAGES)
def test_a_store_of_recorded_statements_is_the_one_that_the_migrations_make(
    package: str, database_url: str, another_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []

    def alembic(config: Config, revision: str) -> None:
        runs.append(revision)
        real(config, revision)

    real = recorded.alembic_upgrade
    monkeypatch.setattr(recorded, "alembic_upgrade", alembic)
    monkeypatch.setattr(recorded, "_recorded", {})
    upgrade(database_url, package)
    upgrade(another_url, package)
    assert runs == ["head"]
    assert shape(another_url) == shape(database_url)
    assert examine(another_url, package)
    assert differences(another_url, PACKAGES[package]) == []


def test_a_store_that_holds_something_is_migrated_by_alembic(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    upgrade(database_url, "nodes.store.migrations")
    monkeypatch.setattr(recorded, "alembic_upgrade", lambda _config, revision: runs.append(revision))
    upgrade(database_url, "nodes.store.migrations")
    assert runs == ["head"]
