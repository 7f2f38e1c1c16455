"""Count the approvals of one item. Every one that comes along must hold, else none is counted.

1. at most 16
2. the certificate: one signature, by a statement key of the item's originator; this exchange, this party
3. it makes the operator a releaser, by a key that is not the one that signed the certificate
4. the approval: one signature, by the certified key; this exchange, this party, exactly this item
5. given within the certificate's dates
6. no operator twice, and no key twice

That the operators are different people, and none of them the author, is the originator's word: its node certifies them
and refuses an author's approval of the author's own report (docs/decisions/0009-four-eyes.md).
Pure: keys are arguments. Returns what holds, or raises.
"""

from collections.abc import Sequence

from exchange.approvals.codec import decode_approval, decode_operator_cert
from exchange.approvals.model import APPROVALS, Approval, ApprovalProof, Approved, OperatorCert, OperatorRole
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, only, verify_signed
from exchange.errors import TooLarge, VerificationFailed

OPERATOR_CERT = "operator-cert"
"""Payload type name of an OperatorCert."""

APPROVAL = "approval"
"""Payload type name of an Approval."""


def verified_approvals(
    proofs: Sequence[ApprovalProof],
    lookup: KeyLookup,
    *,
    exchange: str,
    party: str,
    item_hash: bytes,
    seen: VerifiedRoots | None = None,
) -> tuple[Approved, ...]:
    """Return the approvals of an item of `party`; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: any one of them does not hold.
    """
    # 1
    if len(proofs) > APPROVALS:
        raise TooLarge(f"{len(proofs)} approvals; the limit is {APPROVALS}")
    approved: list[Approved] = []
    for proof in proofs:
        cert = open_operator_cert(proof.cert, lookup, exchange=exchange, party=party, seen=seen)
        approval = open_approval(proof.approval, cert, item_hash=item_hash)
        approved.append(Approved(cert.operator, cert.key.key_id, approval.at_ms))
    # 6
    for what, different in (
        ("operator", {each.operator for each in approved}),
        ("key", {each.key_id for each in approved}),
    ):
        if len(different) != len(approved):
            raise VerificationFailed(f"one {what} approved twice")
    return tuple(approved)


def open_operator_cert(
    signed: Signed, lookup: KeyLookup, *, exchange: str, party: str, seen: VerifiedRoots | None = None
) -> OperatorCert:
    """Return a releaser's certificate that `party` signed; raises as `verified_approvals`."""
    # 2
    cert = decode_operator_cert(verify_signed(signed, lookup, expected_type=OPERATOR_CERT, context=exchange, seen=seen))
    _expect((cert.exchange, cert.party) == (exchange, party), "the certificate is of another party or exchange")
    # 3
    _expect(OperatorRole.RELEASER in cert.roles, "the certificate makes nobody a releaser")
    _expect(cert.key.key_id != signed.signatures[0].key_id, "the partner's own key is nobody's")
    return cert


def open_approval(signed: Signed, cert: OperatorCert, *, item_hash: bytes) -> Approval:
    """Return the approval of this item that the certified operator signed; raises as `verified_approvals`."""
    # 4
    payload = verify_signed(signed, only(cert.key), expected_type=APPROVAL, context=cert.exchange)
    approval = decode_approval(payload)
    same = (approval.exchange, approval.party) == (cert.exchange, cert.party)
    _expect(same, "the approval is of another party or exchange")
    _expect(approval.item_hash == item_hash, "the approval is of another item")
    # 5
    _expect(cert.not_before_ms <= approval.at_ms < cert.not_after_ms, "approved outside the certificate's dates")
    return approval


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise VerificationFailed(otherwise)
