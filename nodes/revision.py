"""What a later version of a report changed: field by field, as it was and as it is. Pure.

Objects are matched by their STIX id and fields by their names, also within objects in objects; a list is one value.
What a partner signed need not be a report that can be read: then its bytes differ, and no field is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from exchange.errors import ExchangeError
from nodes.stix import JsonObject, read_report

LABEL = "label"
"""Stands for an object's id where a field of the label differs."""

CHANGES_MOST = 200
VALUE_CHARS = 2_000
"""Of a value, as it is told: both versions can be read whole."""

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Version:
    """One version, as far as versions are compared."""

    content: bytes
    label: Mapping[str, Any]
    """Any: the plain values of YAML."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs."""

    where: str
    """STIX id of the object, or LABEL."""
    field: str
    """Its name, with dots within objects; empty for a whole object that came or went."""
    before: str
    """Empty when it was not there."""
    after: str
    """Empty when it is not there any more."""


def revision(before: Version, after: Version) -> list[FieldChange]:
    """Return all that differs: fields of the objects in the order of the later version, then fields of the label."""
    return [*_content(before.content, after.content), *_fields(LABEL, "", before.label, after.label)]


def _content(before: bytes, after: bytes) -> Iterator[FieldChange]:
    if before == after:
        return
    try:
        old, new = _objects(before), _objects(after)
    except ExchangeError:
        yield FieldChange("content", "", f"{len(before)} bytes", f"{len(after)} bytes")
        return
    for name in [*new, *(name for name in old if name not in new)]:
        if name in old and name in new:
            yield from _fields(name, "", old[name], new[name])
        else:
            yield FieldChange(name, "", _text(old.get(name, _ABSENT)), _text(new.get(name, _ABSENT)))


def _objects(content: bytes) -> dict[str, JsonObject]:
    objects = read_report(content).bundle["objects"]
    found = objects if isinstance(objects, list) else []
    return {str(each["id"]): each for each in found if isinstance(each, dict)}


def _fields(where: str, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[FieldChange]:
    """Any: the plain values of JSON and YAML."""
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name, _ABSENT), new.get(name, _ABSENT)
        field = f"{path}.{name}" if path else name
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _fields(where, field, before, after)
        elif before != after or type(before) is not type(after):
            yield FieldChange(where, field, _text(before), _text(after))


def _text(value: object) -> str:
    if value is _ABSENT:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"
