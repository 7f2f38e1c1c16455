"""When a node may believe that nothing waits for it at the relay; prekeys are destroyed by that."""

from exchange.directory.state import Status
from exchange.runtime.clock import now_ms
from nodes.parts import Node
from nodes.store import receiving
from tests.support.node_world import a_node_world, at, ready, stands


async def test_a_suspended_node_does_not_believe_that_nothing_waits() -> None:
    async with a_node_world("XA", "XV") as world, at(world.places["XV"]) as node:
        await ready(node, [], agree=False)
        await stands(node, "XV", Status.ADMITTED)
        await world.suspend("XV")
        await stands(node, "XV", Status.SUSPENDED)
        await node.receiver._drained(now_ms())
        assert await _drained_at(node) == set()
        await world.suspend("XV", suspended=False)
        await stands(node, "XV", Status.ADMITTED)
        at_ms = now_ms()
        await node.receiver._drained(at_ms)
        assert await _drained_at(node) == {at_ms}


async def _drained_at(node: Node) -> set[int]:
    return {cursor.drained_ms for cursor in (await node.core.database.read(receiving.cursors)).values()}
