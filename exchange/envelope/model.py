"""What an envelope is made of (protos/exchange/v1/envelope.proto), as values.

Pure data. What is hashed or signed stands here as the bytes that travelled (`SealedHeader.core`, `SubmittedLeaf.leaf`),
beside decoded values that nobody encodes again. Keys and contents never appear in a repr.
Specification: docs/spec/envelope.md.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from exchange.approvals.model import ApprovalProof
from exchange.crypto.signed import Signed
from exchange.names import HASH_BYTES, ExchangeName, PartyId
from exchange.policy.agreement import AgreementRef
from exchange.policy.model import RelayLabel, Tlp

SUITE = 1
"""HPKE with MLKEM768-X25519, HKDF-SHA256 and ChaCha20-Poly1305; Cobblestone-256; Ed25519 header. The only suite."""

ENVELOPE_TYPE = "envelope"
"""Payload type name of a SealedHeader."""

REPORT_TYPE = "report"
"""Payload type name of a ReportStatement."""

CONTROL_TYPES = frozenset(
    {
        "receipts",
        "retraction",
        "stream-head",
        "agreement-text",
        "community-membership",
        "consent-request",
        "consent-grant",
        "notice-delivery",
        "notice-acknowledgement",
        "reader-policy",
        "stream-reset",
        "resend-request",
        "resend-answer",
    }
)
"""Payload type names that a control envelope may carry."""

REPORT_KINDS = frozenset(
    {
        "alert",
        "incident-report",
        "threat-assessment",
        "indicator-set",
        "rfi",
        "rfi-answer",
        "guidance",
        "lessons-learned",
        "acknowledgement",
        "sighting",
        "correction",
        "retraction",
    }
)
"""Kinds of report; closed, another is refused."""

REPORT_MEDIA_TYPE = "application/stix+json;version=2.1"
"""The only media type of a report's content."""

CONTROL_LABEL = RelayLabel(
    tlp=Tlp.AMBER_STRICT,
    policy="concord/1",
    categories=(),
    purposes=(),
    flags=0,
    expires_ms=0,
    label_sha256=bytes(HASH_BYTES),
)
"""The relay label of every control envelope: it says nothing about what is inside."""


class EnvelopeKind(IntEnum):
    """Whether an envelope carries a report or keeps the exchange itself running."""

    REPORT = 1
    CONTROL = 2


class Lane(IntEnum):
    """Urgency class; each has its own mailbox, sequence and cursor."""

    FLASH = 1
    PRIORITY = 2
    ROUTINE = 3


@dataclass(frozen=True, slots=True)
class Head:
    """A head of the directory log that the sender has verified."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class BlobRef:
    """An attachment's ciphertext, carried apart; `size` and `sha256` are the ciphertext's."""

    blob_id: bytes
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class BlobKey:
    """What opens an attachment; `size` and `plain_sha256` are the plain file's."""

    blob_id: bytes
    key: bytes = field(repr=False)
    size: int
    plain_sha256: bytes
    name: str = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class EnvelopeCore:
    """What the sender fixes before it encrypts; the hash of its bytes binds every ciphertext of the envelope."""

    suite: int
    exchange: ExchangeName
    envelope_id: bytes
    sender: PartyId
    sender_key: bytes
    created_ms: int
    expires_ms: int
    lane: Lane
    kind: EnvelopeKind
    label: RelayLabel
    grants: tuple[bytes, ...]
    directory: Head
    blobs: tuple[BlobRef, ...]


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """What the envelope key signs. `core` holds EnvelopeCore bytes as the sender serialised them."""

    core: bytes
    body_sha256: bytes
    body_size: int
    recipients_root: bytes
    slots: int


@dataclass(frozen=True, slots=True)
class RecipientLeaf:
    """One recipient's slot; only the relay and that recipient see it."""

    salt: bytes
    recipient: PartyId
    kem_key: bytes
    wrap_sha256: bytes
    stream: int
    pair_seq: int
    basis: AgreementRef | None
    via: str
    display_only: bool


@dataclass(frozen=True, slots=True)
class SubmittedLeaf:
    """RecipientLeaf bytes at their slot, with the wrapped content key."""

    index: int
    leaf: bytes
    wrap: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a sender hands to the relay. Nothing in it is verified; verify.py does that."""

    header: Signed
    leaves: tuple[SubmittedLeaf, ...]
    dummy_seed: bytes = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the relay hands to one recipient. Nothing in it is verified; open.py does that."""

    header: Signed
    leaf: bytes
    leaf_index: int
    proof: tuple[bytes, ...]
    wrap: bytes = field(repr=False)
    body: bytes = field(repr=False)
    promise: Signed


@dataclass(frozen=True, slots=True)
class Body:
    """What the body ciphertext opens to. `release` holds Release bytes when the roster is open, else nothing."""

    statement: Signed = field(repr=False)
    grants: tuple[Signed, ...] = ()
    blobs: tuple[BlobKey, ...] = ()
    release: bytes = field(default=b"", repr=False)
    approvals: tuple[ApprovalProof, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a report as its originator signed it: wherever it travels, and sealed however often, it is this one."""

    name: str = field(repr=False)
    media_type: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ReportStatement:
    """A report as its originator signed it; `label` holds Label bytes, `content` the originator's exact bytes."""

    exchange: ExchangeName
    originator: PartyId
    label: bytes = field(repr=False)
    kind: str
    media_type: str
    content: bytes = field(repr=False)
    thread_id: bytes
    supersedes: bytes
    authored_ms: int
    salt: bytes = field(repr=False)
    attachments: tuple[Attachment, ...] = ()
