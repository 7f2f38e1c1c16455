"""A flash report overtakes whatever waits, at every step of its way, and is receipted at once: proven by counting."""

import asyncio
from functools import partial
from uuid import uuid4

import pytest

from exchange.envelope.model import Lane
from nodes.arrivals import FRAME_ITEMS
from nodes.parts import Node
from nodes.relay_port import Answered
from nodes.sender import AHEAD
from nodes.stix import EXTENSION
from nodes.store import reports
from nodes.store.rows import Outgoing, Reach
from tests.support.node_world import at, count_reports, nodes, push, reach, reached, ready, receipted, stored, until

BACKLOG = 400
SOON = 2 * FRAME_ITEMS
"""Routine reports that may be stored between the push of a flash one and its own place: the frame in hand, and what
comes while it travels."""


async def test_a_flash_report_overtakes_what_waits_at_the_relay_and_is_receipted_at_once() -> None:
    async with nodes("XA", agree=False) as (world, running):
        sender, place = running["XA"], await world.place("XV")
        await world.relay.agree("XA", "XV")
        async with at(place) as recipient:
            await ready(recipient, ["XA"])
            await ready(sender, ["XV"])
        routine = [await _push(sender, "routine") for _ in range(BACKLOG)]
        for item in routine:
            await reached(sender, item, "XV", Reach.PROMISED)
        async with at(place) as recipient:
            given = asyncio.Event()
            at_receipt: list[int] = []
            give = recipient.receipts.give

            async def counted(*, urgent: bool) -> int:
                count = await give(urgent=urgent)
                if urgent and count:
                    at_receipt.append(await count_reports(recipient))
                    given.set()
                return count

            recipient.receipts.give = counted  # type: ignore[method-assign]
            await until(partial(_has_begun, recipient), "the backlog does not come")
            before = await count_reports(recipient)
            flash = await _push(sender, "flash")
            await given.wait()
            report = await stored(recipient, flash)
            assert report is not None
            assert await _number(recipient, flash) <= before + SOON
            assert at_receipt[0] <= before + SOON + FRAME_ITEMS < BACKLOG
            await receipted(sender, flash, "XV")
            for item in routine:
                await receipted(sender, item, "XV")


async def _push(node: Node, precedence: str) -> bytes:
    """Push a report of its own and return its item."""
    extension = {"extension_type": "property-extension", "kind": "alert", "precedence": precedence}
    pushed = await push(node, "XV", id=f"report--{uuid4()}", extensions={EXTENSION: extension})
    return pushed.item


async def _has_begun(node: Node) -> bool:
    return await count_reports(node) > 0


async def _number(node: Node, item: bytes) -> int:
    """Return which report of all that a node has stored this one is."""
    listed = await node.core.database.read(partial(reports.list_reports, direction=None, limit=10_000, before=0))
    return [report.item for report in reversed(listed)].index(item) + 1


async def test_a_flash_report_overtakes_a_full_window_of_the_outbox() -> None:
    async with nodes("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        answer, held = sender.sender._take, asyncio.Event()

        async def late(answered: Answered) -> None:
            """Take answers only once flash is sealed: until then the window stays full."""
            if any(each.lane != Lane.FLASH for each in sender.sender._in_flight[answered.number]):
                await held.wait()
            await answer(answered)

        sender.sender._take = late  # type: ignore[method-assign]
        routine = [await _push(sender, "routine") for _ in range(AHEAD + 1)]
        await until(lambda: sender.sender.unanswered >= AHEAD, "the window does not fill")
        flash = await _push(sender, "flash")

        async def came() -> bool:
            return await stored(recipient, flash) is not None

        await until(came, "the flash report waits for answers to routine ones")
        assert await reach(sender, routine[-1], "XV") is not None
        held.set()
        for item in (flash, *routine):
            await receipted(sender, item, "XV")


async def test_however_much_is_pushed_no_more_is_sealed_ahead_than_both_windows_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = 4
    monkeypatch.setattr("nodes.sender.AHEAD", few)
    async with nodes("XA", "XV") as (_, running):
        sender = running["XA"]
        answer, held = sender.sender._take, asyncio.Event()

        async def late(answered: Answered) -> None:
            await held.wait()
            await answer(answered)

        sender.sender._take = late  # type: ignore[method-assign]
        items = [await _push(sender, precedence) for precedence in ["routine", "flash"] * 3 * few]
        await until(lambda: sender.sender.unanswered >= few, "nothing is sealed ahead")
        assert sender.sender.unanswered < 3 * few
        held.set()
        for item in items:
            await receipted(sender, item, "XV")


async def test_flash_envelopes_travel_in_frames_of_their_own() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        frames: list[set[int]] = []
        choose = node.sender._next_frame

        def noted() -> list[Outgoing]:
            chosen = choose()
            if chosen:
                frames.append({each.lane for each in chosen})
            return chosen

        node.sender._next_frame = noted  # type: ignore[method-assign]
        items = [await _push(node, precedence) for precedence in ("routine", "flash", "immediate", "routine", "flash")]
        for item in items:
            await receipted(node, item, "XV")
        assert {Lane.FLASH} in frames
        assert all(lanes == {Lane.FLASH} or Lane.FLASH not in lanes for lanes in frames)
