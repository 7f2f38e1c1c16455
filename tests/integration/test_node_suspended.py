"""What becomes of reports and control traffic while a party is suspended, and afterwards (PROTOCOL 3)."""

import asyncio
from functools import partial

import pytest

from exchange.crypto.random import random_bytes
from exchange.directory.state import Status
from exchange.envelope.model import Lane
from exchange.names import party_id
from exchange.receipts.codec import encode_stream_head
from exchange.receipts.model import StreamHead, StreamTail
from exchange.receipts.verify import STREAM_HEAD
from nodes.effects import Effects
from nodes.parts import Node
from nodes.receipts import add_control
from nodes.receiver import Receiver
from nodes.relay_port import Delivered, DirectoryFrame
from nodes.store import receiving, reports, sending
from nodes.store.rows import ItemState, Reach
from nodes.trust import Trust
from nodes.withdrawing import withdraw
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
    stored,
    until,
)


async def suspended(world: NodeWorld, name: str, *nodes_: Node) -> None:
    await world.suspend(name)
    for node in nodes_:
        await stands(node, name, Status.SUSPENDED)


async def waits(node: Node, item: bytes, recipient: str, *words: str) -> None:
    """Wait until our own decision has set an item aside for later, with these words."""

    async def holds() -> bool:
        row = await reach(node, item, recipient)
        return (
            row is not None
            and row.state is Reach.WAITING
            and row.on_change
            and all(word in row.why for word in ("waiting: ", *words))
        )

    await until(holds, f"it does not wait for {words}")


async def test_a_report_for_a_suspended_partner_waits_and_goes_when_the_suspension_is_lifted() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        node = running["XA"]
        await suspended(world, "XO", node)
        sent = await push(node, "XV", "XO")
        await receipted(node, sent.item, "XV")
        await waits(node, sent.item, "XO", "recipient is suspended")
        assert await stored(running["XO"], sent.item) is None
        events = await node.core.database.read(partial(reports.events_of, item=sent.item))
        assert [event.partner for event in events if event.event == "waiting"] == ["XO"]
        await world.suspend("XO", suspended=False)
        await receipted(node, sent.item, "XO")


async def test_a_report_of_a_suspended_party_waits_at_its_own_node_also_over_a_restart() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]):
            async with at(world.places["XA"]) as node:
                await ready(node, ["XV"])
                await suspended(world, "XA", node)
                sent = await push(node, "XV")
                await waits(node, sent.item, "XV", "sender is suspended")
            await world.suspend("XA", suspended=False)
            async with at(world.places["XA"]) as node:
                await receipted(node, sent.item, "XV")


