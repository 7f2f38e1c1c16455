"""A correction or a retraction overtakes what waits to be passed on, and what was asked about it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from exchange.names import party_id
from nodes.author import Previous
from nodes.caller import the_owner
from nodes.outbox import Accepted, push_digest
from nodes.parts import Node
from nodes.store import reports
from nodes.store.consent_rows import AnswerState, RequestState
from nodes.store.rows import ItemState, Reach
from nodes.withdrawing import withdraw
from tests.support.consent_world import LABEL, answers, arrived, ask, push_onward, story
from tests.support.node_world import (
    QUICK,
    NodeWorld,
    a_node_world,
    at,
    authored,
    reach,
    reached,
    ready,
    receipted,
    stored,
    until,
)

LATE = "2021-07-14T23:30:00.000Z"
RARELY = QUICK.model_copy(update={"obligations_s": 3_600.0})
"""Nothing is looked at now and then: what happens is told at once, or not at all."""


@asynccontextmanager
async def holding(*also: str) -> AsyncIterator[tuple[NodeWorld, dict[str, Node], Accepted]]:
    """XA has sent XV a report; XT is a partner that publishes no prekeys, so that what is for it waits."""
    async with a_node_world() as world, AsyncExitStack() as stack:
        for name in ("XA", "XV", "XT", *also):
            await world.place(name, timing=RARELY)
        await world.relay.agree(*world.places)
        running = {name: await stack.enter_async_context(at(world.places[name])) for name in ("XA", "XV", *also)}
        for node in running.values():
            await ready(node, [name for name in running if name != node.core.me])
        sent = await push_onward(running["XA"], "XV", *also)
        await receipted(running["XA"], sent.item, "XV", *also)
        yield world, running, sent


async def correct(node: Node, before: bytes, *to: str, onward: str = "consent") -> Accepted:
    """Push a next version, with another onward rule."""
    report = await stored(node, before)
    assert report is not None
    label = LABEL.format(to=", ".join(to), onward=onward, hops=int(onward != "none"), orcon="false", release="")
    made = authored(node, label.encode(), modified=LATE)
    previous = Previous(before, report.thread, made.stix_id, made.modified_ms - 1)
    later = replace(made, thread_id=previous.thread_id, supersedes=previous.item_hash)
    return await node.outbox.accept(later, push_digest(before.hex(), b"", b""))


async def granted_and_waiting(running: dict[str, Node], item: bytes) -> None:
    """Let XV pass the item on to XT; it waits there, sealed for nobody."""
    asked = await ask(running["XV"], item, "XT")
    await arrived(running["XA"], asked.hash)
    await running["XA"].consenting.grant(asked.hash, caller=the_owner())
    await reached(running["XV"], item, "XT", Reach.WAITING)


async def test_what_waits_to_be_passed_on_is_stopped_by_a_correction_that_lets_nobody_have_it() -> None:
    async with holding() as (world, running, sent):
        await granted_and_waiting(running, sent.item)
        second = await correct(running["XA"], sent.item, "XV", onward="none")
        await receipted(running["XA"], second.item, "XV")
        await reached(running["XV"], sent.item, "XT", Reach.RETRACTED)
        assert ("not-passed-on", "XT") in await story(running["XV"], sent.item)
        async with at(world.places["XT"]) as third:
            await ready(running["XV"], ["XT"])
            assert await stored(third, sent.item) is None


async def test_a_replaced_version_that_the_relay_gave_back_is_not_sealed_again() -> None:
    async with holding() as (_, running, sent):
        await granted_and_waiting(running, sent.item)
        second = await correct(running["XA"], sent.item, "XV")
        await receipted(running["XA"], second.item, "XV")
        holder = running["XV"]
        await reached(holder, sent.item, "XT", Reach.RETRACTED)
        row = await reach(holder, sent.item, "XT")
        assert row is not None
        back = replace(row, state=Reach.WAITING, due_ms=0)
        await holder.core.database.write(partial(reports.replace_addressees, changed=[back]))
        holder.sender.wake()
        await reached(holder, sent.item, "XT", Reach.RETRACTED)


async def test_what_waits_to_be_passed_on_is_stopped_when_a_correction_leaves_its_holder_out() -> None:
    async with holding("XO") as (_, running, sent):
        await granted_and_waiting(running, sent.item)
        second = await correct(running["XA"], sent.item, "XO")
        await receipted(running["XA"], second.item, "XO")
        await reached(running["XV"], sent.item, "XT", Reach.RETRACTED)
        report = await stored(running["XV"], sent.item)
        assert report is not None and report.state is ItemState.WITHDRAWN


async def test_open_requests_are_answered_at_once_after_a_retraction_and_after_a_correction() -> None:
    async with holding() as (_, running, first):
        originator, holder = running["XA"], running["XV"]
        asked = await ask(holder, first.item, "XT")
        await arrived(originator, asked.hash)
        second = await correct(originator, first.item, "XV")
        await arrived(originator, asked.hash, RequestState.CLOSED)
        await arrived(holder, asked.hash, RequestState.WITHDRAWN, RequestState.CLOSED)

        await receipted(originator, second.item, "XV")
        again = await ask(holder, second.item, "XT")
        await arrived(originator, again.hash)
        changed = originator.outbox.changed
        await withdraw(originator.core, second.item, reason_code="wrong", text="", purge=False, wake=changed)
        await arrived(originator, again.hash, RequestState.CLOSED)
        for request in (asked.hash, again.hash):
            assert await answers(originator, request) == {(party_id("XA"), party_id("XT")): AnswerState.REFUSED}


async def test_a_request_for_a_product_is_answered_at_once_when_its_source_is_retracted() -> None:
    async with holding() as (_, running, source):
        originator, holder = running["XA"], running["XV"]
        text = LABEL.format(to="XT", onward="consent", hops=1, orcon="false", release="")
        made = authored(holder, text.encode(), id="report--22222222-2222-4222-8222-222222222222")
        both = (party_id("XA"), party_id("XV"))
        label = replace(made.label, originators=both, derived_from=(source.item,))
        product = await holder.outbox.accept(replace(made, label=label), push_digest("product", b"", b""))
        asked = await ask(holder, product.item, "XT")
        await arrived(originator, asked.hash)
        changed = originator.outbox.changed
        await withdraw(originator.core, source.item, reason_code="wrong", text="", purge=False, wake=changed)
        await arrived(originator, asked.hash, RequestState.CLOSED)
        await until(lambda: refused(holder, asked.hash), "the answer did not come")


async def refused(node: Node, request: bytes) -> bool:
    return set((await answers(node, request)).values()) == {AnswerState.REFUSED}
