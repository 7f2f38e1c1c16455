"""Turn an answer of the node into plain values for `--json`: numbers stay numbers, bytes become text.

Any: descriptors are of the protobuf runtime, and values whatever JSON can hold.
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message


def plain(message: Message, *, text: Sequence[str] = ()) -> dict[str, Any]:
    """Return every field by its name, also empty ones; bytes named in `text` or `*_yaml` are decoded as UTF-8."""
    return {field.name: _value(field, getattr(message, field.name), text) for field in message.DESCRIPTOR.fields}


def _value(field: Any, value: Any, text: Sequence[str]) -> Any:
    if field.is_repeated:
        return [_one(field, item, text) for item in value]
    return _one(field, value, text)


def _one(field: Any, value: Any, text: Sequence[str]) -> Any:
    if isinstance(value, Message):
        return plain(value, text=text)
    if isinstance(value, bytes):
        written = field.name in text or field.name.endswith("_yaml") or field.name == "text"
        # What a partner wrote need not be UTF-8; it must not keep the rest of the answer from being shown.
        return value.decode(errors="replace") if written else value.hex()
    return value
