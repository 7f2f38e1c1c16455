"""A clock that was ahead and is set right holds nothing up: what it dated ahead is tried at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from exchange.names import party_id
from exchange.runtime.clock import now_ms
from exchange.runtime.lifecycle import Drain
from nodes.app import running
from nodes.parts import Node
from tests.support.node_world import NodeWorld, Place, a_node_world, at, push, reach, ready, receipted, until

XV = party_id("XV")
MINUTE_MS = 60_000


@dataclass
class Settable:
    """A clock that somebody sets."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        """Return the time that it shows."""
        return now_ms() + self.ahead_ms


@asynccontextmanager
async def by(clock: Settable, place: Place) -> AsyncIterator[Node]:
    """Run the node of a place by this clock."""
    async with running(place.home, place.config, place.keys, Drain(), clock=clock) as node:
        yield node


@asynccontextmanager
async def partners() -> AsyncIterator[tuple[NodeWorld, Node]]:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]) as recipient:
            yield world, recipient


async def refused(node: Node, item: bytes) -> None:
    """Wait until the relay has refused what is of a time that has not come."""

    async def waits() -> bool:
        row = await reach(node, item, "XV")
        return row is not None and "refused by the relay" in row.why and row.due_ms > now_ms() + 10 * MINUTE_MS

    await until(waits, "the relay took it")


async def test_what_waits_by_a_clock_that_was_ahead_goes_once_that_is_set_right() -> None:
    clock = Settable()
    async with partners() as (world, _), by(clock, world.places["XA"]) as sender:
        await ready(sender, [XV])
        clock.ahead_ms = 20 * MINUTE_MS
        sent = await push(sender, "XV")
        await refused(sender, sent.item)
        clock.ahead_ms = 0
        await receipted(sender, sent.item, "XV")


async def test_so_does_it_when_the_clock_was_set_right_while_the_node_was_off() -> None:
    clock = Settable()
    async with partners() as (world, _):
        async with by(clock, world.places["XA"]) as sender:
            await ready(sender, [XV])
            clock.ahead_ms = 20 * MINUTE_MS
            sent = await push(sender, "XV")
            await refused(sender, sent.item)
        async with at(world.places["XA"]) as sender:
            await receipted(sender, sent.item, "XV")
