"""YAML as rules are written: maps, lists and plain text, and nothing that could mean two things.

Tags, anchors, aliases, merge keys, several documents and repeated keys are refused, and every scalar stays the text
that stands there: `no` is the word no and NO is Norway, not false. Every part knows its line.
PyYAML's own parser is used, never libyaml, so that all partners read one text the same way.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import yaml

from exchange.errors import BadInput

DEPTH = 8
PARTS = 20_000
"""Scalars, lists and maps in one text."""

REMEMBERED_BYTES = 2048
"""Of the longest text that is remembered: a sensor labels a thousand reports with the same few words."""

Value: TypeAlias = "str | list[Node] | dict[str, Node]"


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a text. `path` names it as in `release.to[0]`; `place` is its line, or the path when it has none."""

    value: Value
    path: str
    place: str
    error: type[BadInput]

    def wrong(self, message: str, *, hint: str = "") -> BadInput:
        """Return the error to raise about this part."""
        return self.error(f"{self.path}: {message}" if self.path else message, place=self.place, hint=hint)


def parse_yaml(text: bytes, *, limit: int, error: type[BadInput]) -> Node:
    """Return the one map that `text` is, which nobody changes: of a short text it is remembered.

    Raises:
        error: of the class given; `place` is the line.
    """
    if len(text) > limit:
        raise error(f"{len(text)} bytes; the limit is {limit}", place="line 1")
    if len(text) > REMEMBERED_BYTES:
        return _parsed(text, error)
    return _remembered(text, error)  # type: ignore[arg-type]  # mypy takes a class for something without a hash


@lru_cache(maxsize=64)
def _remembered(text: bytes, error: type[BadInput]) -> Node:
    return _parsed(text, error)


def _parsed(text: bytes, error: type[BadInput]) -> Node:
    try:
        decoded = text.decode()
    except UnicodeDecodeError as wrong:
        line = text[: wrong.start].count(b"\n") + 1
        raise error("not UTF-8", place=f"line {line}", hint="save the file as UTF-8") from wrong
    events = _events(decoded, error)
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            root = _Reader(events, error).read(event, path="", depth=0)
            break
    else:
        raise error("nothing is in it", place="line 1")
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            raise error("a second document starts", place=_line(event), hint="one file, one document; remove the ---")
    if not isinstance(root.value, dict):
        raise root.wrong("not a map of fields", hint="as in   tlp: amber")
    return root


def node_of(data: object, *, error: type[BadInput], path: str = "", depth: int = 0) -> Node:
    """Return the node of plain data (maps, lists, text, whole numbers, true and false); places are paths.

    Raises:
        error: something else is in it, or it is too deep.
    """
    value: Value
    if depth > DEPTH:
        raise error("nested too deep", place=path)
    if isinstance(data, Mapping):
        value = {
            str(name): node_of(item, error=error, path=_join(path, name), depth=depth + 1)
            for name, item in data.items()
        }
    elif isinstance(data, list | tuple):
        value = [node_of(item, error=error, path=f"{path}[{i}]", depth=depth + 1) for i, item in enumerate(data)]
    elif isinstance(data, bool):
        value = str(data).lower()
    elif isinstance(data, str | int):
        value = str(data)
    else:
        raise error(f"{path}: {type(data).__name__} is not text", place=path, hint="leave it out, or write it as text")
    return Node(value, path, path, error)


def places_of(node: Node) -> dict[str, str]:
    """Return the place of every part, by its path."""
    found = {node.path: node.place}
    if not isinstance(node.value, str):
        for part in node.value.values() if isinstance(node.value, dict) else node.value:
            found |= places_of(part)
    return found


class _Reader:
    """Turns events into nodes, counting the parts."""

    def __init__(self, events: Iterator[yaml.Event], error: type[BadInput]) -> None:
        self.events, self.error, self.parts = events, error, 0

    def read(self, event: yaml.Event, *, path: str, depth: int, place: str = "") -> Node:
        """Return the node that starts with `event`."""
        self.parts += 1
        place = place or _line(event)
        if depth > DEPTH:
            raise self.error("nested too deep", place=_line(event), hint=f"at most {DEPTH} levels")
        if self.parts > PARTS:
            raise self.error("too many parts", place=_line(event), hint=f"at most {PARTS}")
        if isinstance(event, yaml.AliasEvent):
            raise self.error("aliases are not allowed", place=_line(event), hint='for everyone write "*" in quotes')
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            raise self.error("a value is missing", place=_line(event))
        if event.anchor is not None:
            raise self.error("anchors are not allowed", place=_line(event), hint="remove the &name")
        if event.tag is not None:
            raise self.error("tags are not allowed", place=_line(event), hint="remove the !tag")
        if isinstance(event, yaml.ScalarEvent):
            return Node(event.value, path, place, self.error)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self._list(path, depth), path, place, self.error)
        return Node(self._map(path, depth), path, place, self.error)

    def _list(self, path: str, depth: int) -> list[Node]:
        found: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self.read(event, path=f"{path}[{len(found)}]", depth=depth + 1))
        return found

    def _map(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self.read(event, path=path, depth=depth + 1)
            if not isinstance(key.value, str) or not key.value:
                raise key.wrong("a field's name is a word")
            if key.value == "<<":
                raise key.wrong("merge keys are not allowed", hint="write the fields out")
            if key.value in found:
                raise key.wrong(f"{key.value!r} stands here twice", hint=f"first on {found[key.value].place}")
            found[key.value] = self.read(
                next(self.events), path=_join(path, key.value), depth=depth + 1, place=key.place
            )
        return found


def _events(text: str, error: type[BadInput]) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        place = f"line {mark.line + 1}" if mark else "line 1"
        raise error(f"not YAML: {wrong.problem or wrong.context}", place=place) from wrong
    except yaml.reader.ReaderError as wrong:
        line = text[: wrong.position].count("\n") + 1
        raise error("a character that YAML does not allow", place=f"line {line}") from wrong
    except (ValueError, OverflowError) as wrong:  # PyYAML converts escapes and directives without a check of its own
        raise error("an escape or a directive that YAML does not allow", place="line 1") from wrong


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else "line 1"


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
