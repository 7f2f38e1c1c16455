"""The mirror of the directory believes what it replays itself and the relay's log key has signed, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exchange.errors import BadProof, BadStatement, ConfigurationError, MalformedInput, Unavailable
from exchange.merkle import leaf_hash, root_of
from exchange.names import party_id
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.checkpoint import Checkpoint, directory_origin
from exchange.tlog.signing import sign_checkpoint
from nodes.alarms import Alarms
from nodes.app import MIGRATIONS
from nodes.relay_port import DirectoryFrame
from nodes.store import alarms, trust
from nodes.trust import Trust
from tests.support.communities import an_epoch
from tests.support.directory_builders import EXCHANGE, NOON, Exchange, a_council, an_exchange, log_keys


@asynccontextmanager
async def a_trust(home: Path, exchange: Exchange) -> AsyncIterator[tuple[Trust, Database]]:
    """Yield the trust of a node that knows the genesis."""
    url = sqlite_url(home / "node.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database, ThreadPoolExecutor(1) as executor:
        made = Trust(database, Alarms(database, lambda: NOON), executor=executor, clock=lambda: NOON)
        await made.load(exchange.entries[0], exchange.directory.genesis_hash)
        yield made, database


def note(entries: list[bytes], *, key: str = "relay", origin: str = "") -> str:
    """Return the checkpoint of a log."""
    root = root_of([leaf_hash(entry) for entry in entries])
    return sign_checkpoint(Checkpoint(origin or directory_origin(EXCHANGE), len(entries), root), log_keys(key))


def frame(exchange: Exchange, start: int = 1, **changes: str) -> DirectoryFrame:
    """Return the rest of an exchange's log."""
    return DirectoryFrame(start, exchange.entries[start:], changes.get("checkpoint", note(exchange.entries)))


async def test_a_frame_under_a_checkpoint_is_replayed_stored_and_believed_after_a_restart(tmp_path: Path) -> None:
    exchange = an_exchange(("XA", "XV"))
    async with a_trust(tmp_path, exchange) as (mirror, database):
        assert await mirror.take(frame(exchange))
        assert mirror.now.status(party_id("XV")) == "admitted"
        assert mirror.now.head.root == exchange.directory.root()
        assert await database.read(trust.directory_size) == len(exchange.entries)
    async with a_trust(tmp_path, exchange) as (mirror, _):
        assert mirror.now.size == len(exchange.entries)
        assert mirror.now.head.root == exchange.directory.root()


async def test_entries_count_only_once_a_checkpoint_covers_them(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    async with a_trust(tmp_path, exchange) as (mirror, database):
        half = len(exchange.entries) // 2 + 1
        assert not await mirror.take(DirectoryFrame(1, exchange.entries[1:half], ""))
        assert (mirror.now.size, await database.read(trust.directory_size)) == (1, 1)
        assert await mirror.take(frame(exchange, half))
        assert mirror.now.size == len(exchange.entries)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: note(e.entries[:-1]),
        lambda e: note([*e.entries, b"one more"]),
        lambda e: note([*e.entries[:-1], b"another"]),
        lambda e: note(e.entries, key="other"),
        lambda e: note(e.entries, origin=f"{EXCHANGE}/traffic"),
        lambda _: "not a note",
    ],
    ids=["shorter", "longer", "other root", "other key", "other log", "no note"],
)
async def test_a_checkpoint_that_differs_from_the_replay_is_an_alarm_and_stops_the_mirror(
    tmp_path: Path, spoil: object
) -> None:
    exchange = an_exchange(("XA",))
    async with a_trust(tmp_path, exchange) as (mirror, database):
        with pytest.raises(BadProof):
            await mirror.take(frame(exchange, checkpoint=spoil(exchange)))  # type: ignore[operator]
        assert [each.kind for each in await database.read(alarms.open_alarms)] == ["directory"]
        assert (mirror.now.size, await database.read(trust.directory_size)) == (1, 1)
        assert mirror.broken
        with pytest.raises(BadProof):
            await mirror.take(frame(exchange))


async def test_a_frame_that_leaves_out_entries_is_refused_and_the_stream_may_begin_anew(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    async with a_trust(tmp_path, exchange) as (mirror, _):
        with pytest.raises(MalformedInput):
            await mirror.take(frame(exchange, 2))
        mirror.begin()
        assert await mirror.take(frame(exchange))


async def test_junk_in_the_log_counts_for_nothing_and_is_an_alarm(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    async with a_trust(tmp_path, exchange) as (mirror, database):
        entries = [*exchange.entries, b"junk"]
        assert await mirror.take(DirectoryFrame(1, entries[1:], note(entries)))
        assert mirror.now.size == len(entries)
        assert [each.kind for each in await database.read(alarms.open_alarms)] == ["directory-entry"]


async def test_another_genesis_than_the_one_that_was_learnt_stops_the_start(tmp_path: Path) -> None:
    exchange, other = an_exchange(()), an_exchange((), council=a_council(("XV",)))
    url = sqlite_url(tmp_path / "node.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database, ThreadPoolExecutor(1) as executor:
        mirror = Trust(database, Alarms(database, lambda: NOON), executor=executor, clock=lambda: NOON)
        with pytest.raises(BadStatement):
            await mirror.load(other.entries[0], exchange.directory.genesis_hash)
    (tmp_path / "node.db").unlink()
    async with a_trust(tmp_path, exchange):
        pass
    with pytest.raises(ConfigurationError):
        async with a_trust(tmp_path, other):
            pass


async def test_waiting_for_entries_ends_when_they_come_or_in_time(tmp_path: Path) -> None:
    exchange = an_exchange(("XA",))
    async with a_trust(tmp_path, exchange) as (mirror, _):
        with pytest.raises(Unavailable):
            await mirror.wait_for(2, 0.01)
        waiting = asyncio.create_task(mirror.wait_for(len(exchange.entries), 5))
        await mirror.take(frame(exchange))
        await waiting


async def test_rules_are_as_of_the_size_that_is_asked_for(tmp_path: Path) -> None:
    exchange = an_exchange(("XA", "XV"))
    async with a_trust(tmp_path, exchange) as (mirror, _):
        await mirror.take(frame(exchange))
        before = exchange.directory.party(party_id("XV"))
        assert before is not None and before.admitted_at is not None
        now, then = mirror.rules_now(), mirror.now.rules_at(before.admitted_at)
        assert now.standings[party_id("XV")].membership.value == "admitted"
        assert then.standings[party_id("XV")].membership.value == "joining"
        assert party_id("XV") not in mirror.now.rules_at(2).standings


async def test_what_comes_while_entries_are_replayed_is_not_lost(tmp_path: Path) -> None:
    exchange = an_exchange(("XA", "XV"))
    held = an_epoch().held
    assert held is not None
    async with a_trust(tmp_path, exchange) as (mirror, _):
        taking = asyncio.create_task(mirror.take(frame(exchange)))
        await asyncio.sleep(0)
        mirror.add_epochs([held])
        assert await taking
        assert mirror.now.size == len(exchange.entries)
        assert mirror.now.communities == {held.head.community_id: (held,)}
