"""A draft is replayed against what a node sent: what would newly flow and what would stop, and nothing is sent."""

from functools import partial

import pytest

from exchange.errors import BadAgreement, BadInput
from exchange.names import party_id
from exchange.policy.agreement_text import draft_agreement_text
from exchange.runtime.clock import now_ms
from nodes.caller import the_owner
from nodes.parts import Node
from nodes.simulation import Simulation
from tests.support.node_world import nodes, push, receipted, until


def a_draft(*parties: str, categories: str = "[alert, guidance]") -> bytes:
    """Return a draft between these parties."""
    text = draft_agreement_text([party_id(each) for each in parties], "Road", valid_from_ms=now_ms(), valid_until_ms=0)
    return text.replace("[alert, guidance]", categories).encode()


async def simulated(node: Node, text: bytes, *, replaces: bytes | None = None, days: int = 90) -> dict[str, object]:
    """Return what a draft comes to at a node."""
    simulation, among = Simulation(node.core, node.agreements), partial(node.shelf.among, the_owner())
    flows, replayed = [], 0
    async for batch in simulation.run(text, replaces=replaces, days=days, among=among):
        replayed += batch.replayed
        flows += [(item, flow.recipient, flow.newly) for item, flow in batch.flows]
    return {"flows": flows, "replayed": replayed}


async def test_a_draft_says_what_would_stop_and_what_would_newly_flow() -> None:
    async with nodes("XA", "XV", "XO", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV")
        node = running["XA"]
        await until(lambda: bool(node.core.trust.now.views), "the agreement did not come")
        sent = await push(node, "XV", "XO")
        await receipted(node, sent.item, "XV")
        assert await simulated(node, a_draft("XA", "XV"), replaces=ref.id) == {"flows": [], "replayed": 1}
        narrow = await simulated(node, a_draft("XA", "XV", categories="[guidance]"), replaces=ref.id)
        assert narrow["flows"] == [(sent.item, "XV", False)]
        wide = await simulated(node, a_draft("XA", "XV", "XO"), replaces=ref.id)
        assert wide["flows"] == [(sent.item, "XO", True)]
        beside = await simulated(node, a_draft("XA", "XV", categories="[guidance]"))
        assert beside["flows"] == [], "the agreement that is in force stays"


async def test_a_draft_that_cannot_be_replayed_is_refused() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        with pytest.raises(BadAgreement):
            await simulated(node, b"agreement: x")
        with pytest.raises(BadInput, match="no party"):
            await simulated(node, a_draft("XV", "XO"))
        with pytest.raises(BadInput, match="days"):
            await simulated(node, a_draft("XA", "XV"), days=0)
