"""What is handed to a stream that has caught up: nothing is sent before what waits before it, nothing is left out."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import ExchangeError, Unavailable
from exchange.limits import KIB, MIB
from exchange.names import PartyId, party_id
from exchange.relay import deliver
from exchange.relay import freeing as freeing_of
from exchange.relay.cache import SealedCache
from exchange.relay.deliver import WINDOW_LEAST, Deliveries, Stream
from exchange.relay.frames import DELIVER_ITEMS, Fresh, LaneState
from exchange.relay.freeing import Freeing
from exchange.relay.mailbox import Accepted, Bells, Placed, Row, Sealed, Tails
from exchange.relay.slots import Slot, encode_slots, part_key

XV, XO = party_id("XV"), party_id("XO")


def an_accepted(
    number: int, *recipients: PartyId, lane: Lane = Lane.ROUTINE, kind: EnvelopeKind = EnvelopeKind.REPORT
) -> Accepted:
    slots = tuple(Slot(party, place, b"leaf", (), b"wrap") for place, party in enumerate(recipients))
    return Accepted(
        id=number,
        hash=bytes(32),
        sender=party_id("XA"),
        envelope_id=bytes(16),
        lane=lane,
        kind=int(kind),
        expires_ms=1,
        header=b"",
        slots=slots,
        parts=encode_slots(slots),
        body=b"body",
        promise=b"",
        decisions=b"",
    )


class Store:
    """A database with one mailbox, XV's, in which rows are placed; counts who looks into it."""

    def __init__(self) -> None:
        self.tails = Tails()
        self.rows: dict[int, Accepted] = {}
        self.freed: list[tuple[PartyId, Lane, int]] = []
        self.looks = 0
        self.writes = 0
        self.broken = False

    def place(self, *envelopes: Accepted) -> list[Placed]:
        """Store envelopes and return their rows."""
        self.rows |= {each.id: each for each in envelopes}
        return self.tails.place(envelopes)

    async def read(self, fn: Callable[[Any], Any]) -> Any:  # Any: as Database
        self.looks += 1
        return fn(None)

    async def write(self, fn: Callable[[Any], Any]) -> Any:  # Any: as Database
        await asyncio.sleep(0)
        self.writes += 1
        if self.broken:
            raise Unavailable("the disk is away")
        return fn(None)

    def waiting(
        self, recipient: PartyId, lane: Lane, *, after: int, limit: int, kind: int | None = None
    ) -> Sequence[Row]:
        assert kind is None
        found = [each for number, each in sorted(self.rows.items()) if each.lane is lane and number > after]
        places = [(each, [slot.recipient for slot in each.slots].index(recipient)) for each in found]
        return [Row(each.id, place, each.delivery_size(each.slots[place])) for each, place in places][:limit]

    def sealed(self, keys: Sequence[int]) -> dict[int, Sealed]:
        return {part_key(each.id, 0): each.sealed()[0] for each in self.rows.values() if part_key(each.id, 0) in keys}

    def acknowledge(self, recipient: PartyId, lane: Lane, position: int, *, kind: int | None = None) -> int:
        assert kind is None
        self.freed.append((recipient, lane, position))
        return 1


class Scene:
    """A stream of XV that is read all the time."""

    def __init__(self, store: Store, deliveries: Deliveries, stream: Stream) -> None:
        self.store, self.deliveries, self.stream = store, deliveries, stream
        self.frames: list[list[int]] = []

    async def read(self) -> None:
        async for frame in self.stream.frames():
            self.frames.append([each.position for each in frame])

    def arrives(self, *envelopes: Accepted) -> None:
        self.deliveries.arrived(self.store.place(*envelopes))

    async def until(self, *frames: list[int]) -> None:
        async with asyncio.timeout(5):
            while len(self.frames) < len(frames):
                await asyncio.sleep(0)
        assert self.frames == list(frames)


def play(scene: Callable[[Scene], Any], store: Store | None = None) -> None:
    """Run a scene; Any: it is awaited."""

    async def run() -> None:
        used = store or Store()
        deliveries = Deliveries(
            used,  # type: ignore[arg-type]  # what a stream uses of it
            lambda _: used,  # type: ignore[arg-type, return-value]
            Bells(),
            SealedCache(64 * KIB),
            window_most=WINDOW_LEAST,
        )
        async with deliveries.open(XV, window=0, control_only=False) as stream:
            made = Scene(used, deliveries, stream)
            reader = asyncio.create_task(made.read())
            while not used.looks:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            await scene(made)
            stream.end(None)
            await reader

    asyncio.run(run())


def test_a_stream_that_has_caught_up_is_handed_what_comes_and_does_not_look_for_it() -> None:
    async def scene(made: Scene) -> None:
        made.arrives(an_accepted(3, XV))
        await made.until([3])
        looks = made.store.looks
        for number in (5, 8):
            made.stream.acknowledge([(Lane.ROUTINE, made.frames[-1][-1])])
            made.arrives(an_accepted(number, XV))
            await made.until(*[[each] for each in (3, 5, 8) if each <= number])
        assert made.store.looks == looks

    play(scene)


def test_a_row_of_which_the_one_before_was_not_sent_is_looked_for() -> None:
    async def scene(made: Scene) -> None:
        made.arrives(an_accepted(3, XV))
        await made.until([3])
        made.stream.acknowledge([(Lane.ROUTINE, 3)])
        made.store.place(an_accepted(4, XV))  # and nobody says so
        made.arrives(an_accepted(6, XV))
        await made.until([3], [4, 6])

    play(scene)


