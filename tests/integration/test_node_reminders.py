"""What ends is an alarm at the node whose it is and at its partners', and no longer once it has been seen to."""

from dataclasses import replace

from exchange.runtime.clock import now_ms
from nodes.parts import Node
from nodes.reminders import DAY_MS, Reminders
from tests.support.node_world import nodes, open_alarms


def in_days(node: Node, days: int) -> Reminders:
    """Return the endings as a node sees them so many days from now."""
    return Reminders(replace(node.core, clock=lambda: now_ms() + days * DAY_MS))


async def test_both_ends_are_told_before_a_key_ends() -> None:
    async with nodes("XA", "XV") as (_, running):
        ours, theirs = running["XV"], running["XA"]
        assert ours.reminders.notices() == theirs.reminders.notices() == []
        early = [in_days(theirs, 310).notices(), in_days(ours, 310).notices()]
        assert any(each.startswith("XV's certificate") and "ends in 54 days" in each for each in early[0])
        assert any(each.startswith("this node's certificate") and "key rotate" in each for each in early[1])
        late = in_days(theirs, 360)
        await late.look()
        assert set(await open_alarms(theirs)) == {"ending"}
        assert 0 < late.days_left(own=False) < 6 and 0 < in_days(ours, 360).days_left(own=True) < 6
        # The alarm closes by itself when its cause is gone.
        await theirs.reminders.look()
        assert await open_alarms(theirs) == []
