"""Fields of a text that people write: each function reads one node or raises the node's error.

Every error says where it is, what was expected, and the nearest word that is known.
"""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TypeVar

from exchange.errors import BadName
from exchange.names import PartyId, party_id
from exchange.policy.model import LIST_ITEMS, RETENTION_DAYS_MAX, TEXT_CHARS, WORD_CHARS, Vocabulary
from exchange.policy.shape import MS_MAX, is_place, is_text, is_word
from exchange.policy.strict_yaml import Node

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V", bound=Vocabulary)

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,3}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_OFFSET = re.compile(r"\+(\d{1,9})([smhd])", re.ASCII)
_DAYS = re.compile(r"(\d{1,9})d", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_HEX = re.compile(r"([0-9a-f]{2})*", re.ASCII)
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Fields:
    """A map whose fields are all known.

    Raises:
        BadInput: not a map, or a field that is not known; nothing is ever dropped in silence.
    """

    def __init__(self, node: Node, known: Collection[str]) -> None:
        if not isinstance(node.value, dict):
            raise node.wrong("not a map of fields", hint=f"fields: {', '.join(known)}")
        for name, value in node.value.items():
            if name not in known:
                raise value.error(f"unknown field {value.path!r}", place=value.place, hint=nearest(name, known))
        self.node, self.values = node, node.value

    def get(self, name: str) -> Node | None:
        """Return the field, if it is there."""
        return self.values.get(name)

    def need(self, name: str) -> Node:
        """Return the field, or refuse because it is missing."""
        if name not in self.values:
            path = f"{self.node.path}.{name}" if self.node.path else name
            raise self.node.error(f"{path} is missing", place=self.node.place, hint=f"add   {name}:")
        return self.values[name]

    def read(self, name: str, reader: Callable[[Node], T], default: D) -> T | D:
        """Return what `reader` makes of the field, or `default` when it is not there."""
        return reader(self.values[name]) if name in self.values else default


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word comes nearest, and otherwise all of them."""
    words = list(known)
    close = get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(words)}"


def scalar(node: Node) -> str:
    """Return the text that stands there; an empty one is refused."""
    if not isinstance(node.value, str):
        raise node.wrong("one value is expected, not a list or a map")
    if not node.value:
        raise node.wrong("a value is missing", hint="write one, or leave the field out")
    return node.value


def one_of(node: Node, known: Collection[str]) -> str:
    """Return one of the known words."""
    text = scalar(node)
    if text not in known:
        raise node.wrong(f"{text[:80]!r} is not known", hint=nearest(text, known))
    return text


def member(kind: type[V]) -> Callable[[Node], V]:
    """Return the reader of one word of a vocabulary."""
    words = {value.word: value for value in kind}
    return lambda node: words[one_of(node, words)]


def members(kind: type[V]) -> Callable[[Node], tuple[V, ...]]:
    """Return the reader of a list of words, at least one."""
    return lambda node: a_set(node, member(kind), least=1)


def items(node: Node, *, most: int = LIST_ITEMS) -> list[Node]:
    """Return the entries of a list."""
    if not isinstance(node.value, list):
        example = node.value if isinstance(node.value, str) else "..."
        raise node.wrong("a list is expected", hint=f"as in   {node.path.rpartition('.')[2]}: [{example[:40]}]")
    if len(node.value) > most:
        raise node.wrong(f"{len(node.value)} entries; the limit is {most}")
    return node.value


def a_set(node: Node, read: Callable[[Node], T], *, least: int = 0, most: int = LIST_ITEMS) -> tuple[T, ...]:
    """Return the entries of a list, sorted; an entry that stands there twice is refused."""
    found: dict[T, Node] = {}
    for entry in items(node, most=most):
        value = read(entry)
        if value in found:
            raise entry.wrong(f"{entry.value!r} stands here twice")
        found[value] = entry
    if len(found) < least:
        raise node.wrong("the list is empty", hint=f"at least {least}")
    return tuple(sorted(found))  # type: ignore[type-var]  # words, names and numbers: all can be sorted


def word(node: Node) -> str:
    """Return a code or a name."""
    text = scalar(node)
    if not is_word(text):
        raise node.wrong("not a plain word", hint=f"at most {WORD_CHARS} printable characters, no blanks around it")
    return text


def words(node: Node) -> tuple[str, ...]:
    """Return a set of codes."""
    return a_set(node, word)


def text(node: Node) -> str:
    """Return a text for people; blanks around it are dropped."""
    found = scalar(node).strip()
    if not is_text(found):
        raise node.wrong("not a text", hint=f"1 to {TEXT_CHARS} characters, without control characters")
    return found


def flag(node: Node) -> bool:
    """Return true or false."""
    return one_of(node, ("true", "false")) == "true"


def number(least: int, most: int) -> Callable[[Node], int]:
    """Return the reader of a whole number."""

    def read(node: Node) -> int:
        found = scalar(node)
        if not _NUMBER.fullmatch(found) or not least <= int(found) <= most:
            raise node.wrong(f"{found[:80]!r} is not a whole number from {least} to {most}")
        return int(found)

    return read


def party(node: Node) -> PartyId:
    """Return a partner's id."""
    try:
        return party_id(scalar(node))
    except BadName as error:
        raise node.wrong(str(error), hint=error.hint) from error


def parties(node: Node) -> tuple[PartyId, ...]:
    """Return a set of partners."""
    return a_set(node, party)


def place(node: Node) -> str:
    """Return a country code."""
    code = scalar(node)
    if not is_place(code):
        raise node.wrong(f"{code[:80]!r} is not a country code", hint="two capital letters (ISO 3166-1), as in PK")
    return code


def places(node: Node) -> tuple[str, ...]:
    """Return a set of country codes."""
    return a_set(node, place)


def days(node: Node) -> int:
    """Return a number of days, written as in 90d."""
    found = scalar(node)
    matched = _DAYS.fullmatch(found)
    if not matched or not 1 <= int(matched[1]) <= RETENTION_DAYS_MAX:
        raise node.wrong(f"{found[:80]!r} is not a number of days", hint="as in 90d")
    return int(matched[1])


def instant(node: Node) -> int:
    """Return a time in milliseconds, from RFC 3339; a date alone is its first moment in UTC."""
    found = scalar(node)
    matched = _INSTANT.fullmatch(found)
    plain = f"{matched[1]}T{matched[2]}{_zone(matched[4])}" if matched else f"{found}T00:00:00+00:00"
    if not matched and not _DATE.fullmatch(found):
        raise node.wrong(f"{found[:80]!r} is not a time", hint="as in 2026-01-31T18:00:00Z")
    try:
        since = datetime.fromisoformat(plain) - _EPOCH
    except ValueError as error:
        raise node.wrong(f"{found[:80]!r} is not a time: {error}") from error
    fraction = int((matched[3] or "0").ljust(3, "0")) if matched else 0
    total = since // timedelta(milliseconds=1) + fraction
    if not 0 < total <= MS_MAX:
        raise node.wrong(f"{found[:80]!r} is out of range")
    return total


def moment(now_ms: int) -> Callable[[Node], int]:
    """Return the reader of a time that may also be written as an offset from now: +90s, +15m, +12h, +30d."""

    def read(node: Node) -> int:
        found = scalar(node)
        matched = _OFFSET.fullmatch(found)
        if not matched:
            if found.startswith("+"):
                raise node.wrong(f"{found[:80]!r} is not an offset", hint="as in +90s, +15m, +12h or +30d")
            return instant(node)
        total = now_ms + int(matched[1]) * _UNITS_MS[matched[2]]
        if total > MS_MAX:
            raise node.wrong(f"{found[:80]!r} is out of range")
        return total

    return read


def instant_text(value_ms: int) -> str:
    """Return the time as `instant` reads it."""
    at = (_EPOCH + timedelta(milliseconds=value_ms)).replace(tzinfo=None)
    return at.isoformat(timespec="milliseconds" if value_ms % 1000 else "seconds") + "Z"


def hexadecimal(length: int) -> Callable[[Node], bytes]:
    """Return the reader of `length` bytes in lower-case hexadecimal."""

    def read(node: Node) -> bytes:
        found = scalar(node)
        if len(found) != 2 * length or not _HEX.fullmatch(found):
            raise node.wrong(
                f"{found[:80]!r} is not {length} bytes in hexadecimal", hint=f"{2 * length} digits, a to f small"
            )
        return bytes.fromhex(found)

    return read


def _zone(text: str) -> str:
    return "+00:00" if text in "Zz" else text
