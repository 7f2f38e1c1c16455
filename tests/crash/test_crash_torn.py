"""A write-ahead log that is torn after kill -9, at its last frames: what SQLite, relay and node then do.

A write that was under way when the power went was acknowledged to nobody: whatever is left of its frames, the store
opens with everything before it. A disk that lies says that it wrote and has not: then acknowledged transactions are
gone, the newest ones and no others, because every frame is chained to the one before. Nothing in the file says so; what
says so is what was handed out. The relay compares its store with the checkpoints that it keeps beside it, and does not
start. A node's lost reports are missing in its sender's streams, and are asked for with the next that comes or is told;
that the node has forgotten which numbers it used itself is an alarm at its partner. Such a store is to be restored from
a backup (docs/operations/node.md), which begins anew under another stream.
"""

import multiprocessing
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection

from exchange.errors import ConfigurationError
from exchange.relay.app import running as relay_running
from exchange.relay.home import RelayHome
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.lifecycle import Drain
from nodes import alarms
from nodes.parts import Node
from tests.crash.test_crash_relay import KILLED
from tests.support.losses import EAGER, eager, whole
from tests.support.node_world import at, open_alarms, push, ready, receipted, stored, until
from tests.support.relay_world import World, a_world, secrets, settings

WRITES = 12
FRAME_BYTES = 24 + 4096
"""Of a frame in the log: its header, and a page."""

WAL_HEADER_BYTES = 32


def write(path: Path) -> None:
    """Commit some transactions, each acknowledged in a file, and die as kill -9 does."""
    with Database(sqlite_url(path)) as database:
        database.write_now(lambda connection: connection.exec_driver_sql("CREATE TABLE kept (number, data)") and None)
        for number in range(WRITES):

            def insert(connection: Connection, number: int = number) -> None:
                connection.exec_driver_sql("INSERT INTO kept VALUES (?, ?)", (number, os.urandom(9_000)))

            database.write_now(insert)
            path.with_name("acknowledged").write_text(str(number))
        os._exit(KILLED)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a killed process has left."""
    path: Path = tmp_path_factory.mktemp("torn") / "store.db"
    process = multiprocessing.get_context("spawn").Process(target=write, args=(path,))
    process.start()
    process.join(300)
    assert process.exitcode == KILLED and path.with_name("acknowledged").read_text() == str(WRITES - 1)
    return path


def torn(left: Path, to: Path, wal: bytes) -> list[int]:
    """Open a copy with another write-ahead log; return what is there. The file must be sound."""
    copy = to / "store.db"
    shutil.copy(left, copy)
    copy.with_name("store.db-wal").write_bytes(wal)
    with Database(sqlite_url(copy)) as database:
        found = database.read_now(
            lambda c: [row[0] for row in c.exec_driver_sql("SELECT number FROM kept ORDER BY rowid")]
        )
        assert database.read_now(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar_one()) == "ok"
        database.write_now(lambda c: c.exec_driver_sql("INSERT INTO kept VALUES (99, '')") and None)
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (len(found) + 1,)
    return found


def log_of(left: Path) -> bytes:
    return left.with_name("store.db-wal").read_bytes()


@pytest.mark.parametrize("cut", [1, 23, 24, 1_000, FRAME_BYTES - 1, FRAME_BYTES], ids=lambda cut: f"{cut} bytes")
def test_what_is_left_of_a_write_under_way_changes_nothing(left: Path, tmp_path: Path, cut: int) -> None:
    wal = log_of(left)
    # The next transaction's first frame, as far as it came: of this log's form, and chained to nothing.
    frame = wal[-FRAME_BYTES:]
    assert torn(left, tmp_path, wal + frame[:cut]) == list(range(WRITES))


@pytest.mark.parametrize("where", [1, 24, 2_000, FRAME_BYTES, 3 * FRAME_BYTES + 17, 7 * FRAME_BYTES - 5])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_disk_that_lied_takes_the_newest_transactions_and_no_others(
    left: Path, tmp_path: Path, where: int, how: str
) -> None:
    wal = bytearray(log_of(left))
    if how == "cut":
        del wal[len(wal) - where :]
    else:
        wal[len(wal) - where] ^= 1
    found = torn(left, tmp_path, bytes(wal))
    assert found == list(range(len(found))), "what is there is what was committed first, without a hole"
    assert len(found) < WRITES, "the newest commit is gone with any of its frames"
    lost = -(-where // FRAME_BYTES)
    assert len(found) >= WRITES - lost, "each commit has a frame at least: no more are gone than frames were torn"


def test_a_log_without_its_beginning_is_no_log(left: Path, tmp_path: Path) -> None:
    """All that was not folded into the file is gone, and an empty store says that it is one."""
    copy = tmp_path / "store.db"
    shutil.copy(left, copy)
    copy.with_name("store.db-wal").write_bytes(bytes(WAL_HEADER_BYTES) + log_of(left)[WAL_HEADER_BYTES:])
    with Database(sqlite_url(copy)) as database:
        assert database.read_now(lambda c: c.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()) == 0


def as_killed(home: RelayHome, to: Path) -> RelayHome:
    """Return a copy of a running relay's home: what kill -9 would leave."""
    shutil.copytree(home.root, to, ignore=shutil.ignore_patterns("*.sock", "lock", "*-shm"))
    return RelayHome(to)


