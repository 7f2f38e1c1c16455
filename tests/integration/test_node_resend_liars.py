"""Whoever asks for numbers that it does not miss, or may not have any more, learns nothing and costs little."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from exchange.crypto.random import random_bytes
from exchange.envelope.model import Lane
from exchange.names import ID_BYTES, PartyId
from exchange.policy.decide import decide_for
from exchange.policy.decision import Decision, Item
from exchange.resend.codec import decode_resend_answer, encode_resend_request
from exchange.resend.model import MissingNumbers, ResendAnswer, ResendOutcome, ResendRequest
from exchange.resend.verify import RESEND_REQUEST
from nodes import sealing
from nodes.opening import Bad, Good
from nodes.parts import Node
from nodes.receipts import add_control
from nodes.receiver import Ready
from nodes.relay_port import Waiting
from nodes.resending import RESENT_MOST
from nodes.store import missing, reports, sending
from nodes.store.rows import ItemState, Reach
from tests.support.losses import EAGER, eager
from tests.support.node_world import count_reports, push, reach, reached, receipted, stored, until

ROUTINE = int(Lane.ROUTINE)
DAY_MS = 24 * 60 * 60 * 1000


async def ask_for(node: Node, sender: str, *numbers: int) -> None:
    """Sign a request for numbers, whether they are missing or not."""
    core = node.core
    gap = MissingNumbers(ROUTINE, 1, tuple(numbers))
    request = ResendRequest(core.exchange, core.me, sender, (gap,), core.clock(), random_bytes(ID_BYTES))
    signed = await core.signer.sign(RESEND_REQUEST, encode_resend_request(request))
    await core.database.write(
        partial(add_control, signed=signed, recipients=[sender], lane=Lane.ROUTINE, now_ms=core.clock())
    )
    node.sender.wake()


def answers_of(sender: Node) -> list[ResendAnswer]:
    """Let what a node answers be collected, and return where."""
    found: list[ResendAnswer] = []
    sign = sender.core.signer.sign

    async def noting(name: str, payload: bytes) -> Any:
        if name == "resend-answer":
            found.append(decode_resend_answer(payload))
        return await sign(name, payload)

    sender.core.signer.sign = noting  # type: ignore[method-assign]
    return found


async def number_of(sender: Node, item: bytes, recipient: str) -> int:
    """Return the number under which an item last went to a recipient."""
    row = await reach(sender, item, recipient)
    assert row is not None
    slots = await sender.core.database.read(partial(sending.slots_of, envelope=row.envelope))
    return next(slot.seq for slot in slots if slot.recipient == recipient)


async def test_numbers_that_were_never_used_towards_the_asker_are_void_whoever_else_has_them() -> None:
    async with eager("XA", "XO", "XV", timing=EAGER) as (_, running):
        sender = running["XA"]
        for number in range(3):
            sent = await push(sender, "XO", key=str(number))
            await receipted(sender, sent.item, "XO")
        found = answers_of(sender)
        await ask_for(running["XV"], "XA", 101, 102, 2**62)
        await until(lambda: bool(found), "no answer")
        assert {line.outcome for line in found[0].lines} == {ResendOutcome.VOID}

        async def settled() -> bool:
            return await sender.core.database.read(missing.count_asked) == (0, 0)

        await until(settled, "requests for nothing are kept")
        assert await count_reports(running["XV"]) == 0


async def test_an_item_goes_again_only_so_often_and_is_stored_and_receipted_once() -> None:
    async with eager("XA", "XV", timing=EAGER) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        found = answers_of(sender)
        for round_ in range(RESENT_MOST + 1):
            number = await number_of(sender, sent.item, "XV")
            await ask_for(recipient, "XA", number)
            await until(lambda: len(found) > round_, "no answer")  # noqa: B023 - called in this round only
            if found[-1].lines[0].outcome is ResendOutcome.GONE:
                break
            await until(lambda: _moved(sender, sent.item, number), "it did not go again")  # noqa: B023
            await receipted(sender, sent.item, "XV")
        outcomes = [line.outcome for answer in found for line in answer.lines]
        assert outcomes == [ResendOutcome.RESENT] * RESENT_MOST + [ResendOutcome.GONE]
        assert await count_reports(recipient) == 1


async def _moved(sender: Node, item: bytes, before: int) -> bool:
    row = await reach(sender, item, "XV")
    return row is not None and row.state is Reach.RECEIPTED and await number_of(sender, item, "XV") > before


async def test_who_may_not_have_it_any_more_gets_nothing_and_still_has_to_confirm_what_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with eager("XA", "XV", timing=EAGER) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        before = await reach(sender, sent.item, "XV")
        assert before is not None

        def denied(item: Item, recipients: Any, **more: Any) -> list[tuple[PartyId, Decision]]:
            return decide_for(replace(item, retracted=True), recipients, **more)

        monkeypatch.setattr(sealing, "decide_for", denied)
        await ask_for(recipient, "XA", await number_of(sender, sent.item, "XV"))

        async def told() -> bool:
            row = await reach(sender, sent.item, "XV")
            return row is not None and "asked for again, and not sent" in row.why

        await until(told, "it was not decided on again")
        after = await reach(sender, sent.item, "XV")
        assert after is not None and replace(after, why="") == replace(before, why="")


async def test_what_nobody_has_receipted_is_kept_for_longer_than_a_partner_may_ask() -> None:
    async with eager("XA", "XV", timing=EAGER) as (_, running):
        sender = running["XA"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        clock = sender.core.clock
        object.__setattr__(sender.core, "clock", lambda: clock() + 36 * DAY_MS)
        assert await sender.obligations.look_after() == 0
        report = await stored(sender, sent.item)
        assert report is not None and report.state is ItemState.CURRENT and report.record
        assert await sender.core.keybox.keys([sent.item])


async def test_who_refused_it_and_may_not_have_it_now_is_shown_as_having_refused_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with eager("XA", "XV", timing=EAGER) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        judge = recipient.receiver._judge

        async def turn_away(waiting: Sequence[Waiting], ready: Ready) -> list[Good | Bad]:
            return [_turned_away(each) for each in await judge(waiting, ready)]

        monkeypatch.setattr(recipient.receiver, "_judge", turn_away)
        sent = await push(sender, "XV")
        await reached(sender, sent.item, "XV", Reach.REFUSED)
        monkeypatch.setattr(
            sealing,
            "decide_for",
            lambda item, recipients, **more: decide_for(replace(item, retracted=True), recipients, **more),
        )
        await ask_for(recipient, "XA", await number_of(sender, sent.item, "XV"))

        async def told() -> bool:
            row = await reach(sender, sent.item, "XV")
            return row is not None and "asked for again, and not sent" in row.why

        await until(told, "it was not decided on again")
        row = await reach(sender, sent.item, "XV")
        assert row is not None and row.state is Reach.REFUSED
        assert await sender.core.database.read(reports.count_unreceipted) == 0


def _turned_away(each: Good | Bad) -> Good | Bad:
    if not isinstance(each, Good) or each.control is not None:
        return each
    opened = each.opened
    return Bad(each.waiting, 9, "POLICY_DENIED", "a test", "XA", opened.envelope_hash, opened.item_hash, opened=opened)


async def test_what_is_asked_for_again_and_must_wait_goes_when_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async with eager("XA", "XV", timing=EAGER) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        number = await number_of(sender, sent.item, "XV")
        with monkeypatch.context() as stale:
            stale.setattr(sender.sender, "_stale_since", lambda: 1)
            await ask_for(recipient, "XA", number)
            await reached(sender, sent.item, "XV", Reach.AGAIN)

            async def waits() -> bool:
                row = await reach(sender, sent.item, "XV")
                return row is not None and row.state is Reach.AGAIN and row.on_change

            await until(waits, "it does not wait")
        sender.sender.wake()
        await until(lambda: _moved(sender, sent.item, number), "it did not go again")
