"""From a signed statement to a reader policy. Pure; returns the verified value or raises."""

from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verify_signed
from exchange.errors import VerificationFailed
from exchange.reader_policy.codec import decode_reader_policy
from exchange.reader_policy.model import ReaderPolicy

READER_POLICY = "reader-policy"
"""Payload type name of a ReaderPolicy."""


def open_reader_policy(
    signed: Signed, lookup: KeyLookup, *, exchange: str, party: str, seen: VerifiedRoots | None = None
) -> ReaderPolicy:
    """Return the policy that `party` signed; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: it does not hold, or is of another party or exchange.
    """
    payload = verify_signed(signed, lookup, expected_type=READER_POLICY, context=exchange, seen=seen)
    policy = decode_reader_policy(payload)
    if (policy.exchange, policy.party) != (exchange, party):
        raise VerificationFailed("the reader policy is of another party or exchange")
    return policy
