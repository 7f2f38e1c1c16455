"""An agreement of many goes on for the others when one of its parties is expelled, also at nodes that start again."""

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.directory import issue
from exchange.names import party_id
from exchange.runtime.clock import now_ms
from exchange.v1 import relay_service_pb2 as pb
from nodes.agreements import VIEW_BYTES
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import NodeWorld, a_node_world, at, push, ready, receipted, until


async def test_an_agreement_outlives_the_expulsion_of_a_party_also_after_a_restart() -> None:
    async with a_node_world("XA", "XV", "XO") as world:
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XA"]) as sender, at(world.places["XV"]) as recipient:
            await ready(sender, ["XV"])
            await ready(recipient, ["XA"])
            await _expel(world, "XO")
            for node in (sender, recipient):
                trust = node.core.trust
                await until(lambda trust=trust: trust.now.status(party_id("XO")) == "expelled", "no expulsion")  # type: ignore[misc]
        async with at(world.places["XA"]) as sender, at(world.places["XV"]):
            assert len(sender.core.trust.now.views) == 1
            sent = await push(sender, "XV")
            await receipted(sender, sent.item, "XV")


async def test_a_signature_by_a_root_that_fell_counts_for_nothing_and_stops_nobody() -> None:
    async with a_node_world("XA", "XV", "XO") as world:
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XA"]) as node:
            await ready(node, [])
            await _expel(world, "XO")
            await until(lambda: node.core.trust.now.status(party_id("XO")) == "expelled", "no expulsion")
            (kept,) = await node.agreements.all()
            parties = [party_id(name) for name in ("XA", "XO", "XV")]
            view = decode_signed(kept.view, limit=VIEW_BYTES, what="a view")
            assert node.agreements.missing(view, parties) == ("XO",)


async def _expel(world: NodeWorld, name: str) -> None:
    relay = world.relay
    await relay.mirror()
    signed = issue.make_expulsion(
        exchange=EXCHANGE,
        place=relay.exchange.directory.next_seq_prev("council"),
        party=party_id(name),
        now_ms=now_ms(),
        council_key=relay.exchange.council_key,
    )
    anyone = relay.partners["XA"]
    await anyone.stub.PublishStatement(pb.PublishStatementRequest(statement=encode_signed(signed)), timeout=10)