async def test_what_waits_and_is_withdrawn_or_whose_recipient_is_expelled_never_goes() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        node = running["XA"]
        await suspended(world, "XO", node)
        withdrawn, kept = await push(node, "XO"), await push(node, "XO")
        for each in (withdrawn, kept):
            await waits(node, each.item, "XO")
        await withdraw(node.core, withdrawn.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        assert (await reach(node, withdrawn.item, "XO")).state is Reach.RETRACTED  # type: ignore[union-attr]
        await world.expel("XO")
        await reached(node, kept.item, "XO", Reach.DENIED)


async def test_a_suspended_party_gets_retractions_and_confirms_them_and_its_reports_wait_at_the_relay() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XA"]) as node:
            async with at(world.places["XV"]) as other:
                await ready(node, ["XV"])
                await ready(other, ["XA"])
                first = await push(node, "XV")
                await receipted(node, first.item, "XV")
            queued = await push(node, "XV")
            await reached(node, queued.item, "XV", Reach.PROMISED)
            await suspended(world, "XV", node)
            async with at(world.places["XV"]) as other:
                await stands(other, "XV", Status.SUSPENDED)
                wake = node.outbox.wake
                await withdraw(node.core, first.item, reason_code="wrong", text="", purge=False, wake=wake)
                await reached(node, first.item, "XV", Reach.RETRACTED)
                report = await stored(other, first.item)
                assert report is not None and report.state is ItemState.WITHDRAWN
                assert await stored(other, queued.item) is None
                await world.suspend("XV", suspended=False)
                await receipted(node, queued.item, "XV")


async def test_what_lies_at_the_relay_for_an_expelled_party_never_goes() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XA"]) as node:
            async with at(world.places["XV"]):
                await ready(node, ["XV"])
            queued = await push(node, "XV")
            await reached(node, queued.item, "XV", Reach.PROMISED)
            await world.expel("XV")
            async with at(world.places["XV"]) as other:
                await until(lambda: bool(other.core.link.error), "it was let in")
                assert other.core.link.contact_ms == 0
                assert await stored(other, queued.item) is None


async def a_stream_head_is_due(node: Node, recipient: str) -> bytes:
    """Place a control statement that is neither a receipt nor a retraction in the outbox."""
    core = node.core
    head = StreamHead(
        exchange=core.exchange,
        from_party=core.me,
        to_party=party_id(recipient),
        tails=(StreamTail(int(Lane.ROUTINE), 1, 1, random_bytes(32), ()),),
        at_ms=core.clock(),
        salt=random_bytes(16),
    )
    signed = await core.signer.sign(STREAM_HEAD, encode_stream_head(head))
    place = partial(add_control, signed=signed, recipients=[recipient], lane=Lane.ROUTINE, now_ms=core.clock())
    item = await core.database.write(place)
    node.sender.wake()
    return item


@pytest.mark.parametrize("name", ["XA", "XV"])
async def test_other_control_traffic_from_or_to_a_suspended_party_waits(name: str) -> None:
    async with nodes("XA", "XV") as (world, running):
        node, other = running["XA"], running["XV"]
        await suspended(world, name, node, other)
        item = await a_stream_head_is_due(node, "XV")
        await waits(node, item, "XV", "SUSPENDED")
        await world.suspend(name, suspended=False)
        heard = partial(receiving.heard_stream, sender="XA", stream=1, lane=int(Lane.ROUTINE))

        async def came() -> bool:
            return (await other.core.database.read(heard)).head_seq == 1

        await until(came, "the stream head did not come")


async def test_of_a_suspended_sender_a_node_takes_receipts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", "XV") as (world, running):
        node, other = running["XA"], running["XV"]
        await suspended(world, "XA", node, other)
        with monkeypatch.context() as lax:
            # XA's node lets everything go.
            lax.setattr("nodes.sealing.against_control", lambda *_, **__: None)
            await a_stream_head_is_due(node, "XV")

            async def set_aside() -> bool:
                aside = await other.core.database.read(receiving.list_set_aside)
                return [(each.step, each.reason) for each in aside] == [(9, "SENDER_SUSPENDED")]

            await until(set_aside, "it was taken in")


async def has(node: Node, item: bytes) -> bool:
    return await stored(node, item) is not None


def learns_late(node: Node, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let a node learn nothing new of the directory until the event is set."""
    known, take = asyncio.Event(), Trust.take

    async def late(trust: Trust, frame: DirectoryFrame) -> bool:
        if trust is node.core.trust:
            await known.wait()
        return await take(trust, frame)

    monkeypatch.setattr(Trust, "take", late)
    return known


async def retracted(node: Node, item: bytes) -> bool:
    report = await stored(node, item)
    return report is not None and report.state is ItemState.WITHDRAWN


async def test_a_retraction_that_crosses_the_suspension_of_who_sends_it_is_sealed_again_and_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XA seals before it can know of its suspension; the relay takes the envelope under a directory that shows it."""
    async with nodes("XA", "XV") as (world, running):
        node, other = running["XA"], running["XV"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        known = learns_late(node, monkeypatch)
        await suspended(world, "XA", other)
        wake = node.outbox.wake
        await withdraw(node.core, sent.item, reason_code="wrong", text="", purge=False, wake=wake)

        async def set_aside() -> bool:
            aside = await other.core.database.read(receiving.list_set_aside)
            return [(each.step, each.reason) for each in aside] == [(9, "SENDER_SUSPENDED")]

        await until(set_aside, "it was taken in")
        assert not await retracted(other, sent.item)
        known.set()
        await stands(node, "XA", Status.SUSPENDED)
        await world.suspend("XA", suspended=False)
        await until(lambda: retracted(other, sent.item), "the retraction was lost")
        await reached(node, sent.item, "XV", Reach.RETRACTED)


async def test_what_the_relay_took_before_the_suspension_counts_whenever_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = Receiver.take

    async def late(receiver: Receiver, frame: Delivered) -> Effects:
        await running.wait()
        return await take(receiver, frame)

    running = asyncio.Event()
    running.set()
    monkeypatch.setattr(Receiver, "take", late)
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XA"]) as node:
            async with at(world.places["XV"]):
                await ready(node, ["XV"])
                sent = await push(node, "XV")
                await receipted(node, sent.item, "XV")
            wake = node.outbox.wake
            await withdraw(node.core, sent.item, reason_code="wrong", text="", purge=False, wake=wake)
            await until(lambda: nothing_waits(node), "the relay did not take it")
            await suspended(world, "XA", node)
            running.clear()
            async with at(world.places["XV"]) as other:
                await stands(other, "XA", Status.SUSPENDED)
                running.set()
                await until(lambda: retracted(other, sent.item), "what was taken before was not taken in")


async def nothing_waits(node: Node) -> bool:
    waiting = await node.core.database.read(reports.count_waiting)
    return not waiting and not node.sender.unanswered


async def test_under_the_agreement_of_a_suspended_partner_nothing_new_goes_and_all_of_it_when_that_is_lifted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the sender cannot know yet: the relay's directory holds from its next entry on."""
    async with nodes("XA", "XV", "XO") as (world, running):
        sender, partner = running["XA"], running["XV"]
        before = await push(sender, "XV")
        await receipted(sender, before.item, "XV")
        known = learns_late(sender, monkeypatch)
        await suspended(world, "XV", partner, running["XO"])
        unaware = await push(sender, "XV", "XO")
        await until(lambda: has(running["XO"], unaware.item), "XO did not get it")
        refused = await sender.core.database.read(partial(sending.refusals_of, item=unaware.item))
        assert refused, "the relay let it through"
        theirs = await push(partner, "XO")
        await waits(partner, theirs.item, "XO", "sender is suspended")
        known.set()
        await receipted(sender, unaware.item, "XO")
        await waits(sender, unaware.item, "XV", "recipient is suspended")
        aware = await push(sender, "XV")
        await waits(sender, aware.item, "XV", "recipient is suspended")
        assert await stored(partner, unaware.item) is None and await stored(running["XO"], theirs.item) is None
        # What was released before stays, and the agreement itself is in force all the while.
        report = await stored(partner, before.item)
        assert report is not None and report.state is ItemState.CURRENT
        assert len(sender.core.trust.now.views) == 1

        await world.suspend("XV", suspended=False)
        await receipted(sender, unaware.item, "XV")
        await receipted(sender, aware.item, "XV")
        await receipted(partner, theirs.item, "XO")
