"""The traffic log is vouched for by others, as far as this node was promised anything; else people hear of it."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import cast

from exchange.errors import ExchangeError, Unavailable
from exchange.merkle import leaf_hash
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes.app import MIGRATIONS
from nodes.covered import Covered
from nodes.forks import Forks
from nodes.relay_port import Log, Notes, Relay
from nodes.store import alarms, sending
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.rows import KeptPromise
from tests.property.test_witness_properties import a_core
from tests.support.directory_builders import NOON
from tests.unit.nodes.test_node_forks import OTHER, TRUE, a_note
from tests.unit.nodes.test_node_freshness import PAIR, an_exchange_with

MINUTE = 60_000


class Shows:
    """A relay that shows a cosigned note, and counts how often it was asked."""

    def __init__(self) -> None:
        self.cosigned = ""
        self.asked = 0
        self.error: ExchangeError | None = None

    async def notes(self, _: Log) -> Notes:
        self.asked += 1
        if self.error:
            raise self.error
        return Notes("", self.cosigned, "")

    async def consistency_proof(self, _: Log, old: int, new: int) -> Sequence[bytes]:
        return consistency_proof(tiles_of([leaf_hash(entry) for entry in TRUE[:new]]), old, new)

    async def read_log(self, _: Log, __: int, ___: int) -> Sequence[bytes]:
        return []


class Node:
    """One node over a real store; the test moves the clock."""

    def __init__(self, database: Database, executor: ThreadPoolExecutor) -> None:
        self.relay, self.database, self.clock = Shows(), database, [NOON]
        core = a_core(database, executor, self.clock)
        relay = cast(Relay, self.relay)
        self.covered = Covered(core, relay, Forks(core, relay))

    async def promised(self, index: int) -> None:
        promise = KeptPromise(sha256(bytes([index])).digest(), bytes(32), index, 1, NOON, True, b"promise")
        await self.database.write(partial(sending.add_promises, promises=[promise]))

    async def seen(self, note: str, size: int) -> None:
        keep = partial(trust_store.set_checkpoint, log=Log.TRAFFIC, size=size, note=note, seen_ms=NOON)
        await self.database.write(keep)

    async def after(self, minutes: int) -> list[str]:
        """Look once a minute for so long; return the subjects of what rings."""
        for _ in range(minutes):
            self.clock[0] += MINUTE
            await self.covered.look()
        return [each.subject for each in await self.database.read(alarms.open_alarms)]


@asynccontextmanager
async def a_node(path: Path) -> AsyncIterator[Node]:
    upgrade(sqlite_url(path / "node.db"), MIGRATIONS)
    database = Database(sqlite_url(path / "node.db"))
    with ThreadPoolExecutor(1) as executor, database:
        await database.write(lambda c: trust_store.add_entries(c, 0, an_exchange_with(PAIR).entries))
        yield Node(database, executor)


async def test_a_log_without_traffic_is_neither_asked_for_nor_waited_for(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        assert await node.after(300) == [] and node.relay.asked == 0


async def test_what_a_quorum_covers_is_asked_for_once_and_rings_nothing(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        node.relay.cosigned = a_note(TRUE[:6], "XA", "XV")
        await node.seen(a_note(TRUE[:4]), 4)
        await node.promised(5)
        assert await node.after(300) == [] and node.relay.asked == 1
        kept = await node.database.read(partial(store.quorum_of, log=Log.TRAFFIC))
        assert kept is not None and kept.size == 6


async def test_what_no_quorum_covers_for_two_hours_is_an_alarm_until_one_does(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        await node.promised(5)
        shown = ["", a_note(TRUE[:6], "XV"), a_note(TRUE[:5], "XA", "XV")]
        for note in shown:
            node.relay.cosigned = note
            assert await node.after(40) == []
        node.relay.error = Unavailable("later")
        assert await node.after(1) == ["traffic"], "neither fewer witnesses nor a smaller log cover it"
        node.relay.error, node.relay.cosigned = None, a_note(TRUE[:6], "XA", "XO")
        assert await node.after(1) == []


async def test_another_history_that_a_quorum_cosigned_covers_nothing_and_is_evidence(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        await node.seen(a_note(TRUE[:6]), 6)
        await node.promised(5)
        node.relay.cosigned = a_note(OTHER[:6], "XA", "XV")
        assert await node.after(11) == ["fork 6"]
        assert await node.database.read(partial(store.quorum_of, log=Log.TRAFFIC)) is None
        (kept,) = await node.database.read(partial(store.kept_evidence, limit=9))
        assert "another traffic log than this node has seen" in kept.what
