"""Every statement of the directory log as a value, and the prekey bundle that one of them names.

Values are made by codec.py from strict bytes or by ceremony.py; keys in them are admitted keys, names are valid names.
Whether a statement holds where it stands in the log is the fold's question. Specification: docs/spec/directory.md.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from exchange.crypto.keys import PublicKey
from exchange.crypto.logkeys import LogPublicKeys
from exchange.crypto.signed import Signed
from exchange.names import ExchangeName, PartyId

SALT_BYTES = 16


class AgreementStatus(IntEnum):
    """Status of an agreement from one entry on."""

    ACTIVE = 1
    """In force within its dates."""
    SUSPENDED = 2
    """Permits nothing new for now."""
    TERMINATED = 3
    """Permits nothing new ever."""


class RevocationReason(IntEnum):
    """Why a key was revoked."""

    SUPERSEDED = 1
    COMPROMISED = 2
    LOST = 3


@dataclass(frozen=True, slots=True)
class Common:
    """What every statement carries first.

    `seq` is 0 in statements that may come in any order, and counts the others from 1; `prev` is then the SHA-256 of
    the issuer's counted payload before, empty for the first (docs/decisions/0002-council-statement-order.md).
    """

    exchange: ExchangeName
    issuer: str
    """A partner's id, `council` or `relay`."""
    seq: int
    prev: bytes
    not_before_ms: int
    not_after_ms: int
    """Not valid at or after; 0 means no end."""
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CouncilMember:
    """A party root that sits in the council; a party with two roots there still counts once."""

    party: PartyId
    root: PublicKey


@dataclass(frozen=True, slots=True)
class RelayKeys:
    """Keys that the relay signs and answers with."""

    promise: PublicKey
    """Ed25519: promises, refusals, decisions, agreement commitments."""
    log: LogPublicKeys
    """Checkpoints of both logs."""
    transport_ca: bytes
    """DER certificate of the CA that issues the relay's TLS leaves."""


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Limits that all parties share."""

    min_suite: int
    report_bytes: int
    recipients: int
    reports_per_minute: int = 0
    """Report envelopes that one partner may submit. 0 leaves it to the relay, as in each field below."""
    control_per_minute: int = 0
    """Control envelopes that one partner may submit."""
    held_bytes: int = 0
    """Ciphertext of one partner that may wait at the relay."""
    statements_per_day: int = 0
    """Directory statements by a partner's node keys, and as many by its root."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A party whose node cosigns the checkpoints of both logs."""

    party: PartyId
    key: PublicKey
    """ML-DSA-44; for nothing else."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who watches the logs, and how many of them must agree."""

    members: tuple[Witness, ...]
    """At most one a party. None: nobody watches yet."""
    quorum: int
    """More than half of them. Without members: the least that any later set may ask for."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """First entry of the log; the SHA-256 of its payload anchors everything."""

    common: Common
    council: tuple[CouncilMember, ...]
    threshold: int
    """Distinct parties whose signatures a council statement needs."""
    relay: RelayKeys
    limits: ExchangeLimits
    created_ms: int
    witnesses: Witnesses = Witnesses((), 0)
    """The first set; its quorum bounds all later ones from below."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """The council invites a party to join, once."""

    common: Common
    party: PartyId
    country: str
    one_time_key: PublicKey
    """Ed25519; its seed travels with the invitation, apart from the log."""
    ceiling: int
    """Strictest TLP that the party may ever receive; a number of exchange.v1.Tlp."""
    display_name: str


@dataclass(frozen=True, slots=True)
class PartyRoot:
    """A party presents its root, under one invitation."""

    common: Common
    root: PublicKey
    invitation_sha256: bytes


@dataclass(frozen=True, slots=True)
class Admission:
    """The council admits the party whose root was compared by voice or in person."""

    common: Common
    party: PartyId
    root_key_id: bytes


@dataclass(frozen=True, slots=True)
class NodeCert:
    """A party root certifies the keys of its node; those before it serve for 30 days more."""

    common: Common
    statement_key: PublicKey
    envelope_key: PublicKey


@dataclass(frozen=True, slots=True)
class TransportKey:
    """The CA that issues the node's TLS leaves."""

    common: Common
    ca_certificate: bytes
    """DER."""


@dataclass(frozen=True, slots=True)
class PrekeyBundleHash:
    """Names a published bundle of daily prekeys."""

    common: Common
    bundle_sha256: bytes
    first_day: int
    """Days since 1970 in UTC."""
    days: int


@dataclass(frozen=True, slots=True)
class PrekeyBundle:
    """Daily X-Wing keys; not an entry of the log, but fetched by the hash that stands there."""

    exchange: ExchangeName
    party: PartyId
    first_day: int
    keys: tuple[PublicKey, ...]
    """One a day, in order."""
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AgreementCommit:
    """What the directory shows of an agreement."""

    common: Common
    commitment: bytes
    """SHA-256(salt || EnforcementView bytes)."""
    status: AgreementStatus


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key is no longer valid."""

    common: Common
    party: PartyId
    key_id: bytes
    """Key id of a signing key, or ca_key_hash of a transport CA (exchange/crypto/x509.py)."""
    reason: RevocationReason
    compromised_since_ms: int
    """What the key signed after this time is suspect; set for COMPROMISED and for nothing else."""


@dataclass(frozen=True, slots=True)
class RootRollover:
    """A party goes on under another root."""

    common: Common
    party: PartyId
    old_root_key_id: bytes
    new_root: PublicKey
    effective_ms: int
    """Of one by the council: what the new root signs counts from here on. 0 when the old root itself signed it."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """A party may for now receive only retractions and send only receipts."""

    common: Common
    party: PartyId
    suspended: bool
    """False lifts it."""


@dataclass(frozen=True, slots=True)
class Expulsion:
    """A party is out, for good."""

    common: Common
    party: PartyId


@dataclass(frozen=True, slots=True)
class WitnessSet:
    """The council names the witnesses from here on, in place of those before."""

    common: Common
    witnesses: Witnesses


@dataclass(frozen=True, slots=True)
class RelayKeySet:
    """The council names keys of the relay that take the place of those before, from the entry after it on."""

    common: Common
    keys: RelayKeys
    """Each is the one in force, or new; at least one is new."""
    stolen_since_ms: int
    """Since when those before may be in other hands: then all are new. 0 when they are followed in good order."""


@dataclass(frozen=True, slots=True)
class LimitSet:
    """The council sets the exchange's limits, in place of those before."""

    common: Common
    limits: ExchangeLimits


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a joining node hands over; each part is checked by ceremony.check_join_request."""

    invitation: Signed
    party_root: Signed
    node_cert: Signed
    transport_key: Signed


Statement = (
    Genesis
    | Invitation
    | PartyRoot
    | Admission
    | NodeCert
    | TransportKey
    | PrekeyBundleHash
    | AgreementCommit
    | Revocation
    | RootRollover
    | Suspension
    | Expulsion
    | WitnessSet
    | RelayKeySet
    | LimitSet
)
"""What may stand in the log."""
