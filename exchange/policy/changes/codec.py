"""Accessions and notices as bytes (protos/exchange/v1/agreement_change.proto).

Encoding gives the payload that is signed. Decoding accepts the one canonical encoding under a named limit.
"""

from exchange.errors import BadName, MalformedInput
from exchange.limits import KIB
from exchange.names import ExchangeName, PartyId, exchange_name
from exchange.policy import shape
from exchange.policy.changes.model import Accession, AgreementNotice, Change, NoticeAction
from exchange.policy.terms import AgreementRef
from exchange.v1 import agreement_change_pb2 as pb
from exchange.v1 import envelope_pb2
from exchange.wire import serialise, strict_parse

ACCESSION = "accession"
NOTICE = "agreement-notice"
"""Payload type names."""

ACCESSION_BYTES = 1 * KIB
NOTICE_BYTES = 10 * KIB
"""2,000 characters of up to four bytes, and the rest."""

CHANGE_BYTES = 16 * KIB
"""One of them with its signature."""


def encode_change(change: Change) -> bytes:
    """Return the payload of an accession or of a notice."""
    if isinstance(change, Accession):
        return serialise(
            pb.Accession(
                exchange=change.exchange,
                agreement=_ref_to_proto(change.agreement),
                party=change.party,
                at_ms=change.at_ms,
                salt=change.salt,
            )
        )
    return serialise(
        pb.AgreementNotice(
            exchange=change.exchange,
            agreement=_ref_to_proto(change.agreement),
            party=change.party,
            action=pb.NoticeAction.ValueType(change.action),
            text=change.text,
            at_ms=change.at_ms,
            salt=change.salt,
        )
    )


def decode_accession(data: bytes) -> Accession:
    """Return the accession of a payload.

    Raises:
        TooLarge: more than ACCESSION_BYTES.
        MalformedInput: anything else that is wrong.
    """
    message = strict_parse(pb.Accession, data, limit=ACCESSION_BYTES, what="an accession")
    return Accession(
        exchange=_exchange(message.exchange),
        agreement=_ref(message.agreement),
        party=_party(message.party),
        at_ms=message.at_ms,
        salt=message.salt,
    )


def decode_notice(data: bytes) -> AgreementNotice:
    """Return the notice of a payload.

    Raises:
        TooLarge: more than NOTICE_BYTES.
        MalformedInput: anything else that is wrong.
    """
    message = strict_parse(pb.AgreementNotice, data, limit=NOTICE_BYTES, what="a notice")
    return AgreementNotice(
        exchange=_exchange(message.exchange),
        agreement=_ref(message.agreement),
        party=_party(message.party),
        action=shape.member(NoticeAction, message.action, "the notice's action"),
        text=message.text,
        at_ms=message.at_ms,
        salt=message.salt,
    )


def _ref_to_proto(ref: AgreementRef) -> envelope_pb2.AgreementRef:
    return envelope_pb2.AgreementRef(id=ref.id, version=ref.version, commitment=ref.commitment)


def _ref(message: envelope_pb2.AgreementRef) -> AgreementRef:
    return AgreementRef(message.id, message.version, message.commitment)


def _party(name: str) -> PartyId:
    return shape.party(name, "the party of a statement on an agreement")


def _exchange(name: str) -> ExchangeName:
    try:
        return exchange_name(name)
    except BadName as error:
        raise MalformedInput("not an exchange name") from error
