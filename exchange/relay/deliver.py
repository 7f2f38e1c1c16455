"""One partner's delivery stream: what waits, flash first, from the rows that are not acknowledged.

A partner has one stream; a newer one ends the older, also one of another process on the same database. A stream begins
with every row that is still in the mailbox and goes on as envelopes arrive. In each lane, bytes under way and not
acknowledged stay within the window that the node asked for: what is urgent does not wait until there is room for what
is not.

A stream that has caught up is handed what is placed in its mailbox, and does not look into the store for it: each row
says which one it comes after, and when that is not one that was sent, or there is no room, the store is looked into
again. With several processes on a database nobody can know what others place: there a bell rings and each looks.
While an envelope is under way and not acknowledged, others wait a moment for company, so that what is busy gets few
large frames; who is idle gets what comes at once, and what is flash waits for nobody. Receipts and other control
traffic alone wait for a moment after each frame, so that those of many recipients for one report go together.

An acknowledgement frees rows up to a position that this stream has sent, and nothing else: what it held back stays.
After a crash, on either side, rows are sent again; the node knows them by their envelope hash.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count

from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict, ExchangeError, MalformedInput, Unavailable
from exchange.limits import KIB
from exchange.names import PartyId
from exchange.relay.cache import SealedCache
from exchange.relay.frames import DELIVER_BYTES, DELIVER_ITEMS, Found, Fresh, LaneState, Waiting, waiting
from exchange.relay.freeing import Freeing
from exchange.relay.mailbox import Bells, MailboxStore, Placed, Row
from exchange.runtime.database import Database
from exchange.runtime.tracing import Leg, Tracing, place_name

GATHER_ITEMS = 16
"""So many wait for no more company."""

GATHER_S = 0.01
"""Longest wait for company, when nothing is acknowledged meanwhile."""

CONTROL_GATHER_S = 0.05
"""So long after a frame nothing goes that is control traffic alone."""

HEARTBEAT_S = 15.0
WINDOW_LEAST = 64 * KIB


class Deliveries:
    """Opens streams; one object for the relay."""

    def __init__(
        self,
        database: Database,
        mailboxes: Callable[[Connection], MailboxStore],
        bells: Bells,
        cache: SealedCache,
        *,
        window_most: int,
        heartbeat_s: float = HEARTBEAT_S,
        tell: Callable[[Connection, PartyId, str], None] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`window_most` bounds the window that a node may ask for.

        `tell` tells all processes, with the commit, that a party has a new stream, which the word names.
        Without it there is no other process, and all that is placed in mailboxes comes by `arrived`.
        """
        self._tell = tell
        self._tracing = tracing or Tracing()
        self._opened = count(1)
        self._database = database
        self._mailboxes = mailboxes
        self._bells = bells
        self._cache = cache
        self._window_most = window_most
        self._handed = tell is None
        self._heartbeat_s = heartbeat_s
        self._streams: dict[PartyId, Stream] = {}
        self._freeing = Freeing(database, mailboxes, self._not_freed)

    @asynccontextmanager
    async def open(self, party: PartyId, *, window: int, control_only: bool) -> AsyncIterator["Stream"]:
        """Open the party's stream and end the one that it had; acknowledgements are durable when this is left."""
        before = self._streams.get(party)
        if before is not None:
            before.end(Conflict("a newer delivery stream of this partner took over"))
        stream = Stream(
            party,
            self._database,
            self._mailboxes,
            self._cache,
            self._freeing,
            window=min(max(window, WINDOW_LEAST), self._window_most),
            heartbeat_s=self._heartbeat_s,
            handed=self._handed,
            control_only=control_only,
            bell=self._bells.listen(party),
            name=str(next(self._opened)),
            tracing=self._tracing,
        )
        self._streams[party] = stream
        try:
            # What was acknowledged in an older one is not sent again.
            await self._freeing.settled()
            if (tell := self._tell) is not None:
                await self._database.write(lambda connection: tell(connection, party, stream.name))
            yield stream
        finally:
            stream.end(None)
            if self._streams.get(party) is stream:
                del self._streams[party]
                self._bells.forget(party, stream.bell)
            await asyncio.shield(self._freeing.settled())

    def arrived(self, placed: Iterable[Placed]) -> None:
        """Hand what was placed in mailboxes, durably and by this process alone, to those who have a stream."""
        for each in placed:
            stream = self._streams.get(each.recipient)
            if stream is not None:
                stream.offer(each)

    def opened(self, party: PartyId, name: str, *, mine: bool) -> None:
        """Hear that a stream was opened, in the order in which all processes hear it: the last one stays."""
        stream = self._streams.get(party)
        if stream is None:
            return
        if mine:
            stream.told = stream.told or stream.name == name
        elif stream.told:
            stream.end(Conflict("a newer delivery stream of this partner took over"))

    def ring_all(self) -> None:
        """Let every stream look for what waits: words of other processes may have been missed."""
        self._bells.ring(list(self._streams))

    def end_all(self) -> None:
        """End every stream: the relay stops. Acknowledgements that came are written."""
        for stream in list(self._streams.values()):
            stream.end(Unavailable("the relay stops"))

    def connected(self) -> frozenset[PartyId]:
        """Return the parties that have a stream."""
        return frozenset(self._streams)

    def _not_freed(self, party: PartyId, error: ExchangeError) -> None:
        """End a party's stream: the rows stay, and the node gets them again and drops them as repeats."""
        stream = self._streams.get(party)
        if stream is not None:
            stream.end(error)


