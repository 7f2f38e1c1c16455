"""Whoever publishes a prekey while a round is sealed does not wait for it: the round that found none gives way."""

from dataclasses import replace

from exchange.runtime.clock import now_ms
from nodes.sealing import NO_PREKEY, NO_PREKEY_WAIT_MS
from tests.support.node_world import nodes, push, reach, ready


async def test_a_round_that_found_no_prekey_gives_way_to_one_that_came_meanwhile() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await ready(node, ["XV"])
        sent = await push(node, "XV")
        row = await reach(node, sent.item, "XV")
        assert row is not None
        now = now_ms()
        late = replace(row, why=NO_PREKEY, due_ms=now + NO_PREKEY_WAIT_MS)
        nobody, other = replace(late, recipient="XQ"), replace(late, why="waits for its time")
        assert [each.due_ms - now for each in node.sender._with_new_prekeys([late, nobody, other], now)] == [
            0,
            NO_PREKEY_WAIT_MS,
            NO_PREKEY_WAIT_MS,
        ]
