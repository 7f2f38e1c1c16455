"""Work that is done now and then, and at once when somebody asks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from exchange.errors import ExchangeError


class Tell(Protocol):
    """How the log is told of a round that failed."""

    def __call__(self, *, reason: str, detail: str) -> object:
        """Write it down."""
        ...


class Rounds:
    """One kind of work, round after round. For one event loop."""

    def __init__(self, work: Callable[[], Awaitable[object]], *, every_s: float, failed: Tell) -> None:
        """`failed` is told when a round fails; the next one tries again."""
        self._work = work
        self._every_s = every_s
        self._failed = failed
        self._due = asyncio.Event()

    def hurry(self) -> None:
        """Do the work at once."""
        self._due.set()

    async def run(self) -> None:
        """Do the work at the start, now and then, and whenever asked to, until cancelled."""
        while True:
            self._due.clear()
            try:
                await self._work()
            except ExchangeError as error:
                self._failed(reason=error.reason, detail=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._due.wait()
