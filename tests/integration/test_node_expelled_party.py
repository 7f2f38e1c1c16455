"""An agreement of many goes on for the others when one of its parties is expelled, also at nodes that start again."""

from exchange.crypto.codec import decode_signed
from exchange.directory.state import Status
from exchange.names import party_id
from nodes.agreements import VIEW_BYTES
from tests.support.node_world import a_node_world, at, push, ready, receipted, stands


async def test_an_agreement_outlives_the_expulsion_of_a_party_also_after_a_restart() -> None:
    async with a_node_world("XA", "XV", "XO") as world:
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XA"]) as sender, at(world.places["XV"]) as recipient:
            await ready(sender, ["XV"])
            await ready(recipient, ["XA"])
            await world.expel("XO")
            for node in (sender, recipient):
                await stands(node, "XO", Status.EXPELLED)
        async with at(world.places["XA"]) as sender, at(world.places["XV"]):
            assert len(sender.core.trust.now.views) == 1
            sent = await push(sender, "XV")
            await receipted(sender, sent.item, "XV")


async def test_a_signature_by_a_root_that_fell_counts_for_nothing_and_stops_nobody() -> None:
    async with a_node_world("XA", "XV", "XO") as world:
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XA"]) as node:
            await ready(node, [])
            await world.expel("XO")
            await stands(node, "XO", Status.EXPELLED)
            (kept,) = await node.agreements.all()
            parties = [party_id(name) for name in ("XA", "XO", "XV")]
            view = decode_signed(kept.view, limit=VIEW_BYTES, what="a view")
            assert node.agreements.missing(view, parties) == ("XO",)
