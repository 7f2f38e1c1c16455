"""The relay's own tasks on a real store: checkpoints, the live directory, intake, retention."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.directory import ceremony
from exchange.errors import BadStatement, ConfigurationError, StorageFull
from exchange.merkle import leaf_hash, root_of
from exchange.names import party_id
from exchange.relay.app import MIGRATIONS
from exchange.relay.checkpoints import ASKED_S, SIGNED_S, Checkpoints
from exchange.relay.continuity import Continuity
from exchange.relay.directory import LiveDirectory
from exchange.relay.mailbox import Bells
from exchange.relay.sequencer import Log, LogState, LogStore, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.checkpoint import traffic_origin
from exchange.tlog.signing import open_checkpoint
from tests.support.directory_builders import EXCHANGE, NOON, an_exchange, an_invitation, log_keys, party_keys
from tests.support.relay_world import OneKey


@asynccontextmanager
async def a_store(path: Path) -> AsyncIterator[Database]:
    url = sqlite_url(path / "relay.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        yield database


async def test_only_what_is_committed_is_signed(tmp_path: Path) -> None:
    async with a_store(tmp_path) as database:
        sequencer, checkpoints = Sequencer(), Checkpoints(database, EXCHANGE, OneKey())
        await checkpoints.load()

        def fails(connection: Connection) -> None:
            sequencer.append(SqlLogs(connection), Log.TRAFFIC, [b"lost"])
            raise StorageFull

        with pytest.raises(StorageFull):
            await database.write(fails)
        assert (await checkpoints.refresh(Log.TRAFFIC))[0] == 0
        await database.write(lambda c: sequencer.append(SqlLogs(c), Log.TRAFFIC, [b"kept"]))
        size, note = await checkpoints.refresh(Log.TRAFFIC)
        found = open_checkpoint(note, traffic_origin(EXCHANGE), log_keys("relay").public)
        assert (size, found.root) == (1, root_of([leaf_hash(b"kept")]))
        assert (await checkpoints.refresh(Log.TRAFFIC)) == (size, note), "nothing new, nothing signed"


async def test_what_is_answered_for_during_a_look_is_not_taken_for_lost(tmp_path: Path) -> None:
    async with a_store(tmp_path) as database:
        busy = BusyDuringALook(database)
        checkpoints = Checkpoints(database, EXCHANGE, OneKey(), continuity=busy)
        await checkpoints.load()
        busy.appends = True
        for _ in range(3):
            await checkpoints.look()
        assert busy.broken == ""
        assert (await checkpoints.refresh(Log.TRAFFIC))[0] == 3


class BusyDuringALook(Continuity):
    """Something is appended to the traffic log, and answered for, whenever the directory's has been looked at."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database, self._sequencer = database, Sequencer(self.check_size)
        self.appends = False

    def check(self, store: LogStore, log: Log) -> None:
        super().check(store, log)
        if log is Log.DIRECTORY and self.appends:
            self.seen(Log.TRAFFIC, self._database.write_now(self._append))

    def _append(self, connection: Connection) -> LogState:
        logs = SqlLogs(connection)
        self._sequencer.append(logs, Log.TRAFFIC, [b"answered for"])
        return logs.state(Log.TRAFFIC)


async def test_a_look_says_what_there_is_to_sign_and_what_another_has_signed(tmp_path: Path) -> None:
    async with a_store(tmp_path) as database:
        seconds = [100.0]
        first, second = (Checkpoints(database, EXCHANGE, OneKey(), monotonic=lambda: seconds[0]) for _ in range(2))
        await first.load()
        await second.load()
        assert not first.is_behind(Log.TRAFFIC, (await first.look())[Log.TRAFFIC])
        await database.write(lambda c: Sequencer().append(SqlLogs(c), Log.TRAFFIC, [b"one"]))
        found = await first.look()
        assert first.is_behind(Log.TRAFFIC, found[Log.TRAFFIC]) and not first.is_behind(
            Log.DIRECTORY, found[Log.DIRECTORY]
        )
        assert not first.is_due(Log.TRAFFIC, ASKED_S)
        seconds[0] += ASKED_S
        assert first.is_due(Log.TRAFFIC, ASKED_S) and not first.is_due(Log.TRAFFIC, SIGNED_S)
        await first.refresh(Log.TRAFFIC)
        assert not first.is_due(Log.TRAFFIC, ASKED_S)
        found = await second.look()
        assert not first.is_behind(Log.TRAFFIC, found[Log.TRAFFIC])
        assert second.is_behind(Log.TRAFFIC, found[Log.TRAFFIC]), "it has not handed out what the first has"
        assert await second.refresh(Log.TRAFFIC) == first.newest(Log.TRAFFIC)


