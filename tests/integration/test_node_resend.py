"""The relay loses an envelope: the recipient misses its number, asks its sender, and gets what was in it, once."""

from exchange.envelope.model import EnvelopeKind, Lane
from nodes.app import Node
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
