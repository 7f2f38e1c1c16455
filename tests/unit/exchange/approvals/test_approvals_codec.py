"""Certificates and approvals: one encoding each, every field checked, and nobody both writes and releases."""

from typing import Any

import pytest

from exchange.approvals.codec import (
    OPERATOR_CERT_BYTES,
    PROOF_BYTES,
    decode_approval,
    decode_operator_cert,
    decode_proof,
    encode_approval,
    encode_operator_cert,
    encode_proof,
)
from exchange.approvals.model import OperatorRole
from exchange.errors import BadInput, MalformedInput
from exchange.v1 import approval_pb2 as pb
from tests.support.approvals import a_cert, a_proof, an_approval
from tests.support.envelope_builders import NOW, envelope_key


def test_what_goes_in_comes_out() -> None:
    cert = a_cert(roles=tuple(role for role in OperatorRole if role is not OperatorRole.AUTHOR))
    assert decode_operator_cert(encode_operator_cert(cert)) == cert
    assert decode_approval(encode_approval(an_approval())) == an_approval()
    proof = a_proof()
    assert decode_proof(encode_proof(proof)) == proof
    assert len(encode_operator_cert(cert)) < OPERATOR_CERT_BYTES and len(encode_proof(proof)) < PROOF_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": ""},
        {"party": "nobody"},
        {"operator": bytes(15)},
        {"key": envelope_key("XA").public},
        {"roles": ()},
        {"roles": (OperatorRole.AUDITOR, OperatorRole.RELEASER)},
        {"roles": (OperatorRole.RELEASER, OperatorRole.RELEASER)},
        {"roles": (OperatorRole.AUTHOR, OperatorRole.RELEASER)},
        {"not_before_ms": 0},
        {"not_after_ms": NOW - 10**9},
        {"salt": bytes(15)},
    ],
    ids=str,
)
def test_a_certificate_that_says_too_little_or_too_much_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        a_cert(**changes)


@pytest.mark.parametrize("changes", [{"party": "xa"}, {"item_hash": bytes(31)}, {"at_ms": 0}, {"salt": b""}], ids=str)
def test_an_approval_that_says_too_little_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        an_approval(**changes)


@pytest.mark.parametrize("number", [0, 6])
def test_a_role_that_nobody_knows_is_refused(number: int) -> None:
    message = pb.OperatorCert.FromString(encode_operator_cert(a_cert()))
    del message.roles[:]
    message.roles.append(pb.OperatorRole.ValueType(number))
    with pytest.raises(MalformedInput):
        decode_operator_cert(message.SerializeToString(deterministic=True))


def test_a_key_that_is_no_key_is_refused() -> None:
    message = pb.OperatorCert.FromString(encode_operator_cert(a_cert()))
    message.key = bytes(len(message.key))
    with pytest.raises(MalformedInput):
        decode_operator_cert(message.SerializeToString(deterministic=True))
