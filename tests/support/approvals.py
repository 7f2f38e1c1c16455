"""Operators, their certificates and their approvals for tests, with keys from fixed seeds."""

from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

from exchange.approvals.codec import encode_approval, encode_operator_cert
from exchange.approvals.model import Approval, ApprovalProof, OperatorCert, OperatorRole
from exchange.approvals.verify import APPROVAL, OPERATOR_CERT
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey
from tests.support.envelope_builders import DAY, EXCHANGE, NOW, statement_key

ITEM = sha256(b"item").digest()


@cache
def operator_key(name: str) -> CompositeKey:
    """Return the key of an operator."""
    return CompositeKey.from_seed(sha256(name.encode()).digest() + sha256(name.encode() + b"/2").digest())


def pseudonym(name: str) -> bytes:
    """Return what stands for an operator."""
    return sha256(b"pseudonym/" + name.encode()).digest()[:16]


def a_cert(name: str = "rana", **changes: Any) -> OperatorCert:
    """Return a releaser's certificate by XA."""
    made = OperatorCert(
        exchange=EXCHANGE,
        party="XA",
        operator=pseudonym(name),
        key=operator_key(name).public,
        roles=(OperatorRole.RELEASER,),
        not_before_ms=NOW - DAY,
        not_after_ms=NOW + DAY,
        salt=bytes(16),
    )
    return replace(made, **changes)


def an_approval(item: bytes = ITEM, **changes: Any) -> Approval:
    """Return an approval of an item of XA."""
    return replace(Approval(EXCHANGE, "XA", item, NOW, bytes(16)), **changes)


def signed_cert(cert: OperatorCert, key: CompositeKey | None = None, context: str = EXCHANGE) -> Signed:
    """Return a certificate, signed by XA's statement key if no other is given."""
    return sign(key or statement_key("XA"), OPERATOR_CERT, encode_operator_cert(cert), context=context)


def signed_approval(approval: Approval, key: CompositeKey, context: str = EXCHANGE) -> Signed:
    """Return an approval, signed."""
    return sign(key, APPROVAL, encode_approval(approval), context=context)


def a_proof(name: str = "rana", item: bytes = ITEM) -> ApprovalProof:
    """Return an approval that holds."""
    return ApprovalProof(signed_cert(a_cert(name)), signed_approval(an_approval(item), operator_key(name)))
