"""One good value of every kind that receipts know."""

from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import Ed25519Key
from exchange.receipts.model import (
    AgreementText,
    DecisionRecord,
    NoticeAcknowledgement,
    NoticeDelivery,
    Promise,
    ReceiptBatch,
    ReceiptLine,
    ReceiptStatus,
    Refusal,
    RelayDecision,
    Retraction,
    RetractionAction,
    StreamHead,
    StreamTail,
)
from exchange.resend.model import MissingNumbers, ResendAnswer, ResendLine, ResendOutcome, ResendRequest

EXCHANGE = "demo.concord.example"
ENVELOPE = bytes([1]) * 32
ITEM = bytes([2]) * 32
SALT = bytes([3]) * 16
NOW_MS = 1_700_000_000_000


def a_promise() -> Promise:
    """Return a promise about ENVELOPE at index 7."""
    return Promise(
        exchange=EXCHANGE,
        envelope_hash=ENVELOPE,
        log_index=7,
        received_ms=NOW_MS,
        directory_size=12,
        decisions_sha256=bytes([4]) * 32,
        salt=SALT,
    )


def a_refusal() -> Refusal:
    """Return a refusal that says all that a refusal can."""
    return Refusal(
        exchange=EXCHANGE,
        envelope_hash=ENVELOPE,
        reason="POLICY_DENIED",
        step=9,
        clause="XA-XV 2021 art. 4",
        recipient="XV",
        directory_size=12,
        refused_ms=NOW_MS,
        salt=SALT,
    )


def a_decision_record() -> DecisionRecord:
    """Return decisions for slots 0 and 255."""
    decisions = (RelayDecision(0, bytes([5]) * 32), RelayDecision(255, b""))
    return DecisionRecord(exchange=EXCHANGE, envelope_hash=ENVELOPE, decisions=decisions, salt=SALT)


def a_line() -> ReceiptLine:
    """Return the receipt of a stored item."""
    return ReceiptLine(envelope_hash=ENVELOPE, item_hash=ITEM, status=ReceiptStatus.STORED, at_ms=NOW_MS)


def a_refused_line(reason: str = "BAD_ENVELOPE", step: int = 4) -> ReceiptLine:
    """Return the receipt of an envelope that did not open."""
    return ReceiptLine(
        envelope_hash=ENVELOPE, item_hash=b"", status=ReceiptStatus.REFUSED, at_ms=NOW_MS, step=step, reason=reason
    )


def a_batch(*lines: ReceiptLine) -> ReceiptBatch:
    """Return receipts from XV to XA."""
    return ReceiptBatch(
        exchange=EXCHANGE,
        from_party="XV",
        to_party="XA",
        lines=lines or (a_line(), a_refused_line()),
        at_ms=NOW_MS,
        salt=SALT,
    )


def a_retraction() -> Retraction:
    """Return XA's retraction of ITEM."""
    return Retraction(
        exchange=EXCHANGE,
        originator="XA",
        item_hash=ITEM,
        reason_code="wrong",
        text="The site was another one.\nSee our correction.",
        action=RetractionAction.PURGE,
        at_ms=NOW_MS,
        salt=SALT,
    )


def a_tail(lane: int = 1) -> StreamTail:
    """Return a tail with two voided numbers."""
    return StreamTail(lane=lane, stream=1, last_seq=300, running_hash=bytes([6]) * 32, voided=(17, 299))


def a_stream_head() -> StreamHead:
    """Return what XA has sent to XV."""
    return StreamHead(
        exchange=EXCHANGE, from_party="XA", to_party="XV", tails=(a_tail(1), a_tail(3)), at_ms=NOW_MS, salt=SALT
    )


def an_agreement_text(key: Ed25519Key) -> AgreementText:
    """Return two signed payloads that stand for an agreement and its view."""

    def signed(name: str) -> Signed:
        return sign(key, name, name.encode(), context=EXCHANGE)

    return AgreementText(agreement=signed("agreement"), view=signed("enforcement-view"))


def a_notice_delivery(key: Ed25519Key) -> NoticeDelivery:
    """Return a signed payload that stands for a notice, on its way."""
    return NoticeDelivery(sign(key, "agreement-notice", b"notice", context=EXCHANGE))


def an_acknowledgement() -> NoticeAcknowledgement:
    """Return XV's acknowledgement of a notice of XA."""
    return NoticeAcknowledgement(EXCHANGE, "XV", "XA", b"n" * 32, NOW_MS, SALT)


def a_resend_request() -> ResendRequest:
    """Return XV's request for numbers of XA's streams."""
    gaps = (MissingNumbers(1, 1, (4,)), MissingNumbers(3, 1, (17, 300)))
    return ResendRequest(EXCHANGE, "XV", "XA", gaps, NOW_MS, SALT)


def a_resend_answer(promise: Signed | None = None) -> ResendAnswer:
    """Return XA's answer to it, with a promise of the relay where one is given."""
    lines = (
        ResendLine(1, 1, 4, ResendOutcome.RESENT, ENVELOPE, NOW_MS, promise),
        ResendLine(3, 1, 17, ResendOutcome.VOID),
        ResendLine(3, 1, 300, ResendOutcome.GONE, ITEM),
    )
    return ResendAnswer(EXCHANGE, "XA", "XV", lines, NOW_MS, SALT)
