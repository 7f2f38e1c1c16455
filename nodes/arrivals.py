"""What one delivery stream has brought and this node has not stored yet: flash first, whatever came before it.

The stream is read as fast as it comes, so that a flash report does not wait in a pipe behind what is not urgent; the
window that the receiver asks for bounds what lies here, and a relay that sends far more than that loses the stream.
What is dropped with a lost stream comes again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence

from exchange.envelope.model import Lane
from exchange.errors import MalformedInput
from exchange.limits import KIB, MIB
from nodes.relay_port import Delivered, Waiting

FRAME_ITEMS = 64
"""Envelopes that are stored together."""

WINDOW_BYTES = 8 * MIB
"""What the relay may send of each lane and is not acknowledged."""

LANE_BYTES = 2 * WINDOW_BYTES
"""What may lie here of each lane: twice what an honest relay sends, however it counts."""

LEAST_BYTES = KIB
"""What every delivery counts for at least, so that empty ones fill no memory."""

Positions = Sequence[tuple[Lane, int]]


class Arrivals:
    """One stream, between its reader and the receiver. For one event loop."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lanes: dict[Lane, deque[Waiting]] = {lane: deque() for lane in Lane}
        self._bytes = dict.fromkeys(Lane, 0)
        self._came = asyncio.Event()
        self._acknowledged: asyncio.Queue[Positions | None] = asyncio.Queue()
        self._now_ms = 0
        self._beat = False
        self._ended = False

    def add(self, frame: Delivered) -> None:
        """Take in what the stream brought; an empty frame says that nothing waits at the relay.

        Raises:
            MalformedInput: the relay does not keep to the window. One envelope may be larger, alone in its lane.
        """
        for each in frame.waiting:
            lane, size = self._lanes[each.lane], _size(each)
            if lane and self._bytes[each.lane] + size > LANE_BYTES:
                raise MalformedInput("the relay sends more than this node has asked for")
            lane.append(each)
            self._bytes[each.lane] += size
        self._now_ms, self._beat = frame.now_ms, not frame.waiting
        self._came.set()

    def end(self) -> None:
        """Drop what is not stored: the stream is lost, or is being left."""
        self._ended = True
        for lane in self._lanes.values():
            lane.clear()
        self._bytes = dict.fromkeys(Lane, 0)
        self._came.set()
        self._acknowledged.put_nowait(None)

    async def next(self) -> Delivered | None:
        """Return what is to be stored next, flash apart from everything else; None once the stream has ended.

        An empty one says that nothing waits, here or at the relay.
        """
        while not self._ended:
            waiting = self._take(Lane) if not self._lanes[Lane.FLASH] else self._take([Lane.FLASH])
            if not waiting and self._beat:
                self._beat = False
                return Delivered((), self._now_ms)
            if waiting:
                return Delivered(waiting, self._now_ms)
            self._came.clear()
            await self._came.wait()
        return None

    def flash(self) -> Delivered | None:
        """Return what has come in the flash lane since, if anything has."""
        waiting = self._take([Lane.FLASH])
        return Delivered(waiting, self._now_ms) if waiting else None

    def flash_waits(self) -> bool:
        """Say whether something has come in the flash lane; from any thread."""
        return bool(self._lanes[Lane.FLASH])

    def stored(self, frame: Delivered) -> None:
        """Acknowledge what `next` or `flash` returned: all of it is durable."""
        last: dict[Lane, int] = {}
        for each in frame.waiting:
            last[each.lane] = max(each.position, last.get(each.lane, 0))
        if last and not self._ended:
            self._acknowledged.put_nowait(list(last.items()))

    async def acknowledged(self) -> AsyncIterator[Positions]:
        """Yield what the relay is to be told, until the end: gRPC leaves the reader of a lost stream waiting."""
        while (positions := await self._acknowledged.get()) is not None:
            yield positions

    def _take(self, lanes: Iterable[Lane]) -> list[Waiting]:
        taken: list[Waiting] = []
        for lane in lanes:
            waiting = self._lanes[lane]
            while waiting and len(taken) < FRAME_ITEMS:
                taken.append(waiting.popleft())
                self._bytes[lane] -= _size(taken[-1])
        return taken


def _size(waiting: Waiting) -> int:
    return max(len(waiting.delivery), LEAST_BYTES)
