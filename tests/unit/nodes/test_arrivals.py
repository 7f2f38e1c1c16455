"""What a delivery stream has brought: flash first, whatever lies before it; what is stored is acknowledged by lane."""

import asyncio

import pytest

from exchange.envelope.model import Lane
from exchange.errors import MalformedInput
from nodes.arrivals import FRAME_ITEMS, LANE_BYTES, LEAST_BYTES, Arrivals
from nodes.relay_port import Delivered, Waiting

NOW = 1_800_000_000_000


def frame(*waiting: tuple[Lane, int]) -> Delivered:
    """Return a frame as the relay sends it."""
    return Delivered([Waiting(lane, position, b"") for lane, position in waiting], NOW)


def positions(found: Delivered | None) -> list[tuple[Lane, int]]:
    """Return what is in a frame."""
    assert found is not None
    return [(each.lane, each.position) for each in found.waiting]


async def test_flash_overtakes_whatever_came_before_it_and_is_stored_on_its_own() -> None:
    arrivals = Arrivals()
    arrivals.add(frame(*((Lane.ROUTINE, position) for position in range(1, 101))))
    arrivals.add(frame((Lane.FLASH, 101), (Lane.PRIORITY, 102)))
    assert positions(await arrivals.next()) == [(Lane.FLASH, 101)]
    behind = positions(await arrivals.next())
    assert behind[:2] == [(Lane.PRIORITY, 102), (Lane.ROUTINE, 1)] and len(behind) == FRAME_ITEMS


async def test_between_two_looks_only_the_flash_lane_is_taken() -> None:
    arrivals = Arrivals()
    arrivals.add(frame((Lane.ROUTINE, 1)))
    assert arrivals.flash() is None
    arrivals.add(frame((Lane.FLASH, 2)))
    assert positions(arrivals.flash()) == [(Lane.FLASH, 2)]
    assert positions(await arrivals.next()) == [(Lane.ROUTINE, 1)]


async def test_what_is_stored_is_acknowledged_by_lane() -> None:
    arrivals = Arrivals()
    arrivals.add(frame((Lane.ROUTINE, 1), (Lane.ROUTINE, 4), (Lane.PRIORITY, 3)))
    stored = await arrivals.next()
    assert stored is not None
    arrivals.stored(stored)
    assert dict(await anext(arrivals.acknowledged())) == {Lane.ROUTINE: 4, Lane.PRIORITY: 3}


async def test_that_nothing_waits_is_heard_behind_everything_that_came() -> None:
    arrivals = Arrivals()
    arrivals.add(frame((Lane.ROUTINE, 1)))
    arrivals.add(frame())
    assert positions(await arrivals.next()) == [(Lane.ROUTINE, 1)]
    assert positions(await arrivals.next()) == []
    arrivals.add(frame())
    arrivals.add(frame((Lane.ROUTINE, 2)))
    assert positions(await arrivals.next()) == [(Lane.ROUTINE, 2)]
    waits = asyncio.create_task(arrivals.next())
    await asyncio.sleep(0)
    assert not waits.done()
    arrivals.end()
    assert await waits is None


async def test_the_end_drops_what_is_not_stored_and_acknowledges_nothing_more() -> None:
    arrivals = Arrivals()
    arrivals.add(frame((Lane.ROUTINE, 1), (Lane.ROUTINE, 2)))
    stored = await arrivals.next()
    arrivals.add(frame((Lane.ROUTINE, 3)))
    arrivals.end()
    assert stored is not None
    arrivals.stored(stored)
    assert [each async for each in arrivals.acknowledged()] == []
    assert await arrivals.next() is None


async def test_a_relay_that_sends_more_than_the_window_loses_the_stream_and_memory_stays_bounded() -> None:
    arrivals, most = Arrivals(), LANE_BYTES // LEAST_BYTES
    arrivals.add(frame(*((Lane.ROUTINE, position) for position in range(most))))
    with pytest.raises(MalformedInput, match="more than this node has asked for"):
        arrivals.add(frame((Lane.ROUTINE, most)))
    arrivals.add(frame((Lane.FLASH, most + 1)))
    assert positions(await arrivals.next()) == [(Lane.FLASH, most + 1)]
    assert len(positions(await arrivals.next())) == FRAME_ITEMS
    arrivals.add(frame((Lane.ROUTINE, most)))


async def test_one_envelope_may_be_larger_than_the_window_when_nothing_else_of_its_lane_is_here() -> None:
    arrivals = Arrivals()
    large = Delivered([Waiting(Lane.ROUTINE, 1, bytes(LANE_BYTES + 1))], NOW)
    arrivals.add(large)
    with pytest.raises(MalformedInput):
        arrivals.add(frame((Lane.ROUTINE, 2)))
    assert positions(await arrivals.next()) == [(Lane.ROUTINE, 1)]
    arrivals.add(frame((Lane.ROUTINE, 2)))
