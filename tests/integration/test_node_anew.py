"""A restored node tells its partners: its old stream is over, and what it had not receipted comes once more."""

from dataclasses import replace
from functools import partial

import pytest

from exchange.runtime.clock import now_ms
from nodes.anew import STREAM_ENDED
from nodes.backup import back_up
from nodes.parts import Node
from nodes.store import anew, receiving
from tests.integration.test_node_backup import on_disk, restored
from tests.integration.test_node_crash import kill_at
from tests.support.losses import EAGER
from tests.support.node_world import a_node_world, at, count_reports, open_alarms, push, ready, receipted, stored, until
from tests.support.processes import PASSPHRASE


async def heard_stream(node: Node, sender: str) -> int:
    """Return the stream that a node knows to be the lowest living one of a sender."""
    found = (await node.core.database.read(anew.heard)).get(sender)
    return found.stream if found is not None else 1


async def test_what_waited_for_lost_prekeys_comes_once_more_and_is_held_once() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost, backup = world.places["XV"], world.root / "xv.backup"
        on_disk(lost)
        async with at(world.places["XA"]) as partner:
            async with at(lost) as node:
                await ready(partner, ["XV"])
                await ready(node, ["XA"])
                held = await push(partner, "XV")
                await receipted(partner, held.item, "XV")
                back_up(lost.home, backup, PASSPHRASE, now_ms=now_ms())
            # The disk is lost now; what comes is sealed to prekeys that nobody has.
            waits = await push(partner, "XV", key="waits")
            place = restored(world, lost, backup)
            async with at(place) as node:
                await receipted(partner, waits.item, "XV")
                assert await count_reports(node) == 2

                async def told() -> bool:
                    return await heard_stream(partner, "XV") == place.keys.stream

                await until(told, "XA does not know of the new stream")
                back = await push(node, "XA", key="back")
                await receipted(node, back.item, "XA")
                assert await open_alarms(partner) == []


async def test_the_old_home_is_refused_once_the_new_one_has_spoken() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        old, backup = world.places["XV"], world.root / "xv.backup"
        on_disk(old)
        async with at(world.places["XA"]) as partner:
            async with at(old) as node:
                await ready(partner, ["XV"])
                await ready(node, ["XA"])
                back_up(old.home, backup, PASSPHRASE, now_ms=now_ms())
            new = restored(world, old, backup)
            async with at(new):

                async def told() -> bool:
                    return await heard_stream(partner, "XV") == new.keys.stream

                await until(told, "XA does not know of the new stream")
            # Somebody runs a copy of the old home: here the restored one under its old stream.
            stale = replace(new, keys=replace(new.keys, stream=old.keys.stream))
            async with at(stale) as node:
                sent = await push(node, "XA", key="stale")

                async def set_aside() -> bool:
                    found = await partner.core.database.read(partial(receiving.list_set_aside, limit=10))
                    return any(each.reason == STREAM_ENDED for each in found)

                await until(set_aside, "it was not refused")
                assert "sender" in await open_alarms(partner)
                assert await count_reports(partner) == 0
                assert sent.item


@pytest.mark.parametrize("stream", [7, 6])
async def test_an_older_reset_changes_nothing(stream: int) -> None:
    async with a_node_world("XA") as world, at(world.places["XA"]) as node:
        first = anew.HeardReset("XV", 7, 40, now_ms(), b"signed")
        later = anew.HeardReset("XV", stream, 50, now_ms(), b"again")
        assert await node.core.database.write(partial(anew.hear, reset=first))
        assert not await node.core.database.write(partial(anew.hear, reset=later))
        assert (await node.core.database.read(anew.heard))["XV"] == first


async def test_what_came_after_the_backup_is_asked_for_and_comes_again() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost, backup = world.places["XV"], world.root / "xv.backup"
        for place in world.places.values():
            place.config = place.config.model_copy(update={"timing": EAGER})
        on_disk(lost)
        async with at(world.places["XA"]) as partner:
            async with at(lost) as node:
                await ready(partner, ["XV"])
                await ready(node, ["XA"])
                before = await push(partner, "XV", key="before")
                await receipted(partner, before.item, "XV")
                back_up(lost.home, backup, PASSPHRASE, now_ms=now_ms())
                after = await push(partner, "XV", key="after")
                await receipted(partner, after.item, "XV")
            async with at(restored(world, lost, backup)) as node:

                async def holds() -> bool:
                    return await stored(node, after.item) is not None

                await until(holds, "what came after the backup did not come again")
                assert await count_reports(node) == 2


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", ["anew._tell", "inbox.store_frame"])
async def test_killed_while_a_reset_is_told_or_heard_both_go_on(step: str, before: bool) -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost, backup = world.places["XV"], world.root / "xv.backup"
        on_disk(lost)
        async with at(lost) as node:
            await ready(node, [], agree=False)
            back_up(lost.home, backup, PASSPHRASE, now_ms=now_ms())
        place = restored(world, lost, backup)
        if step == "anew._tell":
            async with at(place) as node:
                dead = kill_at(node, step, before=before)
                await until(dead.is_set, "it did not die")
        else:
            async with at(place) as node, at(world.places["XA"]) as partner:
                dead = kill_at(partner, step, before=before)
                await until(dead.is_set, "it did not die")
        async with at(place) as node, at(world.places["XA"]) as partner:

            async def heard() -> bool:
                return await heard_stream(partner, "XV") == place.keys.stream

            await until(heard, "XA does not know of the new stream")
            await ready(node, ["XA"])
            sent = await push(node, "XA")
            await receipted(node, sent.item, "XA")
            told = await node.core.database.read(anew.told)
            assert told == {"XA": place.keys.stream}
