"""JSON as Concord writes it, read strictly: exactly the named fields, one encoding of each value, errors with a path.

Pure. Bytes are lower-case hexadecimal, words of a vocabulary are words, times are milliseconds. A file that was edited
by hand, or that holds a field twice, is not as it is written here, and is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import orjson

from exchange.errors import MalformedInput, TooLarge
from exchange.policy.model import Vocabulary

T = TypeVar("T")
V = TypeVar("V", bound=Vocabulary)
S = TypeVar("S", bound=StrEnum)

INTEGER_MAX = 2**63 - 1

Plain = Mapping[str, Any]
"""What is written as JSON; Any: it nests."""


def write_json(value: Plain) -> bytes:
    """Return the one encoding of `value`."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a JSON text, and where it stands."""

    value: Any  # until one of the readers below has looked at it
    path: str

    def fields(self, *names: str) -> dict[str, "Entry"]:
        """Return the fields of an object that has exactly these."""
        found = self._of(dict, "an object")
        if found.keys() != set(names):
            differing = ", ".join(sorted(found.keys() ^ set(names)))
            raise self.wrong(f"not exactly the expected fields: {differing[:200]}")
        return {name: Entry(found[name], f"{self.path}.{name}" if self.path else name) for name in names}

    def named(self) -> dict[str, "Entry"]:
        """Return the fields of an object with any names."""
        return {name: Entry(value, f"{self.path}.{name}") for name, value in self._of(dict, "an object").items()}

    def items(self, *, most: int) -> list["Entry"]:
        """Return the entries of a list."""
        found = self._of(list, "a list")
        if len(found) > most:
            raise TooLarge(f"{self.path} has {len(found)} entries; the limit is {most}", place=self.path)
        return [Entry(value, f"{self.path}[{place}]") for place, value in enumerate(found)]

    def text(self) -> str:
        """Return a string."""
        found: str = self._of(str, "a text")
        return found

    def flag(self) -> bool:
        """Return true or false."""
        found: bool = self._of(bool, "true or false")
        return found

    def number(self, *, least: int = 0, most: int = INTEGER_MAX) -> int:
        """Return a whole number."""
        found: int = self._of(int, "a number")
        if not least <= found <= most:
            raise self.wrong(f"not {least} to {most}")
        return found

    def data(self, *lengths: int) -> bytes:
        """Return bytes, of one of these lengths when any is given."""
        found = self.text()
        try:
            data = bytes.fromhex(found)
        except ValueError as error:
            raise self.wrong("not hexadecimal") from error
        if data.hex() != found or (lengths and len(data) not in lengths):
            raise self.wrong("not lower-case hexadecimal of the expected length")
        return data

    def word(self, vocabulary: type[V]) -> V:
        """Return a word of a vocabulary."""
        found = self.text()
        for member in vocabulary:
            if member.word == found:
                return member
        raise self.wrong(f"{found[:80]!r} is no {vocabulary.__name__}")

    def code(self, codes: type[S]) -> S:
        """Return a stable code."""
        try:
            return codes(self.text())
        except ValueError as error:
            raise self.wrong(f"{self.value[:80]!r} is no {codes.__name__}") from error

    def maybe(self, read: Callable[["Entry"], T]) -> T | None:
        """Return what `read` makes of it; None for null."""
        return None if self.value is None else read(self)

    def wrong(self, what: str) -> MalformedInput:
        """Return the error that says what is wrong here."""
        return MalformedInput(what, place=self.path)

    def _of(self, kind: type, what: str) -> Any:
        # bool is an int to Python, and a number never meant true.
        if type(self.value) is not kind:
            raise self.wrong(f"not {what}")
        return self.value


def read_json(data: bytes, *, limit: int, what: str) -> Entry:
    """Return the JSON text in `data`.

    Raises:
        TooLarge: more than `limit` bytes.
        MalformedInput: not JSON, or not as write_json writes it.
    """
    if len(data) > limit:
        raise TooLarge(f"{what} has {len(data)} bytes; the limit is {limit}")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedInput(f"{what} is not JSON") from error
    if not isinstance(found, dict) or write_json(found) != data:
        raise MalformedInput(f"{what} is not as Concord writes it", hint="it was edited, or cut off")
    return Entry(found, "")
