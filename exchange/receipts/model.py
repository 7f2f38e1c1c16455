"""Promises, refusals, decisions, receipts, retractions, stream heads: protos/exchange/v1/receipt.proto as values.

Pure. A value that exists is valid: creating one checks every field and raises BadInput (MalformedInput, TooLarge or
BadName), so that nothing can be signed that the other side must refuse. Times are the signer's clock.
"""

from dataclasses import dataclass
from enum import IntEnum

from exchange.crypto.signed import Signed
from exchange.errors import MalformedInput
from exchange.limits import RECEIPT_LINES, RECIPIENTS, SLOTS
from exchange.receipts.checks import (
    CLAUSE_BYTES,
    STEP_MAX,
    check_ascending,
    check_count,
    check_frame,
    check_hash,
    check_hash_or_none,
    check_number,
    check_parties,
    check_reason,
    check_text,
    check_time,
    check_words,
)

RECEIPT_LINES_SAFE = 400
"""Lines that fit into one control envelope whatever they say; 500 fit when none of them gives a long reason."""

RETRACTION_TEXT_CHARS = 2_000
RETRACTION_CODES = frozenset({"wrong", "source-withdrawn", "over-shared", "legal"})
LANES = 3
STREAM_TAILS = 64
HEAD_NOTE_CHARS = 8 << 10
"""A checkpoint with the log's own two signatures has less than half of that."""

VOIDED_NUMBERS = 1_024
"""Of one tail; older ones were told in earlier heads."""

UINT32_MAX = (1 << 32) - 1


class ReceiptStatus(IntEnum):
    """How far an item has come at a recipient."""

    STORED = 1
    """Opened, permitted, stored durably."""
    REFUSED = 2
    """Refused by the recipient's checks; step and reason say why."""
    RETRACTED = 3
    """A retraction was applied."""
    PURGED = 4
    """The report's key was destroyed."""


class RetractionAction(IntEnum):
    """What a recipient must do with a withdrawn item."""

    WITHDRAW = 1
    """Hide the content, keep it with the reason."""
    PURGE = 2
    """Destroy its key, keep a tombstone."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The relay accepted an envelope, and its log entry is durable."""

    exchange: str
    envelope_hash: bytes
    log_index: int
    """In the traffic log."""
    received_ms: int
    directory_size: int
    """That keys and rules were judged at; at least 1, as every directory has a genesis."""
    decisions_sha256: bytes
    """Of the DecisionRecord payload."""
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_hash(self.envelope_hash, "the envelope hash")
        check_number(self.log_index, "the log index")
        check_time(self.received_ms, "the time of receipt")
        check_number(self.directory_size, "the directory size", least=1)
        check_hash(self.decisions_sha256, "the hash of the decisions")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The relay refused an envelope. Every refusal has the same number of bytes."""

    exchange: str
    envelope_hash: bytes
    """SHA-256 of the submission's bytes when they hold no header."""
    reason: str
    """Stable reason in capitals, at most 64."""
    step: int
    """Of the relay's checks, 0 when it is none of them."""
    clause: str
    """Of an agreement to which the sender is a party, at most 200 bytes; else empty."""
    recipient: str
    """That it is about, when the sender may know; else empty."""
    directory_size: int
    refused_ms: int
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_hash(self.envelope_hash, "the envelope hash")
        check_reason(self.reason)
        check_number(self.step, "the step", most=STEP_MAX)
        check_text(self.clause, "the clause", most_bytes=CLAUSE_BYTES)
        if self.recipient:
            check_parties(self.recipient)
        check_number(self.directory_size, "the directory size")
        check_time(self.refused_ms, "the time of refusal")


@dataclass(frozen=True, slots=True)
class RelayDecision:
    """The relay's decision for one recipient."""

    leaf_index: int
    """Slot of the recipient."""
    commitment: bytes
    """Of the agreement that permits it; empty in a control envelope."""

    def __post_init__(self) -> None:
        """Check every field."""
        check_number(self.leaf_index, "the slot", most=SLOTS - 1)
        check_hash_or_none(self.commitment, "the agreement's commitment")


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """The relay's decisions for one envelope, by ascending slot. The promise names its hash."""

    exchange: str
    envelope_hash: bytes
    decisions: tuple[RelayDecision, ...]
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_hash(self.envelope_hash, "the envelope hash")
        check_count(len(self.decisions), "decisions", least=1, most=RECIPIENTS)
        check_ascending((decision.leaf_index for decision in self.decisions), "the slots")


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """What became of one envelope at its recipient."""

    envelope_hash: bytes
    item_hash: bytes
    """SHA-256 of the item's statement payload; empty when it was refused before it opened."""
    status: ReceiptStatus
    at_ms: int
    step: int = 0
    """Of the recipient's checks; only of a refusal."""
    reason: str = ""
    """Stable reason in capitals; always and only of a refusal."""

    def __post_init__(self) -> None:
        """Check every field, and that only refusals give reasons."""
        check_hash(self.envelope_hash, "the envelope hash")
        check_time(self.at_ms, "the time of the receipt")
        check_number(self.step, "the step", most=STEP_MAX)
        if self.status == ReceiptStatus.REFUSED:
            check_reason(self.reason)
            check_hash_or_none(self.item_hash, "the item hash")
        else:
            check_hash(self.item_hash, "the item hash")
            if self.step or self.reason:
                raise MalformedInput("a receipt that refuses nothing gives a reason")


