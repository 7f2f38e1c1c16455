"""Consent requests and grants: protos/exchange/v1/consent.proto as values.

Pure. A value that exists is valid: creating one checks every field and raises BadInput, so that nothing can be signed
that the other side must refuse. Times are the signer's clock. A refusal is a ConsentGrant that grants nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

from exchange.errors import MalformedInput
from exchange.names import ExchangeName, PartyId
from exchange.policy.model import HOPS_MAX, Purpose
from exchange.receipts.checks import (
    check_count,
    check_frame,
    check_hash,
    check_number,
    check_parties,
    check_time,
    check_words,
)

CONSENT_PARTNERS = 32
"""Partners that one request names."""

CONSENT_SOURCES = 64
"""Items that a requested one derives from."""

CONSENT_TEXT_CHARS = 2_000


class ConsentAnswer(IntEnum):
    """What an originator answers."""

    GRANT = 1
    REFUSE = 2


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A holder asks to pass an item on."""

    exchange: ExchangeName
    item_hash: bytes
    asker: PartyId
    to: tuple[PartyId, ...]
    purposes: tuple[Purpose, ...]
    until_ms: int
    reason: str = field(repr=False)
    at_ms: int
    salt: bytes = field(repr=False)
    derived_from: tuple[bytes, ...] = ()
    """As in the item's label: an originator finds there what it contributed."""

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        _check_items(self.item_hash, self.derived_from)
        check_parties(self.asker)
        _check_partners(self.to)
        if self.asker in self.to:
            raise MalformedInput("who asks has the item already")
        _check_purposes(self.purposes)
        check_time(self.at_ms, "the time of the request")
        _check_end(self.until_ms, self.at_ms)
        check_words(self.reason, "the reason", most_chars=CONSENT_TEXT_CHARS)

    @property
    def items(self) -> tuple[bytes, ...]:
        """The item and what it derives from: an answer is about one of these."""
        return (self.item_hash, *self.derived_from)


@dataclass(frozen=True, slots=True)
class ConsentGrant:
    """One originator's answer; as a grant it lets one holder pass one item on to one partner."""

    exchange: ExchangeName
    request_sha256: bytes
    item_hash: bytes
    originator: PartyId
    holder: PartyId
    to: tuple[PartyId, ...]
    """One partner in a grant, so that none learns of another; in a refusal all that it is about."""
    answer: ConsentAnswer
    at_ms: int
    salt: bytes = field(repr=False)
    purposes: tuple[Purpose, ...] = ()
    until_ms: int = 0
    hop: int = 0
    """How far from the originator it then is: 1 when the originator sent it to the holder itself."""
    reason: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Check every field, and that a refusal grants nothing."""
        check_frame(self.exchange, self.salt)
        check_hash(self.request_sha256, "the request's hash")
        check_hash(self.item_hash, "the item hash")
        check_parties(self.originator, self.holder)
        if self.originator == self.holder:
            raise MalformedInput("an originator does not consent to itself")
        _check_partners(self.to)
        check_time(self.at_ms, "the time of the answer")
        check_words(self.reason, "the reason", most_chars=CONSENT_TEXT_CHARS)
        if self.answer is ConsentAnswer.REFUSE:
            if self.purposes or self.until_ms or self.hop:
                raise MalformedInput("a refusal grants nothing")
            return
        if len(self.to) != 1 or self.holder in self.to:
            raise MalformedInput("a grant names one partner, which is not the holder")
        _check_purposes(self.purposes)
        _check_end(self.until_ms, self.at_ms)
        check_number(self.hop, "the hop", least=1, most=HOPS_MAX)


def _check_items(item: bytes, sources: Sequence[bytes]) -> None:
    check_count(len(sources), "sources", least=0, most=CONSENT_SOURCES)
    for each in (item, *sources):
        check_hash(each, "an item hash")
    if len({item, *sources}) != 1 + len(sources):
        raise MalformedInput("an item stands twice")


def _check_partners(partners: Sequence[str]) -> None:
    check_count(len(partners), "partners", least=1, most=CONSENT_PARTNERS)
    check_parties(*partners)
    if any(later <= earlier for earlier, later in pairwise(partners)):
        raise MalformedInput("the partners are not in ascending order")


def _check_purposes(purposes: Sequence[Purpose]) -> None:
    check_count(len(purposes), "purposes", least=1, most=len(Purpose))
    if any(later <= earlier for earlier, later in pairwise(purposes)):
        raise MalformedInput("the purposes are not in ascending order")


def _check_end(until_ms: int, at_ms: int) -> None:
    check_time(until_ms, "the end")
    if until_ms <= at_ms:
        raise MalformedInput("the end is not later than the beginning")
