"""From a signed statement to a stream reset. Pure; returns the verified value or raises."""

from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots
from exchange.receipts.verify import open_between
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
    name, parties = STREAM_RESET, (from_party, to_party)
    return open_between(signed, lookup, name, decode_stream_reset, exchange=exchange, parties=parties, seen=seen)
