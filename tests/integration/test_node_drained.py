"""When a node may believe that nothing waits for it at the relay; prekeys are destroyed by that."""

from exchange.crypto.codec import encode_signed
from exchange.directory import issue
from exchange.names import party_id
from exchange.runtime.clock import now_ms
from exchange.v1 import relay_service_pb2 as pb
from nodes.app import Node
from nodes.store import receiving
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import NodeWorld, a_node_world, at, ready, until


async def test_a_suspended_node_does_not_believe_that_nothing_waits() -> None:
    async with a_node_world("XA", "XV") as world, at(world.places["XV"]) as node:
        await ready(node, [], agree=False)
        await until(lambda: node.core.trust.now.status(party_id("XV")) == "admitted", "not admitted")
        await _suspend(world, "XV", suspended=True)
        await until(lambda: node.core.trust.now.status(party_id("XV")) == "suspended", "not suspended")
        await node.receiver._drained(now_ms())
        assert await _drained_at(node) == set()
        await _suspend(world, "XV", suspended=False)
        await until(lambda: node.core.trust.now.status(party_id("XV")) == "admitted", "not admitted")
        at_ms = now_ms()
        await node.receiver._drained(at_ms)
        assert await _drained_at(node) == {at_ms}


async def _drained_at(node: Node) -> set[int]:
    return {cursor.drained_ms for cursor in (await node.core.database.read(receiving.cursors)).values()}


async def _suspend(world: NodeWorld, name: str, *, suspended: bool) -> None:
    relay = world.relay
    await relay.mirror()
    signed = issue.make_suspension(
        exchange=EXCHANGE,
        place=relay.exchange.directory.next_seq_prev("council"),
        party=party_id(name),
        suspended=suspended,
        now_ms=now_ms(),
        council_key=relay.exchange.council_key,
    )
    anyone = relay.partners["XA"]
    await anyone.stub.PublishStatement(pb.PublishStatementRequest(statement=encode_signed(signed)), timeout=10)
