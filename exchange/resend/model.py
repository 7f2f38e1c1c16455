"""Requests for what never came, and their answers: protos/exchange/v1/resend.proto as values.

Pure. A value that exists is valid: creating one checks every field and raises BadInput. What a peer may ask for is
bounded here, so that an answer to any request fits into one control envelope.
"""

import itertools
from dataclasses import dataclass
from enum import IntEnum

from exchange.crypto.signed import Signed
from exchange.errors import MalformedInput
from exchange.receipts.checks import (
    TIME_MAX_MS,
    check_ascending,
    check_count,
    check_frame,
    check_hash,
    check_number,
    check_parties,
    check_time,
)
from exchange.receipts.model import LANES, UINT32_MAX

RESEND_NUMBERS = 50
"""Of one request, over all streams; also the lines of one answer."""


class ResendOutcome(IntEnum):
    """What becomes of a number that was asked for."""

    RESENT = 1
    """What stood under it goes again, under a new number, if the rules still permit it."""
    GONE = 2
    """An envelope stood under it; what was in it does not go again."""
    VOID = 3
    """No envelope stands under it."""


@dataclass(frozen=True, slots=True)
class MissingNumbers:
    """Numbers of one stream and lane under which nothing came."""

    lane: int
    stream: int
    numbers: tuple[int, ...]
    """Ascending."""

    def __post_init__(self) -> None:
        """Check every field."""
        check_number(self.lane, "the lane", least=1, most=LANES)
        check_number(self.stream, "the stream", most=UINT32_MAX)
        check_count(len(self.numbers), "missing numbers", least=1, most=RESEND_NUMBERS)
        for number in self.numbers:
            check_number(number, "a missing number", least=1)
        check_ascending(self.numbers, "the missing numbers")


@dataclass(frozen=True, slots=True)
class ResendRequest:
    """A recipient's signed word that these numbers never came."""

    exchange: str
    from_party: str
    """The recipient that misses numbers; `from` in the proto."""
    to_party: str
    """The sender; `to` in the proto."""
    gaps: tuple[MissingNumbers, ...]
    at_ms: int
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field, and that no stream stands twice."""
        check_frame(self.exchange, self.salt)
        check_parties(self.from_party, self.to_party)
        check_count(sum(len(gap.numbers) for gap in self.gaps), "missing numbers", least=1, most=RESEND_NUMBERS)
        if len({(gap.lane, gap.stream) for gap in self.gaps}) != len(self.gaps):
            raise MalformedInput("a stream stands twice in a resend request")
        check_time(self.at_ms, "the time of the resend request")


@dataclass(frozen=True, slots=True)
class ResendLine:
    """A sender's word on one number."""

    lane: int
    stream: int
    seq: int
    outcome: ResendOutcome
    envelope_hash: bytes = b""
    """Of the envelope that took the number; empty when VOID."""
    expires_ms: int = 0
    """Until when the relay had to hold the envelope; 0 when VOID, or when the sender does not know."""
    promise: Signed | None = None
    """The relay's, for that envelope, if the sender holds one; not verified here."""

    def __post_init__(self) -> None:
        """Check every field, and that a number without an envelope says nothing of one."""
        check_number(self.lane, "the lane", least=1, most=LANES)
        check_number(self.stream, "the stream", most=UINT32_MAX)
        check_number(self.seq, "the number", least=1)
        check_number(self.expires_ms, "the time of expiry", most=TIME_MAX_MS)
        if self.outcome is not ResendOutcome.VOID:
            check_hash(self.envelope_hash, "the envelope hash")
        elif self.envelope_hash or self.expires_ms or self.promise is not None:
            raise MalformedInput("a void number has no envelope")


@dataclass(frozen=True, slots=True)
class ResendAnswer:
    """What a sender answers to a request."""

    exchange: str
    from_party: str
    """The sender; `from` in the proto."""
    to_party: str
    """The recipient that asked; `to` in the proto."""
    lines: tuple[ResendLine, ...]
    """By lane, stream and number."""
    at_ms: int
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field, and that no number stands twice."""
        check_frame(self.exchange, self.salt)
        check_parties(self.from_party, self.to_party)
        check_count(len(self.lines), "answered numbers", least=1, most=RESEND_NUMBERS)
        places = [(line.lane, line.stream, line.seq) for line in self.lines]
        if any(later <= earlier for earlier, later in itertools.pairwise(places)):
            raise MalformedInput("the answered numbers are not in ascending order")
        check_time(self.at_ms, "the time of the answer")
