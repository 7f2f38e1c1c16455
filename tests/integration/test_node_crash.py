"""Killed before or after any durable step, a node goes on from its stores: nothing is lost, nothing is sent twice.

The first half stops one node in this process right before or right after one write; the second kills processes.
"""

import asyncio
import contextlib
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exchange.errors import ExchangeError, Unavailable
from exchange.runtime.database import Database
from exchange.runtime.secrets import write_private
from nodes.caller import the_owner
from nodes.keystore import save_keys
from nodes.node_client import SOCKET, connect
from nodes.parts import Node
from nodes.store.rows import ItemState, Reach
from nodes.v1 import agreements_pb2
from nodes.v1 import node_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE, an_exchange
from tests.support.node_world import (
    FIRST_TIME,
    NodeWorld,
    Place,
    a_label,
    at,
    count_reports,
    nodes,
    open_alarms,
    push,
    ready,
    receipted,
    stored,
    until,
)
from tests.support.processes import LEAST_MEMORY_KIB, PASSPHRASE, RelayProcess, prepare
from tests.support.relay_world import World, a_home, secrets
from tests.support.reports import a_report


class Killed(Unavailable):
    """The process is no more."""


SENDER_STEPS = ("new_keys.write", "outbox._store", "sender._store_round", "answers.record")
RECIPIENT_STEPS = ("inbox.store_frame", "receipts._store", "new_keys.write", "sender._store_round", "answers.record")


def kill_at(node: Node, step: str, *, before: bool) -> asyncio.Event:
    """Let a node die right before or right after the next write of a step; return what says that it has."""
    dead = asyncio.Event()
    for database in (node.core.database, node.core.keybox._database):
        _kill_in(database, step, dead, before=before)
    return dead


def _kill_in(database: Database, step: str, dead: asyncio.Event, *, before: bool) -> None:
    write = database.write

    async def dying(fn: Callable[..., Any]) -> Any:
        if dead.is_set():
            raise Killed("it is dead")
        if _step(fn) != step:
            return await write(fn)
        if not before:
            await write(fn)
        dead.set()
        raise Killed(f"{'before' if before else 'after'} {step}")

    database.write = dying  # type: ignore[method-assign]


def _step(fn: Callable[..., Any]) -> str:
    found = fn.func if isinstance(fn, partial) else fn
    module = found.__module__.rsplit(".", maxsplit=1)[-1]
    return (
        found.__qualname__.removeprefix("Keybox.").replace(".<locals>", "")
        if module == "keybox"
        else (f"{module}.{found.__qualname__}")
    )


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", SENDER_STEPS)
async def test_a_sender_killed_at_a_step_sends_every_report_once(step: str, before: bool) -> None:
    async with nodes("XV", agree=False) as (world, running):
        place = await world.place("XA")
        await world.relay.agree("XA", "XV")
        with contextlib.suppress(Killed):
            async with at(place) as sender:
                await ready(sender, ["XV"])
                dead = kill_at(sender, step, before=before)
                await push(sender, "XV", key="one")
                await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as sender:
            accepted = await push(sender, "XV", key="one")
            await receipted(sender, accepted.item, "XV")
            assert await count_reports(sender) == 1
            story = await sender.shelf.story(the_owner(), accepted.item)
            assert [event.event for event in story.events].count("receipted") == 1
        assert await count_reports(running["XV"]) == 1
        assert await open_alarms(running["XV"]) == []


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", RECIPIENT_STEPS)
async def test_a_recipient_killed_at_a_step_stores_and_receipts_every_report_once(step: str, before: bool) -> None:
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        sender = running["XA"]
        async with at(place) as recipient:
            await ready(recipient, ["XA"])
            await ready(sender, ["XV"])
            dead = kill_at(recipient, step, before=before)
            accepted = await push(sender, "XV")
            await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as recipient:
            await receipted(sender, accepted.item, "XV")
            report = await stored(recipient, accepted.item)
            assert report is not None and report.state is ItemState.CURRENT
            assert await count_reports(recipient) == 1
            shown = await recipient.shelf.show(the_owner(), accepted.item)
            assert shown.opened is not None
        assert await open_alarms(sender) == []


async def test_a_key_without_a_report_is_swept_and_a_report_without_a_key_is_purged_at_the_start() -> None:
    async with nodes("XA", agree=False) as (world, _):
        place = await world.place("XV")
        stray = bytes([7]) * 32
        async with at(place) as node:
            await ready(node, ["XA"], agree=False)
            sent = await push(node, "XA")
            await node.core.keybox.new_keys([stray])
            await node.core.keybox.destroy([sent.item])
        async with at(place) as node:
            assert await node.core.keybox.without_key([stray, sent.item]) == {stray, sent.item}
            report = await stored(node, sent.item)
            assert report is not None and report.state is ItemState.PURGED


# -- processes ---------------------------------------------------------------------------------------------------------

ROUNDS = 4
PUSHES = 12
TIMING = """
[timing]
receipts_s = 0.05
obligations_s = 0.5
retry_first_s = 0.05
retry_most_s = 0.5
reseal_first_s = 0.05
"""


