"""Accessions and notices as values (protos/exchange/v1/agreement_change.proto).

A value that exists is valid: creating one checks every field and raises MalformedInput, so that nobody signs what
nobody accepts.
"""

from dataclasses import dataclass, field

from exchange.errors import MalformedInput
from exchange.names import HASH_BYTES, ID_BYTES, ExchangeName, PartyId
from exchange.policy import shape
from exchange.policy.model import Vocabulary
from exchange.policy.terms import AgreementRef

VERSION_MAX = (1 << 31) - 1


class NoticeAction(Vocabulary):
    """What a party does to its own part in an agreement."""

    SUSPEND = 1
    RESUME = 2
    TERMINATE = 3


@dataclass(frozen=True, slots=True)
class Accession:
    """A party joins an agreement that lets it; signed by its root."""

    exchange: ExchangeName
    agreement: AgreementRef
    """As its founders signed it."""
    party: PartyId
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        _check(self.agreement, self.at_ms, self.salt)


@dataclass(frozen=True, slots=True)
class AgreementNotice:
    """A party suspends an agreement for itself, resumes it, or leaves it; signed by its root."""

    exchange: ExchangeName
    agreement: AgreementRef
    """As its founders signed it."""
    party: PartyId
    action: NoticeAction
    text: str
    """Why, for people."""
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        _check(self.agreement, self.at_ms, self.salt)
        shape.text(self.text, "the text of a notice")


Change = Accession | AgreementNotice


def _check(agreement: AgreementRef, at_ms: int, salt: bytes) -> None:
    shape.octets(agreement.id, ID_BYTES, "the agreement's id")
    shape.number(agreement.version, "the agreement's version", least=1, most=VERSION_MAX)
    shape.octets(agreement.commitment, HASH_BYTES, "the agreement's commitment")
    shape.octets(salt, ID_BYTES, "the salt")
    if not shape.instant(at_ms, "the time of the statement"):
        raise MalformedInput("a statement on an agreement has a time")
