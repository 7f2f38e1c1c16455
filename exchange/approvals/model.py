"""Operators' certificates and approvals: protos/exchange/v1/approval.proto as values.

Pure. A value that exists is valid: creating one checks every field and raises BadInput, so that nothing can be signed
that the other side must refuse. Times are the signer's clock.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.signed import Signed
from exchange.errors import MalformedInput
from exchange.names import id_bytes
from exchange.receipts.checks import check_ascending, check_count, check_frame, check_hash, check_parties, check_time

APPROVALS = 16
"""Of one item."""


class OperatorRole(IntEnum):
    """What an operator is there for at its node."""

    AUTHOR = 1
    RELEASER = 2
    SECURITY_OFFICER = 3
    AUDITOR = 4
    ADMINISTRATOR = 5


@dataclass(frozen=True, slots=True)
class OperatorCert:
    """A partner says which key is one of its operators'."""

    exchange: str
    party: str
    operator: bytes
    """16 bytes that stand for one person at this partner, never a name."""
    key: PublicKey
    roles: tuple[OperatorRole, ...]
    not_before_ms: int
    not_after_ms: int
    """Not valid from then on."""
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_parties(self.party)
        id_bytes(self.operator, "an operator's pseudonym")
        if self.key.algorithm is not KeyAlgorithm.COMPOSITE_65:
            raise MalformedInput("an operator's key signs statements; this is a key of another kind")
        check_count(len(self.roles), "roles", least=1, most=len(OperatorRole))
        check_ascending(self.roles, "roles")
        if {OperatorRole.AUTHOR, OperatorRole.RELEASER} <= set(self.roles):
            raise MalformedInput("nobody may both write and release")
        check_time(self.not_before_ms, "not_before_ms")
        check_time(self.not_after_ms, "not_after_ms")
        if self.not_after_ms <= self.not_before_ms:
            raise MalformedInput("a certificate ends after it begins")


@dataclass(frozen=True, slots=True)
class Approval:
    """An operator approves the release of one item."""

    exchange: str
    party: str
    item_hash: bytes
    """SHA-256 of the exact payload of the report's statement."""
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_parties(self.party)
        check_hash(self.item_hash, "item_hash")
        check_time(self.at_ms, "at_ms")


@dataclass(frozen=True, slots=True)
class ApprovalProof:
    """What a recipient needs to count one approval. Nothing in it is verified; verify.py does that."""

    cert: Signed = field(repr=False)
    approval: Signed = field(repr=False)


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval that holds."""

    operator: bytes
    key_id: bytes
    at_ms: int
