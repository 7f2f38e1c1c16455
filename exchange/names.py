"""Validated identifiers. An invalid one cannot exist as a value of these types.

Parsing functions return the value or raise BadName; they never guess or normalise, so that one thing has one name.
"""

import re
from typing import NewType

from exchange.errors import BadName

PartyId = NewType("PartyId", str)
"""A partner: country code, then lower-case labels, as in `XA` or `FR.foreign-office`; at most 64 characters."""

ExchangeName = NewType("ExchangeName", str)
"""Names one exchange and is the origin of its logs: 3 to 100 lower-case letters, digits, dots, dashes, slashes."""

COUNCIL = "council"
"""Issuer of statements that need the council's threshold. No PartyId can equal it."""

RELAY = "relay"
"""Issuer of the relay's statements. No PartyId can equal it."""

_PARTY = re.compile(r"[A-Z]{2}(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_EXCHANGE = re.compile(r"[a-z0-9]([a-z0-9./-]*[a-z0-9])?")
_SENSOR = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

PARTY_MAX = 64
EXCHANGE_MAX = 100
SENSOR_MAX = 64
HASH_BYTES = 32
ID_BYTES = 16


def party_id(text: str) -> PartyId:
    """Return `text` as a PartyId, or raise BadName."""
    if len(text) > PARTY_MAX or not _PARTY.fullmatch(text):
        raise BadName(
            f"{text[:80]!r} is not a partner id", hint="two capital letters, then optional .lower-case labels"
        )
    return PartyId(text)


def exchange_name(text: str) -> ExchangeName:
    """Return `text` as an ExchangeName, or raise BadName."""
    if not 3 <= len(text) <= EXCHANGE_MAX or not _EXCHANGE.fullmatch(text):
        raise BadName(f"{text[:120]!r} is not an exchange name", hint="for example demo.concord.example")
    return ExchangeName(text)


def sensor_name(text: str) -> str:
    """Return `text` if it can name a sensor, or raise BadName."""
    if len(text) > SENSOR_MAX or not _SENSOR.fullmatch(text):
        raise BadName(f"{text[:80]!r} is not a sensor name", hint="lower-case letters, digits and dashes")
    return text


def operator_name(text: str) -> str:
    """Return `text` if it can name an operator, or raise BadName."""
    if len(text) > SENSOR_MAX or not _SENSOR.fullmatch(text):
        raise BadName(f"{text[:80]!r} is not an operator's name", hint="lower-case letters, digits and dashes")
    return text


def hash_bytes(value: bytes, what: str) -> bytes:
    """Return `value` if it has the length of a SHA-256 hash, or raise BadName naming `what`."""
    if len(value) != HASH_BYTES:
        raise BadName(f"{what} has {len(value)} bytes, not {HASH_BYTES}")
    return value


def id_bytes(value: bytes, what: str) -> bytes:
    """Return `value` if it has the length of a random id, or raise BadName naming `what`."""
    if len(value) != ID_BYTES:
        raise BadName(f"{what} has {len(value)} bytes, not {ID_BYTES}")
    return value
