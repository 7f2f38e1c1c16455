"""Promises, refusals, receipts and the like as bytes (protos/exchange/v1/receipt.proto).

Encoding gives the payload that is signed. Decoding accepts only the one canonical encoding under a named limit,
refuses an enum value that is 0 or unknown, and checks every field (model.py); it raises MalformedInput, TooLarge or
BadName, all of them BadInput.
"""

from enum import IntEnum
from typing import TypeVar

from exchange.crypto.codec import signed_from_proto, signed_to_proto
from exchange.errors import MalformedInput, TooLarge
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
from exchange.v1 import agreement_change_pb2
from exchange.v1 import receipt_pb2 as pb
from exchange.wire import serialise, strict_parse

PROMISE_BYTES = 256
REFUSAL_BYTES = 768
"""Of every refusal, whatever it says, so that its length tells nobody on the wire why."""

DECISIONS_BYTES = 16 << 10
RECEIPTS_BYTES = 60 << 10
"""With its signature still a control envelope of 64 KiB."""

RETRACTION_BYTES = 10 << 10
STREAM_HEAD_BYTES = 60 << 10
AGREEMENT_TEXT_BYTES = 1 << 20
"""Holds a text of 256 KiB and the roots' signatures on it. As a control envelope it is held to 64 KiB besides."""

NOTICE_DELIVERY_BYTES = 16 << 10
ACKNOWLEDGEMENT_BYTES = 512

_PADDING_OVERHEAD = 3  # tag, and two bytes of length: there are always 128 to 16,383 bytes of padding

E = TypeVar("E", bound=IntEnum)


def encode_promise(promise: Promise) -> bytes:
    """Return the payload of a `promise`."""
    return serialise(
        pb.Promise(
            exchange=promise.exchange,
            envelope_hash=promise.envelope_hash,
            log_index=promise.log_index,
            received_ms=promise.received_ms,
            directory_size=promise.directory_size,
            decisions_sha256=promise.decisions_sha256,
            salt=promise.salt,
        )
    )


def decode_promise(data: bytes) -> Promise:
    """Return the promise of a payload."""
    message = strict_parse(pb.Promise, data, limit=PROMISE_BYTES, what="a promise")
    return Promise(
        exchange=message.exchange,
        envelope_hash=message.envelope_hash,
        log_index=message.log_index,
        received_ms=message.received_ms,
        directory_size=message.directory_size,
        decisions_sha256=message.decisions_sha256,
        salt=message.salt,
    )


def encode_refusal(refusal: Refusal) -> bytes:
    """Return the payload of a `refusal`: REFUSAL_BYTES of it, always."""
    message = pb.Refusal(
        exchange=refusal.exchange,
        envelope_hash=refusal.envelope_hash,
        reason=refusal.reason,
        step=refusal.step,
        clause=refusal.clause,
        recipient=refusal.recipient,
        directory_size=refusal.directory_size,
        refused_ms=refusal.refused_ms,
        salt=refusal.salt,
    )
    message.padding = bytes(REFUSAL_BYTES - _PADDING_OVERHEAD - message.ByteSize())
    return serialise(message)


def decode_refusal(data: bytes) -> Refusal:
    """Return the refusal of a payload, which has exactly REFUSAL_BYTES and zeros for padding."""
    message = strict_parse(pb.Refusal, data, limit=REFUSAL_BYTES, what="a refusal")
    if len(data) != REFUSAL_BYTES:
        raise MalformedInput(f"a refusal has {REFUSAL_BYTES} bytes, not {len(data)}")
    if any(message.padding):
        raise MalformedInput("the padding of a refusal is not all zeros")
    return Refusal(
        exchange=message.exchange,
        envelope_hash=message.envelope_hash,
        reason=message.reason,
        step=message.step,
        clause=message.clause,
        recipient=message.recipient,
        directory_size=message.directory_size,
        refused_ms=message.refused_ms,
        salt=message.salt,
    )