@dataclass(frozen=True, slots=True)
class ReceiptBatch:
    """What a recipient confirms to one sender."""

    exchange: str
    from_party: str
    """The recipient of the items; `from` in the proto."""
    to_party: str
    """The sender of the items; `to` in the proto."""
    lines: tuple[ReceiptLine, ...]
    """1 to 500; see RECEIPT_LINES_SAFE."""
    at_ms: int
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_parties(self.from_party, self.to_party)
        check_count(len(self.lines), "receipts", least=1, most=RECEIPT_LINES)
        check_time(self.at_ms, "the time of the batch")


@dataclass(frozen=True, slots=True)
class Retraction:
    """An originator withdraws an item."""

    exchange: str
    originator: str
    item_hash: bytes
    reason_code: str
    """One of RETRACTION_CODES."""
    text: str
    """Words for people, at most 2,000 characters; may be empty."""
    action: RetractionAction
    at_ms: int
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_parties(self.originator)
        check_hash(self.item_hash, "the item hash")
        if self.reason_code not in RETRACTION_CODES:
            raise MalformedInput(
                f"{self.reason_code[:80]!r} is not why an item is withdrawn",
                hint=f"one of {', '.join(sorted(RETRACTION_CODES))}",
            )
        check_words(self.text, "the text", most_chars=RETRACTION_TEXT_CHARS)
        check_time(self.at_ms, "the time of the retraction")


@dataclass(frozen=True, slots=True)
class StreamTail:
    """The last number of one stream in one lane, so that loss at the tail shows."""

    lane: int
    stream: int
    last_seq: int
    running_hash: bytes
    """Over (seq, envelope hash) of the stream."""
    voided: tuple[int, ...] = ()
    """Numbers that were given up, ascending."""

    def __post_init__(self) -> None:
        """Check every field."""
        check_number(self.lane, "the lane", least=1, most=LANES)
        check_number(self.stream, "the stream", most=UINT32_MAX)
        check_number(self.last_seq, "the last sequence number", least=1)
        check_hash(self.running_hash, "the running hash")
        check_count(len(self.voided), "voided numbers", least=0, most=VOIDED_NUMBERS)
        check_ascending(self.voided, "the voided numbers")
        if self.voided:
            check_number(self.voided[0], "a voided number", least=1)
            check_number(self.voided[-1], "a voided number", most=self.last_seq)


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What a sender has sent to one recipient."""

    exchange: str
    from_party: str
    """The sender; `from` in the proto."""
    to_party: str
    """The recipient; `to` in the proto."""
    tails: tuple[StreamTail, ...]
    """One a lane and stream in use."""
    at_ms: int
    salt: bytes
    directory_note: str = ""
    """The newest checkpoint of the directory that the sender has verified, as the relay signed it."""
    traffic_note: str = ""
    """Of the traffic log; empty, as the one above, when it has none."""

    def __post_init__(self) -> None:
        """Check every field, and that no stream stands twice."""
        check_frame(self.exchange, self.salt)
        check_parties(self.from_party, self.to_party)
        check_count(len(self.tails), "streams", least=1, most=STREAM_TAILS)
        if len({(tail.lane, tail.stream) for tail in self.tails}) != len(self.tails):
            raise MalformedInput("a stream stands twice in a stream head")
        check_time(self.at_ms, "the time of the stream head")
        for note in (self.directory_note, self.traffic_note):
            check_count(len(note), "characters of a checkpoint", least=0, most=HEAD_NOTE_CHARS)


@dataclass(frozen=True, slots=True)
class AgreementText:
    """An agreement on its way to the other parties, with the signatures it has so far; nothing of it is verified."""

    agreement: Signed
    view: Signed
    """Its EnforcementView, signed by the same roots."""


@dataclass(frozen=True, slots=True)
class NoticeDelivery:
    """A party's notice on an agreement on its way to the other parties; who signed the notice is not verified."""

    notice: Signed
    """An AgreementNotice (exchange/policy/changes), signed by a party root."""


@dataclass(frozen=True, slots=True)
class NoticeAcknowledgement:
    """An operator of another party has taken note of a notice."""

    exchange: str
    from_party: str
    """Who acknowledges; `from` in the proto."""
    to_party: str
    """Whose notice it is; `to` in the proto."""
    notice_sha256: bytes
    """Of the AgreementNotice payload."""
    at_ms: int
    salt: bytes

    def __post_init__(self) -> None:
        """Check every field."""
        check_frame(self.exchange, self.salt)
        check_parties(self.from_party, self.to_party)
        check_hash(self.notice_sha256, "the hash of the notice")
        check_time(self.at_ms, "the time of the acknowledgement")
