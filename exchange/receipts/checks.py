"""What the fields of promises, receipts and the like may hold.

Each function returns nothing or raises BadInput naming `what`, so that a value that exists is one that may be signed.
"""

import re
from collections.abc import Iterable

from exchange.errors import MalformedInput, TooLarge
from exchange.names import exchange_name, hash_bytes, id_bytes, party_id

NUMBER_MAX = (1 << 63) - 1
"""Of sizes, indexes and sequence numbers: what every store can hold."""

TIME_MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, beyond which calendars of libraries end."""

REASON_BYTES = 64
CLAUSE_BYTES = 200
STEP_MAX = 255

_REASON = re.compile(r"[A-Z][A-Z0-9_]*")
_UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # controls but newline; halves of characters


def check_frame(exchange: str, salt: bytes) -> None:
    """Check what every signed statement carries: the exchange's name and 16 random bytes."""
    exchange_name(exchange)
    id_bytes(salt, "the salt")


def check_parties(*parties: str) -> None:
    """Check that each names a partner."""
    for party in parties:
        party_id(party)


def check_hash(value: bytes, what: str) -> None:
    """Check that it has the length of a SHA-256 hash."""
    hash_bytes(value, what)


def check_hash_or_none(value: bytes, what: str) -> None:
    """Check that it is empty or has the length of a SHA-256 hash."""
    if value:
        hash_bytes(value, what)


def check_number(value: int, what: str, *, least: int = 0, most: int = NUMBER_MAX) -> None:
    """Check that it lies in a range, both ends included."""
    if not least <= value <= most:
        raise MalformedInput(f"{what} is {value}, not {least} to {most}")


def check_time(value: int, what: str) -> None:
    """Check that it is a time after 1970 and before the year 10000, in milliseconds."""
    check_number(value, what, least=1, most=TIME_MAX_MS)


def check_count(count: int, what: str, *, least: int, most: int) -> None:
    """Check a number of things; too many of them raises TooLarge."""
    if count > most:
        raise TooLarge(f"{count} {what}; the limit is {most}")
    if count < least:
        raise MalformedInput(f"{count} {what}; {least} are needed")


def check_ascending(numbers: Iterable[int], what: str) -> None:
    """Check that each is above the one before."""
    last = -1
    for number in numbers:
        if number <= last:
            raise MalformedInput(f"{what} are not in ascending order")
        last = number


def check_reason(reason: str) -> None:
    """Check that it is a stable reason in capitals."""
    if len(reason) > REASON_BYTES or not _REASON.fullmatch(reason):
        raise MalformedInput(f"{reason[:80]!r} is not a reason")


def check_text(text: str, what: str, *, most_bytes: int) -> None:
    """Check a text for people of one line: no control characters, at most so many bytes in UTF-8."""
    check_words(text, what, most_chars=most_bytes)
    if len(text.encode()) > most_bytes:
        raise TooLarge(f"{what} is longer than {most_bytes} bytes")
    if "\n" in text:
        raise MalformedInput(f"{what} has more than one line")


def check_words(text: str, what: str, *, most_chars: int) -> None:
    """Check a text for people of several lines: no control characters but newlines, at most so many characters."""
    if len(text) > most_chars:
        raise TooLarge(f"{what} is longer than {most_chars} characters")
    if _UNFIT.search(text):
        raise MalformedInput(f"{what} holds control characters")
