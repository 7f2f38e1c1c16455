"""Strict JSON inside armoured files: exactly the named fields, of the named kinds, in one encoding of each value.

Hashes and raw bytes are strings: `hex` for what people compare, `base64` for the rest.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from exchange.errors import MalformedInput, TooLarge
from exchange.limits import MIB

RECORD_BYTES = MIB


def encode_record(fields: Mapping[str, str | int]) -> bytes:
    """Return the fields as JSON that a person can read."""
    return orjson.dumps(dict(fields), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def decode_record(data: bytes, kinds: Mapping[str, type], *, what: str) -> dict[str, Any]:
    """Return the fields of a record; `kinds` names every one with str or int. The values are of these kinds.

    Raises:
        TooLarge: more than 1 MiB.
        MalformedInput: not JSON, a field is missing, unknown or of another kind, or not as encode_record writes it.
    """
    if len(data) > RECORD_BYTES:
        raise TooLarge(f"{what} has {len(data)} bytes; the limit is {RECORD_BYTES}")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedInput(f"{what} is not JSON") from error
    if not isinstance(found, dict) or set(found) != set(kinds):
        raise MalformedInput(f"{what} has not exactly the fields {', '.join(sorted(kinds))}")
    for name, kind in kinds.items():
        # bool is an int to Python, and a number never meant true.
        if type(found[name]) is not kind:
            raise MalformedInput(f"{what}: {name} is not of the expected kind")
    if encode_record(found) != data:
        raise MalformedInput(f"{what} was edited: it is not as Concord writes it")  # a field twice is found here
    return found


def to_base64(data: bytes) -> str:
    """Return bytes as text."""
    return base64.b64encode(data).decode()


def from_base64(text: str, *, what: str) -> bytes:
    """Return the bytes of strict base64 text, or raise MalformedInput."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput(f"{what} is not base64") from error


def from_hex(text: str, *, what: str) -> bytes:
    """Return the bytes of lower-case hex text, or raise MalformedInput."""
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise MalformedInput(f"{what} is not hex") from error
    if data.hex() != text:
        raise MalformedInput(f"{what} is not lower-case hex")
    return data
