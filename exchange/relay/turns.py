"""Fair turns at what is scarce: whoever has had least goes next, and nobody waits behind a backlog of another.

Start-time fair queueing. Each caller has a clock of its own that advances by the weight of what it was given; among
those that wait the one that is behind goes first, each caller's own in their order. One that was away does not come
back with a credit. So a caller that asks for little is served after at most what is under way and one item of each of
the others, however much these have waiting. For one event loop.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Gives out `room` units among callers; an item may exceed what is free, so that the largest has its turn too."""

    def __init__(self, room: int) -> None:
        """All of it is free."""
        self._free = room
        self._now = 0
        self._clocks: dict[str, int] = {}
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}
        self._under_way: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """How many items wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, caller: str, weight: int) -> AsyncIterator[None]:
        """Wait for the turn of an item and hold its units while the block runs."""
        await self.take(caller, weight)
        try:
            yield
        finally:
            self.give_back(caller, weight)

    async def take(self, caller: str, weight: int) -> None:
        """Return when it is the turn of an item of this weight; cancelled, it has taken nothing."""
        if self._free > 0 and not self._waiting:
            self._give(caller, weight)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append((weight, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(caller, weight)
            else:
                self._forget(caller, (weight, turn))
            raise

    def give_back(self, caller: str, weight: int) -> None:
        """Return what an item had, and let others have their turn."""
        self._free += weight
        self._under_way[caller] -= weight
        if not self._under_way[caller]:
            del self._under_way[caller]
        while self._free > 0 and self._waiting:
            next_ = min(self._waiting, key=lambda each: max(self._now, self._clocks.get(each, 0)))
            weight, turn = self._waiting[next_].popleft()
            if not self._waiting[next_]:
                del self._waiting[next_]
            if not turn.cancelled():
                self._give(next_, weight)
                turn.set_result(None)
        if not self._under_way and not self._waiting:
            # Nobody is here: all begin alike.
            self._now = 0
            self._clocks.clear()

    def _give(self, caller: str, weight: int) -> None:
        self._now = max(self._now, self._clocks.get(caller, 0))
        self._clocks[caller] = self._now + weight
        self._under_way[caller] = self._under_way.get(caller, 0) + weight
        self._free -= weight

    def _forget(self, caller: str, item: tuple[int, asyncio.Future[None]]) -> None:
        queue = self._waiting.get(caller)
        if queue is not None and item in queue:
            queue.remove(item)
            if not queue:
                del self._waiting[caller]
