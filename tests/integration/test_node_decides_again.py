"""Sender and relay that would let anything pass: the recipient decides again, by itself, and refuses."""

from typing import Any

import pytest

from exchange.names import PartyId
from exchange.policy.decide import decide_for, who_gets
from exchange.policy.decision import Decision
from exchange.relay import submit
from nodes import outbox, sealing
from nodes.outbox import push_digest
from nodes.store.rows import Reach
from tests.support.node_world import authored, count_reports, nodes, reach, reached

BEYOND = """\
tlp: amber
categories: [alert, training]
purposes: [training]
about: [PK]
release: {to: [XV]}
personal_data: none
onward: none
basis: {kind: mou, citation: "Memorandum, art. 4"}
"""


async def test_a_sender_and_a_relay_that_widen_together_reach_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def permits(decision: Decision) -> Decision:
        return decision._replace(permit=True, findings=())

    def lax(*args: Any, **named: Any) -> list[tuple[PartyId, Decision]]:
        return [(party, permits(decision)) for party, decision in who_gets(*args, **named)]

    def lax_for(*args: Any, **named: Any) -> list[tuple[PartyId, Decision]]:
        return [(party, permits(decision)) for party, decision in decide_for(*args, **named)]

    monkeypatch.setattr(outbox, "who_gets", lax)
    monkeypatch.setattr(sealing, "decide_for", lax_for)
    monkeypatch.setattr(submit, "_deny_report", lambda *_: None)
    async with nodes("XA", "XV") as (_, run):
        xa, xv = run["XA"], run["XV"]
        accepted = await xa.outbox.accept(authored(xa, BEYOND.encode()), push_digest("k", b"", b""))
        await reached(xa, accepted.item, "XV", Reach.REFUSED)
        row = await reach(xa, accepted.item, "XV")
        assert row is not None
        assert row.why.startswith("refused there: CATEGORY_NOT_ALLOWED, step 9")
        assert await count_reports(xv) == 0
