"""A node whose disk is full takes nothing new, loses nothing, and goes on when there is room."""

import asyncio

import pytest

from exchange.errors import StorageFull
from nodes.outbox import Accepted
from nodes.store.rows import Reach
from tests.support.node_world import at, nodes, push, reach, ready, receipted, stored
from tests.support.small_disk import a_small_disk, cannot_mount

MANY = 500


async def test_what_a_full_node_cannot_store_waits_and_comes_when_there_is_room() -> None:
    if why := cannot_mount():
        pytest.skip(why)
    with a_small_disk(32) as disk:
        async with nodes("XA", agree=False) as (world, running):
            sender, place = running["XA"], await world.place("XV")
            await world.relay.agree("XA", "XV")
            place.config = place.config.model_copy(update={"store_url": f"sqlite:///{disk.root / 'node.db'}"})
            async with at(place) as full:
                await ready(sender, ["XV"])
                await ready(full, ["XA"])
                first = await push(sender, "XV")
                await receipted(sender, first.item, "XV")
                disk.fill()
                pushed: list[Accepted] = []
                with pytest.raises(StorageFull):
                    while len(pushed) < MANY:
                        pushed.append(await push(full, "XA"))
                sent = [await push(sender, "XV") for _ in range(8)]
                # Refused by the disk, not by anybody: the relay keeps what was not acknowledged.
                await asyncio.sleep(1)
                last = await reach(sender, sent[-1].item, "XV")
                assert last is not None and last.state is not Reach.RECEIPTED
                disk.empty()
                for each in sent:
                    await receipted(sender, each.item, "XV")
                    assert await stored(full, each.item) is not None
                for each in pushed:
                    await receipted(full, each.item, "XA")
