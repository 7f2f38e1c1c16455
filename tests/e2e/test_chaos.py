"""Everything breaks for a while, and nothing is lost: the short form of `make chaos`."""

from pathlib import Path

import pytest

from tests.chaos.run import Plan, chaos
from tests.support import postgres

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(postgres.wheel_is_missing(), reason=f"the wheel {postgres.WHEEL} is not installed"),
]

PLAN = Plan(nodes=3, seconds=15.0, rate=3.0, seed=80)


def test_nodes_and_relays_break_at_random_and_nothing_is_lost(tmp_path: Path) -> None:
    outcome = chaos(tmp_path, PLAN, tell=print)
    assert outcome.found == []
    assert outcome.pushed and len(outcome.faults) > 1
