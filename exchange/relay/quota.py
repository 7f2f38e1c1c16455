"""How much one caller may ask for: token buckets and counts of calls under way. For one event loop.

Submissions over their rate wait, which slows the sender down through flow control and loses nothing; other calls are
refused with RATE_LIMITED. Tables are bounded: callers on the join port are strangers.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exchange.errors import RateLimited

CALLERS = 4_096
"""Buckets that are kept; the one that was used longest ago makes room."""


class Rate:
    """A bucket for each caller, filled at a steady rate up to one minute's worth."""

    def __init__(self, per_minute: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` gives seconds."""
        self._per_s = per_minute / 60
        self._most = float(per_minute)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, count: int = 1) -> float:
        """Take tokens, into debt if need be, and return for how many seconds the caller is in debt."""
        now = self._monotonic()
        tokens, at = self._buckets.pop(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._per_s) - count
        self._buckets[caller] = (tokens, now)
        while len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        return max(0.0, -tokens / self._per_s)

    def demand(self, caller: str) -> None:
        """Take one token, or raise RateLimited and take none."""
        wait = self.take(caller)
        if wait > 0:
            self.take(caller, -1)
            raise RateLimited(f"{caller} calls too often", hint=f"try again in {wait:.0f} s")

    async def wait(self, caller: str, count: int) -> None:
        """Take tokens and return when the caller is out of debt; cancelled, it gives them back."""
        if not count:
            return
        debt_s = self.take(caller, count)
        if debt_s > 0:
            try:
                await asyncio.sleep(debt_s)
            except asyncio.CancelledError:
                self.take(caller, -count)
                raise


class Calls:
    """Calls under way, by caller."""

    def __init__(self, most: int) -> None:
        """Allow each caller `most` at once."""
        self._most = most
        self._counts: dict[str, int] = {}

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """Count a call while the block runs; RateLimited when there are too many."""
        count = self._counts.get(caller, 0)
        if count >= self._most:
            raise RateLimited(f"{caller} has {count} calls under way")
        self._counts[caller] = count + 1
        try:
            yield
        finally:
            left = self._counts[caller] - 1
            if left:
                self._counts[caller] = left
            else:
                del self._counts[caller]

    def count(self, caller: str) -> int:
        """Return how many calls of a caller are under way."""
        return self._counts.get(caller, 0)
