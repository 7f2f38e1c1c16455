"""grpc.health.v1 at every door of a service: it serves while its database answers, and says so again when it does.

The database is asked now and then, by a reader, whether anybody asks for the health or not: a load balancer turns away
before calls fail. One question that hangs is enough: none is added to it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from sqlalchemy import Connection

from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger

LOOK_S = 2.0
"""Between an answer of the database and the next question."""

ANSWER_S = 5.0
"""A database that takes longer is away."""

SERVICE = "/grpc.health.v1.Health/"
"""What the paths of its methods begin with."""

_log = get_logger(__name__)


class Health:
    """The health of one process. For one event loop."""

    def __init__(self, database: Database) -> None:
        """It serves until the database is seen not to answer: it has answered at the start."""
        self._database = database
        self._doors: list[tuple[health.aio.HealthServicer, frozenset[str]]] = []
        self._asked: asyncio.Task[None] | None = None
        self.serving = True

    async def at(self, server: grpc.aio.Server, *services: str) -> Callable[[], Awaitable[None]]:
        """Answer at a server, before it starts; return what is to be awaited when the server is about to stop."""
        door = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(door, server)
        self._doors.append((door, frozenset({"", *services})))
        await self._say()

        async def end() -> None:
            await door.enter_graceful_shutdown()

        return end

    async def look(self) -> None:
        """Ask the database; tell whoever watches when that has changed."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait([self._asked], timeout=ANSWER_S)
        answer: BaseException | None = TimeoutError(f"no answer within {ANSWER_S} s")
        if done:
            asked, self._asked = self._asked, None
            answer = asked.exception()
        if (serving := answer is None) is self.serving:
            return
        self.serving = serving
        if serving:
            _log.info("the database answers again")
        else:
            _log.error("ALARM: the database does not answer", detail=str(answer))
        await self._say()

    async def _ask(self) -> None:
        await self._database.read(_answer)

    async def _say(self) -> None:
        states = health_pb2.HealthCheckResponse
        for door, services in self._doors:
            for service in services:
                await door.set(service, states.SERVING if self.serving else states.NOT_SERVING)


def _answer(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT version_num FROM alembic_version")
