"""Killed under load, again and again, the relay keeps every promise that it gave and its logs continue each other."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import grpc.aio
import pytest

from exchange.crypto.codec import signed_from_proto
from exchange.envelope.codec import decode_delivery
from exchange.envelope.model import Lane
from exchange.envelope.seal import seal_all
from exchange.merkle import leaf_hash, root_of, verify_consistency
from exchange.names import party_id
from exchange.receipts.model import Promise
from exchange.receipts.verify import open_promise
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.tlog.checkpoint import Checkpoint, traffic_origin
from exchange.tlog.entry import EntryKind, decode_entry
from exchange.tlog.signing import open_checkpoint
from exchange.v1 import relay_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE, an_exchange, ed25519, log_keys
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import CALL_S, World, a_home, a_prepared, acknowledgement, head_of, promise_of, secrets

pytestmark = pytest.mark.processes

FRAME = 8
FRAMES = 40
KILLS = 4
LIMITS = "[limits]\njoins_per_minute = 10000\n"


@contextmanager
def a_process() -> Iterator[tuple[RelayProcess, World]]:
    """Yield a running relay of its own process, and the world around it."""
    exchange = an_exchange(())
    home = a_home(exchange)
    try:
        with RelayProcess(home, prepare(home, secrets(), EXCHANGE, settings=LIMITS)) as process:
            yield process, World(home, exchange, process.start())
    finally:
        shutil.rmtree(home.root)


@dataclass(slots=True)
class Witnessed:
    """What the partners have seen with their own eyes."""

    promises: dict[bytes, Promise] = field(default_factory=dict)
    """By envelope hash."""
    delivered: dict[int, bytes] = field(default_factory=dict)
    """Envelope hash by position."""


async def test_every_promise_survives_kills_under_load_and_every_log_continues_the_one_before() -> None:
    draw = random.Random(seed := random.SystemRandom().getrandbits(32))
    print(f"seed {seed}")
    with a_process() as (process, world):
        for name in ("XA", "XV"):
            await world.join(name)
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        prepared = [a_prepared(sender.keys, ["XV"], basis, head, seq=seq) for seq in range(1, FRAME * FRAMES + 1)]
        waiting = {each.envelope_hash: each.submission_bytes for each in seal_all(prepared, sender.keys.envelope)}
        seen, before = Witnessed(), None
        for _ in range(KILLS):
            enough = len(seen.promises) + draw.randint(FRAME, FRAME * FRAMES // (KILLS + 1))
            await under_load(process, world, waiting, seen, enough)
            world.listening = process.start()
            await reconnect(world)
            await a_kept_log(world, seen)
            before = await continues(world, before)
        left = what_waits(world, "XV") if process.stop() == 0 else []
        world.listening = process.start()
        await reconnect(world)
        again = await collect_all(world, seen)
        assert again == left, "exactly what was not acknowledged is delivered"
        await a_kept_log(world, seen)
        await continues(world, before)
        assert {promise.log_index for promise in seen.promises.values()} <= seen.delivered.keys()
        for hash_, promise in seen.promises.items():
            assert seen.delivered[promise.log_index] == hash_
        await repeats_its_promises(world, waiting, seen)
        assert process.stop() == 0


async def under_load(
    process: RelayProcess, world: World, waiting: dict[bytes, bytes], seen: Witnessed, enough: int
) -> None:
    """Submit and collect until the relay is killed, which is when `enough` promises are there."""
    submitting = asyncio.create_task(submit_all(world, waiting, seen))
    collecting = asyncio.create_task(collect_all(world, seen, forever=True))
    async with asyncio.timeout(CALL_S):
        while len(seen.promises) < enough and not submitting.done():
            await asyncio.sleep(0.001)
    process.kill()
    for task in (submitting, collecting):
        with suppress(grpc.aio.AioRpcError):
            await task


async def submit_all(world: World, waiting: dict[bytes, bytes], seen: Witnessed) -> None:
    """Submit what has no promise yet; note each promise that arrives."""
    open_ = [data for hash_, data in waiting.items() if hash_ not in seen.promises]
    frames = [pb.SubmitRequest(frame=at, submissions=open_[at : at + FRAME]) for at in range(0, len(open_), FRAME)]
    async for response in world.partners["XA"].stub.Submit(iter(frames), timeout=60):
        for outcome in response.outcomes:
            promise = promise_of(outcome)
            seen.promises[promise.envelope_hash] = promise


async def collect_all(world: World, seen: Witnessed, *, forever: bool = False) -> list[int]:
    """Collect what waits and acknowledge it; unless `forever`, end when nothing has come for a while."""
    requests: asyncio.Queue[pb.DeliverRequest | None] = asyncio.Queue()
    requests.put_nowait(pb.DeliverRequest(window_bytes=1 << 20))

    async def feed() -> AsyncIterator[pb.DeliverRequest]:
        while (request := await requests.get()) is not None:
            yield request

    responses = aiter(world.partners["XV"].stub.Deliver(feed(), timeout=60))
    positions: list[int] = []
    while True:
        coming = asyncio.ensure_future(anext(responses, None))
        await asyncio.wait([coming], timeout=None if forever else 1.0)
        if not coming.done():
            requests.put_nowait(None)
        response = await coming
        if response is None:
            return positions
        for each in response.waiting:
            promise = open_promise(decode_delivery(each.delivery).promise, ed25519("relay/promise").public, EXCHANGE)
            assert promise.log_index == each.position
            assert not positions or positions[-1] < each.position, "in the order of positions, each once"
            positions.append(each.position)
            assert seen.delivered.setdefault(each.position, promise.envelope_hash) == promise.envelope_hash
        if response.waiting:
            requests.put_nowait(acknowledgement(response.waiting))


async def reconnect(world: World) -> None:
    for name, partner in world.partners.items():
        await partner.channel.close()
        world.partners[name] = world.connect(partner.keys)


async def a_kept_log(world: World, seen: Witnessed) -> None:
    """Read the whole traffic log, compare it with its checkpoint, and find every promise in it."""
    stub = world.partners["XA"].stub
    checkpoint = await the_checkpoint(world)
    entries: list[bytes] = []
    while len(entries) < checkpoint.size:
        request = pb.ReadLogRequest(log=pb.LOG_TRAFFIC, start=len(entries), count=4096)
        entries += (await stub.ReadLog(request, timeout=CALL_S)).entries
    assert root_of([leaf_hash(entry) for entry in entries[: checkpoint.size]]) == checkpoint.root
    for hash_, promise in seen.promises.items():
        entry = decode_entry(entries[promise.log_index])
        assert (entry.kind, entry.sha256) == (EntryKind.ENVELOPE, hash_)
    for position, hash_ in seen.delivered.items():
        assert decode_entry(entries[position]).sha256 == hash_


async def the_checkpoint(world: World) -> Checkpoint:
    answer = await world.partners["XA"].stub.GetCheckpoint(pb.GetCheckpointRequest(log=pb.LOG_TRAFFIC), timeout=CALL_S)
    return open_checkpoint(answer.checkpoint, traffic_origin(EXCHANGE), log_keys("relay").public)


async def continues(world: World, before: Checkpoint | None) -> Checkpoint:
    """Check that the log continues the checkpoint that was handed out before, and return the newest."""
    newest = await the_checkpoint(world)
    if before is not None:
        request = pb.GetConsistencyProofRequest(log=pb.LOG_TRAFFIC, old_size=before.size, new_size=newest.size)
        proof = await world.partners["XA"].stub.GetConsistencyProof(request, timeout=CALL_S)
        verify_consistency(before.size, newest.size, before.root, newest.root, proof.path)
    return newest


def what_waits(world: World, name: str) -> list[int]:
    """Return the positions that a stopped relay's store holds for a partner."""
    with Database(sqlite_url(world.home.root / "relay.db")) as database:
        rows = database.read_now(lambda c: SqlMailboxes(c).waiting(party_id(name), Lane.ROUTINE, after=0, limit=10_000))
    return [row.position for row in rows]


