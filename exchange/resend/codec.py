"""Requests and answers as bytes (protos/exchange/v1/resend.proto): one canonical encoding under a named limit.

Decoding refuses an outcome that is 0 or unknown and checks every field (model.py); it raises MalformedInput, TooLarge
or BadName, all of them BadInput. A promise inside an answer is decoded and not verified.
"""

from exchange.crypto.codec import signed_from_proto, signed_to_proto
from exchange.errors import MalformedInput, TooLarge
from exchange.limits import KIB
from exchange.resend.model import (
    MissingNumbers,
    ResendAnswer,
    ResendLine,
    ResendOutcome,
    ResendRequest,
)
from exchange.v1 import resend_pb2 as pb
from exchange.wire import serialise, strict_parse

REQUEST_BYTES = 4 * KIB
ANSWER_BYTES = 60 * KIB
"""With its signature still a control envelope of 64 KiB; 50 promises of the relay fit."""


def encode_resend_request(request: ResendRequest) -> bytes:
    """Return the payload of a `resend-request`."""
    message = pb.ResendRequest(
        exchange=request.exchange,
        to=request.to_party,
        gaps=[pb.MissingNumbers(lane=gap.lane, stream=gap.stream, numbers=gap.numbers) for gap in request.gaps],
        at_ms=request.at_ms,
        salt=request.salt,
    )
    setattr(message, "from", request.from_party)  # a keyword of this language
    return serialise(message)


def decode_resend_request(data: bytes) -> ResendRequest:
    """Return the request of a payload."""
    message = strict_parse(pb.ResendRequest, data, limit=REQUEST_BYTES, what="a resend request")
    return ResendRequest(
        exchange=message.exchange,
        from_party=str(getattr(message, "from")),
        to_party=message.to,
        gaps=tuple(MissingNumbers(gap.lane, gap.stream, tuple(gap.numbers)) for gap in message.gaps),
        at_ms=message.at_ms,
        salt=message.salt,
    )


def encode_resend_answer(answer: ResendAnswer) -> bytes:
    """Return the payload of a `resend-answer`.

    Raises:
        TooLarge: its promises are larger than any that the relay gives.
    """
    message = pb.ResendAnswer(
        exchange=answer.exchange,
        to=answer.to_party,
        lines=[_line_to_proto(line) for line in answer.lines],
        at_ms=answer.at_ms,
        salt=answer.salt,
    )
    setattr(message, "from", answer.from_party)
    data = serialise(message)
    if len(data) > ANSWER_BYTES:
        raise TooLarge(f"an answer to a resend request has {len(data)} bytes; the limit is {ANSWER_BYTES}")
    return data


def decode_resend_answer(data: bytes) -> ResendAnswer:
    """Return the answer of a payload."""
    message = strict_parse(pb.ResendAnswer, data, limit=ANSWER_BYTES, what="an answer to a resend request")
    return ResendAnswer(
        exchange=message.exchange,
        from_party=str(getattr(message, "from")),
        to_party=message.to,
        lines=tuple(_line_from_proto(line) for line in message.lines),
        at_ms=message.at_ms,
        salt=message.salt,
    )


def _line_to_proto(line: ResendLine) -> pb.ResendLine:
    return pb.ResendLine(
        lane=line.lane,
        stream=line.stream,
        seq=line.seq,
        outcome=pb.ResendOutcome.ValueType(line.outcome),
        envelope_hash=line.envelope_hash,
        expires_ms=line.expires_ms,
        promise=signed_to_proto(line.promise) if line.promise is not None else None,
    )


def _line_from_proto(line: pb.ResendLine) -> ResendLine:
    try:
        outcome = ResendOutcome(line.outcome)
    except ValueError:
        raise MalformedInput(f"{line.outcome} is no outcome of a resend request") from None
    return ResendLine(
        lane=line.lane,
        stream=line.stream,
        seq=line.seq,
        outcome=outcome,
        envelope_hash=line.envelope_hash,
        expires_ms=line.expires_ms,
        promise=signed_from_proto(line.promise, what="a promise") if line.HasField("promise") else None,
    )
