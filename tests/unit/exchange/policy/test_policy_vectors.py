"""Golden decisions: two nodes that are given equal inputs decide equally, whoever wrote them."""

import json
from typing import Any

import pytest

from exchange.policy.record import plain_decision
from tests.support.policy_vectors import PATH, answer, document

VECTORS: list[dict[str, Any]] = json.loads(PATH.read_text())["cases"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_golden_decision_holds(vector: dict[str, Any]) -> None:
    assert plain_decision(answer(vector)) == vector["expect"]


def test_the_vectors_are_those_of_the_cases() -> None:
    assert document() == PATH.read_text(), "python -m tests.support.policy_vectors"
