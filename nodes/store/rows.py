"""What the store's functions take and return: values only, times in milliseconds since 1970."""

from dataclasses import dataclass, field
from enum import StrEnum

from exchange.policy.terms import AgreementRef


class Direction(StrEnum):
    """Whether a report was signed here or came from a partner."""

    SENT = "sent"
    RECEIVED = "received"


class ItemState(StrEnum):
    """What has become of a version of a report."""

    CURRENT = "current"
    REPLACED = "replaced"
    """A later version of the same originator is here."""
    WITHDRAWN = "withdrawn"
    """Its originator retracted it: the content is kept and not shown."""
    REJECTED = "rejected"
    """A releaser refused it before anybody had got it."""
    PURGED = "purged"
    """Its key is destroyed."""


class Reach(StrEnum):
    """Where an item stands with one recipient."""

    WAITING = "waiting"
    SEALED = "sealed"
    PROMISED = "promised"
    RECEIPTED = "receipted"
    REFUSED = "refused"
    """By the relay or by the recipient's node."""
    DENIED = "denied"
    """By our own decision."""
    RETRACTED = "retracted"
    PURGED = "purged"
    ONWARD = "onward"
    """By our consent another partner may pass it on to this one: it may have it."""
    AGAIN = "again"
    """It was sent, and its recipient says that it never came: it goes once more, if the rules still permit it."""


UNSEALED = frozenset({Reach.WAITING, Reach.AGAIN})
"""Where the next envelope is still to be sealed."""


class SlotState(StrEnum):
    """What has become of a sequence number."""

    SEALED = "sealed"
    PROMISED = "promised"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Report:
    """One version of a report; `title` and `record` are sealed under its own key and empty once purged."""

    item: bytes
    thread: bytes
    direction: Direction
    originator: str
    sender: str
    """Partner that it came from; this node's own party when it was sent."""
    kind: str
    tlp: int
    lane: int
    authored_ms: int
    stored_ms: int
    state: ItemState
    stix_digest: bytes
    title: bytes = field(repr=False)
    record: bytes = field(repr=False)
    purge_at_ms: int = 0
    """When its key is destroyed; 0 for never."""
    ask_at_ms: int = 0
    """When an operator is asked what to do with it; 0 for never."""
    review_at_ms: int = 0
    basis_id: bytes = b""
    """Agreement under which it came; empty when it was signed here."""
    basis_commitment: bytes = b""
    """The version of it."""
    number: int = 0
    """Order of arrival here; given by the store."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """One item at one recipient."""

    item: bytes
    recipient: str
    kind: int
    """EnvelopeKind."""
    lane: int
    state: Reach
    why: str = ""
    due_ms: int = 0
    """Of a waiting one: not tried earlier."""
    on_change: bool = False
    """Of a waiting one: tried as soon as the directory changes or an approval is given, whatever `due_ms` says."""
    tries: int = 0
    """Refusals so far."""
    alone: bool = False
    """Sealed in an envelope of its own: one of several recipients was refused, and the refusal did not say which."""
    basis: AgreementRef | None = None
    clause: str = ""
    envelope: bytes = b""
    receipted_ms: int = 0
    purge_by_ms: int = 0
    """When its node must have destroyed it; 0 for never."""
    keep_ms: int = 0
    """How long its node may keep it, from when it stores it; 0 for no limit."""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a report's story; `log_position` is the index in the traffic log plus one, 0 for none."""

    item: bytes
    at_ms: int
    event: str
    partner: str = ""
    detail: str = ""
    envelope: bytes = b""
    log_position: int = 0


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A retraction as it was stored."""

    item: bytes
    originator: str
    action: int
    """RetractionAction."""
    reason_code: str
    text: str
    at_ms: int
    stored_ms: int
    statement: bytes
    """Signed bytes."""
    envelope: bytes = b""


@dataclass(frozen=True, slots=True)
class Export:
    """One time that content was handed out, and for what."""

    item: bytes
    at_ms: int
    who: str
    action: int
    """Actions."""
    purpose: int
    """Purpose."""
    place: str
    as_evidence: bool
    number: int = 0


@dataclass(frozen=True, slots=True)
class Recall:
    """A partner that was asked to withdraw an item of ours; times are 0 until it has confirmed."""

    item: bytes
    partner: str
    action: int
    """RetractionAction."""
    reason_code: str
    asked_ms: int
    onward: bool = False
    """It holds the item by a consent, from somebody else."""
    retracted_ms: int = 0
    purged_ms: int = 0
    statement: bytes = b""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Decisions on one item that were made together, sealed under its key."""

    item: bytes
    stage: str
    at_ms: int
    directory_size: int
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Control:
    """A signed control statement that waits to be sealed."""

    item: bytes
    type: str
    statement: bytes
    added_ms: int


