"""Before an expulsion a party sees what the partner holds and asks for what must go; afterwards nothing reaches it."""

import pytest

from exchange.directory.state import Status
from exchange.errors import Conflict, NotFound
from exchange.names import party_id
from exchange.policy.terms import HeldItems
from nodes.expelling import Farewell
from nodes.parts import Node
from nodes.store.rows import Reach
from tests.support.convening import convene, known
from tests.support.node_world import (
    NodeWorld,
    a_node_world,
    at,
    nodes,
    push,
    reach,
    reached,
    ready,
    receipted,
    stands,
    until,
)

XV, XO = party_id("XV"), party_id("XO")


async def two_with(world: NodeWorld, held: HeldItems) -> None:
    """Let XA and XV agree on what becomes of held items when it ends."""
    await world.relay.agree("XA", "XV", held_items=held)


def of(found: Farewell, item: bytes) -> tuple[str, bool, bool]:
    """Return state, whether it must go and whether it was asked for, of one item."""
    (held,) = [each for each in found.held if each.there.item == item]
    return held.there.state, held.must_go, held.recall is not None


@pytest.mark.parametrize(("says", "goes"), [(HeldItems.PURGE, True), (HeldItems.KEEP_UNDER_TERMS, False)])
async def test_what_the_agreement_says_must_go_is_asked_for_while_the_partner_still_hears(
    says: HeldItems, goes: bool
) -> None:
    async with a_node_world("XA", "XV") as world:
        await two_with(world, says)
        async with at(world.places["XA"]) as node, at(world.places["XV"]) as partner:
            await ready(node, ["XV"])
            await ready(partner, ["XA"])
            sent = await push(node, "XV")
            await receipted(node, sent.item, "XV")
            found = await node.expelling.look(XV)
            assert found.status is Status.ADMITTED and of(found, sent.item) == ("receipted", goes, False)
            await world.suspend("XV")
            await stands(node, "XV", Status.SUSPENDED)
            assert await node.expelling.recall(XV) == int(goes)
            assert await node.expelling.recall(XV) == 0
            if goes:
                await reached(node, sent.item, "XV", Reach.PURGED)
                assert of(await node.expelling.look(XV), sent.item) == ("purged", False, True)


async def test_nothing_reaches_an_expelled_partner_and_what_it_holds_stays_listed() -> None:
    async with a_node_world("XA", "XV") as world:
        await two_with(world, HeldItems.PURGE)
        async with at(world.places["XA"]) as node:
            async with at(world.places["XV"]) as partner:
                await ready(node, ["XV"])
                await ready(partner, ["XA"])
                sent = await push(node, "XV")
                await receipted(node, sent.item, "XV")
            waits = await push(node, "XV", key="waits")
            await reached(node, waits.item, "XV", Reach.PROMISED)
            await world.expel("XV")
            await stands(node, "XV", Status.EXPELLED)
            with pytest.raises(Conflict, match="nothing reaches it"):
                await node.expelling.recall(XV)
            found = await node.expelling.look(XV)
            assert found.status is Status.EXPELLED
            assert {each.there.item for each in found.held} == {sent.item, waits.item}
            late = await push(node, "XV", key="late")
            row = await reach(node, late.item, "XV")
            assert row is None or row.state is Reach.DENIED
            with pytest.raises(NotFound):
                await node.expelling.look(party_id("XX"))


async def test_an_expelled_member_leaves_the_owners_communities_in_a_new_epoch() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        owner, stays = running["XA"], running["XO"]
        held = await convene(owner, ["XV", "XO"])
        await known(held, owner, stays)
        assert (await owner.expelling.look(XV)).communities == [held.head.terms.name]
        await world.expel("XV")
        await stands(owner, "XV", Status.EXPELLED)

        def without() -> bool:
            epochs = _newest(owner, held.head.community_id)
            return XV not in epochs and XO in epochs

        await until(without, "XV is still in it")
        assert (await owner.expelling.look(XV)).communities == []
        assert await owner.expelling.look_after() == 0


def _newest(node: Node, community: bytes) -> set[str]:
    (newest,) = [each for each in node.groups.convening.own() if each.head.community_id == community]
    return set(newest.members)