def encode_decisions(record: DecisionRecord) -> bytes:
    """Return the payload of `decisions`."""
    decisions = [pb.RelayDecision(leaf_index=each.leaf_index, commitment=each.commitment) for each in record.decisions]
    return serialise(
        pb.DecisionRecord(
            exchange=record.exchange, envelope_hash=record.envelope_hash, decisions=decisions, salt=record.salt
        )
    )


def decode_decisions(data: bytes) -> DecisionRecord:
    """Return the decision record of a payload."""
    message = strict_parse(pb.DecisionRecord, data, limit=DECISIONS_BYTES, what="a decision record")
    return DecisionRecord(
        exchange=message.exchange,
        envelope_hash=message.envelope_hash,
        decisions=tuple(RelayDecision(each.leaf_index, each.commitment) for each in message.decisions),
        salt=message.salt,
    )


def encode_receipts(batch: ReceiptBatch) -> bytes:
    """Return the payload of `receipts`.

    Raises:
        TooLarge: more lines with reasons than a control envelope carries; RECEIPT_LINES_SAFE lines never do.
    """
    message = pb.ReceiptBatch(
        exchange=batch.exchange,
        to=batch.to_party,
        lines=[
            pb.ReceiptLine(
                envelope_hash=line.envelope_hash,
                item_hash=line.item_hash,
                status=pb.ReceiptStatus.ValueType(line.status),
                at_ms=line.at_ms,
                step=line.step,
                reason=line.reason,
            )
            for line in batch.lines
        ],
        at_ms=batch.at_ms,
        salt=batch.salt,
    )
    setattr(message, "from", batch.from_party)  # a keyword of this language
    return _within(RECEIPTS_BYTES, serialise(message), "a batch of receipts")


def decode_receipts(data: bytes) -> ReceiptBatch:
    """Return the batch of receipts of a payload."""
    message = strict_parse(pb.ReceiptBatch, data, limit=RECEIPTS_BYTES, what="a batch of receipts")
    return ReceiptBatch(
        exchange=message.exchange,
        from_party=_from(message),
        to_party=message.to,
        lines=tuple(
            ReceiptLine(
                envelope_hash=line.envelope_hash,
                item_hash=line.item_hash,
                status=_known(ReceiptStatus, line.status),
                at_ms=line.at_ms,
                step=line.step,
                reason=line.reason,
            )
            for line in message.lines
        ),
        at_ms=message.at_ms,
        salt=message.salt,
    )


def encode_retraction(retraction: Retraction) -> bytes:
    """Return the payload of a `retraction`."""
    return serialise(
        pb.Retraction(
            exchange=retraction.exchange,
            originator=retraction.originator,
            item_hash=retraction.item_hash,
            reason_code=retraction.reason_code,
            text=retraction.text,
            action=pb.RetractionAction.ValueType(retraction.action),
            at_ms=retraction.at_ms,
            salt=retraction.salt,
        )
    )


def decode_retraction(data: bytes) -> Retraction:
    """Return the retraction of a payload."""
    message = strict_parse(pb.Retraction, data, limit=RETRACTION_BYTES, what="a retraction")
    return Retraction(
        exchange=message.exchange,
        originator=message.originator,
        item_hash=message.item_hash,
        reason_code=message.reason_code,
        text=message.text,
        action=_known(RetractionAction, message.action),
        at_ms=message.at_ms,
        salt=message.salt,
    )


def encode_stream_head(head: StreamHead) -> bytes:
    """Return the payload of a `stream-head`.

    Raises:
        TooLarge: so many voided numbers that a control envelope does not carry them.
    """
    message = pb.StreamHead(
        exchange=head.exchange,
        to=head.to_party,
        tails=[
            pb.StreamTail(
                lane=tail.lane,
                stream=tail.stream,
                last_seq=tail.last_seq,
                running_hash=tail.running_hash,
                voided=tail.voided,
            )
            for tail in head.tails
        ],
        at_ms=head.at_ms,
        salt=head.salt,
        directory_note=head.directory_note,
        traffic_note=head.traffic_note,
    )
    setattr(message, "from", head.from_party)
    return _within(STREAM_HEAD_BYTES, serialise(message), "a stream head")