@dataclass(frozen=True, slots=True)
class TakenSlot:
    """One recipient's slot in a sealed envelope, and the number that it took."""

    recipient: str
    place: int
    stream: int
    seq: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A sealed envelope; `header` are its Signed bytes, `submission` all of it."""

    envelope: bytes
    item: bytes
    kind: int
    lane: int
    sealed_ms: int
    header: bytes
    submission: bytes = field(repr=False)
    slots: tuple[TakenSlot, ...] = ()
    number: int = 0
    directory_size: int = 0
    """What its header names; 0 when it was read from the store, where it stands in the header alone."""


@dataclass(frozen=True, slots=True)
class KeptPromise:
    """A promise of the relay, as evidence; `header` and `decisions` are empty for envelopes that came from others."""

    envelope: bytes
    item: bytes
    log_index: int
    directory_size: int
    received_ms: int
    ours: bool
    promise: bytes
    header: bytes = b""
    decisions: bytes = b""
    checked_size: int = 0
    """Tree size of the checkpoint under which its inclusion was proven; 0 for not yet."""


@dataclass(frozen=True, slots=True)
class KeptRefusal:
    """A refusal of the relay, with what it is judged by."""

    number: int
    envelope: bytes
    item: bytes
    reason: str
    step: int
    recipient: str
    refused_ms: int
    statement: bytes
    directory_size: int
    evidence: bytes
    verdict: str


@dataclass(frozen=True, slots=True)
class Came:
    """An envelope that held."""

    envelope: bytes
    sender: str
    item: bytes
    kind: int
    lane: int
    stream: int
    seq: int
    position: int
    stored_ms: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A delivery that failed a check."""

    hash: bytes
    at_ms: int
    sender: str
    """Empty when nothing proves it."""
    lane: int
    position: int
    step: int
    reason: str
    detail: str
    raw: bytes = field(repr=False)
    envelope: bytes = b""
    """Hash of the envelope that the bytes claim to be; empty when they hold no header."""


@dataclass(frozen=True, slots=True)
class QueuedReceipt:
    """A receipt that waits to be signed."""

    sender: str
    envelope: bytes
    item: bytes
    status: int
    at_ms: int
    step: int = 0
    reason: str = ""
    urgent: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a lane has been received; `drained_ms` is the relay's time when it was last empty."""

    lane: int
    position: int
    drained_ms: int = 0


@dataclass(frozen=True, slots=True)
class SentStream:
    """One numbered stream towards a recipient."""

    recipient: str
    stream: int
    lane: int
    last_seq: int
    settled_seq: int
    settled_hash: bytes
    traffic_ms: int
    head_ms: int


@dataclass(frozen=True, slots=True)
class HeardStream:
    """What a sender has said of one stream, and how far it was found to be true."""

    sender: str
    stream: int
    lane: int
    checked_seq: int
    checked_hash: bytes
    head_seq: int
    head_hash: bytes
    voided: tuple[int, ...]
    head_ms: int
    state: str
    """open, held, gap (its running hash is another than the sender's) or ended (a higher stream took over)."""
    known_seq: int = 0
    """Each number up to this one came, is void, or is written down as missing."""
    top_seq: int = 0
    """The highest number that came or was told."""
    heard_ms: int = 0
    """When anything came on it."""


