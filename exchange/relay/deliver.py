"""One partner's delivery stream: what waits, flash first, from the rows that are not acknowledged.

A partner has one stream; a newer one ends the older, also one of another process on the same database. A stream begins
with every row that is still in the mailbox and goes on as envelopes arrive. In each lane, bytes under way and not
acknowledged stay within the window that the node asked for: what is urgent does not wait until there is room for what
is not. The mailbox is looked into when its bell rings, and when room is made for what was held back.
An acknowledgement frees rows up to a position that this stream has sent, and nothing else: what it held back stays.
After a crash, on either side, rows are sent again; the node knows them by their envelope hash.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

from sqlalchemy import Connection

from exchange.envelope.codec import delivery_bytes
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict, ExchangeError, MalformedInput, Unavailable
from exchange.limits import KIB, MIB
from exchange.names import PartyId
from exchange.relay.cache import SealedCache
from exchange.relay.mailbox import Bells, MailboxStore, Row, Sealed
from exchange.relay.slots import slot_at
from exchange.runtime.database import Database

DELIVER_ITEMS = 64
"""Envelopes of one frame: few enough that a flash report does not wait long behind a routine frame."""

DELIVER_BYTES = 1 * MIB
"""A frame is cut at this size, unless one envelope alone is larger."""

HEARTBEAT_S = 15.0
WINDOW_LEAST = 64 * KIB


@dataclass(frozen=True, slots=True)
class Waiting:
    """One envelope on its way."""

    lane: Lane
    position: int
    size: int
    delivery: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Lane:
    """How far one lane has been sent, and what room it has."""

    lane: Lane
    sent: int
    room: int
    alone: bool
    """Nothing of it is under way."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A frame, and whether it had no place for more, or a lane no room."""

    frame: Sequence[Waiting]
    more: bool
    held_back: bool


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
    ) -> None:
        """`window_most` bounds the window that a node may ask for.

        `tell` tells all processes, with the commit, that a party has a new stream, which the word names.
        """
        self._tell = tell
        self._opened = count(1)
        self._database = database
        self._mailboxes = mailboxes
        self._bells = bells
        self._cache = cache
        self._window_most = window_most
        self._heartbeat_s = heartbeat_s
        self._streams: dict[PartyId, Stream] = {}

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
            window=min(max(window, WINDOW_LEAST), self._window_most),
            heartbeat_s=self._heartbeat_s,
            control_only=control_only,
            bell=self._bells.listen(party),
            name=str(next(self._opened)),
        )
        self._streams[party] = stream
        writer = asyncio.create_task(stream.write_acknowledgements())
        try:
            if (tell := self._tell) is not None:
                await self._database.write(lambda connection: tell(connection, party, stream.name))
            yield stream
        finally:
            stream.end(None)
            if self._streams.get(party) is stream:
                del self._streams[party]
                self._bells.forget(party, stream.bell)
            await asyncio.shield(writer)

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


