"""What a key signed after it came into other hands is flagged at every holder, by the relay's clock."""

import pytest

from exchange.errors import Conflict
from exchange.names import party_id
from exchange.runtime.clock import now_ms
from nodes.caller import the_owner
from nodes.parts import Node
from tests.support.node_world import nodes, open_alarms, push, receipted, until
from tests.support.rotation import own_statement_key, revoke, rotate

XV = party_id("XV")


async def flags(node: Node, *items: bytes) -> list[bool]:
    """Say of each of these items whether a node asks its people to look at it again."""
    listed = await node.shelf.list_(the_owner(), direction=None, limit=50, before=None, current_only=False)
    suspect = {each.report.item: each.suspect for each in listed}
    assert all(not words or "may have been in other hands" in words for words in suspect.values())
    return [bool(suspect[item]) for item in items]


async def knows(node: Node, key_id: bytes) -> None:
    def revoked() -> bool:
        record = node.core.trust.now.directory.key_record(key_id)
        return record is not None and bool(record.compromised_since_ms)

    await until(revoked, "the revocation is not known")


@pytest.mark.parametrize("by_council", [True, False], ids=["by the council", "by its own root"])
async def test_what_came_after_the_theft_is_flagged_at_every_holder_and_what_came_before_is_not(
    by_council: bool,
) -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        sender, holders = running["XV"], [running["XA"], running["XO"]]
        stolen = own_statement_key(sender)
        before = await push(sender, "XA", "XO")
        await receipted(sender, before.item, "XA", "XO")
        since_ms = now_ms()
        after = await push(sender, "XA", "XO", modified="2021-07-15T08:00:00.000Z", key="after")
        await receipted(sender, after.item, "XA", "XO")
        await rotate(sender)
        fresh = await push(sender, "XA", "XO", key="fresh")
        await receipted(sender, fresh.item, "XA", "XO")
        await revoke(world, XV, stolen, since_ms=since_ms, by_council=by_council)
        for node in (sender, *holders):
            await knows(node, stolen)
            assert await flags(node, before.item, after.item, fresh.item) == [False, True, False]
            await node.suspects.look()
            assert "suspect" in await open_alarms(node)


async def test_an_envelope_key_that_was_stolen_flags_what_came_under_it() -> None:
    async with nodes("XA", "XV") as (world, running):
        sender, holder = running["XV"], running["XA"]
        stolen, since_ms = sender.core.keys.envelope.public.key_id, now_ms()
        sent = await push(sender, "XA")
        await receipted(sender, sent.item, "XA")
        await rotate(sender)
        await revoke(world, XV, stolen, since_ms=since_ms, by_council=True)
        await knows(holder, stolen)
        assert await flags(holder, sent.item) == [True]


async def test_a_person_looks_at_it_and_the_alarm_closes() -> None:
    async with nodes("XA", "XV") as (world, running):
        sender, holder = running["XV"], running["XA"]
        stolen, since_ms = own_statement_key(sender), now_ms()
        sent = await push(sender, "XA")
        await receipted(sender, sent.item, "XA")
        with pytest.raises(Conflict):
            await holder.suspects.reviewed(sent.item, who="anna")
        await rotate(sender)
        await revoke(world, XV, stolen, since_ms=since_ms, by_council=True)
        await knows(holder, stolen)
        await holder.suspects.look()
        assert await open_alarms(holder) == ["suspect"]
        await holder.suspects.reviewed(sent.item, who="anna")
        assert await open_alarms(holder) == []
        story = await holder.shelf.story(the_owner(), sent.item)
        assert ("looked at", "by anna") in {(event.event, event.detail) for event in story.events}
        assert "looked at" in story.listed.suspect


async def test_a_later_revocation_that_reaches_further_back_flags_more() -> None:
    async with nodes("XA", "XV") as (world, running):
        sender, holder = running["XV"], running["XA"]
        stolen, first_ms = own_statement_key(sender), now_ms()
        sent = await push(sender, "XA")
        await receipted(sender, sent.item, "XA")
        await rotate(sender)
        await revoke(world, XV, stolen, since_ms=now_ms(), by_council=True)
        await knows(holder, stolen)
        assert await flags(holder, sent.item) == [False]
        await revoke(world, XV, stolen, since_ms=first_ms, by_council=True)

        async def flagged() -> bool:
            return await flags(holder, sent.item) == [True]

        await until(flagged, "the second revocation flags nothing")
