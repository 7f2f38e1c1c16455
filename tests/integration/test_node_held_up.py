"""A relay that refuses all envelopes of a node for a while: nothing is given up, and the operator sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from exchange.names import party_id
from nodes import answers, sender
from nodes.answers import TRIES_MOST
from nodes.sealing import Ground, Job, Round, seal_round
from nodes.store import alarms
from nodes.store.rows import Reach
from tests.support.node_world import nodes, open_alarms, push, reach, receipted, until

HOUR_MS = 60 * 60 * 1000


async def test_a_wrong_clock_holds_reports_up_shows_in_the_status_and_loses_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead_ms, rounds = HOUR_MS, 0

    def sealed_ahead(jobs: Sequence[Job], ground: Ground, numbers: Mapping[tuple[str, int], int]) -> Round:
        nonlocal rounds
        if ground.me != party_id("XA") or not ahead_ms:
            return seal_round(jobs, ground, numbers)
        made = seal_round(jobs, replace(ground, now_ms=ground.now_ms + ahead_ms), numbers)
        rounds += bool(made.outgoing)
        return made

    monkeypatch.setattr(sender, "seal_round", sealed_ahead)
    monkeypatch.setattr(answers, "HELD_MOST_MS", 20)
    async with nodes("XA", "XV", agree=True) as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await until(lambda: rounds > TRIES_MOST + 2, "it was given up")
        row = await reach(node, sent.item, "XV")
        assert row is not None and row.state in (Reach.WAITING, Reach.SEALED)
        (alarm,) = await node.core.database.read(alarms.open_alarms)
        assert alarm.kind == "relay" and "step 7" in alarm.text
        ahead_ms = 0
        await receipted(node, sent.item, "XV")

        async def closed() -> bool:
            return await open_alarms(node) == []

        await until(closed, "the alarm stayed open")
