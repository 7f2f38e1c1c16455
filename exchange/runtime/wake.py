"""Words between the processes that work on one database: that there is something new, and of what kind.

A word saves the wait and nothing else: the rows are the truth, and whoever waits looks at them now and then anyway. On
PostgreSQL a word leaves with the commit of the transaction in which it was told (NOTIFY), in the order of the commits.
An embedded database has one process, and nobody is told.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, text

from exchange.crypto.random import random_bytes
from exchange.runtime.engine import connect_arguments, is_sqlite
from exchange.runtime.logs import get_logger

CHANNEL = "concord"
PAYLOAD_BYTES = 7_900
"""Of one notice; the server's limit is 8,000."""

AGAIN_S = 1.0
"""A connection that was lost is made anew after this."""


@dataclass(frozen=True, slots=True)
class Word:
    """What was told; `mine` when this process told it."""

    mine: bool
    about: Sequence[str]


class Wake:
    """Tells the other processes, and hears them. `listen` is for one event loop, `tell` for the writer's thread."""

    def __init__(self, url: str) -> None:
        """Words travel by the database at `url`."""
        self.alone = is_sqlite(url)
        """Whether there can be no other process."""
        self._url = url
        self._me = random_bytes(8).hex()
        self._heard: dict[str, Callable[[Word], None]] = {}
        self._missed: list[Callable[[], None]] = []
        self._log = get_logger(__name__)

    def on(self, topic: str, heard: Callable[[Word], None]) -> None:
        """Call `heard` for each word about `topic`."""
        self._heard[topic] = heard

    def on_missed(self, fn: Callable[[], None]) -> None:
        """Call `fn` whenever words may have been missed: after each connection."""
        self._missed.append(fn)

    def tell(self, connection: Connection, topic: str, about: Iterable[str] = ()) -> None:
        """Tell it with the commit of the open transaction, in as many notices as it takes."""
        if self.alone:
            return
        begin = payload = f"{self._me} {topic}"
        for each in about:
            if len(payload) + 1 + len(each.encode()) > PAYLOAD_BYTES:
                _notify(connection, payload)
                payload = begin
            payload = f"{payload} {each}"
        _notify(connection, payload)

    async def listen(self) -> None:
        """Hear the others until cancelled."""
        if self.alone:
            return
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, OSError) as error:
                self._log.warning("wake.lost", why=str(error).strip())
            await asyncio.sleep(AGAIN_S)

    async def _listen_once(self) -> None:
        arguments = connect_arguments(self._url)
        async with await psycopg.AsyncConnection.connect(autocommit=True, **arguments) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            for fn in self._missed:
                fn()
            async for notice in connection.notifies():
                self._hear(notice.payload)

    def _hear(self, payload: str) -> None:
        who, _, rest = payload.partition(" ")
        topic, *about = rest.split(" ")
        heard = self._heard.get(topic)
        if heard is not None:
            heard(Word(who == self._me, about))


def _notify(connection: Connection, payload: str) -> None:
    connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload})