class MissingState(StrEnum):
    """What is known of a number under which no envelope was stored."""

    MISSING = "missing"
    TURNED_AWAY = "turned-away"
    """It came and failed a check here."""
    RESENT = "resent"
    """Its sender says that what stood under it goes again, under another number."""
    GONE = "gone"
    """Its sender says that what stood under it does not go again."""
    VOID = "void"
    """Its sender says that no envelope stands under it."""
    ENDED = "ended"
    """Its sender writes under a higher stream now, and never answered."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A number of a partner's stream under which no envelope was stored."""

    sender: str
    stream: int
    lane: int
    seq: int
    state: MissingState
    since_ms: int
    tries: int = 0
    """How often it was asked for."""
    due_ms: int = 0
    """Once asked for: not asked again earlier."""
    envelope: bytes = b""
    """Of the envelope that took the number, where that is known."""
    expires_ms: int = 0
    """Until when the relay had to hold that envelope; 0 when unknown."""
    promise: bytes = field(default=b"", repr=False)
    """The relay's signed promise for it, as the sender handed it on."""
    request: bytes = b""
    """Hash of our newest signed request for it."""
    answer: bytes = b""
    """Hash of the sender's newest signed answer."""
    answered_ms: int = 0


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """An own number that a partner says never came."""

    recipient: str
    stream: int
    lane: int
    seq: int
    waiting: bool
    """For our answer."""
    asked_ms: int
    request: bytes
    """Hash of the partner's newest signed request."""
    answered_ms: int = 0
    answer: bytes = b""
    """Hash of our newest signed answer."""


@dataclass(frozen=True, slots=True)
class KeptAgreement:
    """An agreement of this party; `text` are AgreementText bytes, empty when only the view is known."""

    commitment: bytes
    agreement_id: bytes
    version: int
    text: bytes
    view: bytes
    """Signed bytes."""
    stored_ms: int
    published: bool


class EpochState(StrEnum):
    """How far this node is with an epoch; whether it is in force is the directory's word."""

    HELD = "held"
    """Another partner's community."""
    PENDING = "pending"
    """Own: its memberships are on their way, and the relay does not know of it."""
    ANNOUNCED = "announced"
    """Own: the relay has taken its notice."""
    ENDING = "ending"
    """Own: the community is to end with it, and the relay does not know that yet."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class KeptEpoch:
    """An epoch of a community as it is stored; `statement` are the signed bytes of the membership."""

    shown: bytes
    community: bytes
    epoch: int
    owner: str
    state: EpochState
    stored_ms: int
    statement: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NamingItem:
    """An own current report that names a community, and the epoch for whose members it was last addressed."""

    item: bytes
    epoch: int
    lane: int
    authored_ms: int


ANNOUNCED = -1
"""Place of a change that the directory does not show yet."""

ACCESSION = 0
"""Action of a change that is an accession; a notice has its own."""


@dataclass(frozen=True, slots=True)
class KeptChange:
    """An accession or a notice, by the hash of its payload."""

    hash: bytes
    commitment: bytes
    """Of the view as its founders signed it."""
    place: int
    """From 0, in the order in which the directory shows them; ANNOUNCED until it does."""
    party: str
    action: int
    """ACCESSION, or a NoticeAction."""
    at_ms: int
    stored_ms: int
    acknowledged_ms: int
    """When an operator here has acknowledged it; 0 while nobody has."""
    statement: bytes
    """Signed bytes."""


@dataclass(frozen=True, slots=True)
class OwnBundle:
    """A bundle of prekeys that this node made; `bundle` are Signed bytes."""

    hash: bytes
    first_day: int
    days: int
    made_ms: int
    published: bool
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an operator must look at; open while `closed_ms` is 0."""

    kind: str
    subject: str
    at_ms: int
    text: str
    closed_ms: int = 0
    number: int = 0
