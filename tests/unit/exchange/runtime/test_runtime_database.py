"""What only the embedded database does, and what only a broken one shows."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.errors import ConfigurationError, StorageFull, Unavailable
from exchange.runtime.database import Database
from exchange.runtime.engine import PAGE_CACHE_KIB, sqlite_url

BIG = 200_000
SECRET = b"\x07the-key-that-must-be-gone-once-deleted\x07"


def make_table(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE rows (n INTEGER PRIMARY KEY, data BLOB)")


def add(connection: sa.Connection) -> None:
    connection.exec_driver_sql("INSERT INTO rows (data) VALUES (zeroblob(10))")


def add_big(connection: sa.Connection) -> None:
    connection.exec_driver_sql("INSERT INTO rows (data) VALUES (zeroblob(?))", (BIG,))


def count(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM rows").scalar_one())


def room_for(pages: int) -> Callable[[sa.Connection], None]:
    """What makes SQLite say that the disk is full, as long as the writer's connection lives."""

    def limit(connection: sa.Connection) -> None:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={used + pages}")

    return limit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with Database(sqlite_url(path)) as opened:
        opened.write_now(make_table)
        yield opened


async def test_a_full_disk_refuses_what_does_not_fit_and_keeps_the_rest(database: Database) -> None:
    await database.write(room_for(3))
    outcomes = await asyncio.gather(
        database.write(add), database.write(add_big), database.write(add), return_exceptions=True
    )
    assert isinstance(outcomes[1], StorageFull) and outcomes[1].retryable
    kept = sum(outcome is None for outcome in outcomes)
    assert await database.read(count) == kept
    await database.write(room_for(1000))
    await database.write(add_big)
    assert await database.read(count) == kept + 1


def test_another_process_that_holds_the_database_makes_it_unavailable_for_a_while(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hurry(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")

    database.write_now(hurry)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("exchange.runtime.engine.BUSY_S", 0.001)
    with pytest.raises(Unavailable):
        database.write_now(add)
    other.execute("ROLLBACK")
    other.close()
    database.write_now(add)
    assert database.read_now(count) == 1


def test_a_lost_connection_fails_its_group_and_the_writer_goes_on(database: Database) -> None:
    def cut(connection: sa.Connection) -> None:
        inner = connection.connection.dbapi_connection
        assert inner is not None
        inner.close()

    with pytest.raises(Exception, match="closed"):
        database.write_now(cut)
    database.write_now(add)
    assert database.read_now(count) == 1


@pytest.mark.parametrize("damage", [b"this is no database file" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_file_stops_the_start(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(ConfigurationError), Database(sqlite_url(path)):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://localhost/x",
        "postgresql://localhost/x",
        "postgresql+psycopg://user:hunter2@localhost/x",
        "nonsense",
    ],
)
def test_a_url_that_we_do_not_serve_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


def test_a_directory_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Database(sqlite_url(tmp_path / "missing" / "x.db"))


def test_the_files_are_ours_alone(database: Database, path: Path) -> None:
    database.write_now(add)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"test.db": 0o600, "test.db-wal": 0o600, "test.db-shm": 0o600}


def test_pages_that_a_connection_keeps_are_bounded_by_us(database: Database) -> None:
    kept = -PAGE_CACHE_KIB
    assert database.write_now(lambda c: c.exec_driver_sql("PRAGMA cache_size").scalar_one()) == kept
    assert database.read_now(lambda c: c.exec_driver_sql("PRAGMA cache_size").scalar_one()) == kept


@pytest.mark.parametrize("pragma, value", [("synchronous", 2), ("foreign_keys", 1), ("journal_mode", "wal")])
def test_the_writer_flushes_and_checks_references(database: Database, pragma: str, value: object) -> None:
    assert database.write_now(lambda c: c.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()) == value


async def test_a_deleted_secret_is_gone_from_the_file_and_from_its_log(path: Path) -> None:
    def insert(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO rows (data) VALUES (?)", (SECRET,))

    def delete(connection: sa.Connection) -> None:
        connection.exec_driver_sql("DELETE FROM rows")

    def found() -> bool:
        return any(SECRET in file.read_bytes() for file in path.parent.iterdir())

    with Database(sqlite_url(path), secure_delete=True) as database:
        await database.write(make_table)
        await database.write(insert)
        assert found()
        await database.write(delete)
        assert found(), "the log still holds it: this test would notice"
        await database.checkpoint_truncate()
        assert not found()
        database.write_now(insert)
        database.write_now(delete)
        database.checkpoint_truncate_now()
        assert not found()


async def test_the_log_cannot_be_emptied_while_a_reader_needs_it(database: Database) -> None:
    def hurry(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")

    def look(connection: sa.Connection) -> None:
        count(connection)
        database.write_now(add)
        with pytest.raises(Unavailable, match="reader"):
            database.checkpoint_truncate_now()

    await database.write(hurry)
    await database.write(add)
    await database.read(look)
    await database.checkpoint_truncate()


async def test_emptying_the_log_keeps_its_place_among_the_writes(database: Database) -> None:
    calls = [database.write(add) for _ in range(20)]
    calls.insert(10, database.checkpoint_truncate())
    await asyncio.gather(*calls)
    assert await database.read(count) == 20
