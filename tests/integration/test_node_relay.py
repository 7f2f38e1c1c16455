"""Nodes and a relay over mutual TLS: what is pushed is delivered, stored, receipted, corrected and withdrawn."""

from nodes.store.rows import Direction, ItemState, Reach
from tests.support.node_world import nodes, push, reached, stored


async def test_a_pushed_report_is_stored_and_receipted_by_every_recipient() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        accepted = await push(running["XA"], "XV", "XO")
        for name in ("XV", "XO"):
            await reached(running["XA"], accepted.item, name, Reach.RECEIPTED)
            report = await stored(running[name], accepted.item)
            assert report is not None
            assert (report.direction, report.state) == (Direction.RECEIVED, ItemState.CURRENT)
