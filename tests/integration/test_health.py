"""What grpc.health.v1 says at the doors of relay and node: not serving while the database is away, then serving."""

import asyncio
from functools import partial

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nodes.node_client import SOCKET
from tests.support import postgres
from tests.support.doors import open_socket
from tests.support.node_world import a_node_world, at, until
from tests.support.relay_world import settings

needs_postgres = pytest.mark.skipif(postgres.wheel_is_missing(), reason=f"the wheel {postgres.WHEEL} is not installed")
RECOVERY_S = 150.0
"""A server that was killed replays its log before it answers, for as long as that takes."""

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def says(channel: grpc.aio.Channel, state: int, service: str = "") -> bool:
    """Whether the health of a service is this."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    return bool(answer.status == state)


@needs_postgres
async def test_relay_and_node_do_not_serve_while_their_database_is_away_and_serve_again_by_themselves() -> None:
    with postgres.running_server() as server:
        given = settings().model_copy(update={"database": server.new_database("relay")})
        async with a_node_world(given=given) as world:
            place = await world.place("XA")
            place.config = place.config.model_copy(update={"store_url": server.new_database("node")})
            async with (
                at(place) as running,
                open_socket(running) as node,
                grpc.aio.insecure_channel(f"unix:{node.home / SOCKET}") as people,
            ):
                relay = world.relay.partners["XA"].channel
                for channel, service in ((relay, "exchange.v1.RelayService"), (people, "nodes.v1.NodeService")):
                    assert await says(channel, SERVING) and await says(channel, SERVING, service)
                server.kill()
                for channel in (relay, people):
                    await until(partial(says, channel, NOT_SERVING), "it says that it serves")
                await asyncio.to_thread(server.restart)
                async with asyncio.timeout(RECOVERY_S):
                    while not (await says(relay, SERVING) and await says(people, SERVING)):
                        await asyncio.sleep(0.2)
