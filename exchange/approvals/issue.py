"""Make what a node and its operators sign for four eyes: certificates and approvals."""

from exchange.approvals.codec import encode_approval
from exchange.approvals.model import Approval, OperatorCert, OperatorRole
from exchange.approvals.verify import APPROVAL
from exchange.crypto.keys import PublicKey
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey
from exchange.names import ID_BYTES


def make_approval(key: CompositeKey, *, exchange: str, party: str, item_hash: bytes, at_ms: int) -> Signed:
    """Return an operator's approval of an item of `party`."""
    approval = Approval(exchange, party, item_hash, at_ms, random_bytes(ID_BYTES))
    return sign(key, APPROVAL, encode_approval(approval), context=exchange)


def make_operator_cert(
    *,
    exchange: str,
    party: str,
    operator: bytes,
    key: PublicKey,
    roles: frozenset[OperatorRole],
    not_before_ms: int,
    not_after_ms: int,
) -> OperatorCert:
    """Return what a party's statement key is to sign about one of its operators."""
    return OperatorCert(
        exchange=exchange,
        party=party,
        operator=operator,
        key=key,
        roles=tuple(sorted(roles)),
        not_before_ms=not_before_ms,
        not_after_ms=not_after_ms,
        salt=random_bytes(ID_BYTES),
    )