class NodeProcess:
    """`concord node serve`; ends only what it started, by its id."""

    def __init__(self, place: Place) -> None:
        """Write what the process reads from its home."""
        self.place = place
        self.process: subprocess.Popen[bytes] | None = None
        home = place.home
        save_keys(home, place.keys, PASSPHRASE, memory_kib=LEAST_MEMORY_KIB)
        write_private(home / "passphrase", PASSPHRASE)
        lines = [f'party = "{place.name}"', f'exchange = "{EXCHANGE}"']
        lines += [f'relay_address = "{place.config.relay_address}"', "spool = false", TIMING]
        write_private(home / "node.toml", "\n".join(lines).encode())

    def start(self) -> None:
        """Start it and wait until it answers."""
        home = self.place.home
        (home / SOCKET).unlink(missing_ok=True)
        command = [sys.executable, "-m", "nodes", "node", "serve", "--home", str(home)]
        with (home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--passphrase-file", str(home / "passphrase")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Ask it to drain, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def ask(self, method: str, request: Any) -> Any:
        """Call a method of the node; a stream of answers is returned as a list."""
        with connect(self.place.home) as node:
            answer = getattr(node, method)(request)
            return list(answer) if method in {"VerifyLog", "ExportAttachment"} else answer

    async def answers(self) -> bool:
        """Say whether it runs and serves."""
        try:
            await asyncio.to_thread(self.ask, "GetStatus", pb.GetStatusRequest())
        except ExchangeError:
            assert self.process is None or self.process.poll() is None, (self.place.home / "log").read_text()[-3000:]
            return False
        return True

    async def is_ready_for(self, partner: str) -> bool:
        """Say whether it could send to a partner."""
        if not await self.answers():
            return False
        partners = (await asyncio.to_thread(self.ask, "ListPartners", pb.ListPartnersRequest())).partners
        agreements = (
            await asyncio.to_thread(self.ask, "ListAgreements", agreements_pb2.ListAgreementsRequest())
        ).agreements
        return bool(agreements) and any(each.party == partner and each.prekey_days for each in partners)


@asynccontextmanager
async def processes(*names: str) -> AsyncIterator[tuple[RelayProcess, dict[str, NodeProcess]]]:
    """Run a relay and a node for each of these parties as processes."""
    exchange, root = an_exchange(()), Path(tempfile.mkdtemp(prefix="nodes-"))
    home = a_home(exchange)
    started: dict[str, NodeProcess] = {}
    try:
        with RelayProcess(home, prepare(home, secrets(), EXCHANGE, settings=QUOTA)) as relay:
            listening = relay.start()
            world = NodeWorld(World(home, exchange, listening), root)
            fixed = f'exchange = "{EXCHANGE}"\naddress = "{listening.address}"\njoin_address = "127.0.0.1:0"\n{QUOTA}'
            write_private(home.config, fixed.encode())
            for name in names:
                started[name] = NodeProcess(await world.place(name))
            await world.relay.agree(*names)
            for partner in world.relay.partners.values():
                await partner.channel.close()
            for node in started.values():
                node.start()
            for one, other in itertools.permutations(names, 2):
                await until(partial(started[one].is_ready_for, other), f"{one} is not ready for {other}")
            yield relay, started
    finally:
        for node in started.values():
            node.kill()
        shutil.rmtree(home.root)
        shutil.rmtree(root)


QUOTA = "[limits]\njoins_per_minute = 10000\n"


def report_file(number: int) -> pb.ReportFile:
    """Return a report of its own for each number."""
    return pb.ReportFile(content=a_report(name=f"Report {number}"), label_yaml=a_label("XV"))


async def push_all(node: NodeProcess, numbers: range) -> list[str]:
    """Push reports, trying again while the node is down; return their items."""
    items = []
    for number in numbers:
        request = pb.PushReportRequest(confirmed=FIRST_TIME, report=report_file(number), idempotency_key=str(number))
        while True:
            try:
                items.append((await asyncio.to_thread(node.ask, "PushReport", request)).item)
                break
            except ExchangeError:
                await asyncio.sleep(0.1)
    return items


async def all_receipted(node: NodeProcess, items: list[str]) -> bool:
    """Say whether every item is receipted."""
    try:
        for item in items:
            story = await asyncio.to_thread(node.ask, "TraceReport", pb.TraceReportRequest(id=item))
            if [each.state for each in story.recipients] != [Reach.RECEIPTED]:
                return False
    except ExchangeError:
        return False
    return True


@contextmanager
def a_seed() -> Iterator[random.Random]:
    """Yield random numbers that a failing test can have again."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    yield random.Random(seed)


async def restart_now_and_then(
    draw: random.Random, relay: RelayProcess, started: dict[str, NodeProcess], done: asyncio.Event
) -> None:
    """Kill one of the processes after a random while, start it again, and so on."""
    for _ in range(ROUNDS):
        if done.is_set():
            return
        await asyncio.sleep(draw.uniform(0.1, 1.0))
        victim = draw.choice(["relay", *started])
        if victim == "relay":
            relay.kill()
            await asyncio.to_thread(relay.start)
        else:
            started[victim].kill()
            started[victim].start()
            await until(started[victim].answers, f"{victim} does not come back")


@pytest.mark.processes
async def test_relay_and_nodes_are_killed_under_load_and_every_report_arrives_exactly_once() -> None:
    with a_seed() as draw:
        async with processes("XA", "XV") as (relay, started):
            done = asyncio.Event()
            killing = asyncio.create_task(restart_now_and_then(draw, relay, started, done))
            items = await push_all(started["XA"], range(PUSHES))
            await killing
            more = await push_all(started["XA"], range(PUSHES, PUSHES + 3))
            everything = [*items, *more]
            assert len(set(everything)) == PUSHES + 3
            await until(partial(all_receipted, started["XA"], everything), "not every report was receipted")
            listed = started["XV"].ask("ListReports", pb.ListReportsRequest(limit=1000)).reports
            assert sorted(report.item for report in listed) == sorted(everything)
            for node in started.values():
                status = node.ask("GetStatus", pb.GetStatusRequest())
                assert (list(status.alarms), status.quarantined) == ([], 0)
                results = [step for step in node.ask("VerifyLog", pb.VerifyLogRequest(full=True)) if step.result]
                assert {step.result for step in results} == {"ok"}, results
            assert [node.stop() for node in started.values()] == [0, 0]
