"""What runtime.migrate promises, on SQLite and on PostgreSQL, with the migrations of a package made for the test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.errors import ConfigurationError, StoreTooNew
from exchange.runtime.database import Database
from exchange.runtime.migrate import differences, upgrade

PACKAGE = "store_of_a_test.migrations"

ENV = """
import sqlalchemy as sa
from exchange.runtime.migrate import migrate_here

migrate_here(sa.MetaData())
"""

MIGRATION = """
from alembic import op
import sqlalchemy as sa

revision = {number!r}
down_revision = {before!r}


def upgrade() -> None:
    {body}
"""

FIRST = 'op.create_table("rows", sa.Column("n", sa.Integer, primary_key=True))'
SECOND = """with op.batch_alter_table("rows") as table:
        table.add_column(sa.Column("word", sa.Text))"""
FAILING = """op.create_table("later", sa.Column("n", sa.Integer))
    op.execute("INSERT INTO missing VALUES (1)")"""

Add = Callable[[str, str], None]


@pytest.fixture
def add_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    folder = tmp_path / "site" / "store_of_a_test" / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    (folder / "__init__.py").touch()
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")

    def add(number: str, body: str) -> None:
        before = f"{int(number) - 1:04}" if int(number) > 1 else None
        text = MIGRATION.format(number=number, before=before, body=body)
        (folder / "versions" / f"{number}_test.py").write_text(text)

    yield add
    for name in [name for name in sys.modules if name.startswith("store_of_a_test")]:
        del sys.modules[name]


def columns(url: str) -> list[str]:
    with Database(url) as database:
        return database.read_now(lambda c: [found["name"] for found in sa.inspect(c).get_columns("rows")])


def tables(url: str) -> list[str]:
    with Database(url) as database:
        return sorted(database.read_now(lambda c: sa.inspect(c).get_table_names()))


def test_an_empty_store_gets_every_migration_and_a_second_run_none(database_url: str, add_migration: Add) -> None:
    add_migration("0001", FIRST)
    upgrade(database_url, PACKAGE)
    assert columns(database_url) == ["n"]
    add_migration("0002", SECOND)
    upgrade(database_url, PACKAGE)
    upgrade(database_url, PACKAGE)
    assert columns(database_url) == ["n", "word"]


def test_a_migration_that_fails_leaves_the_store_as_it_was(database_url: str, add_migration: Add) -> None:
    add_migration("0001", FIRST)
    upgrade(database_url, PACKAGE)
    add_migration("0002", SECOND)
    add_migration("0003", FAILING)
    with pytest.raises(sa.exc.DBAPIError):
        upgrade(database_url, PACKAGE)
    assert columns(database_url) == ["n"]
    assert tables(database_url) == ["alembic_version", "rows"]


def test_a_store_of_a_newer_version_is_refused_untouched(database_url: str, add_migration: Add) -> None:
    add_migration("0001", FIRST)
    upgrade(database_url, PACKAGE)
    with Database(database_url) as database:
        database.write_now(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'"))
    with pytest.raises(StoreTooNew, match="0002") as caught:
        upgrade(database_url, PACKAGE)
    assert "newer version" in caught.value.hint


def test_the_difference_between_tables_and_migrations_is_found(database_url: str, add_migration: Add) -> None:
    add_migration("0001", FIRST)
    upgrade(database_url, PACKAGE)
    metadata = sa.MetaData()
    rows = sa.Table("rows", metadata, sa.Column("n", sa.Integer, primary_key=True))
    assert differences(database_url, metadata) == []
    rows.append_column(sa.Column("word", sa.Text))
    assert len(differences(database_url, metadata)) == 1


@pytest.mark.parametrize("package", ["no_such_package.migrations", "exchange.runtime", "exchange.errors"])
def test_a_package_without_migrations_is_refused(tmp_path: Path, package: str) -> None:
    with pytest.raises(ConfigurationError, match="no migrations"):
        upgrade(f"sqlite:///{tmp_path / 'x.db'}", package)


def test_a_migration_that_breaks_references_is_refused(tmp_path: Path, add_migration: Add) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    add_migration(
        "0001",
        """op.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY REFERENCES rows (n))")
    op.execute("CREATE TABLE links (n INTEGER REFERENCES rows (n))")
    op.execute("INSERT INTO links VALUES (12345)")""",
    )
    with pytest.raises(ConfigurationError, match="references"):
        upgrade(url, PACKAGE)
    assert tables(url) == []
