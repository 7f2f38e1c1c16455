"""The relay loses an envelope: the recipient misses its number, asks its sender, and gets what was in it, once."""

from collections.abc import Sequence

from exchange.envelope.model import EnvelopeKind, Lane
from nodes.opening import Bad, Good
from nodes.parts import Node
from nodes.receiver import Ready
from nodes.relay_port import Waiting
from nodes.store import missing
from nodes.store.rows import ItemState, MissingState, Reach
from nodes.withdrawing import withdraw
from tests.support.losses import EAGER, eager, heard, lose, whole
from tests.support.node_world import (
    count_reports,
    open_alarms,
    push,
    reach,
    reached,
    receipted,
    stored,
    until,
)

REPORTS = 8


async def test_a_report_that_the_relay_loses_among_many_arrives_once() -> None:
    async with eager("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        lost = lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        sent = [await push(sender, "XV", key=str(number)) for number in range(REPORTS)]
        for each in sent:
            await receipted(sender, each.item, "XV")
        assert len(lost) == 1
        assert await count_reports(recipient) == REPORTS
        await whole(recipient, "XA")
        assert await open_alarms(recipient) == await open_alarms(sender) == []


async def test_the_running_hash_is_completed_by_the_senders_answer() -> None:
    async with eager("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        lost = lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        for sent in [await push(sender, "XV", key=str(number)) for number in range(3)]:
            await receipted(sender, sent.item, "XV")
        await whole(recipient, "XA")
        assert lost
        (row,) = await recipient.core.database.read(
            lambda c: [row for seq in range(1, 9) if (row := missing.row_of(c, "XA", 1, int(Lane.ROUTINE), seq))]
        )
        assert row.state is MissingState.RESENT and row.promise
        object.__setattr__(sender.core, "timing", EAGER.model_copy(update={"stream_head_quiet_s": 0.001}))

        async def held() -> bool:
            found = await heard(recipient, "XA")
            return found.state == "held" and found.checked_seq > row.seq

        await until(held, "the stream head was not held")


async def test_a_retraction_that_the_relay_loses_is_applied_all_the_same() -> None:
    async with eager("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        first, second = [await push(sender, "XV", key=str(number)) for number in range(2)]
        await receipted(sender, first.item, "XV")
        await receipted(sender, second.item, "XV")
        lost = lose(recipient, lambda core: core.lane is Lane.FLASH and core.kind is EnvelopeKind.CONTROL)
        await retract(sender, first.item)
        await until(lambda: len(lost) == 1, "no retraction was lost")
        await retract(sender, second.item)
        for each in (second, first):
            await reached(sender, each.item, "XV", Reach.RETRACTED)
            report = await stored(recipient, each.item)
            assert report is not None and report.state is ItemState.WITHDRAWN


async def retract(sender: Node, item: bytes) -> None:
    """Withdraw a report."""
    await withdraw(sender.core, item, reason_code="wrong", text="", purge=False, wake=sender.sender.wake)


async def test_what_its_sender_no_longer_has_is_answered_as_gone_and_the_gap_is_closed() -> None:
    async with eager("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        gone = await push(sender, "XV", key="gone")
        await reached(sender, gone.item, "XV", Reach.PROMISED)
        await retract(sender, gone.item)
        sent = await push(sender, "XV", key="after")
        await receipted(sender, sent.item, "XV")
        await whole(recipient, "XA")
        assert await stored(recipient, gone.item) is None
        row = await reach(sender, gone.item, "XV")
        assert row is not None and row.state is not Reach.AGAIN


async def test_a_loss_at_the_end_of_the_flash_lane_shows_by_its_stream_head() -> None:
    soon = EAGER.model_copy(update={"stream_head_flash_s": 0.1, "gap_alarm_flash_s": 0.5})
    async with eager("XA", "XV", timing=soon) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        lost = lose(recipient, lambda core: core.lane is Lane.FLASH and core.kind is EnvelopeKind.CONTROL)
        await retract(sender, sent.item)
        await reached(sender, sent.item, "XV", Reach.RETRACTED)
        assert len(lost) == 1


async def test_an_envelope_that_a_check_turned_away_is_not_missing_and_is_not_asked_for() -> None:
    async with eager("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        deny = recipient.receiver._judge

        async def deny_first(waiting: Sequence[Waiting], ready: Ready) -> list[Good | Bad]:
            judged = await deny(waiting, ready)
            good = next((each for each in judged if isinstance(each, Good) and each.control is None), None)
            if good is None or turned:
                return judged
            turned.append(good)
            bad = Bad(good.waiting, 9, "POLICY_DENIED", "a test", "XA", good.opened.envelope_hash, opened=good.opened)
            return [bad if each is good else each for each in judged]

        turned: list[Good] = []
        recipient.receiver._judge = deny_first  # type: ignore[method-assign]
        first, second = [await push(sender, "XV", key=str(number)) for number in range(2)]
        await receipted(sender, second.item, "XV")
        await reached(sender, first.item, "XV", Reach.REFUSED)
        await whole(recipient, "XA")
        seq = turned[0].opened.leaf.pair_seq
        row = await recipient.core.database.read(
            lambda c: missing.row_of(c, "XA", 1, int(turned[0].opened.core.lane), seq)
        )
        assert row is not None and (row.state, row.tries) == (MissingState.TURNED_AWAY, 0)