class Stream:
    """One partner's stream. `frames` and `acknowledge` are for two tasks of one event loop."""

    def __init__(
        self,
        party: PartyId,
        database: Database,
        mailboxes: Callable[[Connection], MailboxStore],
        cache: SealedCache,
        freeing: Freeing,
        *,
        window: int,
        heartbeat_s: float,
        handed: bool,
        control_only: bool,
        bell: asyncio.Event,
        name: str = "",
        tracing: Tracing | None = None,
    ) -> None:
        """Begin with all that waits for `party`; `bell` is set by whoever has something for it."""
        self.party = party
        self.bell = bell
        self.name = name
        self._tracing = tracing or Tracing()
        self.told = False
        """Whether all processes have heard of it."""
        self._database = database
        self._mailboxes = mailboxes
        self._cache = cache
        self._freeing = freeing
        self._window = window
        self._heartbeat_s = heartbeat_s
        self._handed = handed
        self._kind = EnvelopeKind.CONTROL if control_only else None
        self._sent = dict.fromkeys(Lane, 0)
        self._under_way: dict[Lane, deque[tuple[int, int]]] = {lane: deque() for lane in Lane}
        self._bytes = dict.fromkeys(Lane, 0)
        self._fresh = Fresh()
        self._look = True
        """Whether something may wait in the store that is not among what is fresh."""
        self._sent_at = -math.inf
        """When the last frame went, by the event loop."""
        self._more = False
        """Whether more waits than the last frame had place for."""
        self._held_back = False
        """Whether something waits until there is room in its lane."""
        self._ended = False
        self._error: ExchangeError | None = None

    async def frames(self) -> AsyncIterator[Sequence[Waiting]]:
        """Yield frames until the stream ends; an empty one is a heartbeat.

        A heartbeat says that nothing waits: nodes destroy prekeys by it. So none comes while the window is full.

        Raises:
            ExchangeError: what the stream was ended with.
        """
        while True:
            await self._gather()
            self.bell.clear()
            if self._ended:
                break
            frame = await self._next()
            if frame:
                yield frame
            if self._more:
                continue
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self.bell.wait()
            except TimeoutError:
                if not any(self._bytes.values()):
                    # Room was perhaps made just as the time ran out: look once more before saying that nothing waits.
                    self._look = True
                    yield await self._next()
        if self._error is not None:
            raise self._error

    def acknowledge(self, positions: Iterable[tuple[Lane, int]]) -> None:
        """Take note that the node holds everything up to these positions; the rows are freed soon after.

        Raises:
            MalformedInput: a position that this stream has not reached.
        """
        for lane, position in positions:
            if position > self._sent[lane]:
                raise MalformedInput(f"position {position} of lane {lane.name} was not sent in this stream")
            under_way = self._under_way[lane]
            freed = False
            while under_way and under_way[0][0] <= position:
                self._bytes[lane] -= under_way.popleft()[1]
                freed = True
            if freed:
                self._freeing.note(self.party, lane, position, kind=self._kind)
        if self._held_back or self._fresh:
            self.bell.set()

    def offer(self, placed: Placed) -> None:
        """Take what was just placed in the mailbox, unless the store is to be looked into anyway."""
        if not self._look and (self._kind is not None or not self._fresh.add(placed)):
            self._look_again()
        self.bell.set()

    def end(self, error: ExchangeError | None) -> None:
        """Let `frames` end, with an error if one is given."""
        if not self._ended:
            self._ended, self._error = True, error
        self.bell.set()

    def _look_again(self) -> None:
        """Go by the store from now on: it has all that is fresh too."""
        self._look = True
        self._fresh.clear()

    async def _gather(self) -> None:
        """Let what is fresh wait for company: not long, and nothing urgent."""
        if self._has_few() and self._fresh.control_only:
            passed_s = asyncio.get_running_loop().time() - self._sent_at
            await self._wait_while(lambda: self._has_few() and self._fresh.control_only, CONTROL_GATHER_S - passed_s)
        if self._has_few() and any(self._bytes.values()):
            await self._wait_while(lambda: self._has_few() and any(self._bytes.values()), GATHER_S)

    async def _wait_while(self, waits: Callable[[], bool], seconds: float) -> None:
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while waits():
                    await self.bell.wait()
                    self.bell.clear()

    def _has_few(self) -> bool:
        few = 0 < len(self._fresh) < GATHER_ITEMS and not self._fresh.urgent
        return few and not (self._look or self._ended)

    async def _next(self) -> Sequence[Waiting]:
        since = self._tracing.begin()
        if not self._look:
            frame, unsure = self._fresh.take(self._lanes())
            if frame or not unsure:
                self._send(frame, since)
                self._more, self._held_back = unsure or bool(self._fresh), False
                if unsure:
                    self._look_again()
                return frame
        self._look = False
        self._fresh.clear()
        lanes = self._lanes()
        full = len(lanes) < len(Lane)
        if lanes:
            found = await self._database.read(lambda connection: self._read(self._mailboxes(connection), lanes))
        else:
            found = Found((), more=False, held_back=True)
        self._send(found.frame, since)
        self._more, self._held_back = found.more, found.held_back or full
        if not self._handed or self._more or self._held_back:
            self._look_again()
        return found.frame

    def _lanes(self) -> list[LaneState]:
        # One envelope may exceed the window when nothing else of its lane is under way: else it could never be sent.
        return [
            LaneState(lane, self._sent[lane], self._window - under_way, alone=not under_way)
            for lane, under_way in self._bytes.items()
            if under_way < self._window
        ]

    def _send(self, frame: Sequence[Waiting], since: int) -> None:
        self._tracing.end(Leg.DELIVER, since, ((place_name(each.position), "") for each in frame))
        if frame:
            self._sent_at = asyncio.get_running_loop().time()
        for each in frame:
            self._sent[each.lane] = each.position
            self._under_way[each.lane].append((each.position, each.size))
            self._bytes[each.lane] += each.size

    # What follows runs in a reader's thread.

    def _read(self, mailboxes: MailboxStore, lanes: Sequence[LaneState]) -> Found:
        rows: list[tuple[Lane, Row]] = []
        frame, held_back = DELIVER_BYTES, False
        for lane in lanes:
            room, alone = lane.room, lane.alone
            for row in mailboxes.waiting(
                self.party, lane.lane, after=lane.sent, limit=DELIVER_ITEMS - len(rows), kind=self._kind
            ):
                if row.size > frame and rows:
                    return Found(self._build(mailboxes, rows), more=True, held_back=held_back)
                if row.size > room and not alone:
                    held_back = True
                    break
                frame, room, alone = frame - row.size, room - row.size, False
                rows.append((lane.lane, row))
            if len(rows) >= DELIVER_ITEMS:
                return Found(self._build(mailboxes, rows), more=True, held_back=held_back)
        return Found(self._build(mailboxes, rows), more=False, held_back=held_back)

    def _build(self, mailboxes: MailboxStore, rows: Sequence[tuple[Lane, Row]]) -> Sequence[Waiting]:
        sealed = self._cache.get([row.key for _, row in rows])
        missing = [row.key for _, row in rows if row.key not in sealed]
        if missing:
            stored = mailboxes.sealed(missing)
            self._cache.put(stored.values())
            sealed |= stored
        return [waiting(lane, row, sealed[row.key]) for lane, row in rows]


async def pump(requests: AsyncIterator[Iterable[tuple[Lane, int]]], stream: Stream) -> None:
    """Feed a stream with the acknowledgements that come; end it when they end or are wrong."""
    try:
        async for positions in requests:
            stream.acknowledge(positions)
    except ExchangeError as error:
        stream.end(error)
    else:
        stream.end(None)


@asynccontextmanager
async def pumping(requests: AsyncIterator[Iterable[tuple[Lane, int]]], stream: Stream) -> AsyncIterator[None]:
    """Run `pump` beside the block."""
    task = asyncio.create_task(pump(requests, stream))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
