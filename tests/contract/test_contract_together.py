"""What several processes on one database may rely on: positions in the order of commits, words with the commit.

Where a test says two processes, the second is a process of its own; both kinds of database.
"""

import asyncio
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from exchange.errors import ConfigurationError, NotFound, Unavailable
from exchange.merkle import leaf_hash, root_of
from exchange.relay.app import MIGRATIONS
from exchange.relay.checkpoints import Checkpoints
from exchange.relay.continuity import Continuity
from exchange.relay.sequencer import Log, LogState, Sequencer
from exchange.relay.store import tables
from exchange.relay.store.logs import SqlLogs
from exchange.runtime import engine
from exchange.runtime.database import Database
from exchange.runtime.engine import Use, make_engine
from exchange.runtime.migrate import upgrade
from exchange.runtime.wake import PAYLOAD_BYTES, Wake, Word
from tests.support.directory_builders import EXCHANGE
from tests.support.relay_world import OneKey

WAIT_S = 30.0


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


@pytest.fixture
def pair(url: str) -> Iterator[tuple[Database, Database]]:
    with Database(url) as one, Database(url) as other:
        yield one, other


def appended(connection: Connection, sequencer: Sequencer, *entries: bytes) -> int:
    return sequencer.append(SqlLogs(connection), Log.TRAFFIC, entries)


def traffic(connection: Connection) -> list[bytes]:
    return SqlLogs(connection).entries(Log.TRAFFIC, 0, 10_000)


def test_nobody_commits_while_another_holds_a_position_so_no_reader_sees_a_hole(
    pair: tuple[Database, Database],
) -> None:
    """The later position waits for the earlier one's commit; a hole in what is committed would lose a report."""
    one, other = pair
    entered, leave = threading.Event(), threading.Event()

    def holds(connection: Connection) -> int:
        number = appended(connection, Sequencer(), b"first")
        entered.set()
        assert leave.wait(WAIT_S)
        return number

    answers: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    first = threading.Thread(target=lambda: answers.put(("first", one.write_now(holds))))
    first.start()
    assert entered.wait(WAIT_S)
    second = threading.Thread(
        target=lambda: answers.put(("second", other.write_now(lambda c: appended(c, Sequencer(), b"second"))))
    )
    second.start()
    second.join(0.3)
    assert second.is_alive(), "it waits for the one that holds the lower position"
    assert one.read_now(traffic) == []
    leave.set()
    first.join(WAIT_S)
    second.join(WAIT_S)
    assert sorted((answers.get(), answers.get())) == [("first", 0), ("second", 1)]
    assert other.read_now(traffic) == [b"first", b"second"]


CHILD = """
import sys
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.database import Database

sequencer = Sequencer()
with Database(sys.argv[1]) as database:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[2])):
        entry = f"{sys.argv[3]} {number}".encode()
        print(database.write_now(lambda c: sequencer.append(SqlLogs(c), Log.TRAFFIC, [entry])), flush=True)
"""


def test_two_processes_write_one_log_and_a_reader_only_ever_sees_it_grow(url: str) -> None:
    each, names = 40, ("a", "b")
    command = [sys.executable, "-c", CHILD, url, str(each)]
    children = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in names
    ]
    numbers: list[int] = []
    try:
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        seen: list[bytes] = []
        with Database(url) as database:
            while len(seen) < each * len(names):
                now = database.read_now(traffic)
                assert now[: len(seen)] == seen, "what was read before is still the beginning"
                seen = now
                assert all(child.poll() in (None, 0) for child in children)
            state = database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC))
        for child in children:
            out, _ = child.communicate(timeout=WAIT_S)
            numbers += map(int, out.split())
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert sorted(numbers) == list(range(each * len(names))), "every position once"
    assert state == LogState(len(seen), root_of([leaf_hash(entry) for entry in seen]))


def test_whatever_the_servers_defaults_are_the_writer_sees_what_is_committed_and_waits_for_the_disk(
    postgres_url: str,
) -> None:
    name = sa.make_url(postgres_url).database
    with Database(postgres_url) as database:
        for changed in (
            "default_transaction_isolation = 'repeatable read'",
            "synchronous_commit = off",
            "statement_timeout = 5000",
        ):
            database.write_now(lambda c, s=changed: c.exec_driver_sql(f"ALTER DATABASE {name} SET {s}"))  # type: ignore[misc]
    upgrade(postgres_url, MIGRATIONS)
    with Database(postgres_url) as one, Database(postgres_url) as other:
        shown = one.write_now(lambda c: [setting(c, each) for each in ("synchronous_commit", "statement_timeout")])
        assert shown == ["on", "0"]
        # Alternating, so that each finds what the other has committed.
        for number in range(6):
            assert (one, other)[number % 2].write_now(lambda c: appended(c, Sequencer(), b"x")) == number


