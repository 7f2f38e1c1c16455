"""The guide "write your first agreement": its example says what the page says of it."""

import re
from pathlib import Path

from exchange.names import ExchangeName
from exchange.policy.agreement import make_agreement, view_of
from exchange.policy.agreement_lint import lint
from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.model import Category

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/first-agreement.md"
NOW = 1_782_864_000_000  # 2026-07-01


def the_example() -> bytes:
    """Return the text in the guide."""
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return str(text).encode()


def test_the_example_of_the_guide_can_be_signed_and_gives_no_warning() -> None:
    terms = parse_agreement_text(the_example())
    assert lint(terms, now_ms=NOW) == ()
    assert view_of(make_agreement(the_example(), exchange=ExchangeName("test.concord.example"))).terms == terms.terms


def test_the_example_permits_what_the_guide_says() -> None:
    terms = parse_agreement_text(the_example())
    alerts = [term for term in terms.terms if Category.ALERT in term.categories]
    assert [term.senders for term in alerts] == [("XA",)]
    assert terms.may_accede == ("XH",)
    assert len(terms.promises) == 1
