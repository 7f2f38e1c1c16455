"""Nodes of one relay with two addresses: spread over both, they are one exchange, and one address is enough."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from exchange.errors import MalformedInput
from exchange.runtime.relay_info import ADDRESSES, check_addresses
from nodes.parts import Node
from tests.support.node_world import NodeWorld, at, count_reports, open_alarms, push, ready, receipted
from tests.support.twins import Twins, twins


@asynccontextmanager
async def spread(url: str, *names: str) -> AsyncIterator[tuple[Twins, dict[str, Node]]]:
    """Run two relays and these nodes, which begin at one and the other in turn and know both."""
    root = Path(tempfile.mkdtemp(prefix="nodes-"))
    try:
        async with twins(url) as made, AsyncExitStack() as stack:
            world = NodeWorld(made.first, root)
            addresses = [made.first.listening.address, made.second.listening.address]
            for number, name in enumerate(names):
                place = await world.place(name)
                both = ", ".join((addresses[number % 2], addresses[(number + 1) % 2]))
                place.config = place.config.model_copy(update={"relay_address": both})
            await made.first.agree(*names)
            running = {name: await stack.enter_async_context(at(world.places[name])) for name in names}
            for name, node in running.items():
                await ready(node, [other for other in names if other != name])
            yield made, running
    finally:
        shutil.rmtree(root)


async def test_nodes_spread_over_two_relays_lose_and_double_nothing_when_one_stops(postgres_url: str) -> None:
    names = ("XA", "XV", "XO", "XT")
    async with spread(postgres_url, *names) as (made, running):
        for number in range(12):
            if number == 6:
                await made.stop(0)
            name = names[number % len(names)]
            others = [other for other in names if other != name]
            sent = await push(running[name], *others, key=f"{number}")
            await receipted(running[name], sent.item, *others)
        for node in running.values():
            assert await count_reports(node) == 12
            assert await open_alarms(node) == []
            found = [step async for step in node.auditor.verify(full=True)]
            assert {step.result for step in found if step.result} == {"ok"}


def test_several_addresses_are_several_and_nothing_else() -> None:
    assert check_addresses("relay-1.example:7001, [2001:db8::7]:7001") == ("relay-1.example:7001", "[2001:db8::7]:7001")
    for wrong in ("", ",", "relay.example", "a:1,,b:2", "a:1;b:2", ",".join(["a:1"] * (ADDRESSES + 1))):
        with pytest.raises(MalformedInput):
            check_addresses(wrong)
