"""A full disk is refused and loses nothing, on SQLite and on PostgreSQL; with room again, it goes on by itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from exchange.errors import ExchangeError, StorageFull, Unavailable
from exchange.relay.app import MIGRATIONS
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from tests.contract.test_contract_relay_store import XA, XV, acknowledge, an_envelope, positions
from tests.support import postgres
from tests.support.small_disk import SmallDisk, a_small_disk, cannot_mount

BODY = 200_000
MOST = 1_000


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    if why := cannot_mount():
        pytest.skip(why)
    with a_small_disk(48) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, disk: SmallDisk) -> Iterator[str]:
    """A relay's store on a small disk; of a server only this database lies there, not its write-ahead log."""
    if request.param == "sqlite":
        made = sqlite_url(disk.root / "relay.db")
        upgrade(made, MIGRATIONS)
        yield made
        return
    server: postgres.Server = request.getfixturevalue("postgres_server")
    folder = disk.root / "pg"
    folder.mkdir(mode=0o700)
    disk.root.chmod(0o711)
    if server.handle.system_user is not None:
        shutil.chown(folder, server.handle.system_user)
    server.run(f"CREATE TABLESPACE small LOCATION '{folder}'")
    server.run("CREATE DATABASE small TABLESPACE small")
    made = sa.make_url(server.url).set(database="small").render_as_string(hide_password=False)
    upgrade(made, MIGRATIONS)
    yield made
    server.run("DROP DATABASE small WITH (FORCE)")
    server.run("DROP TABLESPACE small")


def deposit(connection: sa.Connection, number: int, sequencer: Sequencer) -> int:
    """Do what an acceptance does: a place in the log, the envelope, a row, its bytes counted."""
    at = sequencer.append(SqlLogs(connection), Log.TRAFFIC, [b"entry %d" % number])
    SqlMailboxes(connection).deposit([an_envelope(number, body=Random(number).randbytes(BODY))])
    return at


def test_what_no_longer_fits_is_refused_as_a_whole_and_what_was_answered_stays(url: str, disk: SmallDisk) -> None:
    sequencer, answered = Sequencer(), list[int]()
    with Database(url) as database:
        disk_full: ExchangeError | None = None
        for number in range(1, MOST):
            try:
                assert database.write_now(lambda c, n=number: deposit(c, n, sequencer)) == len(answered)  # type: ignore[misc]
                answered.append(number)
            except StorageFull as error:
                disk_full = error
                break
        assert disk_full is not None and "nothing was lost" in disk_full.hint
        assert len(answered) > 10
        # Readers go on; nothing of the refused one is there, in the log, the mailbox or the count.
        assert positions(database, XV)[: len(answered)] == answered[:100]
        assert database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC)).size == len(answered)
        held = database.read_now(lambda c: SqlMailboxes(c).held_bytes_of(XA))
        assert held == sum(an_envelope(n, body=bytes(BODY)).size for n in answered)
    with Database(url) as database:
        assert database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC)).size == len(answered)


def test_when_there_is_room_again_the_same_connection_goes_on(url: str, disk: SmallDisk) -> None:
    sequencer = Sequencer()
    with Database(url) as database:
        database.write_now(lambda c: deposit(c, 1, sequencer))
        disk.fill()
        refused = 0
        for number in range(2, MOST):
            try:
                database.write_now(lambda c, n=number: deposit(c, n, sequencer))  # type: ignore[misc]
            except (StorageFull, Unavailable):
                refused += 1
                if refused == 3:
                    break
        assert refused == 3
        size = database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC)).size
        disk.empty()
        assert database.write_now(lambda c: deposit(c, MOST, sequencer)) == size
        assert acknowledge(database, XV, MOST) == size + 1
        assert len(database.write_now(lambda c: SqlMailboxes(c).delete_done(MOST, 1 << 30))) == size + 1


def test_a_file_that_may_not_grow_is_full_without_a_disk_of_its_own(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "relay.db")
    upgrade(url, MIGRATIONS)
    sequencer, answered = Sequencer(), 0
    with Database(url) as database:
        pages = database.write_now(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
        database.write_now(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages + 500}").scalar_one())
        with pytest.raises(StorageFull):
            for number in range(1, MOST):
                database.write_now(lambda c, n=number: deposit(c, n, sequencer))  # type: ignore[misc]
                answered += 1
        assert database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC)).size == answered > 5
        database.write_now(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").scalar_one())
        assert database.write_now(lambda c: deposit(c, MOST, sequencer)) == answered