def setting(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())


@pytest.mark.parametrize("entries", [[b"lost"], [b"lost", b"too"]], ids=["one row", "rows that are sent together"])
def test_who_falls_silent_while_it_holds_the_lock_loses_it_and_holds_up_nobody_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, entries: list[bytes]
) -> None:
    """As a process that is frozen, or whose machine is cut off."""
    monkeypatch.setattr(engine, "HOLDER_S", 1)
    upgrade(postgres_url, MIGRATIONS)
    with Database(postgres_url) as frozen, Database(postgres_url) as other:
        entered, leave = threading.Event(), threading.Event()

        def freezes(connection: Connection) -> None:
            SqlLogs(connection).append(Log.TRAFFIC, 0, entries)
            entered.set()
            assert leave.wait(WAIT_S)

        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(frozen.write_now, freezes)
            assert entered.wait(WAIT_S)
            assert other.write_now(lambda c: appended(c, Sequencer(), b"goes on")) == 0
            leave.set()
            with pytest.raises(Unavailable):
                held.result(WAIT_S)
        assert frozen.write_now(lambda c: appended(c, Sequencer(), b"again")) == 1
        assert other.read_now(traffic) == [b"goes on", b"again"]


def test_a_service_that_must_be_alone_keeps_a_second_one_out_and_not_longer_than_it_lives(postgres_url: str) -> None:
    with Database(postgres_url, alone=True) as first:
        with (
            pytest.raises(Unavailable, match="another process works on this database"),
            Database(postgres_url, alone=True),
        ):
            pass
        with Database(postgres_url) as reader:
            assert reader.read_now(lambda c: c.exec_driver_sql("SELECT 1").scalar_one()) == 1
        with pytest.raises(Unavailable):
            first.write_now(lambda c: c.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert first.write_now(lambda c: c.exec_driver_sql("SELECT 2").scalar_one()) == 2
    with Database(postgres_url, alone=True):
        pass


def test_a_url_that_asks_for_the_primary_serves_readers_and_writer(postgres_url: str) -> None:
    for wanted in ("primary", "read-write"):
        url = sa.make_url(postgres_url).update_query_dict({"target_session_attrs": wanted})
        with Database(url.render_as_string(hide_password=False)) as database:
            database.write_now(lambda c: c.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (n int)"))
            assert database.read_now(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar_one()) == 0


def test_a_server_that_takes_no_writes_is_unavailable_and_not_our_bug(postgres_url: str) -> None:
    name = sa.make_url(postgres_url).database
    with Database(postgres_url) as database:
        database.write_now(lambda c: c.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    with Database(postgres_url) as database, pytest.raises(Unavailable):
        database.write_now(lambda c: c.exec_driver_sql("CREATE TABLE t (n int)"))


# -- checkpoints -------------------------------------------------------------------------------------------------------


async def test_two_signers_hand_out_one_note_for_a_size_and_never_an_older_one(pair: tuple[Database, Database]) -> None:
    signers = [Checkpoints(database, EXCHANGE, OneKey()) for database in pair]
    for signer in signers:
        await signer.load()
    sequencer = Sequencer()
    for number in range(1, 6):
        await pair[number % 2].write(lambda c: appended(c, sequencer, b"entry"))
        notes = await asyncio.gather(*(signer.refresh(Log.TRAFFIC) for signer in signers))
        assert notes[0] == notes[1] and notes[0][0] == number
    await pair[0].write(lambda c: appended(c, sequencer, b"more"))
    newest = await signers[0].refresh(Log.TRAFFIC)
    assert signers[1].newest(Log.TRAFFIC)[0] == newest[0] - 1
    assert await signers[1].take_up(Log.TRAFFIC) == newest


async def test_a_store_that_has_lost_entries_is_neither_appended_to_nor_signed(pair: tuple[Database, Database]) -> None:
    """As after a failover to a replica without the last commits, also when it has grown again past that size."""
    database, other = pair
    continuity = Continuity()
    checkpoints = Checkpoints(database, EXCHANGE, OneKey(), continuity=continuity)
    sequencer = Sequencer(continuity.check_size)
    await checkpoints.load()
    await database.write(lambda c: appended(c, sequencer, b"kept"))
    before = database.read_now(rows)
    await database.write(lambda c: appended(c, sequencer, b"lost", b"lost too"))
    await checkpoints.refresh(Log.TRAFFIC)
    other.write_now(lambda c: put_back(c, before))
    with pytest.raises(Unavailable, match="does not continue"):
        await database.write(lambda c: appended(c, sequencer, b"another"))
    other.write_now(lambda c: appended(c, Sequencer(), b"one", b"two", b"three"))
    for again in (checkpoints.refresh(Log.TRAFFIC), database.write(lambda c: appended(c, sequencer, b"another"))):
        with pytest.raises((ConfigurationError, Unavailable), match="does not continue"):
            await again
    assert len(other.read_now(traffic)) == 4


LOG_TABLES = (tables.log_state, tables.log_tile, tables.traffic_entry, tables.checkpoint)


def rows(connection: Connection) -> list[list[dict[str, object]]]:
    return [[dict(row) for row in connection.execute(sa.select(table)).mappings()] for table in LOG_TABLES]


def put_back(connection: Connection, before: list[list[dict[str, object]]]) -> None:
    for table, kept in zip(LOG_TABLES, before, strict=True):
        connection.execute(sa.delete(table))
        if kept:
            connection.execute(sa.insert(table), kept)


# -- words -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[tuple[Wake, "asyncio.Queue[Word | None]"]]:
    """Yield a voice with what it hears; None stands for words that may have been missed."""
    wake, heard = Wake(url), asyncio.Queue[Word | None]()
    wake.on("mail", heard.put_nowait)
    wake.on_missed(lambda: heard.put_nowait(None))
    task = asyncio.create_task(wake.listen())
    try:
        async with asyncio.timeout(WAIT_S):
            assert await heard.get() is None
        yield wake, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_word_leaves_with_its_commit_and_one_that_is_rolled_back_never(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        async with listening(postgres_url) as (mine, here), listening(postgres_url) as (_, there):

            def fails(connection: Connection) -> None:
                mine.tell(connection, "mail", ["XO"])
                raise NotFound("on purpose")

            with pytest.raises(NotFound):
                await database.write(fails)
            await database.write(lambda c: mine.tell(c, "mail", ["XA", "XV"]))
            async with asyncio.timeout(WAIT_S):
                assert await here.get() == Word(True, ["XA", "XV"])
                assert await there.get() == Word(False, ["XA", "XV"])


async def test_a_long_word_is_told_in_parts(postgres_url: str) -> None:
    names = [f"P{number}.{'p' * 50}" for number in range(300)]
    with Database(postgres_url) as database:
        async with listening(postgres_url) as (mine, heard):
            await database.write(lambda c: mine.tell(c, "mail", names))
            found: list[str] = []
            async with asyncio.timeout(WAIT_S):
                while len(found) < len(names):
                    word = await heard.get()
                    assert word is not None and len(" ".join(word.about)) < PAYLOAD_BYTES
                    found += word.about
    assert found == names


async def test_whoever_was_cut_off_is_told_that_words_may_have_been_missed(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        async with listening(postgres_url) as (mine, heard):
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN concord'"
            await database.write(lambda c: c.exec_driver_sql(cut))
            async with asyncio.timeout(WAIT_S):
                assert await heard.get() is None
            await database.write(lambda c: mine.tell(c, "mail", ["XA"]))
            async with asyncio.timeout(WAIT_S):
                assert await heard.get() == Word(True, ["XA"])


async def test_words_that_are_not_ours_are_passed_over(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        async with listening(postgres_url) as (mine, heard):
            for junk in ("", "junk", "someone unknown word", "  "):
                await database.write(lambda c, j=junk: c.execute(sa.text("SELECT pg_notify('concord', :j)"), {"j": j}))  # type: ignore[misc]
            await database.write(lambda c: mine.tell(c, "mail"))
            async with asyncio.timeout(WAIT_S):
                assert await heard.get() == Word(True, [])


def test_the_writers_engine_reads_what_is_committed(postgres_url: str) -> None:
    made = make_engine(postgres_url, Use.WRITE)
    with made.connect() as connection:
        assert setting(connection, "transaction_isolation") == "read committed"
    made.dispose()
