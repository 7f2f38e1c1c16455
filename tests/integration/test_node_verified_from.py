"""From a traffic light on, reports go only to partners whose fingerprint a person here has compared."""

import pytest

from exchange.crypto.keys import fingerprint
from exchange.directory.state import Status
from exchange.errors import VerificationFailed
from exchange.names import party_id
from exchange.policy.decision import Reason
from exchange.policy.model import Tlp
from nodes.caller import the_owner
from nodes.compared import Comparisons
from nodes.config import ReleaseRules
from nodes.parts import Node
from nodes.store.partners import Verified
from nodes.store.rows import Reach
from tests.integration.test_node_partners import verify
from tests.support.consent_world import ask, push_onward
from tests.support.directory_builders import DAY_MS, NOON, an_exchange, composite
from tests.support.node_world import (
    NodeWorld,
    Place,
    a_label,
    a_node_world,
    at,
    authored,
    push,
    reach,
    reached,
    ready,
    receipted,
    stands,
    stored,
    until,
)
from tests.unit.exchange.directory.test_directory_rotation import a_rollover

XV, XO = party_id("XV"), party_id("XO")


async def strict(world: NodeWorld, name: str, light: str = "amber") -> Place:
    """Make a place whose node asks for comparisons from this light on."""
    place = await world.place(name)
    rules = ReleaseRules(verified_from=light)
    place.config = place.config.model_copy(update={"release": rules})
    return place


async def compare(node: Node, party: str) -> None:
    record = node.core.trust.now.directory.party(party_id(party))
    assert record is not None
    await verify(node, party, fingerprint(party, record.root.raw))


async def test_a_report_waits_for_the_comparison_and_goes_once_somebody_has_made_it() -> None:
    async with a_node_world("XV", "XO") as world:
        place = await strict(world, "XA")
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XV"]) as recipient, at(world.places["XO"]), at(place) as node:
            await ready(node, ["XV", "XO"])
            await compare(node, "XO")
            rehearsed = dict(await node.outbox.rehearse(authored(node, a_label("XV", "XO"))))
            assert rehearsed[XO].permit and rehearsed[XV].reasons == [Reason.PARTNER_NOT_VERIFIED]
            assert rehearsed[XV].waits
            sent = await push(node, "XV", "XO")
            await receipted(node, sent.item, "XO")
            row = await reach(node, sent.item, "XV")
            assert row is not None and row.state is Reach.WAITING and "compared the fingerprint" in row.why
            with pytest.raises(VerificationFailed):
                await verify(node, "XV", "0" * 32)
            assert await stored(recipient, sent.item) is None
            await compare(node, "XV")
            await receipted(node, sent.item, "XV")


async def test_what_lies_below_goes_at_once_and_what_is_remembered_holds_after_a_restart() -> None:
    async with a_node_world("XV") as world:
        place = await strict(world, "XA", "red")
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]):
            async with at(place) as node:
                await ready(node, ["XV"])
                assert node.core.comparisons.at(Tlp.RED) >= {XV} and not node.core.comparisons.at(Tlp.AMBER_STRICT)
                sent = await push(node, "XV")
                await receipted(node, sent.item, "XV")
                await compare(node, "XV")
            async with at(place) as node:
                assert XV not in node.core.comparisons.at(Tlp.RED)


async def test_what_is_passed_on_by_consent_waits_for_the_comparison_of_who_gets_it_here() -> None:
    """XV passes XA's report on to XO; XV's node asks for comparisons, XA's does not."""
    async with a_node_world("XA", "XO") as world:
        place = await strict(world, "XV")
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XA"]) as originator, at(world.places["XO"]) as third, at(place) as holder:
            await stands(holder, "XO", Status.ADMITTED)
            for node, names in ((originator, ["XV", "XO"]), (holder, ["XA", "XO"]), (third, ["XV"])):
                await ready(node, names)
            sent = await push_onward(originator, "XV", release="pre_authorised: [XO]")
            await receipted(originator, sent.item, "XV")
            await ask(holder, sent.item, "XO")
            await reached(holder, sent.item, "XO", Reach.WAITING)

            async def waits() -> bool:
                row = await reach(holder, sent.item, "XO")
                return row is not None and "compared the fingerprint" in row.why

            await until(waits, "it does not wait for the comparison")
            await compare(holder, "XO")
            await receipted(holder, sent.item, "XO")


def test_a_comparison_is_of_one_root_and_of_another_root_nobody_is_compared() -> None:
    exchange = an_exchange(("XA", "XV"))
    found = Comparisons(Tlp.RED, lambda: exchange.directory)
    assert found.at(Tlp.RED) == {party_id("XA"), XV} and found.at(Tlp.AMBER_STRICT) == frozenset()
    record = exchange.directory.party(XV)
    assert record is not None
    found.note(Verified(XV, record.root.key_id, NOON + DAY_MS, the_owner().name))
    assert found.at(Tlp.RED) == {party_id("XA")}
    exchange.add(a_rollover())
    assert exchange.directory.party(XV) != record
    assert found.at(Tlp.RED) == {party_id("XA"), XV}
    found.note(Verified(XV, composite("XV/root/2").public.key_id, NOON + DAY_MS, the_owner().name))
    assert found.at(Tlp.RED) == {party_id("XA")}
    assert Comparisons(None, lambda: exchange.directory).at(Tlp.RED) == frozenset()
