"""Killed at any durable step between gap and answer, a node goes on: what was lost arrives, and once."""

import asyncio

import pytest

from exchange.envelope.model import EnvelopeKind
from nodes import alarms
from nodes.parts import Node
from tests.integration.test_node_crash import kill_at
from tests.support.losses import EAGER, eager, lose, whole
from tests.support.node_world import at, count_reports, open_alarms, push, ready, receipted

REPORTS = 3
RECIPIENT_STEPS = ("inbox.store_frame", "resending._store_request", "sender._store_round", "answers.record")
SENDER_STEPS = ("inbox.store_frame", "resending._store_answer", "sender._store_round", "answers.record")


async def push_all(sender: Node) -> list[bytes]:
    return [(await push(sender, "XV", key=str(number))).item for number in range(REPORTS)]


async def all_arrived_once(sender: Node, recipient: Node, items: list[bytes]) -> None:
    for item in items:
        await receipted(sender, item, "XV")
    await whole(recipient, "XA")
    assert await count_reports(recipient) == REPORTS
    for node in (sender, recipient):
        assert not {alarms.GAP, alarms.SENDER, alarms.WITHHELD}.intersection(await open_alarms(node))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", RECIPIENT_STEPS)
async def test_a_recipient_killed_at_a_step_gets_what_was_lost_once(step: str, before: bool) -> None:
    async with eager("XA") as (world, running):
        sender = running["XA"]
        place = await world.place("XV", timing=EAGER)
        await world.relay.agree("XA", "XV")
        async with at(place) as recipient:
            await ready(sender, ["XV"])
            lost = lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
            if step == "inbox.store_frame":
                dead = kill_at(recipient, step, before=before)
                items = await push_all(sender)
            else:
                items = await push_all(sender)
                dead = kill_at(recipient, step, before=before)
            await asyncio.wait_for(dead.wait(), 20)
            assert len(lost) <= 1
        async with at(place) as recipient:
            await all_arrived_once(sender, recipient, items)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", SENDER_STEPS)
async def test_a_sender_killed_at_a_step_sends_what_was_lost_once(step: str, before: bool) -> None:
    async with eager("XV") as (world, running):
        recipient = running["XV"]
        place = await world.place("XA", timing=EAGER)
        await world.relay.agree("XA", "XV")
        lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        async with at(place) as sender:
            await ready(sender, ["XV"])
            items = await push_all(sender)
            for item in items[1:]:
                await receipted(sender, item, "XV")
            dead = kill_at(sender, step, before=before)
            await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as sender:
            await all_arrived_once(sender, recipient, items)
