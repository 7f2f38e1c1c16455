"""The shapes that fields may have, for bytes from a peer: each function returns the value or raises MalformedInput.

A list that is a set is sorted without repeats, so that one set has one encoding. Limits are those of model.py.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from exchange.errors import BadName, MalformedInput
from exchange.names import PartyId, party_id
from exchange.policy.model import LIST_ITEMS, TEXT_CHARS, WORD_CHARS, Vocabulary

MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: every time can be written for people."""

_STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What could steer a terminal, turn the direction of what follows it, or cannot be encoded; a line end may stand."""

T = TypeVar("T")
V = TypeVar("V", bound=Vocabulary)


def is_word(text: str) -> bool:
    """Whether `text` can be a code or a name: printable, not empty, not long, no blanks around it."""
    return 0 < len(text) <= WORD_CHARS and text.isprintable() and text == text.strip()


def is_text(text: str) -> bool:
    """Whether `text` can be shown to people: not empty, not long, no control characters but line ends."""
    return 0 < len(text) <= TEXT_CHARS and not _STEERING.search(text) and text == text.strip()


def is_place(text: str) -> bool:
    """Whether `text` has the form of an ISO 3166-1 alpha-2 code."""
    return len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()


def word(text: str, what: str) -> str:
    """Return a code or a name."""
    if not is_word(text):
        raise MalformedInput(f"{what} is not a word of 1 to {WORD_CHARS} printable characters")
    return text


def text(value: str, what: str) -> str:
    """Return a text for people."""
    if not is_text(value):
        raise MalformedInput(f"{what} is not a text of 1 to {TEXT_CHARS} characters")
    return value


def place(code: str, what: str) -> str:
    """Return a country code."""
    if not is_place(code):
        raise MalformedInput(f"{what} is not a country code")
    return code


def party(name: str, what: str) -> PartyId:
    """Return a partner's id."""
    try:
        return party_id(name)
    except BadName as error:
        raise MalformedInput(f"{what} is not a partner id") from error


def member(kind: type[V], number: int, what: str) -> V:
    """Return the word with this number; 0 and unknown numbers are refused."""
    try:
        return kind(number)
    except ValueError as error:
        raise MalformedInput(f"{what}: no {kind.__name__} has the number {number}") from error


def members(kind: type[V], numbers: Iterable[int], what: str, *, least: int = 0) -> tuple[V, ...]:
    """Return words, ascending without repeats, at least `least` of them."""
    return as_set([member(kind, number, what) for number in numbers], what, least=least)


def each(read: Callable[[str, str], T], values: Iterable[str], what: str) -> list[T]:
    """Return every value as `read` gives it."""
    return [read(value, what) for value in values]


def as_set(
    values: Sequence[T], what: str, *, least: int = 0, key: Callable[[T], object] | None = None
) -> tuple[T, ...]:
    """Return the values when they ascend without repeats."""
    as_list(values, what, least=least)
    if len(values) < 2:  # as most are: a rule set has a hundred thousand of them
        return tuple(values)
    keys: list[Any] = [key(value) if key else value for value in values]
    if any(not before < after for before, after in pairwise(keys)):
        raise MalformedInput(f"{what} does not ascend without repeats")
    return tuple(values)


def as_list(values: Sequence[T], what: str, *, least: int = 0, most: int = LIST_ITEMS) -> tuple[T, ...]:
    """Return the values in the order given, when there are neither too few nor too many."""
    if not least <= len(values) <= most:
        raise MalformedInput(f"{what} has {len(values)} entries, not {least} to {most}")
    return tuple(values)


def number(value: int, what: str, *, least: int = 0, most: int) -> int:
    """Return a number within its bounds."""
    if not least <= value <= most:
        raise MalformedInput(f"{what} is {value}, not {least} to {most}")
    return value


def instant(value: int, what: str) -> int:
    """Return a time in milliseconds, or 0 for none."""
    return number(value, what, most=MS_MAX)


def octets(value: bytes, length: int, what: str) -> bytes:
    """Return bytes of exactly this length."""
    if len(value) != length:
        raise MalformedInput(f"{what} has {len(value)} bytes, not {length}")
    return value