class Stream:
    """One partner's stream. `frames` and `acknowledge` are for two tasks of one event loop."""

    def __init__(
        self,
        party: PartyId,
        database: Database,
        mailboxes: Callable[[Connection], MailboxStore],
        cache: SealedCache,
        *,
        window: int,
        heartbeat_s: float,
        control_only: bool,
        bell: asyncio.Event,
        name: str = "",
    ) -> None:
        """Begin with all that waits for `party`; `bell` is set by whoever has something for it."""
        self.party = party
        self.bell = bell
        self.name = name
        self.told = False
        """Whether all processes have heard of it."""
        self._database = database
        self._mailboxes = mailboxes
        self._cache = cache
        self._window = window
        self._heartbeat_s = heartbeat_s
        self._kind = EnvelopeKind.CONTROL if control_only else None
        self._sent = dict.fromkeys(Lane, 0)
        self._under_way: dict[Lane, deque[tuple[int, int]]] = {lane: deque() for lane in Lane}
        self._bytes = dict.fromkeys(Lane, 0)
        self._pending: dict[Lane, int] = {}
        self._acknowledged = asyncio.Event()
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
                self._pending[lane] = position
        if self._pending:
            self._acknowledged.set()
            if self._held_back:
                self.bell.set()

    def end(self, error: ExchangeError | None) -> None:
        """Let `frames` end, with an error if one is given."""
        if not self._ended:
            self._ended, self._error = True, error
        self.bell.set()
        self._acknowledged.set()

    async def write_acknowledgements(self) -> None:
        """Free rows as acknowledgements come, many in one transaction, until the stream has ended and none is left."""
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            pending, self._pending = self._pending, {}
            if pending:
                await self._free(pending)
            if self._ended and not self._pending:
                return

    async def _free(self, pending: dict[Lane, int]) -> None:
        def free(connection: Connection) -> None:
            mailboxes = self._mailboxes(connection)
            for lane, position in pending.items():
                mailboxes.acknowledge(self.party, lane, position, kind=self._kind)

        try:
            await self._database.write(free)
        except ExchangeError as error:
            # The rows stay; the node gets them again and drops them as repeats.
            self.end(error)

    async def _next(self) -> Sequence[Waiting]:
        # One envelope may exceed the window when nothing else of its lane is under way: else it could never be sent.
        lanes = [
            _Lane(lane, self._sent[lane], self._window - under_way, alone=not under_way)
            for lane, under_way in self._bytes.items()
            if under_way < self._window
        ]
        self._more, self._held_back = False, len(lanes) < len(Lane)
        if not lanes:
            return ()
        found = await self._database.read(lambda connection: self._read(self._mailboxes(connection), lanes))
        for each in found.frame:
            self._sent[each.lane] = each.position
            self._under_way[each.lane].append((each.position, each.size))
            self._bytes[each.lane] += each.size
        self._more, self._held_back = found.more, self._held_back or found.held_back
        return found.frame

    # What follows runs in a reader's thread.

    def _read(self, mailboxes: MailboxStore, lanes: Sequence["_Lane"]) -> "_Found":
        rows: list[tuple[Lane, Row]] = []
        frame, held_back = DELIVER_BYTES, False
        for lane in lanes:
            room, alone = lane.room, lane.alone
            for row in mailboxes.waiting(
                self.party, lane.lane, after=lane.sent, limit=DELIVER_ITEMS - len(rows), kind=self._kind
            ):
                if row.size > frame and rows:
                    return _Found(self._build(mailboxes, rows), more=True, held_back=held_back)
                if row.size > room and not alone:
                    held_back = True
                    break
                frame, room, alone = frame - row.size, room - row.size, False
                rows.append((lane.lane, row))
            if len(rows) >= DELIVER_ITEMS:
                return _Found(self._build(mailboxes, rows), more=True, held_back=held_back)
        return _Found(self._build(mailboxes, rows), more=False, held_back=held_back)

    def _build(self, mailboxes: MailboxStore, rows: Sequence[tuple[Lane, Row]]) -> Sequence[Waiting]:
        sealed = self._cache.get([row.key for _, row in rows])
        missing = [row.key for _, row in rows if row.key not in sealed]
        if missing:
            stored = mailboxes.sealed(missing)
            self._cache.put(stored.values())
            sealed |= stored
        return [Waiting(lane, row.position, row.size, build_delivery(sealed[row.key], row.place)) for lane, row in rows]


def build_delivery(sealed: Sealed, place: int) -> bytes:
    """Return the Delivery bytes for the recipient whose slot is at `place`."""
    slot = slot_at(sealed.slots, place)
    return delivery_bytes(
        header=sealed.header,
        leaf=slot.leaf,
        leaf_index=slot.index,
        proof=slot.proof,
        wrap=slot.wrap,
        body=sealed.body,
        promise=sealed.promise,
    )


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
