"""Nodes and a relay over mutual TLS: what is pushed is delivered, stored, receipted, corrected and withdrawn."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from exchange.envelope.model import Lane
from exchange.errors import Conflict, NotAllowed
from exchange.names import party_id
from exchange.policy.decision import Reason
from exchange.runtime.clock import now_ms
from nodes.author import Previous
from nodes.caller import the_owner
from nodes.outbox import push_digest
from nodes.parts import Node
from nodes.relay_port import Delivered, DirectoryFrame, Waiting
from nodes.sealing import NO_PREKEY
from nodes.store import receiving, reports, sending
from nodes.store.rows import Direction, ItemState, Reach
from nodes.withdrawing import withdraw
from tests.support.node_world import (
    QUICK,
    a_label,
    at,
    authored,
    count_reports,
    nodes,
    open_alarms,
    push,
    reach,
    reached,
    ready,
    receipted,
    stored,
    until,
)

LATER = "2021-07-14T06:30:00.000Z"


async def test_a_pushed_report_is_stored_and_receipted_by_every_recipient() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        accepted = await push(running["XA"], "XV", "XO")
        await receipted(running["XA"], accepted.item, "XV", "XO")
        for name in ("XV", "XO"):
            report = await stored(running[name], accepted.item)
            assert report is not None
            assert (report.direction, report.state) == (Direction.RECEIVED, ItemState.CURRENT)
            shown = await running[name].shelf.show(the_owner(), accepted.item)
            assert shown.listed.title == "Roadblock near the dam"
            assert shown.opened is not None and shown.opened.release is None and shown.opened.duties
        story = await running["XA"].shelf.story(the_owner(), accepted.item)
        assert [event.event for event in story.events][:3] == ["signed", "sealed", "promised"]
        assert sorted(event.partner for event in story.events if event.event == "receipted") == ["XO", "XV"]


async def test_a_report_stays_away_from_partners_that_the_label_or_the_agreement_leaves_out() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        accepted = await push(running["XA"], "XV")
        await receipted(running["XA"], accepted.item, "XV")
        assert await reach(running["XA"], accepted.item, "XO") is None
        assert await stored(running["XO"], accepted.item) is None
        denied = dict(accepted.decisions)[party_id("XO")]
        assert Reason.NOT_IN_AUDIENCE in denied.reasons


async def test_a_correction_replaces_the_version_before_at_sender_and_recipient() -> None:
    async with nodes("XA", "XV") as (_, running):
        first = await push(running["XA"], "XV")
        await receipted(running["XA"], first.item, "XV")
        report = await stored(running["XA"], first.item)
        assert report is not None
        made = authored(running["XA"], a_label("XV"), modified=LATER, name="Roadblock: corrected")
        previous = Previous(first.item, report.thread, made.stix_id, made.modified_ms - 1)
        correction = replace(made, thread_id=previous.thread_id, supersedes=previous.item_hash)
        second = await running["XA"].outbox.accept(correction, push_digest("second", b"", b""))
        await receipted(running["XA"], second.item, "XV")
        for node in running.values():
            before, after = await stored(node, first.item), await stored(node, second.item)
            assert before is not None and after is not None
            assert (before.state, after.state) == (ItemState.REPLACED, ItemState.CURRENT)
        with pytest.raises(Conflict):
            await running["XA"].outbox.accept(correction, push_digest("third", b"", b""))


async def test_a_withdrawn_report_is_hidden_at_its_recipients() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        wake = running["XA"].outbox.wake
        made = await withdraw(
            running["XA"].core, sent.item, reason_code="wrong", text="Other site.", purge=False, wake=wake
        )
        assert made.recipients == ("XV",)
        await reached(running["XA"], sent.item, "XV", Reach.RETRACTED)
        shown = await running["XV"].shelf.show(the_owner(), sent.item)
        assert (shown.listed.report.state, shown.opened, shown.listed.title) == (ItemState.WITHDRAWN, None, "")
        assert shown.withdrawal is not None and shown.withdrawal.text == "Other site."
        with pytest.raises(NotAllowed):
            await withdraw(running["XV"].core, sent.item, reason_code="wrong", text="", purge=False, wake=wake)


async def test_a_report_that_must_be_destroyed_loses_its_key_at_its_recipients() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        wake = running["XA"].outbox.wake
        await withdraw(running["XA"].core, sent.item, reason_code="legal", text="", purge=True, wake=wake)
        await reached(running["XA"], sent.item, "XV", Reach.PURGED)
        report = await stored(running["XV"], sent.item)
        assert report is not None
        assert (report.state, report.record, report.title) == (ItemState.PURGED, b"", b"")
        assert await running["XV"].core.keybox.keys([sent.item]) == {}


async def test_a_report_that_comes_after_its_retraction_is_stored_as_a_tombstone() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        kept: list[Delivered] = []
        receiver = running["XV"].receiver
        take = receiver.take

        async def hold_routine(frame: Delivered) -> object:
            """Let flash pass first, as a relay with two lanes may."""
            routine = [each for each in frame.waiting if each.lane is Lane.ROUTINE]
            if routine and not kept:
                kept.append(Delivered(routine, frame.now_ms))
                return await take(Delivered([e for e in frame.waiting if e.lane is not Lane.ROUTINE], frame.now_ms))
            return await take(frame)

        receiver.take = hold_routine  # type: ignore[method-assign,assignment]
        sent = await push(node, "XV")
        await reached(node, sent.item, "XV", Reach.PROMISED)
        await until(lambda: bool(kept), "the report did not come")
        await withdraw(node.core, sent.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        await reached(node, sent.item, "XV", Reach.RETRACTED)
        assert await stored(running["XV"], sent.item) is None
        await take(kept[0])
        report = await stored(running["XV"], sent.item)
        assert report is not None
        assert (report.state, report.record, report.title) == (ItemState.WITHDRAWN, b"", b"")


async def test_pushing_the_same_again_returns_the_same_item_and_sends_nothing() -> None:
    async with nodes("XA", "XV") as (_, running):
        first = await push(running["XA"], "XV", key="once")
        again = await push(running["XA"], "XV", key="once")
        assert (again.item, again.repeated) == (first.item, True)
        await receipted(running["XA"], first.item, "XV")
        assert await count_reports(running["XV"]) == 1


async def test_reports_that_are_pushed_at_the_same_time_are_signed_together_and_each_arrives() -> None:
    async with nodes("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        accepted = await asyncio.gather(*(push(sender, "XV", key=f"key {number % 5}") for number in range(10)))
        items = {each.item for each in accepted}
        assert len(items) == 5 == sum(not each.repeated for each in accepted)
        for item in items:
            await receipted(sender, item, "XV")
        found = [await sender.shelf.opened(item) for item in items]
        assert len({each.signed.signatures[0].sig for each in found if each is not None}) < 5
        assert await count_reports(recipient) == 5


async def test_what_comes_twice_is_stored_once_and_receipted_again() -> None:
    async with nodes("XA", "XV") as (_, running):
        receiver = running["XV"].receiver
        frames: list[Delivered] = []
        take = receiver.take

        async def keep(frame: Delivered) -> object:
            frames.append(frame)
            return await take(frame)

        receiver.take = keep  # type: ignore[method-assign,assignment]
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        queued = partial(receiving.queued_receipts, urgent=False, limit=10)
        await take(frames[0])
        again = await running["XV"].core.database.read(queued)
        assert await count_reports(running["XV"]) == 1
        assert [line.item for line in again] in ([sent.item], [])  # a quick node may have given it already


async def test_a_recipient_without_prekeys_waits_and_gets_its_own_envelope_later() -> None:
    async with nodes("XA", "XV") as (world, running):
        place = await world.place("XO")
        await world.relay.agree("XA", "XO")
        node = running["XA"]
        await until(lambda: len(node.core.trust.now.views) == 2, "the agreement did not come")
        sent = await push(node, "XV", "XO")
        await receipted(node, sent.item, "XV")
        waiting = await reach(node, sent.item, "XO")
        assert waiting is not None and (waiting.state, waiting.why) == (Reach.WAITING, NO_PREKEY)
        async with at(place) as other:
            await receipted(node, sent.item, "XO")
            assert await stored(other, sent.item) is not None
        first, second = await reach(node, sent.item, "XV"), await reach(node, sent.item, "XO")
        assert first is not None and second is not None and first.envelope != second.envelope


async def test_a_report_under_embargo_of_release_is_sent_when_its_time_comes() -> None:
    async with nodes("XA", "XV") as (_, running):
        later = (now_ms() + 1_500) / 1000
        text = datetime.fromtimestamp(later, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        sent = await push(running["XA"], "XV", more=f'time: {{not_before: "{text}"}}')
        waiting = await reach(running["XA"], sent.item, "XV")
        assert waiting is not None and waiting.state is Reach.WAITING and waiting.due_ms > now_ms()
        await receipted(running["XA"], sent.item, "XV")


async def test_a_delivery_with_one_bit_flipped_is_set_aside_and_refused_with_its_step() -> None:
    async with nodes("XA", "XV") as (_, running):
        receiver = running["XV"].receiver
        take = receiver.take

        async def flip(frame: Delivered) -> object:
            spoilt = [
                Waiting(each.lane, each.position, each.delivery[:-900] + b"\x00" + each.delivery[-899:])
                for each in frame.waiting
            ]
            return await take(Delivered(spoilt, frame.now_ms))

        receiver.take = flip  # type: ignore[method-assign,assignment]
        sent = await push(running["XA"], "XV")
        await reached(running["XA"], sent.item, "XV", Reach.REFUSED)
        row = await reach(running["XA"], sent.item, "XV")
        assert row is not None and "step 6" in row.why
        aside = await running["XV"].core.database.read(receiving.list_set_aside)
        assert [(each.step, each.sender) for each in aside] == [(6, "XA")]
        assert await stored(running["XV"], sent.item) is None


async def test_an_envelope_that_the_relay_refuses_is_sealed_again_without_the_culprit() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        node = running["XA"]
        # XA does not hear of the suspension: what it seals for both is refused as a whole.
        hear, told = node.core.trust.take, asyncio.Event()

        async def late(frame: DirectoryFrame) -> bool:
            await told.wait()
            return await hear(frame)

        node.core.trust.take = late  # type: ignore[method-assign]
        await world.suspend("XO")
        sent = await push(node, "XV", "XO")
        await reached(node, sent.item, "XV", Reach.PROMISED)
        told.set()
        await receipted(node, sent.item, "XV")
        row = await reach(node, sent.item, "XO")
        assert row is not None and row.state is not Reach.RECEIPTED and row.tries > 0
        assert row.alone
        assert await stored(running["XO"], sent.item) is None


async def test_a_stream_head_that_agrees_with_what_came_is_held() -> None:
    async with nodes("XA", "XV") as (_, running):
        for _ in range(3):
            sent = await push(running["XA"], "XV")
            await receipted(running["XA"], sent.item, "XV")
        core = running["XA"].core
        object.__setattr__(core, "timing", QUICK.model_copy(update={"stream_head_quiet_s": 0.001}))
        await asyncio.sleep(0.01)
        assert await running["XA"].numbers.streams.tell() >= 1
        heard = partial(receiving.heard_stream, sender="XA", stream=1, lane=int(Lane.ROUTINE))

        async def held() -> bool:
            found = await running["XV"].core.database.read(heard)
            return found.state == "held" and found.head_seq >= 3

        await until(held, "the stream head was not held")
        assert await open_alarms(running["XV"]) == []


async def test_the_log_holds_every_promise_and_reads_back_to_its_checkpoint() -> None:
    async with nodes("XA", "XV") as (_, running):
        for _ in range(3):
            sent = await push(running["XA"], "XV")
            await receipted(running["XA"], sent.item, "XV")
        for node in running.values():

            async def all_in_the_log(node: Node = node) -> bool:
                steps = [step async for step in node.auditor.verify(full=True) if step.result]
                assert all(step.result == "ok" for step in steps), steps
                told = ["replay", "checkpoint", "promises", "every entry", "directory heads"]
                assert [step.step for step in steps] == told
                unchecked = partial(sending.promises, after=-1, limit=10, unchecked=True)
                return not await node.core.database.read(unchecked)

            assert await node.core.database.read(sending.count_promises) > 0
            await until(all_in_the_log, "the relay's checkpoint does not cover every promise")


async def test_a_node_that_starts_again_has_lost_nothing_and_sends_nothing_twice() -> None:
    async with nodes("XV", agree=False) as (world, running):
        place = await world.place("XA")
        await world.relay.agree("XA", "XV")
        async with at(place) as sender:
            await ready(sender, ["XV"])
            first = await push(sender, "XV", key="first")
            await receipted(sender, first.item, "XV")
        async with at(place) as sender:
            again = await push(sender, "XV", key="first")
            assert again.repeated
            second = await push(sender, "XV", key="second")
            await receipted(sender, second.item, "XV")
            assert await sender.core.database.read(reports.count_unreceipted) == 0
        assert await count_reports(running["XV"]) == 2


async def test_a_node_on_postgresql_sends_and_receives_like_one_on_sqlite(postgres_url: str) -> None:
    async with nodes("XV", agree=False) as (world, running):
        place = await world.place("XA")
        place.config = place.config.model_copy(update={"store_url": postgres_url})
        await world.relay.agree("XA", "XV")
        async with at(place) as node:
            await ready(node, ["XV"])
            await ready(running["XV"], ["XA"])
            sent = await push(node, "XV")
            await receipted(node, sent.item, "XV")
            back = await push(running["XV"], "XA")
            await receipted(running["XV"], back.item, "XA")
            assert await count_reports(node) == 2
            wake = node.outbox.wake
            await withdraw(node.core, sent.item, reason_code="wrong", text="", purge=True, wake=wake)
            await reached(node, sent.item, "XV", Reach.PURGED)


async def test_receipts_for_a_partner_that_was_expelled_are_given_up() -> None:
    async with nodes("XA", "XV") as (world, running):
        node = running["XV"]
        give = node.receipts.give

        async def later(*, urgent: bool) -> int:
            del urgent
            return 0

        node.receipts.give = later  # type: ignore[method-assign]
        sent = await push(running["XA"], "XV")
        queue = partial(receiving.queued_receipts, urgent=False, limit=9)

        async def queued() -> bool:
            return await stored(node, sent.item) is not None and len(await node.core.database.read(queue)) == 1

        await until(queued, "no receipt waits")
        await world.expel("XA")
        await until(lambda: node.core.trust.now.status(party_id("XA")) == "expelled", "no expulsion")
        assert await give(urgent=False) == 1

        async def given_up() -> bool:
            return await node.core.database.read(reports.count_waiting) == {}

        await until(given_up, "the receipt still waits")
