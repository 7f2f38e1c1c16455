"""A flash report overtakes whatever waits, at every step of its way, and is receipted at once: proven by counting."""

import asyncio
from functools import partial
from uuid import uuid4

from nodes.arrivals import FRAME_ITEMS
from nodes.parts import Node
from nodes.stix import EXTENSION
from nodes.store import reports
from nodes.store.rows import Reach
from tests.support.node_world import at, count_reports, nodes, push, reached, ready, receipted, stored, until

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
