"""A correction that leaves somebody out: who holds an earlier version gets the newest, or is asked to withdraw it."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from exchange.errors import Unavailable
from exchange.policy.changes.model import NoticeAction
from exchange.policy.terms import AgreementRef, HeldItems
from exchange.receipts.model import RetractionAction
from exchange.runtime.clock import now_ms
from exchange.v1 import relay_service_pb2 as pb
from nodes.author import AuthoredReport, Previous
from nodes.caller import the_owner
from nodes.outbox import Accepted, push_digest
from nodes.parts import Node
from nodes.store import recalls
from nodes.store.rows import ItemState, Reach, Recall
from nodes.withdrawing import withdraw
from tests.support.agreement_changes import a_notice, change_bytes
from tests.support.node_world import (
    QUICK,
    NodeWorld,
    a_label,
    at,
    authored,
    nodes,
    push,
    reach,
    reached,
    ready,
    receipted,
    stored,
    until,
)

TIMES = iter(f"2021-07-14T{hour:02}:30:00.000Z" for hour in range(6, 24))


async def a_correction(node: Node, before: bytes, *to: str) -> AuthoredReport:
    """Return a next version for these partners, ready to be signed."""
    report = await stored(node, before)
    assert report is not None
    made = authored(node, a_label(*to), modified=next(TIMES))
    previous = Previous(before, report.thread, made.stix_id, made.modified_ms - 1)
    return replace(made, thread_id=previous.thread_id, supersedes=previous.item_hash)


async def correct(node: Node, before: bytes, *to: str, purge: bool = False) -> Accepted:
    made = await a_correction(node, before, *to)
    return await node.outbox.accept(made, push_digest(before.hex(), b"", b""), purge_left_out=purge)


async def asked(node: Node, item: bytes) -> list[Recall]:
    return await node.core.database.read(partial(recalls.of_items, items=[item]))


async def state(node: Node, item: bytes) -> ItemState | None:
    report = await stored(node, item)
    return report.state if report else None


async def test_whom_a_correction_leaves_out_withdraws_the_version_before_and_the_others_keep_it_as_replaced() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        second = await correct(node, first.item, "XV")
        await receipted(node, second.item, "XV")
        await reached(node, first.item, "XO", Reach.RETRACTED)
        assert await state(running["XO"], first.item) is ItemState.WITHDRAWN
        assert await state(running["XV"], first.item) is ItemState.REPLACED
        assert await stored(running["XO"], second.item) is None
        (recall,) = await asked(node, first.item)
        assert (recall.partner, recall.action) == ("XO", RetractionAction.WITHDRAW)
        assert recall.retracted_ms and not recall.purged_ms and recall.statement
        story = await node.shelf.story(the_owner(), first.item)
        assert [each.partner for each in story.events if each.event == "recalled"] == ["XO"]
        assert story.listed.report.state is ItemState.REPLACED
        withdrawn = await running["XO"].shelf.show(the_owner(), first.item)
        assert withdrawn.withdrawal is not None and withdrawn.withdrawal.reason_code == "over-shared"


async def test_whom_a_correction_leaves_out_can_be_asked_to_destroy_the_version_before() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        await correct(node, first.item, "XV", purge=True)
        await reached(node, first.item, "XO", Reach.PURGED)
        assert await running["XO"].core.keybox.keys([first.item]) == {}
        (recall,) = await asked(node, first.item)
        assert recall.retracted_ms and recall.purged_ms


async def test_the_dry_run_names_whom_a_correction_leaves_out_and_changes_nothing() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        made = await a_correction(node, first.item, "XV")
        assert await node.outbox.left_out(made, await node.outbox.rehearse(made)) == ["XO"]
        assert await asked(node, first.item) == []
        wide = await a_correction(node, first.item, "XV", "XO")
        assert await node.outbox.left_out(wide, await node.outbox.rehearse(wide)) == []


async def test_what_waits_of_an_earlier_version_is_not_sent_any_more() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        await world.place("XO")  # it has no prekeys: nothing can be sealed for it
        await world.relay.agree("XA", "XV", "XO")
        node = running["XA"]
        await until(lambda: bool(node.core.trust.now.views), "no agreement")
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV")
        await reached(node, first.item, "XO", Reach.WAITING)
        second = await correct(node, first.item, "XV")
        await receipted(node, second.item, "XV")
        await reached(node, first.item, "XO", Reach.RETRACTED)
        assert await asked(node, first.item) == []
        assert await reach(node, second.item, "XO") is None


async def test_every_version_before_is_given_back_also_when_the_last_one_never_came() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        second = await correct(node, first.item, "XV", "XO")
        await receipted(node, second.item, "XV", "XO")
        third = await correct(node, second.item, "XV")
        await receipted(node, third.item, "XV")
        for item in (first.item, second.item):
            await reached(node, item, "XO", Reach.RETRACTED)
            assert await state(running["XO"], item) is ItemState.WITHDRAWN


async def test_a_withdrawal_takes_the_versions_before_along_and_asks_nobody_twice() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        second = await correct(node, first.item, "XV")
        await receipted(node, second.item, "XV")
        await reached(node, first.item, "XO", Reach.RETRACTED)
        (before,) = await asked(node, first.item)
        await withdraw(node.core, second.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        for item in (first.item, second.item):
            await reached(node, item, "XV", Reach.RETRACTED)
            assert await state(running["XV"], item) is ItemState.WITHDRAWN
        again = {each.partner: each for each in await asked(node, first.item)}
        assert again["XO"] == before and again["XV"].retracted_ms


async def test_a_partner_that_loses_its_rule_between_push_and_sealing_is_asked_to_withdraw_what_it_has() -> None:
    async with nodes("XA", "XV", "XO", agree=False) as (world, running):
        node = running["XA"]
        await world.relay.agree("XA", "XV")
        ref = await world.relay.agree("XA", "XO", held_items=HeldItems.KEEP_UNDER_TERMS)
        await until(lambda: len(node.core.trust.now.views) == 2, "no agreements")
        await ready(node, ["XV", "XO"])
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        await give_notice(world, ref, NoticeAction.SUSPEND)
        await until(lambda: len(node.core.trust.now.views) == 3, "the suspension was not seen")
        second = await correct(node, first.item, "XV", "XO")
        await receipted(node, second.item, "XV")
        await reached(node, second.item, "XO", Reach.WAITING)
        assert await asked(node, first.item) == []
        # It may yet get the correction, until it leaves the agreement: from then on it cannot.
        await give_notice(world, ref, NoticeAction.TERMINATE)
        await reached(node, second.item, "XO", Reach.DENIED)
        await reached(node, first.item, "XO", Reach.RETRACTED)
        (recall,) = await asked(node, first.item)
        assert recall.partner == "XO" and recall.retracted_ms
        assert await state(running["XO"], first.item) is ItemState.WITHDRAWN
        assert await node.narrowing.settle() == 0


async def give_notice(world: NodeWorld, ref: AgreementRef, action: NoticeAction) -> None:
    """Let XO suspend or leave an agreement."""
    request = pb.ChangeAgreementRequest(change=change_bytes(a_notice(ref, "XO", action, at_ms=now_ms())))
    await world.relay.partners["XO"].stub.ChangeAgreement(request, timeout=10)


async def test_a_suspended_partner_is_asked_to_withdraw_as_well() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        node = running["XA"]
        first = await push(node, "XV", "XO")
        await receipted(node, first.item, "XV", "XO")
        await world.suspend("XO")
        await correct(node, first.item, "XV")
        await reached(node, first.item, "XO", Reach.RETRACTED)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_killed_at_a_narrowing_correction_a_node_has_done_both_or_neither(before: bool) -> None:
    async with nodes("XV", "XO", agree=False) as (world, running):
        place = await world.place("XA", timing=QUICK)
        await world.relay.agree("XA", "XV", "XO")
        async with at(place) as node:
            await until(lambda: bool(node.core.trust.now.views), "no agreement")
            first = await push(node, "XV", "XO")
            await receipted(node, first.item, "XV", "XO")
            write = node.core.database.write

            async def dying(fn: Any) -> Any:
                if getattr(getattr(fn, "func", fn), "__module__", "") == "nodes.outbox":
                    if not before:
                        await write(fn)
                    raise Unavailable("it is dead")
                return await write(fn)

            node.core.database.write = dying  # type: ignore[method-assign]
            made = await a_correction(node, first.item, "XV")
            with pytest.raises(Unavailable):
                await node.outbox.accept(made, bytes(32))
            assert bool(await asked(node, first.item)) is not before
        async with at(place) as node:
            again = await node.outbox.accept(made, bytes(32))
            await receipted(node, again.item, "XV")
            await reached(node, first.item, "XO", Reach.RETRACTED)
            assert len(await asked(node, first.item)) == 1
            assert await state(running["XO"], first.item) is ItemState.WITHDRAWN
