"""Stream resets as bytes (protos/exchange/v1/stream_reset.proto): one canonical encoding under a named limit."""

from exchange.limits import KIB
from exchange.stream_reset.model import StreamReset
from exchange.v1 import stream_reset_pb2 as pb
from exchange.wire import serialise, strict_parse

RESET_BYTES = 1 * KIB


def encode_stream_reset(reset: StreamReset) -> bytes:
    """Return the payload of a `stream-reset`."""
    message = pb.StreamReset(
        exchange=reset.exchange, to=reset.to_party, stream=reset.stream, at_ms=reset.at_ms, salt=reset.salt
    )
    setattr(message, "from", reset.from_party)
    return serialise(message)


def decode_stream_reset(data: bytes) -> StreamReset:
    """Return the reset of a payload; MalformedInput, TooLarge or BadName for anything else."""
    message = strict_parse(pb.StreamReset, data, limit=RESET_BYTES, what="a stream reset")
    return StreamReset(
        exchange=message.exchange,
        from_party=getattr(message, "from"),
        to_party=message.to,
        stream=message.stream,
        at_ms=message.at_ms,
        salt=message.salt,
    )
