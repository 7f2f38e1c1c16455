"""A witness that is killed with -9, at each point around its compare-and-store and at any moment: one history remains.

The child process is a real witness on a real store, before a relay that asks for several histories; each line that
leaves it is flushed to a file, as what a relay has got. What is in that file at the end is what the world holds.
"""

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import pytest

from exchange.errors import ExchangeError
from exchange.merkle import root_of
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.checkpoint import Checkpoint, witness_name
from exchange.tlog.cosignature import Cosigner, check_cosignature
from nodes.app import MIGRATIONS
from nodes.forks import Forks
from nodes.relay_port import Log, Relay
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import CosignedHead
from nodes.witness import Witness
from tests.property.test_witness_properties import BRANCHES, ORIGIN, ManyHistories, a_core
from tests.support.directory_builders import EXCHANGE, NOON, mldsa44
from tests.unit.nodes.test_node_freshness import PAIR, an_exchange_with

POINTS = ("before the store", "after the store", "before the line leaves", "after the line left")
ROUNDS = 4
STEPS = 10_000
"""More than a child takes before it is killed."""


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


class Recording(ManyHistories):
    """A relay that has each line, durably, once the witness has handed it over."""

    def __init__(self, lines: Path, point: str) -> None:
        super().__init__()
        self._lines, self._point = lines, point

    def ask(self, branch: int, size: int) -> None:
        """Ask for a checkpoint of one of the histories from now on."""
        self.branch, self.size = BRANCHES[branch], size

    async def cosign(self, log: Log, size: int, line: str) -> None:
        if self._point == POINTS[2]:
            die()
        await super().cosign(log, size, line)
        with self._lines.open("a") as file:
            file.write(f"{size} {self.asked().root.hex()} {line}")
            file.flush()
            os.fsync(file.fileno())
        if self._point == POINTS[3]:
            die()


def dying(database: Database, point: str) -> None:
    """Let the process die right before or right after it has stored what it is about to cosign."""
    write = database.write

    async def write_and_die(fn: Callable[..., Any]) -> Any:
        if not isinstance(fn, partial) or fn.func is not store.advance_cosigned:
            return await write(fn)

        def inside(connection: Any) -> Any:
            found = fn(connection)
            if point == POINTS[0]:
                die()
            return found

        found = await write(inside)
        if point == POINTS[1]:
            die()
        return found

    database.write = write_and_die  # type: ignore[method-assign]


def child(home: Path, point: str, asked: list[tuple[int, int]]) -> None:
    """Be a witness that is asked for these checkpoints, one after the other."""
    asyncio.run(_attend(home, point, asked))


async def _attend(home: Path, point: str, asked: list[tuple[int, int]]) -> None:
    database, relay = Database(sqlite_url(home / "node.db")), Recording(home / "lines", point)
    with ThreadPoolExecutor(1) as executor, database:
        core = a_core(database, executor, [NOON])
        dying(database, point)
        witness = Witness(core, cast(Relay, relay), Forks(core, cast(Relay, relay)))
        (home / "begun").touch()
        for branch, size in asked:
            relay.ask(branch, min(size, len(BRANCHES[branch])))
            try:
                await witness.attend(Log.TRAFFIC)
            except ExchangeError:
                continue


def start(home: Path, asked: list[tuple[int, int]], point: str = "") -> BaseProcess:
    (home / "begun").unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=child, args=(home, point, asked))
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    process.join(120)
    return process.exitcode


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the home of a witness that the council has named."""
    upgrade(sqlite_url(tmp_path / "node.db"), MIGRATIONS)
    database = Database(sqlite_url(tmp_path / "node.db"))
    with database:
        database.write_now(lambda c: trust_store.add_entries(c, 0, an_exchange_with(PAIR).entries))
    (tmp_path / "lines").touch()
    return tmp_path


def cosigned(home: Path) -> list[Checkpoint]:
    """Return what the world has of the witness; each line must hold, and all must be of one history."""
    own, found = Cosigner(witness_name(EXCHANGE, "XA"), mldsa44("XA/witness").public), []
    for line in (home / "lines").read_text().splitlines(keepends=True):
        size, root, text = line.split(" ", 2)
        found.append(Checkpoint(ORIGIN, int(size), bytes.fromhex(root)))
        check_cosignature(text, found[-1], own)
    for pair in combinations(found, 2):
        small, large = sorted(pair, key=lambda each: each.size)
        holders = [branch for branch in BRANCHES if root_of(branch[: large.size]) == large.root]
        assert any(root_of(branch[: small.size]) == small.root for branch in holders), "two histories"
    return found


def last(home: Path) -> CosignedHead | None:
    with Database(sqlite_url(home / "node.db")) as database:
        return database.read_now(partial(store.cosigned_head, log=Log.TRAFFIC))


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_a_witness_goes_on_with_what_it_stored_and_with_nothing_else(home: Path, point: str) -> None:
    assert ended(start(home, [(0, 20)], point)) == -signal.SIGKILL
    assert [each.size for each in cosigned(home)] == ([20] if point == POINTS[3] else [])
    kept = last(home)
    assert (kept is None) == (point == POINTS[0]), "stored before anything leaves, and not before it is stored whole"
    # Now it is asked for other histories, of the same size and of a larger one, and then for the first one again.
    assert ended(start(home, [(1, 20), (3, 20), (1, 30), (0, 20), (0, 25)])) == 0
    roots = {each.root for each in cosigned(home)}
    assert len(roots) >= 1
    if kept is not None:
        assert roots == {root_of(BRANCHES[0][:size]) for size in (20, 25)}, "what was stored, and what continues it"


def test_killed_at_any_moment_and_started_again_a_witness_never_cosigns_two_histories(home: Path) -> None:
    chance = random.Random(7)
    for _ in range(ROUNDS):
        asked = [(chance.randrange(len(BRANCHES)), chance.randrange(1, 41)) for _ in range(STEPS)]
        process = start(home, asked)
        deadline = time.monotonic() + 60
        while not (home / "begun").exists() and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.join(chance.uniform(0.05, 0.6))
        process.kill()
        assert ended(process) == -signal.SIGKILL
        cosigned(home)
    assert cosigned(home), "it has cosigned something"
