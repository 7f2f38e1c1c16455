"""An approval counts for one item, by one certified operator, once; any one that does not hold counts against all."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from exchange.approvals.model import APPROVALS, ApprovalProof, OperatorRole
from exchange.approvals.verify import verified_approvals
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import VerifiedRoots, add_signature, sign
from exchange.errors import BadInput, TooLarge, VerificationFailed
from tests.support.approvals import (
    ITEM,
    a_cert,
    a_proof,
    an_approval,
    operator_key,
    pseudonym,
    signed_approval,
    signed_cert,
)
from tests.support.envelope_builders import DAY, EXCHANGE, NOW, statement_key

EXERCISE = "exercise.concord.example"
OTHER_ITEM = sha256(b"another").digest()


def of_xa(key_id: bytes) -> PublicKey | None:
    key = statement_key("XA").public
    return key if key.key_id == key_id else None


def count(*proofs: ApprovalProof, item: bytes = ITEM, seen: VerifiedRoots | None = None) -> list[bytes]:
    found = verified_approvals(proofs, of_xa, exchange=EXCHANGE, party="XA", item_hash=item, seen=seen)
    return [each.operator for each in found]


def test_approvals_by_different_operators_count_each() -> None:
    seen, proofs = VerifiedRoots(), (a_proof("rana"), a_proof("sami"))
    for _ in range(2):
        assert count(*proofs, seen=seen) == [pseudonym("rana"), pseudonym("sami")]
    assert len(seen) == 2, "certificates come again with every report; approvals do not"
    assert count() == []


def test_an_operator_or_a_key_counts_once() -> None:
    again = ApprovalProof(
        signed_cert(a_cert("rana", salt=bytes([1]) * 16)),
        signed_approval(an_approval(salt=bytes([1]) * 16), operator_key("rana")),
    )
    second_name = replace(again, cert=signed_cert(a_cert("rana", operator=pseudonym("sami"))))
    second_key = ApprovalProof(
        signed_cert(a_cert("rana", key=operator_key("sami").public)),
        signed_approval(an_approval(), operator_key("sami")),
    )
    for twice in (a_proof("rana"), again, second_name, second_key):
        with pytest.raises(VerificationFailed, match="approved twice"):
            count(a_proof("rana"), twice)


def test_more_than_the_limit_is_not_even_looked_at() -> None:
    with pytest.raises(TooLarge):
        count(*[a_proof("rana")] * (APPROVALS + 1))


def rebuilt(**changes: Any) -> ApprovalProof:
    """Return an approval under a certificate that differs."""
    return replace(a_proof(), cert=signed_cert(a_cert(**changes)))


def given(**changes: Any) -> ApprovalProof:
    """Return an approval that differs, under the usual certificate."""
    return replace(a_proof(), approval=signed_approval(an_approval(**changes), operator_key("rana")))


WRONG: dict[str, Callable[[], ApprovalProof]] = {
    "another party's certificate": lambda: rebuilt(party="XV"),
    "another party's certificate and approval": lambda: ApprovalProof(
        signed_cert(a_cert(party="XV")), signed_approval(an_approval(party="XV"), operator_key("rana"))
    ),
    "a certificate of another exchange": lambda: rebuilt(exchange=EXERCISE),
    "a certificate signed for another exchange": lambda: replace(
        a_proof(), cert=signed_cert(a_cert(), context=EXERCISE)
    ),
    "a certificate that another partner signed": lambda: replace(
        a_proof(), cert=signed_cert(a_cert(), statement_key("XV"))
    ),
    "a certificate that the operator signed itself": lambda: replace(
        a_proof(), cert=signed_cert(a_cert(), operator_key("rana"))
    ),
    "a certificate with two signatures": lambda: replace(
        a_proof(), cert=add_signature(signed_cert(a_cert()), statement_key("XV"), context=EXCHANGE)
    ),
    "no releaser": lambda: rebuilt(roles=(OperatorRole.AUTHOR, OperatorRole.AUDITOR)),
    "a certificate that has run out": lambda: rebuilt(not_after_ms=NOW),
    "a certificate that is not valid yet": lambda: rebuilt(not_before_ms=NOW + 1),
    "another operator's approval": lambda: replace(
        a_proof(), approval=signed_approval(an_approval(), operator_key("sami"))
    ),
    "an approval of another item": lambda: given(item=OTHER_ITEM),
    "an approval for another party": lambda: given(party="XV"),
    "an approval of another exchange": lambda: given(exchange=EXERCISE),
    "an approval signed for another exchange": lambda: replace(
        a_proof(), approval=signed_approval(an_approval(), operator_key("rana"), EXERCISE)
    ),
    "an approval outside the certificate": lambda: given(at_ms=NOW + DAY),
    "a certificate for an approval": lambda: replace(a_proof(), approval=signed_cert(a_cert(), operator_key("rana"))),
    "an approval for a certificate": lambda: replace(
        a_proof(), cert=signed_approval(an_approval(), statement_key("XA"))
    ),
    "the partner's own key as an operator's": lambda: ApprovalProof(
        signed_cert(a_cert(key=statement_key("XA").public)), signed_approval(an_approval(), statement_key("XA"))
    ),
    "a payload of another form": lambda: replace(
        a_proof(), cert=sign(statement_key("XA"), "operator-cert", b"\x0a", context=EXCHANGE)
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_hold_is_refused_also_beside_one_that_does(name: str) -> None:
    for proofs in ((WRONG[name](),), (a_proof("lena"), WRONG[name]())):
        with pytest.raises((VerificationFailed, BadInput)):
            count(*proofs)


def test_an_approval_of_one_item_is_none_of_another() -> None:
    assert count(a_proof(item=OTHER_ITEM), item=OTHER_ITEM) == [pseudonym("rana")]
    with pytest.raises(VerificationFailed, match="another item"):
        count(a_proof(item=OTHER_ITEM))