async def test_a_note_survives_a_restart_and_a_store_that_differs_from_it_is_refused(tmp_path: Path) -> None:
    async with a_store(tmp_path) as database:
        key = OneKey()
        first = Checkpoints(database, EXCHANGE, key)
        await first.load()
        await database.write(lambda c: Sequencer().append(SqlLogs(c), Log.TRAFFIC, [b"one", b"two"]))
        note = await first.refresh(Log.TRAFFIC)
        second = Checkpoints(database, EXCHANGE, key)
        await second.load()
        assert second.newest(Log.TRAFFIC) == note
        tile = leaf_hash(b"one") + leaf_hash(b"another")
        await database.write(lambda c: SqlLogs(c).put_tiles(Log.TRAFFIC, {(0, 0): tile}))
        with pytest.raises(ConfigurationError, match="does not continue"):
            await Checkpoints(database, EXCHANGE, key).load()


async def test_the_directory_is_replayed_from_the_store(tmp_path: Path) -> None:
    exchange = an_exchange(("XA", "XV"))
    async with a_store(tmp_path) as database:
        live = LiveDirectory(database, Sequencer(), lambda: NOON)
        await live.load(exchange.entries[0])
        assert await live.append(exchange.entries[1:]) == list(range(1, len(exchange.entries)))
        assert live.now.directory.root() == exchange.directory.root()
        again = LiveDirectory(database, Sequencer(), lambda: NOON)
        await again.load(exchange.entries[0])
        assert again.now.directory.root() == exchange.directory.root()
        with pytest.raises(ConfigurationError):
            await LiveDirectory(database, Sequencer(), lambda: NOON).load(an_exchange(()).entries[0])


async def test_statements_come_in_all_or_nothing_and_once(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    invitation = encode_signed(an_invitation("XV", exchange.council_key))
    async with a_store(tmp_path) as database:
        live = LiveDirectory(database, Sequencer(), lambda: NOON)
        await live.load(exchange.entries[0])
        await live.append(exchange.entries[1:])
        size, before = live.now.size, live.now
        stranger = ceremony.make_admission(
            exchange=EXCHANGE,
            party=party_id("XV"),
            root_key_id=party_keys("XV").root.public.key_id,
            now_ms=NOON,
            council_key=exchange.council_key,
        )
        with pytest.raises(BadStatement):
            await live.append([invitation, encode_signed(stranger)])
        assert live.now is before
        assert await asyncio.gather(*(live.append([invitation]) for _ in range(5))) == [[size]] * 5
        assert live.now.size == size + 1
        assert before.size == size, "a snapshot never changes"


async def test_a_store_that_fails_leaves_the_directory_as_it_was(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    async with a_store(tmp_path) as database:
        live = LiveDirectory(database, Sequencer(), lambda: NOON)
        await live.load(exchange.entries[0])

        def fails(connection: Connection, indexes: object) -> None:
            raise StorageFull

        with pytest.raises(StorageFull):
            await live.append(exchange.entries[1:], also=fails)
        assert live.now.size == 1
        await live.append(exchange.entries[1:])
        assert live.now.directory.root() == exchange.directory.root()


async def test_what_the_store_has_more_is_taken_in_before_the_next_append(tmp_path: Path) -> None:
    """As after a commit whose outcome never reached us."""
    exchange = an_exchange(("XA",))
    async with a_store(tmp_path) as database:
        sequencer = Sequencer()
        live = LiveDirectory(database, sequencer, lambda: NOON)
        await live.load(exchange.entries[0])
        await database.write(lambda c: sequencer.append(SqlLogs(c), Log.DIRECTORY, exchange.entries[1:3]))
        await live.append(exchange.entries[3:])
        assert live.now.directory.root() == exchange.directory.root()


async def test_a_caller_that_hangs_up_does_not_leave_the_directory_behind_the_store(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    async with a_store(tmp_path) as database:
        live = LiveDirectory(database, Sequencer(), lambda: NOON)
        await live.load(exchange.entries[0])
        task = asyncio.create_task(live.append(exchange.entries[1:]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await live.catch_up()
        assert live.now.directory.root() == exchange.directory.root()


async def test_a_bell_rings_for_its_newest_listener() -> None:
    bells = Bells()
    older, newer = bells.listen(party_id("XV")), bells.listen(party_id("XV"))
    bells.ring([party_id("XV"), party_id("XA")])
    assert (older.is_set(), newer.is_set()) == (False, True)
    bells.forget(party_id("XV"), older)
    newer.clear()
    bells.ring([party_id("XV")])
    assert newer.is_set()
    bells.forget(party_id("XV"), newer)
    newer.clear()
    bells.ring([party_id("XV")])
    assert not newer.is_set()
