"""Two relays on one PostgreSQL under load: one is killed, then the database; nothing is lost, nothing doubled."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest

from exchange.envelope.codec import decode_delivery
from exchange.envelope.seal import seal_all
from exchange.merkle import leaf_hash, root_of, verify_consistency
from exchange.receipts.model import Promise
from exchange.receipts.verify import open_promise
from exchange.tlog.checkpoint import Checkpoint, traffic_origin
from exchange.tlog.entry import EntryKind, decode_entry
from exchange.tlog.signing import open_checkpoint
from exchange.v1 import relay_service_pb2 as pb
from tests.support import postgres
from tests.support.directory_builders import EXCHANGE, an_exchange, ed25519, log_keys
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import (
    CALL_S,
    Partner,
    World,
    a_home,
    a_prepared,
    acknowledgement,
    head_of,
    promise_of,
    secrets,
)
from tests.support.twins import copy_of

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(postgres.wheel_is_missing(), reason=f"the wheel {postgres.WHEEL} is not installed"),
]

FRAME, FRAMES = 4, 40
SENDERS, RECEIVERS = ("XA", "XO"), ("XV", "XT")
LIMITS = "[limits]\njoins_per_minute = 10000\ncalls_per_minute = 100000\n"
PATIENCE_S = 120.0


@dataclass(slots=True)
class Seen:
    """What one partner has seen with its own eyes."""

    promises: dict[bytes, Promise] = field(default_factory=dict)
    delivered: dict[int, bytes] = field(default_factory=dict)
    notes: list[Checkpoint] = field(default_factory=list)
    """Of the traffic log, in the order in which they came, from whichever relay."""


@contextmanager
def two_processes(server: postgres.Server) -> Iterator[tuple[list[RelayProcess], list[World]]]:
    """Run two relays as processes, each in a home of its own, on a new database."""
    exchange = an_exchange(())
    settings = f'database = "{server.new_database("twins")}"\n{LIMITS}'
    first = a_home(exchange)
    passphrase = prepare(first, secrets(), EXCHANGE, settings=settings)
    second = copy_of(first)
    prepare(second, secrets(), EXCHANGE, settings=settings)
    try:
        with RelayProcess(first, passphrase) as one, RelayProcess(second, second.root / "passphrase") as other:
            processes = [one, other]
            yield processes, [World(each.home, exchange, each.start()) for each in processes]
    finally:
        for home in (first, second):
            shutil.rmtree(home.root)


Act = Callable[[Partner, Seen], Awaitable[None]]


class Anywhere:
    """One partner that talks to either relay, and to the other when one does not answer."""

    def __init__(self, name: str, worlds: Sequence[World], begin: int) -> None:
        self.name, self.worlds, self.at = name, worlds, begin
        self.keys = worlds[0].partners[name].keys
        self.seen = Seen()

    async def run(self, act: Act) -> None:
        """Act at one relay; when that ends in an error, at the other; until `act` returns."""
        while True:
            partner = self.worlds[self.at % 2].connect(self.keys)
            try:
                return await act(partner, self.seen)
            except grpc.aio.AioRpcError:
                self.at += 1
                await asyncio.sleep(0.1)
            finally:
                await partner.channel.close()


def submitting(waiting: dict[bytes, bytes]) -> Act:
    async def act(partner: Partner, seen: Seen) -> None:
        while left := [data for hash_, data in waiting.items() if hash_ not in seen.promises]:
            for outcome in await partner.submit(*left[:FRAME]):
                promise = promise_of(outcome)
                assert seen.promises.setdefault(promise.envelope_hash, promise) == promise
            seen.notes.append(await the_checkpoint(partner))

    return act


def collecting(count: int) -> Act:
    async def act(partner: Partner, seen: Seen) -> None:
        requests: asyncio.Queue[pb.DeliverRequest] = asyncio.Queue()
        requests.put_nowait(pb.DeliverRequest(window_bytes=1 << 20))

        async def feed() -> AsyncIterator[pb.DeliverRequest]:
            while True:
                yield await requests.get()

        # In a stream each position comes once; after a cut what was not yet acknowledged may come again.
        positions: list[int] = []
        async for response in partner.stub.Deliver(feed(), timeout=PATIENCE_S):
            for each in response.waiting:
                promise = open_promise(decode_delivery(each.delivery).promise, PROMISE_KEY, EXCHANGE)
                assert promise.log_index == each.position and each.position not in positions
                positions.append(each.position)
                assert seen.delivered.setdefault(each.position, promise.envelope_hash) == promise.envelope_hash
            if response.waiting:
                requests.put_nowait(acknowledgement(response.waiting))
            if len(seen.delivered) >= count and not response.waiting:
                return

    return act


PROMISE_KEY = ed25519("relay/promise").public


async def the_checkpoint(partner: Partner) -> Checkpoint:
    answer = await partner.stub.GetCheckpoint(pb.GetCheckpointRequest(log=pb.LOG_TRAFFIC), timeout=CALL_S)
    return open_checkpoint(answer.checkpoint, traffic_origin(EXCHANGE), log_keys("relay").public)


async def test_one_relay_killed_and_the_database_killed_under_load_lose_and_double_nothing() -> None:
    with postgres.running_server() as server, two_processes(server) as (processes, worlds):
        first = worlds[0]
        for name in (*SENDERS, *RECEIVERS):
            worlds[1].partners[name] = await first.join(name)
        basis = await first.agree(*SENDERS, *RECEIVERS)
        head = head_of(first.exchange)
        nodes = {name: Anywhere(name, worlds, at) for at, name in enumerate((*SENDERS, *RECEIVERS))}
        waiting = {name: sealed_by(first, name, basis, head) for name in SENDERS}
        total = len(SENDERS) * FRAME * FRAMES
        acts = [nodes[name].run(submitting(waiting[name])) for name in SENDERS]
        acts += [nodes[name].run(collecting(total)) for name in RECEIVERS]
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for each in acts:
                tasks.create_task(each)
            await promised(nodes, total // 5)
            processes[0].kill()
            await promised(nodes, total * 2 // 5)
            worlds[0].listening = await asyncio.to_thread(processes[0].start)
            await promised(nodes, total * 3 // 5)
            server.kill()
            await asyncio.sleep(1.0)
            await asyncio.to_thread(server.restart)
            await promised(nodes, total * 4 // 5)
            processes[1].kill()
        promises = {hash_: each for name in SENDERS for hash_, each in nodes[name].seen.promises.items()}
        assert promises.keys() == {hash_ for each in waiting.values() for hash_ in each}
        by_position = {promise.log_index: hash_ for hash_, promise in promises.items()}
        assert len(by_position) == total
        for name in RECEIVERS:
            assert nodes[name].seen.delivered == by_position, "each once, under its promised position"
        await one_log(first, nodes, by_position)
        assert processes[0].stop() == 0


def sealed_by(world: World, name: str, basis: object, head: object) -> dict[bytes, bytes]:
    keys = world.partners[name].keys
    prepared = [
        a_prepared(keys, list(RECEIVERS), basis, head, seq=seq)  # type: ignore[arg-type]  # as agree and head_of give
        for seq in range(1, FRAME * FRAMES + 1)
    ]
    return {each.envelope_hash: each.submission_bytes for each in seal_all(prepared, keys.envelope)}


async def promised(nodes: dict[str, Anywhere], count: int) -> None:
    while sum(len(nodes[name].seen.promises) for name in SENDERS) < count:
        await asyncio.sleep(0.01)


async def one_log(world: World, nodes: dict[str, Anywhere], by_position: dict[int, bytes]) -> None:
    """Read the whole log: it holds every promise once, and continues each note that anybody was given."""
    partner = world.connect(world.partners["XA"].keys)
    newest = await the_checkpoint(partner)
    entries: list[bytes] = []
    while len(entries) < newest.size:
        request = pb.ReadLogRequest(log=pb.LOG_TRAFFIC, start=len(entries), count=4096)
        entries += (await partner.stub.ReadLog(request, timeout=CALL_S)).entries
    assert root_of([leaf_hash(entry) for entry in entries[: newest.size]]) == newest.root
    logged = {at: decode_entry(entry) for at, entry in enumerate(entries)}
    assert {at: each.sha256 for at, each in logged.items() if each.kind is EntryKind.ENVELOPE} == by_position
    for node in nodes.values():
        sizes = [note.size for note in node.seen.notes]
        assert sizes == sorted(sizes), "no relay shows less than the other has shown"
        for note in [note for note in node.seen.notes if note.size][:: max(1, len(sizes) // 8)]:
            proof = await partner.stub.GetConsistencyProof(
                pb.GetConsistencyProofRequest(log=pb.LOG_TRAFFIC, old_size=note.size, new_size=newest.size),
                timeout=CALL_S,
            )
            verify_consistency(note.size, newest.size, note.root, newest.root, proof.path)
    await partner.channel.close()
