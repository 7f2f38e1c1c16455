"""The running hash of a stream, which sender and recipient compute alike and stream heads compare.

Pure. Over every envelope of one (sender, recipient, stream, lane) in the order of its numbers; voided numbers are
left out, as the recipient never sees an envelope for them.
"""

from hashlib import sha256

from exchange.receipts.checks import check_hash, check_number

STREAM_START = bytes(32)
"""Running hash of a stream without envelopes."""

_LABEL = b"concord/v1/stream\x00"


def next_running_hash(running: bytes, seq: int, envelope_hash: bytes) -> bytes:
    """Return the running hash after the envelope of number `seq`.

    Raises:
        BadInput: a hash of the wrong length, or a number out of range.
    """
    check_hash(running, "the running hash")
    check_number(seq, "the sequence number", least=1)
    check_hash(envelope_hash, "the envelope hash")
    return sha256(_LABEL + running + seq.to_bytes(8, "big") + envelope_hash).digest()
