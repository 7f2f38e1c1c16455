"""Communities between nodes and a real relay: who gets what, and from when on not any more."""

from exchange.names import party_id
from exchange.policy.communities.model import Visibility
from nodes.store.rows import Reach
from tests.support.convening import change, convene, known, publish
from tests.support.node_world import nodes, open_alarms, reach, reached, receipted, stored


async def test_a_report_to_a_community_reaches_its_members_and_nobody_else() -> None:
    async with nodes("XA", "XV", "XO", "XH") as (_, running):
        held = await convene(running["XA"], ["XV", "XO"])
        await known(held, running["XV"], running["XO"])
        item = await publish(running["XA"], held)
        await receipted(running["XA"], item, "XV", "XO")
        assert await reach(running["XA"], item, "XH") is None
        assert await stored(running["XH"], item) is None
        for node in running.values():
            assert await open_alarms(node) == []


async def test_a_member_of_a_hidden_roster_knows_nobody_but_itself_and_the_owner() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        held = await convene(running["XA"], ["XV"], ["XO"])
        await known(held, running["XV"], running["XO"])
        (mine,) = running["XV"].core.trust.now.communities[held.head.community_id]
        assert set(mine.members) == {"XV"}
        assert mine.head.members == 0
        (theirs,) = running["XO"].core.trust.now.communities[held.head.community_id]
        assert set(theirs.members) == {"XA", "XV", "XO"}


async def test_a_removed_member_gets_nothing_that_is_sealed_from_then_on() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        owner = running["XA"]
        first = await convene(owner, ["XV"], ["XO"], visibility=Visibility.MEMBERS)
        await known(first, running["XV"], running["XO"])
        before = await publish(running["XO"], first)
        await receipted(running["XO"], before, "XV", "XA")
        second = await change(owner, first, remove=["XV"])
        await known(second, running["XO"])
        after = await publish(running["XO"], second)
        await receipted(running["XO"], after, "XA")
        assert await reach(running["XO"], after, "XV") is None
        assert await stored(running["XV"], after) is None
        assert await stored(running["XV"], before) is not None


async def test_exclusion_wins_and_whoever_is_named_needs_no_community() -> None:
    async with nodes("XA", "XV", "XO", "XH") as (_, running):
        held = await convene(running["XA"], ["XV", "XO"])
        await known(held, running["XV"], running["XO"])
        item = await publish(running["XA"], held, "XH", without=["XV"])
        await receipted(running["XA"], item, "XO", "XH")
        await reached(running["XA"], item, "XV", Reach.DENIED)
        assert await stored(running["XV"], item) is None
        assert party_id("XH") not in held.members
