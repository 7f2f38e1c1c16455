"""Killed at any durable step between request and receipt, a node goes on: what was granted arrives, and once."""

import asyncio
from collections.abc import Sequence

import pytest

from exchange.errors import ExchangeError
from nodes.parts import Node
from nodes.store.consent_rows import RequestState
from nodes.store.rows import Reach
from tests.integration.test_node_crash import kill_at
from tests.support.consent_world import arrived, ask, push_onward, request_at, story
from tests.support.node_world import NodeWorld, at, nodes, reach, ready, receipted, stored

ORIGINATOR_STEPS = ("inbox.store_frame", "onward.store_answers", "sender._store_round", "answers.record")
HOLDER_STEPS = ("asking._store_request", "inbox.store_frame", "sender._store_round", "answers.record")


async def sent_to_holder(running: dict[str, Node], **release: str) -> bytes:
    sent = await push_onward(running["XA"], "XV", **release)  # type: ignore[arg-type]  # texts of the label
    await receipted(running["XA"], sent.item, "XV")
    return sent.item


async def passed_on_once(world: NodeWorld, running: dict[str, Node], item: bytes, holder: Node) -> None:
    await receipted(holder, item, "XT")
    report = await stored(running["XT"], item)
    assert report is not None and report.sender == "XV"
    delivered = [partner for event, partner in await story(running["XT"], item) if event == "delivered"]
    assert delivered == ["XV"]
    assert "XT" in world.places


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", ORIGINATOR_STEPS)
async def test_an_originator_killed_at_a_step_answers_once(step: str, before: bool) -> None:
    async with nodes("XV", "XT") as (world, running):
        place = await world.place("XA")
        await world.relay.agree("XA", "XT", "XV")
        async with at(place) as originator:
            running["XA"] = originator
            await both_ready(running, ("XA", "XT", "XV"))
            item = await sent_to_holder(running, release="pre_authorised: [XT]")
            dead = kill_at(originator, step, before=before)
            asked = await ask(running["XV"], item, "XT")
            await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as originator:
            running["XA"] = originator
            await passed_on_once(world, running, item, running["XV"])
            await arrived(originator, asked.hash, RequestState.CLOSED)
            row = await reach(originator, item, "XT")
            assert row is not None and row.state is Reach.ONWARD


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", HOLDER_STEPS)
async def test_a_holder_killed_at_a_step_passes_it_on_once(step: str, before: bool) -> None:
    async with nodes("XA", "XT") as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XT", "XV")
        async with at(place) as holder:
            running["XV"] = holder
            await both_ready(running, ("XA", "XT", "XV"))
            item = await sent_to_holder(running, release="pre_authorised: [XT]")
            dead = kill_at(holder, step, before=before)
            asked = b""
            try:
                asked = (await ask(holder, item, "XT")).hash
            except ExchangeError:
                assert step == "asking._store_request"
            await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as holder:
            running["XV"] = holder
            if step == "asking._store_request" and before:
                assert await reach(holder, item, "XT") is None
                await ask(holder, item, "XT")
            elif asked:
                assert await request_at(holder, asked) is not None
            await passed_on_once(world, running, item, holder)


async def both_ready(running: dict[str, Node], names: Sequence[str]) -> None:
    """Wait until each of these nodes could send to the others."""
    for name in names:
        await ready(running[name], [other for other in names if other != name])
