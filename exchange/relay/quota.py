"""How much one caller may ask for, leave here and add to what all replay. For one event loop.

Submissions over their rate wait, which slows the sender down through flow control and loses nothing; other calls are
refused with RATE_LIMITED. What waits at the relay is bounded by sender: an envelope over that bound is refused, not for
good. Statements in the directory are bounded by party and day. Tables are bounded: callers on the join port are
strangers.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exchange.errors import RateLimited
from exchange.names import PartyId

CALLERS = 4_096
"""Buckets that are kept; the one that was used longest ago makes room."""

MINUTE_S = 60.0
DAY_S = 24 * 60 * MINUTE_S
CONTROL_SHARE = 8
"""Control traffic may go over the bytes that a sender may leave here by one such part: retractions must pass."""


class Rate:
    """A bucket for each caller, filled at a steady rate up to one window's worth, a minute's when nothing is said."""

    def __init__(
        self, per_window: int, *, window_s: float = MINUTE_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`monotonic` gives seconds."""
        self._window_s = window_s
        self.set(per_window)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def set(self, per_window: int) -> None:
        """Fill the buckets at another rate from now on."""
        self._per_s = per_window / self._window_s
        self._most = float(per_window)

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


class StatementQuota:
    """What one party may add to the directory in a day: everybody replays it for ever.

    What needs the root has a bucket of its own, so that whoever has only a node's keys cannot use up the revocation's.
    """

    def __init__(self, per_day: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Allow `per_day` statements by the keys of a party's node, and as many by its root."""
        self._node = Rate(per_day, window_s=DAY_S, monotonic=monotonic)
        self._root = Rate(per_day, window_s=DAY_S, monotonic=monotonic)

    def set(self, per_day: int) -> None:
        """Allow another number from now on."""
        self._node.set(per_day)
        self._root.set(per_day)

    def demand(self, party: PartyId, *, root: bool) -> None:
        """Count one statement, or raise RateLimited and count none."""
        (self._root if root else self._node).demand(party)


class HeldQuota:
    """How many bytes of one sender may wait here. The store counts them as it stores and deletes."""

    def __init__(self, most: int) -> None:
        """Allow `most` bytes of each sender."""
        self._most = most

    def set(self, most: int) -> None:
        """Allow another number of bytes from now on; what waits already stays."""
        self._most = most

    def room(self, held: int, *, control: bool) -> int:
        """Return how many bytes more a sender may leave here of which `held` wait; below 0 when it is over."""
        return self._most + (self._most // CONTROL_SHARE if control else 0) - held
