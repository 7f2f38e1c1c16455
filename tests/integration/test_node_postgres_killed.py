"""A node whose PostgreSQL is killed under load goes on by itself when it is back: nothing is lost, nothing doubled."""

import asyncio

import pytest

from exchange.errors import ExchangeError
from nodes.outbox import Accepted
from nodes.parts import Node
from tests.support import postgres
from tests.support.node_world import at, count_reports, nodes, push, ready, receipted

pytestmark = pytest.mark.skipif(postgres.wheel_is_missing(), reason=f"the wheel {postgres.WHEEL} is not installed")

EACH = 12
PATIENCE_S = 90.0


async def pushing(node: Node, to: str) -> list[Accepted]:
    """Push reports as a sensor does: the same key again until it is taken."""
    found: list[Accepted] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < EACH:
            try:
                found.append(await push(node, to, key=f"{len(found)}"))
            except ExchangeError as error:
                assert error.retryable, error
                await asyncio.sleep(0.2)
    return found


async def test_a_node_goes_on_when_its_database_server_is_back() -> None:
    with postgres.running_server() as server:
        async with nodes("XV", agree=False) as (world, running):
            other, place = running["XV"], await world.place("XA")
            place.config = place.config.model_copy(update={"store_url": server.new_database("node")})
            await world.relay.agree("XA", "XV")
            async with at(place) as node:
                await ready(node, ["XV"])
                await ready(other, ["XA"])
                out = asyncio.create_task(pushing(node, "XV"))
                back = asyncio.create_task(pushing(other, "XA"))
                await asyncio.sleep(0.5)
                server.kill()
                await asyncio.sleep(1)
                await asyncio.to_thread(server.restart)
                for each in await out:
                    await receipted(node, each.item, "XV")
                for each in await back:
                    await receipted(other, each.item, "XA")
                assert await count_reports(node) == await count_reports(other) == 2 * EACH