def test_what_was_placed_in_a_transaction_that_failed_hides_nothing() -> None:
    async def scene(made: Scene) -> None:
        made.arrives(an_accepted(3, XV))
        await made.until([3])
        made.stream.acknowledge([(Lane.ROUTINE, 3)])
        made.store.tails.place([an_accepted(4, XV), an_accepted(9, XV)])
        made.arrives(an_accepted(4, XV), an_accepted(6, XV))
        await made.until([3], [4, 6])

    play(scene)


def test_what_waited_before_comes_before_what_is_handed_over() -> None:
    store = Store()
    store.place(an_accepted(1, XV), an_accepted(2, XV))

    async def scene(made: Scene) -> None:
        await made.until([1, 2])
        made.arrives(an_accepted(3, XV))
        await made.until([1, 2], [3])

    play(scene, store)


def test_who_is_busy_waits_for_company_and_flash_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "GATHER_S", 60.0)

    async def scene(made: Scene) -> None:
        made.arrives(an_accepted(1, XV))
        await made.until([1])
        made.arrives(an_accepted(2, XV))
        await asyncio.sleep(0)
        made.arrives(an_accepted(3, XV))
        for _ in range(20):
            await asyncio.sleep(0)
        assert made.frames == [[1]], "one is under way"
        made.arrives(an_accepted(4, XV, lane=Lane.FLASH))
        await made.until([1], [4, 2, 3])
        made.arrives(an_accepted(5, XV))
        made.stream.acknowledge([(Lane.FLASH, 4), (Lane.ROUTINE, 3)])
        await made.until([1], [4, 2, 3], [5])

    play(scene)


def test_a_full_window_holds_back_and_what_is_acknowledged_makes_room() -> None:
    async def scene(made: Scene) -> None:
        room = WINDOW_LEAST // an_accepted(1, XV).delivery_size(an_accepted(1, XV).slots[0])
        made.arrives(*[an_accepted(number, XV) for number in range(1, room + 3)])
        await made.until(list(range(1, room + 1)))
        made.stream.acknowledge([(Lane.ROUTINE, room)])
        await made.until(list(range(1, room + 1)), [room + 1, room + 2])

    play(scene)


def test_receipts_alone_wait_for_company_after_a_frame_and_not_when_nothing_went_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver, "CONTROL_GATHER_S", 60.0)

    def a_receipt(number: int, lane: Lane = Lane.ROUTINE) -> Accepted:
        return an_accepted(number, XV, lane=lane, kind=EnvelopeKind.CONTROL)

    async def scene(made: Scene) -> None:
        made.arrives(a_receipt(1))
        await made.until([1])
        made.stream.acknowledge([(Lane.ROUTINE, 1)])
        made.arrives(a_receipt(2))
        made.arrives(a_receipt(3))
        for _ in range(20):
            await asyncio.sleep(0)
        assert made.frames == [[1]]
        made.arrives(an_accepted(4, XV))
        await made.until([1], [2, 3, 4])
        made.stream.acknowledge([(Lane.ROUTINE, 4)])
        made.arrives(a_receipt(5, Lane.FLASH))
        await made.until([1], [2, 3, 4], [5])
        made.arrives(*map(a_receipt, range(6, 6 + deliver.GATHER_ITEMS)))
        await made.until([1], [2, 3, 4], [5], list(range(6, 6 + deliver.GATHER_ITEMS)))

    play(scene)


def test_acknowledgements_of_all_partners_share_a_transaction() -> None:
    async def run() -> None:
        store = Store()
        failed: list[tuple[PartyId, ExchangeError]] = []
        freeing = Freeing(
            store,  # type: ignore[arg-type]
            lambda _: store,  # type: ignore[arg-type, return-value]
            lambda party, error: failed.append((party, error)),
        )
        for party in (XV, XO):
            for position in (1, 2):
                freeing.note(party, Lane.ROUTINE, position, kind=None)
        await freeing.settled()
        assert store.freed == [(XV, Lane.ROUTINE, 2), (XO, Lane.ROUTINE, 2)]
        assert store.writes == 1
        store.broken = True
        freeing.note(XV, Lane.ROUTINE, 3, kind=None)
        await freeing.settled()
        assert [party for party, _ in failed] == [XV]
        await freeing.settled()

    asyncio.run(run())


def test_acknowledgements_wait_for_company_until_somebody_must_know_that_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freeing_of, "GATHER_S", 60.0)

    async def run() -> None:
        store = Store()
        freeing = Freeing(store, lambda _: store, lambda *_: None)  # type: ignore[arg-type, return-value]
        for party in (XV, XO):
            freeing.note(party, Lane.ROUTINE, 1, kind=None)
            # As they come: the task that writes has run in between.
            for _ in range(3):
                await asyncio.sleep(0)
        assert store.writes == 0
        async with asyncio.timeout(30):
            await freeing.settled()
        assert (store.writes, len(store.freed)) == (1, 2)

    asyncio.run(run())


def test_a_frame_of_what_is_fresh_ends_where_any_frame_ends() -> None:
    fresh, tails = Fresh(), Tails()
    tails.place([an_accepted(1, XV)])
    for placed in tails.place([an_accepted(number, XV) for number in range(2, DELIVER_ITEMS + 5)]):
        assert fresh.add(placed)
    frame, unsure = fresh.take([LaneState(Lane.ROUTINE, 1, MIB, alone=True)])
    assert [each.position for each in frame] == list(range(2, DELIVER_ITEMS + 2))
    assert not unsure
    frame, unsure = fresh.take([LaneState(Lane.ROUTINE, DELIVER_ITEMS + 1, MIB, alone=False)])
    assert len(frame) == 3
    assert not unsure
    assert not len(fresh)
