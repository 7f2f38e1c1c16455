"""Strict parsing and serialisation of the protobuf messages that are hashed or signed.

Protobuf accepts many encodings of one value: fields out of order, non-minimal varints, a scalar twice (the last wins),
a sub-message twice (they merge), unknown fields. Whoever hashes or signs must therefore refuse every encoding but one.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from exchange.errors import MalformedInput, TooLarge

M = TypeVar("M", bound=Message)


def serialise(message: Message) -> bytes:
    """Return the one encoding that strict_parse accepts."""
    return message.SerializeToString(deterministic=True)


def field_of_bytes(number: int, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the parts of a field that holds bytes, a text or a message, as `serialise` encodes it; to be joined.

    For messages that are put together of parts which are encoded already: a parser would copy each of them twice.
    """
    return varint(number << 3 | 2), varint(len(data)), data


def field_of_number(number: int, value: int) -> tuple[bytes, bytes]:
    """Return the parts of a field that holds a number which is not 0; a field of 0 is left out."""
    return varint(number << 3), varint(value)


def varint(value: int) -> bytes:
    """Return the shortest encoding of a number that is not negative."""
    if value < 0x80:
        return _SMALL[value]
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_SMALL = tuple(bytes((value,)) for value in range(0x80))


def strict_parse(kind: type[M], data: bytes, *, limit: int, what: str) -> M:
    """Return the message whose only accepted encoding is `data`.

    Raises:
        TooLarge: more than `limit` bytes.
        MalformedInput: not a `kind`, unknown fields, or not the encoding that `serialise` gives.
    """
    if len(data) > limit:
        raise TooLarge(f"{what} has {len(data)} bytes; the limit is {limit}")
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedInput(f"{what} does not parse") from error
    # Unknown fields survive a round trip in place, also inside sub-messages, where UnknownFieldSet does not look.
    message.DiscardUnknownFields()
    if serialise(message) != data:
        raise MalformedInput(f"{what} is not in its canonical encoding")
    return message