async def started(home: RelayHome) -> None:
    async with relay_running(home, settings(), secrets(), Drain()):
        return


async def entries_handed_out(world: World) -> None:
    """Let the relay log something, and hand out the checkpoint of it."""
    await world.join("XA")
    await world.mirror()


async def test_a_relay_whose_log_was_torn_behind_what_it_handed_out_does_not_start(tmp_path: Path) -> None:
    async with a_world() as world:
        await entries_handed_out(world)
        sound, behind = as_killed(world.home, tmp_path / "sound"), as_killed(world.home, tmp_path / "behind")
    await started(sound)
    wal = behind.root / "relay.db-wal"
    whole = wal.read_bytes()
    with pytest.raises(ConfigurationError, match="does not continue"):
        # As far back as it takes until an entry is gone that a checkpoint covers.
        for frames in range(1, len(whole) // FRAME_BYTES):
            wal.write_bytes(whole[: len(whole) - frames * FRAME_BYTES])
            attempt = as_killed(behind, tmp_path / f"behind-{frames}")
            await started(attempt)
            shutil.rmtree(attempt.root)


async def test_a_node_whose_store_was_torn_misses_what_it_had_and_asks_for_it(tmp_path: Path) -> None:
    async with eager("XA") as (world, running):
        sender, place = running["XA"], await world.place("XV", timing=EAGER)
        await world.relay.agree("XA", "XV")
        async with at(place) as node:
            await ready(sender, ["XV"])
            await ready(node, ["XA"])
            item = (await push(sender, "XV")).item
            await receipted(sender, item, "XV")
            killed = tmp_path / "killed"
            shutil.copytree(place.home, killed, ignore=shutil.ignore_patterns("*.sock", "lock", "*-shm"))
        place.home = without(killed, item)
        async with at(place) as node:
            assert await stored(node, item) is None, "the disk has lied"
            second = (await push(sender, "XV", key="next", name="next")).item
            await receipted(sender, second, "XV")
            await until(lambda: has(node, item), "it does not come back")
            await whole(node, "XA")
            assert await open_alarms(sender) == [alarms.SENDER], "numbers that were used and are lost are used twice"


async def has(node: Node, item: bytes) -> bool:
    return await stored(node, item) is not None


def without(killed: Path, item: bytes) -> Path:
    """Return a copy of a node's home whose log is cut as little as it takes to lose a report."""
    whole_ = (killed / "node.db-wal").read_bytes()
    for frames in range(1, len(whole_) // FRAME_BYTES):
        home = killed.with_name(f"torn-{frames}")
        shutil.copytree(killed, home)
        (home / "node.db-wal").write_bytes(whole_[: len(whole_) - frames * FRAME_BYTES])
        with sqlite3.connect(home / "node.db") as connection:
            gone = connection.execute("SELECT 1 FROM report WHERE item = ?", (item,)).fetchone() is None
        if gone:
            return home
        shutil.rmtree(home)
    raise AssertionError("the report was not in the log")
