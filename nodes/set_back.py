"""Notice that this machine's clock was set back, and end the waits that it dated ahead before.

What is tried again later is stored with the time at which it is, so that a restart keeps it. A clock that was twenty
minutes ahead would let it wait for twenty minutes after it is right. So the clock of a node remembers the latest time
that it has told anybody; over a restart, what the node has written last stands for that.
"""

from collections.abc import Callable
from functools import partial

from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.store import waits

LOOK_S = 2.0

LEAST_MS = 2_000
"""A clock is corrected by less all the time."""


class WatchedClock:
    """A clock that remembers the latest time which it has told."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Tell what `clock` tells."""
        self._clock = clock
        self._latest_ms = 0

    def __call__(self) -> int:
        """Return the time."""
        now_ms = self._clock()
        self.told(now_ms)
        return now_ms

    def told(self, at_ms: int) -> None:
        """Remember a time that was told before this clock was made."""
        self._latest_ms = max(self._latest_ms, at_ms)

    def set_back_by(self) -> int:
        """Return how far the time is below the latest that was told, which is forgotten."""
        latest_ms, self._latest_ms = self._latest_ms, 0
        return latest_ms - self()


class SetBack:
    """Sees to it that nothing waits for a time that only a wrong clock has told. For one event loop."""

    def __init__(self, core: Core, clock: WatchedClock, *, on_set_back: Callable[[], None]) -> None:
        """`clock` is the node's own; `on_set_back` lets everything look for work."""
        self._core = core
        self._clock = clock
        self._on_set_back = on_set_back
        self._log = get_logger(__name__)

    async def load(self) -> None:
        """Take up what this node's clock told before it stopped."""
        self._clock.told(await self._core.database.read(waits.newest_event_ms))

    async def look(self) -> None:
        """See to what the clock dated ahead, if it was set back since this was asked last."""
        by_ms = self._clock.set_back_by()
        if by_ms < LEAST_MS:
            return
        try:
            await self._core.database.write(partial(waits.end_waits, now_ms=self._clock()))
        except BaseException:
            self._clock.told(self._clock() + by_ms)
            raise
        self._log.warning("clock.set-back", by_ms=by_ms)
        self._on_set_back()