def decode_stream_head(data: bytes) -> StreamHead:
    """Return the stream head of a payload."""
    message = strict_parse(pb.StreamHead, data, limit=STREAM_HEAD_BYTES, what="a stream head")
    return StreamHead(
        exchange=message.exchange,
        from_party=_from(message),
        to_party=message.to,
        tails=tuple(
            StreamTail(
                lane=tail.lane,
                stream=tail.stream,
                last_seq=tail.last_seq,
                running_hash=tail.running_hash,
                voided=tuple(tail.voided),
            )
            for tail in message.tails
        ),
        at_ms=message.at_ms,
        salt=message.salt,
        directory_note=message.directory_note,
        traffic_note=message.traffic_note,
    )


def encode_agreement_text(text: AgreementText) -> bytes:
    """Return the payload of an `agreement-text`.

    Raises:
        TooLarge: text, view and signatures together are over AGREEMENT_TEXT_BYTES.
    """
    message = pb.AgreementText(agreement=signed_to_proto(text.agreement), view=signed_to_proto(text.view))
    return _within(AGREEMENT_TEXT_BYTES, serialise(message), "an agreement with its signatures")


def decode_agreement_text(data: bytes) -> AgreementText:
    """Return the agreement and view of a payload; their signatures are not checked here."""
    message = strict_parse(pb.AgreementText, data, limit=AGREEMENT_TEXT_BYTES, what="an agreement with its signatures")
    return AgreementText(
        agreement=signed_from_proto(message.agreement, what="an agreement"),
        view=signed_from_proto(message.view, what="an agreement's view"),
    )


def encode_notice_delivery(delivery: NoticeDelivery) -> bytes:
    """Return the payload of a `notice-delivery`."""
    message = agreement_change_pb2.NoticeDelivery(notice=signed_to_proto(delivery.notice))
    return _within(NOTICE_DELIVERY_BYTES, serialise(message), "a notice")


def decode_notice_delivery(data: bytes) -> NoticeDelivery:
    """Return the notice of a payload; its signature is not checked here."""
    message = strict_parse(
        agreement_change_pb2.NoticeDelivery, data, limit=NOTICE_DELIVERY_BYTES, what="a notice on its way"
    )
    return NoticeDelivery(signed_from_proto(message.notice, what="a notice"))


def encode_acknowledgement(acknowledgement: NoticeAcknowledgement) -> bytes:
    """Return the payload of a `notice-acknowledgement`."""
    message = agreement_change_pb2.NoticeAcknowledgement(
        exchange=acknowledgement.exchange,
        to=acknowledgement.to_party,
        notice_sha256=acknowledgement.notice_sha256,
        at_ms=acknowledgement.at_ms,
        salt=acknowledgement.salt,
    )
    setattr(message, "from", acknowledgement.from_party)
    return serialise(message)


def decode_acknowledgement(data: bytes) -> NoticeAcknowledgement:
    """Return the acknowledgement of a payload."""
    message = strict_parse(
        agreement_change_pb2.NoticeAcknowledgement, data, limit=ACKNOWLEDGEMENT_BYTES, what="an acknowledgement"
    )
    return NoticeAcknowledgement(
        exchange=message.exchange,
        from_party=_from(message),
        to_party=message.to,
        notice_sha256=message.notice_sha256,
        at_ms=message.at_ms,
        salt=message.salt,
    )


def _from(message: pb.ReceiptBatch | pb.StreamHead | agreement_change_pb2.NoticeAcknowledgement) -> str:
    return str(getattr(message, "from"))


def _known(kind: type[E], value: int) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise MalformedInput(f"{kind.__name__} has no value {value}") from error


def _within(limit: int, data: bytes, what: str) -> bytes:
    if len(data) > limit:
        raise TooLarge(f"{what} has {len(data)} bytes; the limit is {limit}")
    return data
