"""Consent requests and grants as bytes (protos/exchange/v1/consent.proto).

Encoding gives the payload that is signed. Decoding accepts only the one canonical encoding under a named limit,
refuses an enum value that is 0 or unknown, and checks every field (model.py); it raises BadInput and nothing else.
"""

from enum import IntEnum
from typing import TypeVar

from exchange.consent.model import ConsentAnswer, ConsentGrant, ConsentRequest
from exchange.errors import MalformedInput
from exchange.limits import KIB
from exchange.names import exchange_name, party_id
from exchange.policy.model import Purpose
from exchange.v1 import consent_pb2 as pb
from exchange.v1 import policy_pb2
from exchange.wire import serialise, strict_parse

REQUEST_BYTES = 14 * KIB
"""Of 64 sources, 32 partners with the longest ids, and 2,000 characters of four bytes."""

GRANT_BYTES = 12 * KIB

E = TypeVar("E", bound=IntEnum)


def encode_request(request: ConsentRequest) -> bytes:
    """Return the payload of a `consent-request`."""
    return serialise(
        pb.ConsentRequest(
            exchange=request.exchange,
            item_hash=request.item_hash,
            derived_from=request.derived_from,
            asker=request.asker,
            to=request.to,
            purposes=[policy_pb2.Purpose.ValueType(purpose) for purpose in request.purposes],
            until_ms=request.until_ms,
            reason=request.reason,
            at_ms=request.at_ms,
            salt=request.salt,
        )
    )


def decode_request(data: bytes) -> ConsentRequest:
    """Return the consent request of a payload."""
    message = strict_parse(pb.ConsentRequest, data, limit=REQUEST_BYTES, what="a consent request")
    return ConsentRequest(
        exchange=exchange_name(message.exchange),
        item_hash=message.item_hash,
        derived_from=tuple(message.derived_from),
        asker=party_id(message.asker),
        to=tuple(party_id(party) for party in message.to),
        purposes=tuple(_known(Purpose, number) for number in message.purposes),
        until_ms=message.until_ms,
        reason=message.reason,
        at_ms=message.at_ms,
        salt=message.salt,
    )


def encode_grant(grant: ConsentGrant) -> bytes:
    """Return the payload of a `consent-grant`."""
    return serialise(
        pb.ConsentGrant(
            exchange=grant.exchange,
            request_sha256=grant.request_sha256,
            item_hash=grant.item_hash,
            originator=grant.originator,
            holder=grant.holder,
            to=grant.to,
            purposes=[policy_pb2.Purpose.ValueType(purpose) for purpose in grant.purposes],
            until_ms=grant.until_ms,
            answer=pb.ConsentAnswer.ValueType(grant.answer),
            reason=grant.reason,
            hop=grant.hop,
            at_ms=grant.at_ms,
            salt=grant.salt,
        )
    )


def decode_grant(data: bytes) -> ConsentGrant:
    """Return the consent grant, or refusal, of a payload."""
    message = strict_parse(pb.ConsentGrant, data, limit=GRANT_BYTES, what="a consent grant")
    return ConsentGrant(
        exchange=exchange_name(message.exchange),
        request_sha256=message.request_sha256,
        item_hash=message.item_hash,
        originator=party_id(message.originator),
        holder=party_id(message.holder),
        to=tuple(party_id(party) for party in message.to),
        purposes=tuple(_known(Purpose, number) for number in message.purposes),
        until_ms=message.until_ms,
        answer=_known(ConsentAnswer, message.answer),
        reason=message.reason,
        hop=message.hop,
        at_ms=message.at_ms,
        salt=message.salt,
    )


def _known(kind: type[E], value: int) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise MalformedInput(f"{kind.__name__} has no value {value}") from error