async def repeats_its_promises(world: World, waiting: dict[bytes, bytes], seen: Witnessed) -> None:
    """Submit what was promised once more: the answers are the same."""
    hashes = list(seen.promises)[: 4 * FRAME]
    outcomes = await world.partners["XA"].submit(*(waiting[hash_] for hash_ in hashes))
    assert [promise_of(outcome) for outcome in outcomes] == [seen.promises[hash_] for hash_ in hashes]
    assert all(signed_from_proto(outcome.answer).payload_type.endswith("promise.v1+protobuf") for outcome in outcomes)


async def test_a_relay_that_is_asked_to_stop_finishes_and_exits_with_0() -> None:
    with a_process() as (process, world):
        partner = await world.join("XA")
        follow = partner.stub.FollowDirectory(pb.FollowDirectoryRequest(start=0), timeout=CALL_S)
        await anext(aiter(follow))
        assert process.stop() == 0
        assert (await follow.code()) is grpc.StatusCode.UNAVAILABLE


async def test_a_store_that_does_not_continue_what_was_signed_stops_the_start() -> None:
    with a_process() as (process, world):
        await world.join("XA")
        assert process.stop() == 0
        with Database(sqlite_url(world.home.root / "relay.db")) as store:
            store.write_now(lambda c: c.exec_driver_sql("UPDATE log_state SET size = size - 1 WHERE log = 1"))
        with pytest.raises(AssertionError, match="ended with 7"):
            process.start()
