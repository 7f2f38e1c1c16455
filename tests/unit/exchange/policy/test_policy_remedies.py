"""Every reason has a case, a sentence and a remedy, and stands in the table for people."""

import pytest

from exchange.policy.decision import Reason
from exchange.policy.remedies import remedy
from exchange.policy.use import Obstacle
from tests.support.reasons_table import PATH, document, found_by


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_to_do(reason: Reason) -> None:
    assert remedy(reason)


def test_every_reason_is_found_by_somebody_and_stands_in_the_table() -> None:
    assert found_by().keys() == set(Reason)
    page = PATH.read_text()
    assert all(f"| `{code}` |" in page for code in (*Reason, *Obstacle))


def test_the_table_of_reasons_is_made_of_the_code() -> None:
    assert document() == PATH.read_text(), "python -m tests.support.reasons_table"
