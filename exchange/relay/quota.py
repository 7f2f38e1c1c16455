"""How much one caller may ask for, leave here and add to what all replay.

Submissions over their rate wait, which slows the sender down through flow control and loses nothing; other calls are
refused with RATE_LIMITED. What waits at the relay is bounded by sender: an envelope over that bound is refused, not for
good. Statements in the directory are bounded by party and day. Tables are bounded: callers on the join port are
strangers.

What protects the exchange is counted in the store, in the transaction that appends: all processes on one database count
together, and a restart forgets nothing. What protects a process is counted in its memory: calls, streams, newcomers.
A bucket is one number, the time at which it is full again: what is taken moves it on, and time passes by itself.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from exchange.errors import RateLimited
from exchange.names import PartyId

CALLERS = 4_096
"""Buckets that are kept; the one that was used longest ago makes room."""

MINUTE_S = 60.0
DAY_S = 24 * 60 * MINUTE_S
SECOND_US = 1_000_000
MS_US = 1_000

CONTROL_SHARE = 8
"""Control traffic may go over the bytes that a sender may leave here by one such part: retractions must pass."""


class Counted(IntEnum):
    """What is counted of each party in the store."""

    REPORTS = 1
    CONTROL = 2
    STATEMENTS = 3
    ROOT_STATEMENTS = 4
    REFUSALS = 5


class SpentStore(Protocol):
    """When each bucket of a party is full again, within one open transaction."""

    def full_us(self, party: PartyId) -> Mapping[Counted, int]:
        """Return the times that are stored; a bucket without one is full."""

    def put(self, party: PartyId, full_us: Mapping[Counted, int]) -> None:
        """Replace these times of a party."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """So much in a window, in a bucket that is filled at a steady rate up to one window's worth. Times in us."""

    per_window: int
    window_s: float = MINUTE_S

    def spend(self, full_us: int, now_us: int, count: int = 1) -> int:
        """Return when a bucket is full again, of which `count` are taken, into debt if need be."""
        return max(full_us, now_us) + count * self._window_us // self.per_window

    def debt_us(self, full_us: int, now_us: int) -> int:
        """Return how long it takes until nothing is owed."""
        return max(0, full_us - now_us - self._window_us)

    def left(self, full_us: int, now_us: int) -> int:
        """Return how many may be taken without a debt."""
        return max(0, (now_us + self._window_us - max(full_us, now_us)) * self.per_window // self._window_us)

    def stored(self, full_us: int, now_us: int) -> int:
        """Return a time as it is stored: nobody owes more than a window."""
        return min(full_us, now_us + 2 * self._window_us)

    def believed(self, full_us: int, now_us: int) -> int:
        """Return a stored time; one that only a clock which stood ahead can have written counts for nothing."""
        return full_us if full_us <= now_us + 3 * self._window_us else now_us

    @property
    def _window_us(self) -> int:
        return int(self.window_s * SECOND_US)


class Rate:
    """An allowance for each caller, counted in memory. For one event loop."""

    def __init__(
        self, per_window: int, *, window_s: float = MINUTE_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`monotonic` gives seconds."""
        self.allowance = Allowance(per_window, window_s)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, int] = OrderedDict()

    def set(self, per_window: int) -> None:
        """Fill the buckets at another rate from now on."""
        self.allowance = Allowance(per_window, self.allowance.window_s)

    def take(self, caller: str, count: int = 1) -> float:
        """Take tokens, into debt if need be, and return for how many seconds the caller is in debt."""
        now_us = self._now_us()
        full_us = self.allowance.spend(self._buckets.pop(caller, now_us), now_us, count)
        self._keep(caller, full_us)
        return self.allowance.debt_us(full_us, now_us) / SECOND_US

    def owes(self, caller: str, full_in_us: int) -> None:
        """Learn in what time the bucket is full again by another count of it; the later of both holds."""
        self._keep(caller, max(self._buckets.pop(caller, 0), self._now_us() + full_in_us))

    def demand(self, caller: str) -> None:
        """Take one token, or raise RateLimited and take none."""
        wait = self.take(caller)
        if wait > 0:
            self.take(caller, -1)
            raise _limited(caller, wait)

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

    def _now_us(self) -> int:
        return int(self._monotonic() * SECOND_US)

    def _keep(self, caller: str, full_us: int) -> None:
        self._buckets[caller] = full_us
        while len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)


class SubmitRates:
    """How fast each sender submits reports and control traffic, at all processes on one store together.

    A frame waits by what this process has counted, before it is recorded; the store counts it with the record, and what
    the others took meanwhile is then known here. So the processes together let through what is allowed and, each time
    that a bucket runs empty, the frames that were under way in each of them.
    """

    def __init__(self, reports_per_minute: int, control_per_minute: int) -> None:
        """Allow each sender so much."""
        self.reports, self.control = Rate(reports_per_minute), Rate(control_per_minute)
        self._rates = {Counted.REPORTS: self.reports, Counted.CONTROL: self.control}

    def set(self, reports_per_minute: int, control_per_minute: int) -> None:
        """Allow something else from now on."""
        self.reports.set(reports_per_minute)
        self.control.set(control_per_minute)

    async def wait(self, sender: PartyId, counts: Mapping[Counted, int]) -> None:
        """Return when the sender may have so many recorded; cancelled, nothing was counted."""
        for what, count in counts.items():
            await self._rates[what].wait(sender, count)

    def count(
        self, spent: SpentStore, sender: PartyId, counts: Mapping[Counted, int], now_ms: int
    ) -> dict[Counted, int]:
        """Count in the open transaction what it records; return in how many us each bucket is full again."""
        stored, now_us = spent.full_us(sender), now_ms * MS_US
        after: dict[Counted, int] = {}
        for what, count in counts.items():
            if count:
                allowance = self._rates[what].allowance
                before_us = allowance.believed(stored.get(what, 0), now_us)
                after[what] = allowance.stored(allowance.spend(before_us, now_us, count), now_us)
        spent.put(sender, after)
        return {what: full_us - now_us for what, full_us in after.items()}

    def learn(self, sender: PartyId, full_in_us: Mapping[Counted, int]) -> None:
        """Go by what `count` returned, once its transaction is durable."""
        for what, each in full_in_us.items():
            self._rates[what].owes(sender, each)


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


class DayQuota:
    """What one party may do in a day, counted in the transaction that does it."""

    def __init__(self, what: Counted, per_day: int) -> None:
        """Count under `what` in the store."""
        self._what = what
        self.set(per_day)

    def set(self, per_day: int) -> None:
        """Allow another number from now on."""
        self._allowance = Allowance(per_day, DAY_S)

    def left(self, spent: SpentStore, party: PartyId, now_ms: int) -> int:
        """Return how many more there may be now."""
        return self._allowance.left(self._full_us(spent, party, now_ms * MS_US), now_ms * MS_US)

    def take(self, spent: SpentStore, party: PartyId, now_ms: int, count: int = 1) -> None:
        """Count so many, or raise RateLimited: then the transaction must come to nothing."""
        now_us = now_ms * MS_US
        full_us = self._allowance.spend(self._full_us(spent, party, now_us), now_us, count)
        debt_us = self._allowance.debt_us(full_us, now_us)
        if debt_us:
            raise _limited(party, debt_us / SECOND_US)
        spent.put(party, {self._what: full_us})

    def take_some(self, spent: SpentStore, party: PartyId, now_ms: int, count: int) -> int:
        """Count as many of so many as are left, none when a clock that was ahead has taken more; return how many."""
        some = min(count, self.left(spent, party, now_ms))
        if some:
            self.take(spent, party, now_ms, some)
        return some

    def _full_us(self, spent: SpentStore, party: PartyId, now_us: int) -> int:
        return self._allowance.believed(spent.full_us(party).get(self._what, 0), now_us)


class StatementQuota:
    """What one party may add to the directory in a day: everybody replays it for ever.

    What needs the root has a bucket of its own, so that whoever has only a node's keys cannot use up the revocation's.
    """

    def __init__(self, per_day: int) -> None:
        """Allow `per_day` statements by the keys of a party's node, and as many by its root."""
        self._node = DayQuota(Counted.STATEMENTS, per_day)
        self._root = DayQuota(Counted.ROOT_STATEMENTS, per_day)

    def set(self, per_day: int) -> None:
        """Allow another number from now on."""
        self._node.set(per_day)
        self._root.set(per_day)

    def take(self, spent: SpentStore, party: PartyId, now_ms: int, *, root: bool) -> None:
        """Count one statement in the transaction that appends it, or raise RateLimited, which ends that."""
        (self._root if root else self._node).take(spent, party, now_ms)


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


def _limited(caller: str, wait_s: float) -> RateLimited:
    return RateLimited(f"{caller} calls too often", hint=f"try again in {wait_s:.0f} s")
