"""From signed bytes to an accession or a notice: signed by the root of the party that it speaks for, and nobody else.

Pure. Checks, in this order:
1. one signature, by a root that the caller knows and accepts, for this exchange (BadSignature);
2. the payload: canonical, within its limits (BadInput);
3. that it speaks for the party whose root signed it, in this exchange (VerificationFailed).
"""

from collections.abc import Callable

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, VerifiedRoots, payload_type, verify_signed
from exchange.errors import BadSignature, VerificationFailed
from exchange.names import PartyId
from exchange.policy.changes.codec import ACCESSION, NOTICE, decode_accession, decode_notice
from exchange.policy.changes.model import Change

RootOf = Callable[[bytes], tuple[PartyId, PublicKey] | None]
"""Gives the party and the key of a root's key id, if that root stands."""


def open_change(signed: Signed, root_of: RootOf, *, exchange: str, seen: VerifiedRoots | None = None) -> Change:
    """Return the accession or notice.

    Raises:
        VerificationFailed, BadInput: it does not hold; see above.
    """
    # 1
    names: dict[str, Callable[[bytes], Change]] = {
        payload_type(ACCESSION): decode_accession,
        payload_type(NOTICE): decode_notice,
    }
    if signed.payload_type not in names:
        raise BadSignature(f"{signed.payload_type[:120]!r} is neither an accession nor a notice")
    roots = {signature.key_id: root_of(signature.key_id) for signature in signed.signatures}

    def lookup(key_id: bytes) -> PublicKey | None:
        found = roots.get(key_id)
        return None if found is None else found[1]

    payload = verify_signed(signed, lookup, expected_type=signed.payload_type, context=exchange, seen=seen)
    # 2
    change = names[signed.payload_type](payload)
    # 3
    found = roots[signed.signatures[0].key_id]
    if found is None or found[0] != change.party or change.exchange != exchange:
        raise VerificationFailed(f"the statement speaks for {change.party}, whose root did not sign it")
    return change
