"""A relay over PostgreSQL with a replica: a failover loses nothing that was promised, or it stops the relay."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio
import pytest

from exchange.merkle import verify_consistency
from exchange.policy.agreement import AgreementRef
from exchange.receipts.model import Promise
from exchange.tlog.checkpoint import Checkpoint, traffic_origin
from exchange.tlog.signing import open_checkpoint
from exchange.v1 import relay_service_pb2 as pb
from tests.support import postgres
from tests.support.directory_builders import EXCHANGE, an_exchange, log_keys
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import CALL_S, World, a_home, a_sealed, head_of, promise_of, secrets

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(postgres.wheel_is_missing(), reason=f"the wheel {postgres.WHEEL} is not installed"),
]

LIMITS = "[limits]\njoins_per_minute = 10000\n"
PATIENCE_S = 60.0
CONFIGURATION = 7


@contextmanager
def with_replica() -> Iterator[tuple[RelayProcess, World, postgres.Server, postgres.Replica]]:
    """Run a relay on a primary that has a replica."""
    exchange = an_exchange(())
    home = a_home(exchange)
    try:
        with postgres.running_server() as server:
            replica = postgres.Replica(server)
            server.new_database("relay")
            replica.begin()
            settings = f'database = "{replica.url_of_either("relay")}"\n{LIMITS}'
            with RelayProcess(home, prepare(home, secrets(), EXCHANGE, settings=settings)) as process:
                yield process, World(home, exchange, process.start()), server, replica
            replica.stop()
    finally:
        shutil.rmtree(home.root)


async def the_checkpoint(world: World) -> Checkpoint:
    answer = await world.partners["XA"].stub.GetCheckpoint(pb.GetCheckpointRequest(log=pb.LOG_TRAFFIC), timeout=CALL_S)
    return open_checkpoint(answer.checkpoint, traffic_origin(EXCHANGE), log_keys("relay").public)


def sealed(world: World, basis: AgreementRef, *seqs: int) -> list[bytes]:
    keys, head = world.partners["XA"].keys, head_of(world.exchange)
    return [a_sealed(keys, ["XV"], basis, head, seq=seq).submission_bytes for seq in seqs]


async def submit(world: World, basis: AgreementRef, *seqs: int) -> dict[bytes, Promise]:
    """Submit one report for each number and return them with their promises."""
    partner, made = world.partners["XA"], sealed(world, basis, *seqs)
    return dict(zip(made, map(promise_of, await partner.submit(*made)), strict=True))


async def test_what_was_promised_survives_the_loss_of_the_primary() -> None:
    with with_replica() as (_, world, server, replica):
        replica.demand()
        for name in ("XA", "XV"):
            await world.join(name)
        basis = await world.agree("XA", "XV")
        promised: dict[bytes, Promise] = {}
        for at in range(1, 41, 4):
            promised |= await submit(world, basis, *range(at, at + 4))
        before = await the_checkpoint(world)
        server.kill()
        await asyncio.to_thread(replica.promote)
        last = sealed(world, basis, 100)
        async with asyncio.timeout(PATIENCE_S):
            while len(promised) == 40:
                try:
                    promised |= zip(last, map(promise_of, await world.partners["XA"].submit(*last)), strict=True)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.2)
        again = await world.partners["XA"].submit(*promised)
        assert list(map(promise_of, again)) == list(promised.values()), "what was promised is there, word by word"
        found = await world.partners["XV"].collect(len(promised))
        assert [each.position for each in found] == [promise.log_index for promise in promised.values()]
        after = await the_checkpoint(world)
        if before.size:
            proof = await world.partners["XA"].stub.GetConsistencyProof(
                pb.GetConsistencyProofRequest(log=pb.LOG_TRAFFIC, old_size=before.size, new_size=after.size),
                timeout=CALL_S,
            )
            verify_consistency(before.size, after.size, before.root, after.root, proof.path)


async def test_a_replica_that_lacks_what_was_answered_stops_the_relay_and_no_second_history_begins() -> None:
    with with_replica() as (process, world, server, replica):
        for name in ("XA", "XV"):
            await world.join(name)
        basis = await world.agree("XA", "XV")
        await submit(world, basis, *range(1, 5))
        # Nothing demands that commits wait for the replica; it falls behind, and is promoted all the same.
        await asyncio.to_thread(replica.stop)
        await submit(world, basis, *range(5, 9))
        async with asyncio.timeout(PATIENCE_S):
            while (await the_checkpoint(world)).size < 17:
                await asyncio.sleep(0.1)
        server.kill()
        await asyncio.to_thread(replica.start)
        await asyncio.to_thread(replica.promote)
        assert process.process is not None
        assert await asyncio.to_thread(process.process.wait, PATIENCE_S) == CONFIGURATION
        assert "ALARM: the store has lost entries" in process.log.read_text()
        with pytest.raises(AssertionError, match=f"ended with {CONFIGURATION}"):
            await asyncio.to_thread(process.start)
        assert "does not continue" in process.log.read_text()
