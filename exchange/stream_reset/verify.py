"""From a signed statement to a stream reset. Pure; returns the verified value or raises."""

from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verify_signed
from exchange.errors import VerificationFailed
from exchange.stream_reset.codec import decode_stream_reset
from exchange.stream_reset.model import StreamReset

STREAM_RESET = "stream-reset"
"""Payload type name of a StreamReset."""


def open_stream_reset(
    signed: Signed,
    lookup: KeyLookup,
    *,
    exchange: str,
    from_party: str,
    to_party: str,
    seen: VerifiedRoots | None = None,
) -> StreamReset:
    """Return the reset that `from_party` signed for `to_party`; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: it does not hold, or is between other parties or of another exchange.
    """
    payload = verify_signed(signed, lookup, expected_type=STREAM_RESET, context=exchange, seen=seen)
    reset = decode_stream_reset(payload)
    if (reset.exchange, reset.from_party, reset.to_party) != (exchange, from_party, to_party):
        raise VerificationFailed("the stream reset is between other parties, or of another exchange")
    return reset
