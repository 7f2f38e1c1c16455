"""Communities between nodes and a real relay: who gets what, and from when on not any more."""

from exchange.names import party_id
from exchange.policy.communities.model import HeldEpoch, History, Visibility
from exchange.policy.communities.route import publishable
from exchange.runtime.clock import now_ms
from nodes.community_service import CommunityMethods
from nodes.parts import Node
from nodes.store.rows import Reach
from tests.support.convening import change, convene, known, publish, terms
from tests.support.node_world import (
    a_node_world,
    at,
    nodes,
    open_alarms,
    reach,
    reached,
    ready,
    receipted,
    stored,
    until,
)


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


async def test_a_member_that_is_removed_while_a_report_waits_for_its_prekey_never_gets_it() -> None:
    """Invariant 6: nothing is wrapped for a removed member after the epoch has changed."""
    async with nodes("XA", "XV", agree=False) as (world, running):
        owner = running["XA"]
        await world.place("XO")  # admitted, without prekeys: what is for it waits
        await world.relay.agree("XA", "XV", "XO")
        await until(lambda: bool(owner.core.trust.now.views), "no agreement")
        first = await convene(owner, ["XV", "XO"])
        await known(first, running["XV"])
        item = await publish(owner, first)
        await receipted(owner, item, "XV")
        waiting = await reach(owner, item, "XO")
        assert waiting is not None and waiting.why == "waiting: no prekey"
        await change(owner, first, remove=["XO"])
        async with at(world.places["XO"]) as removed:
            await ready(owner, ["XO"], agree=False)
            await reached(owner, item, "XO", Reach.DENIED)
            assert await stored(removed, item) is None
            assert not publishable(removed.core.trust.rules_now(), removed.core.me, now_ms())


async def test_a_member_that_is_away_holds_up_no_removal_and_finds_its_membership_when_it_comes_back() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        owner = running["XA"]
        await world.place("XO")
        await world.relay.agree("XA", "XV", "XO")
        await until(lambda: bool(owner.core.trust.now.views), "no agreement")
        first = await convene(owner, ["XV", "XO"])
        second = await change(owner, first, remove=["XV"])
        async with at(world.places["XO"]) as late:
            item = await publish(owner, second)
            await receipted(owner, item, "XO")
            await known(second, late)
        assert await stored(running["XV"], item) is None


async def test_communities_are_known_again_after_a_restart_of_owner_and_member() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XA"]) as owner, at(world.places["XV"]) as member:
            await ready(owner, ["XV"])
            await ready(member, ["XA"])
            held = await convene(owner, ["XV"])
            await known(held, member)
        async with at(world.places["XA"]) as owner, at(world.places["XV"]) as member:
            await known(held, owner, member)
            item = await publish(owner, held)
            await receipted(owner, item, "XV")
            assert await stored(member, item) is not None
            await change(owner, held, remove=["XV"])


async def _joined_later(history: History, **more: object) -> tuple[Reach | None, Reach | None]:
    """Let XO join a community in which a report of its owner and one of a publisher are there; return their reach."""
    async with nodes("XA", "XV", "XO") as (_, running):
        owner, publisher = running["XA"], running["XV"]
        first = await convene(owner, [], ["XV"], history=history, **more)
        await known(first, publisher)
        mine, theirs = await publish(owner, first), await publish(publisher, first)
        await receipted(owner, mine, "XV")
        await receipted(publisher, theirs, "XA")
        second = await change(owner, first, members=["XO"])
        await known(second, publisher, running["XO"])
        new = await publish(owner, second)
        await receipted(owner, new, "XO", "XV")
        if history is History.FROM_START:
            await receipted(owner, mine, "XO")
            await receipted(publisher, theirs, "XO")
        for node in (owner, publisher):
            await node.groups.history.look_after()
        return await _state(owner, mine), await _state(publisher, theirs)


async def _state(node: Node, item: bytes) -> Reach | None:
    row = await reach(node, item, "XO")
    return None if row is None else row.state


async def test_who_joins_gets_nothing_from_before_unless_the_rule_says_so() -> None:
    assert await _joined_later(History.NONE) == (None, None)


async def test_who_joins_gets_what_every_publisher_wrote_before_if_the_rule_is_from_the_start() -> None:
    assert await _joined_later(History.FROM_START) == (Reach.RECEIPTED, Reach.RECEIPTED)


async def test_who_joins_gets_nothing_that_is_older_than_the_date_of_the_rule() -> None:
    tomorrow = now_ms() + 86_400_000
    assert await _joined_later(History.FROM_DATE, history_from_ms=tomorrow) == (None, None)


async def test_who_joins_and_is_excluded_from_a_report_does_not_get_it() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        owner = running["XA"]
        first = await convene(owner, ["XV"], history=History.FROM_START)
        item = await publish(owner, first, without=["XO"])
        await change(owner, first, members=["XO"])
        await reached(owner, item, "XO", Reach.DENIED)
        assert await stored(running["XO"], item) is None


