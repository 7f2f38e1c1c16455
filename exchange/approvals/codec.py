"""Operators' certificates and approvals as bytes (protos/exchange/v1/approval.proto).

Encoding gives the payload that is signed. Decoding accepts only the one canonical encoding under a named limit and
checks every field (model.py); it raises MalformedInput, TooLarge or BadName, all of them BadInput.
"""

from exchange.approvals.model import Approval, ApprovalProof, OperatorCert, OperatorRole
from exchange.crypto.codec import signed_from_proto, signed_to_proto
from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.errors import MalformedInput
from exchange.limits import KIB
from exchange.v1 import approval_pb2 as pb
from exchange.wire import serialise, strict_parse

OPERATOR_CERT_BYTES = 3 * KIB
APPROVAL_BYTES = 512
PROOF_BYTES = 16 * KIB


def encode_operator_cert(cert: OperatorCert) -> bytes:
    """Return the payload of an `operator-cert`."""
    return serialise(
        pb.OperatorCert(
            exchange=cert.exchange,
            party=cert.party,
            operator=cert.operator,
            key=cert.key.raw,
            roles=[pb.OperatorRole.ValueType(role) for role in cert.roles],
            not_before_ms=cert.not_before_ms,
            not_after_ms=cert.not_after_ms,
            salt=cert.salt,
        )
    )


def decode_operator_cert(data: bytes) -> OperatorCert:
    """Return the certificate of a payload."""
    message = strict_parse(pb.OperatorCert, data, limit=OPERATOR_CERT_BYTES, what="an operator's certificate")
    return OperatorCert(
        exchange=message.exchange,
        party=message.party,
        operator=message.operator,
        key=admit_public_key(KeyAlgorithm.COMPOSITE_65, message.key),
        roles=tuple(_role(number) for number in message.roles),
        not_before_ms=message.not_before_ms,
        not_after_ms=message.not_after_ms,
        salt=message.salt,
    )


def encode_approval(approval: Approval) -> bytes:
    """Return the payload of an `approval`."""
    return serialise(
        pb.Approval(
            exchange=approval.exchange,
            party=approval.party,
            item_hash=approval.item_hash,
            at_ms=approval.at_ms,
            salt=approval.salt,
        )
    )


def decode_approval(data: bytes) -> Approval:
    """Return the approval of a payload."""
    message = strict_parse(pb.Approval, data, limit=APPROVAL_BYTES, what="an approval")
    return Approval(
        exchange=message.exchange,
        party=message.party,
        item_hash=message.item_hash,
        at_ms=message.at_ms,
        salt=message.salt,
    )


def encode_proof(proof: ApprovalProof) -> bytes:
    """Return the bytes that decode_proof accepts."""
    return serialise(proof_to_proto(proof))


def decode_proof(data: bytes) -> ApprovalProof:
    """Return the proof of these bytes; nothing in it is verified yet."""
    return proof_from_proto(strict_parse(pb.ApprovalProof, data, limit=PROOF_BYTES, what="an approval's proof"))


def proof_to_proto(proof: ApprovalProof) -> pb.ApprovalProof:
    """Return the proof as a message, to stand inside another one."""
    return pb.ApprovalProof(cert=signed_to_proto(proof.cert), approval=signed_to_proto(proof.approval))


def proof_from_proto(message: pb.ApprovalProof) -> ApprovalProof:
    """Return the proof of a message that was parsed strictly with the one around it."""
    return ApprovalProof(
        signed_from_proto(message.cert, what="an operator's certificate"),
        signed_from_proto(message.approval, what="an approval"),
    )


def _role(number: int) -> OperatorRole:
    try:
        return OperatorRole(number)
    except ValueError as error:
        raise MalformedInput(f"operator role {number} is not known") from error
