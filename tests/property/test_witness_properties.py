"""Whatever a relay asks, in whatever order and wherever the witness is cut off: what it cosigned is one history."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.directory.fold import Directory
from exchange.errors import BadInput, BadProof, ExchangeError, Unavailable
from exchange.merkle import root_of
from exchange.names import party_id
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.checkpoint import Checkpoint, traffic_origin, witness_name
from exchange.tlog.cosignature import Cosigner, check_cosignature
from exchange.tlog.signing import sign_checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes.alarms import Alarms
from nodes.app import MIGRATIONS
from nodes.config import Timing
from nodes.core import Core
from nodes.forks import Forks
from nodes.relay_port import Log, Notes, Relay
from nodes.store import trust as trust_store
from nodes.trust import Snapshot
from nodes.witness import Witness
from tests.support.directory_builders import EXCHANGE, NOON, log_keys, mldsa44
from tests.support.logs import leaves
from tests.unit.nodes.test_node_freshness import PAIR, an_exchange_with

ORIGIN = traffic_origin(EXCHANGE)
LEAVES = leaves(40)
OTHER = [bytes(32), *leaves(80)[41:]]
BRANCHES = [LEAVES, [*LEAVES[:5], *OTHER], [*LEAVES[:12], *OTHER], OTHER]
"""Histories of which the relay shows now one and now another; some have a beginning in common."""


class ManyHistories:
    """A relay that asks for any checkpoint of any history, proves what it can, and is cut off now and then."""

    def __init__(self) -> None:
        self.branch: Sequence[bytes] = LEAVES
        self.size = 1
        self.lose = False
        self.lines: list[tuple[Checkpoint, str]] = []

    def asked(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.size, root_of(self.branch[: self.size]))

    async def notes(self, _: Log) -> Notes:
        note = sign_checkpoint(self.asked(), log_keys("relay"))
        return Notes(note, "", note)

    async def consistency_proof(self, _: Log, old: int, new: int) -> Sequence[bytes]:
        try:
            return consistency_proof(tiles_of(self.branch[:new]), old, new)
        except (BadInput, BadProof) as error:
            raise BadInput("no such proof") from error

    async def read_log(self, _: Log, __: int, ___: int) -> Sequence[bytes]:
        return []

    async def cosign(self, _: Log, size: int, line: str) -> None:
        assert size == self.size
        self.lines.append((self.asked(), line))  # whoever gets it has it, whatever the witness hears of that
        if self.lose:
            raise Unavailable("cut off")


@cache
def migrated() -> Path:
    """Return a store to copy; made once."""
    path = Path(tempfile.mkdtemp(prefix="witness-")) / "node.db"
    upgrade(sqlite_url(path), MIGRATIONS)
    return path


@cache
def directory() -> Directory:
    return an_exchange_with(PAIR).directory


def a_core(database: Database, executor: ThreadPoolExecutor, clock: list[int]) -> Core:
    found = directory()
    snapshot = Snapshot(found, [b""] * (found.size + 1), {}, {})
    core = SimpleNamespace(
        exchange=EXCHANGE,
        me=party_id("XA"),
        keys=SimpleNamespace(witness=mldsa44("XA/witness")),
        trust=SimpleNamespace(now=snapshot, broken=""),
        database=database,
        executor=executor,
        alarms=Alarms(database, lambda: clock[0]),
        clock=lambda: clock[0],
        timing=Timing(),
    )
    return cast(Core, core)


STEPS = st.lists(
    st.tuples(
        st.integers(0, len(BRANCHES) - 1), st.integers(1, 40), st.booleans(), st.booleans(), st.integers(0, 10**7)
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_what_a_witness_cosigns_is_one_history(steps: list[tuple[int, int, bool, bool, int]]) -> None:
    relay = ManyHistories()
    asyncio.run(_play(relay, steps))
    own = Cosigner(witness_name(EXCHANGE, "XA"), mldsa44("XA/witness").public)
    signed = [(checkpoint, check_cosignature(line, checkpoint, own).at_s) for checkpoint, line in relay.lines]
    for (one, one_s), (next_, next_s) in pairwise(signed):
        assert one.size <= next_.size and one_s <= next_s, "neither size nor time goes back"
    for one, _ in signed:
        for other, _ in signed:
            small, large = sorted((one, other), key=lambda each: each.size)
            holders = [branch for branch in BRANCHES if root_of(branch[: large.size]) == large.root]
            assert any(root_of(branch[: small.size]) == small.root for branch in holders), "two histories"


async def _play(relay: ManyHistories, steps: list[tuple[int, int, bool, bool, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        path = Path(folder) / "node.db"
        shutil.copy(migrated(), path)
        clock = [NOON]
        database = Database(sqlite_url(path))
        with database:
            await database.write(lambda c: trust_store.add_entries(c, 0, an_exchange_with(PAIR).entries))
            core = a_core(database, executor, clock)
            for branch, size, lose, restart, wait_ms in steps:
                relay.branch, relay.size, relay.lose = BRANCHES[branch], min(size, len(BRANCHES[branch])), lose
                clock[0] += wait_ms - 1_000  # clocks go back, too
                if restart:
                    core = a_core(database, executor, clock)
                try:
                    await Witness(core, cast(Relay, relay), Forks(core, cast(Relay, relay))).attend(Log.TRAFFIC)
                except ExchangeError:
                    continue