async def test_bringing_the_history_again_brings_it_once() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        owner = running["XA"]
        first = await convene(owner, ["XV"], history=History.FROM_START)
        item = await publish(owner, first)
        second = await change(owner, first, members=["XO"])
        await receipted(owner, item, "XO", "XV")
        assert await owner.groups.history.look_after() == 0
        third = await change(owner, second, publishers=["XV"])
        await known(third, running["XV"])
        assert await owner.groups.history.look_after() == 0
        row = await reach(owner, item, "XO")
        assert row is not None and row.state is Reach.RECEIPTED


async def test_a_community_that_has_ended_reaches_nobody() -> None:
    async with nodes("XA", "XV") as (_, running):
        owner = running["XA"]
        held = await convene(owner, ["XV"])
        await known(held, running["XV"])
        item = await publish(owner, held)
        await receipted(owner, item, "XV")
        assert await owner.groups.convening.end(held.head.community_id) is not None
        for node in running.values():
            await until(lambda node=node: _over(node, held), "the end is not shown")  # type: ignore[misc]
            assert not publishable(node.core.trust.rules_now(), node.core.me, now_ms())


def _over(node: Node, held: HeldEpoch) -> bool:
    snapshot = node.core.trust.now
    return snapshot.directory.agreement_status(held.shown, at_size=snapshot.size) == 3


async def test_an_expelled_member_is_no_member_at_once() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        owner = running["XA"]
        held = await convene(owner, ["XV", "XO"])
        await known(held, running["XV"])
        await world.expel("XO")
        await until(lambda: owner.core.trust.now.status(party_id("XO")) == "expelled", "no expulsion")
        item = await publish(owner, held)
        await receipted(owner, item, "XV")
        row = await reach(owner, item, "XO")
        assert row is not None and row.state is Reach.DENIED
        methods = CommunityMethods(owner.core, owner.groups.convening)

        async def goes_on_without_it() -> bool:
            epochs = owner.core.trust.now.communities[held.head.community_id]
            (listed,) = (await methods.list_()).communities
            return set(epochs[-1].members) == {"XA", "XV"} and not listed.warnings

        await until(goes_on_without_it, "the owner's node has not taken it out")


async def test_an_owner_is_told_which_member_is_suspended_and_may_take_it_out() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        owner = running["XA"]
        held = await convene(owner, ["XV", "XO"])
        await world.suspend("XO")
        await until(lambda: owner.core.trust.now.status(party_id("XO")) == "suspended", "no suspension")
        methods = CommunityMethods(owner.core, owner.groups.convening)
        (listed,) = (await methods.list_()).communities
        assert list(listed.warnings) == ["XO is suspended and gets nothing: concord community remove takes it out"]
        second = await change(owner, held, remove=["XO"])
        assert set(second.members) == {"XA", "XV"}
        assert list((await methods.list_()).communities[0].warnings) == []


async def test_an_item_may_name_several_communities_and_partners() -> None:
    async with nodes("XA", "XV", "XO", "XH") as (_, running):
        owner = running["XA"]
        road = await convene(owner, ["XV"])
        bridge = (await owner.groups.convening.create(terms(owner, "Bridge"), {party_id("XO"): 1})).held  # type: ignore[dict-item]
        await known(bridge, running["XO"])
        await known(road, running["XV"])
        item = await publish(owner, road, '{community: "Bridge"}', "XH")
        await receipted(owner, item, "XV", "XO", "XH")
        for name in ("XV", "XO", "XH"):
            assert await stored(running[name], item) is not None


async def test_while_an_owner_is_suspended_nothing_goes_by_way_of_its_community_and_what_waits_goes_afterwards() -> (
    None
):
    async with nodes("XA", "XV", "XO", agree=False) as (world, running):
        owner, publisher = running["XV"], running["XA"]
        await world.place("XH")  # it has no prekeys: what is for it waits
        await world.relay.agree("XA", "XV", "XO", "XH")
        for node in running.values():
            await until(lambda node=node: bool(node.core.trust.now.views), "no agreement")  # type: ignore[misc]
        held = await convene(owner, ["XO", "XH"], ["XA"])
        await known(held, publisher, running["XO"])
        item = await publish(publisher, held)
        await receipted(publisher, item, "XO", "XV")
        await world.suspend("XV")
        await until(lambda: publisher.core.trust.now.status(party_id("XV")) == "suspended", "no suspension")
        assert not publishable(publisher.core.trust.rules_now(), publisher.core.me, now_ms())
        async with at(world.places["XH"]) as late:
            await ready(publisher, ["XH"], agree=False)

            async def waits() -> bool:
                row = await reach(publisher, item, "XH")
                return row is not None and "suspended" in row.why

            await until(waits, "it does not wait")
            assert await stored(late, item) is None
            await world.suspend("XV", suspended=False)
            await receipted(publisher, item, "XH")
