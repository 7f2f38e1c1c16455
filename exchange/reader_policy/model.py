"""A reader policy as a value: protos/exchange/v1/reader_policy.proto. A value that exists is valid."""

from dataclasses import dataclass, field

from exchange.errors import TooLarge
from exchange.limits import KIB
from exchange.policy.readers import ReaderTerms
from exchange.receipts.checks import check_frame, check_number, check_parties, check_time

MAX_AGE_DAYS = 3_650
TERMS_BYTES = 24 * KIB
"""Of all words together: a control statement has room for it."""


@dataclass(frozen=True, slots=True)
class ReaderPolicy:
    """By which words a partner's node keeps reader rules, and how long what it says of a reader counts."""

    exchange: str
    party: str
    terms: ReaderTerms
    max_age_days: int
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_parties(self.party)
        check_number(self.max_age_days, "max_age_days", least=1, most=MAX_AGE_DAYS)
        check_time(self.at_ms, "at_ms")
        check_terms(self.terms)


def check_terms(terms: ReaderTerms) -> None:
    """Return when these terms fit into a policy; TooLarge otherwise."""
    words = [*terms.attributes, *terms.scales, *(level for levels in terms.scales.values() for level in levels)]
    size = sum(len(word.encode()) + 4 for word in words)
    if size > TERMS_BYTES:
        raise TooLarge(f"scales and attributes of readers have {size} bytes; the limit is {TERMS_BYTES}")
