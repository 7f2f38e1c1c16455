"""Entries of the traffic log: what kind of thing happened, its hash, and when. 41 bytes.

Pure. One byte kind, 32 bytes SHA-256, 8 bytes milliseconds since 1970, big-endian. The log shows volume and time only:
all hashes are of data with random bytes in it. The leaf of an entry is merkle.leaf_hash(encode_entry(entry)).
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from exchange.errors import MalformedInput

ENTRY_BYTES = 41
_HEAD_LABEL = b"concord/v1/directory-head\x00"
TIME_MAX_MS = (1 << 63) - 1

_LAYOUT = struct.Struct(">B32sQ")


class EntryKind(IntEnum):
    """What an entry's hash is of. Numbers are never reused."""

    ENVELOPE = 1
    """A SealedHeader that was accepted."""
    DECISIONS = 2
    """A DecisionRecord payload."""
    DIRECTORY_HEAD = 3
    """The directory's head, logged before the first envelope that is judged under it."""
    DELETION = 4
    """An envelope that was deleted from the relay."""
    CONFIGURATION = 5
    """The relay's configuration."""


@dataclass(frozen=True, slots=True)
class TrafficEntry:
    """One entry of the traffic log."""

    kind: EntryKind
    sha256: bytes
    at_ms: int


def directory_head_hash(size: int, root: bytes) -> bytes:
    """Return what an entry of kind DIRECTORY_HEAD holds: a hash of the directory's size and root hash."""
    return sha256(_HEAD_LABEL + size.to_bytes(8, "big") + root).digest()


def encode_entry(entry: TrafficEntry) -> bytes:
    """Return the 41 bytes of an entry.

    Raises:
        MalformedInput: a hash of the wrong length, or a time out of range.
    """
    if len(entry.sha256) != 32 or not 0 <= entry.at_ms <= TIME_MAX_MS:
        raise MalformedInput("a traffic entry needs a hash of 32 bytes and a time in range")
    return _LAYOUT.pack(entry.kind, entry.sha256, entry.at_ms)


def decode_entry(data: bytes) -> TrafficEntry:
    """Return the entry in 41 bytes.

    Raises:
        MalformedInput: another length, an unknown kind, or a time out of range.
    """
    if len(data) != ENTRY_BYTES:
        raise MalformedInput(f"a traffic entry has {ENTRY_BYTES} bytes, not {len(data)}")
    kind, digest, at_ms = _LAYOUT.unpack(data)
    try:
        known = EntryKind(kind)
    except ValueError as error:
        raise MalformedInput(f"unknown kind {kind} of traffic entry") from error
    if at_ms > TIME_MAX_MS:
        raise MalformedInput("the time of a traffic entry is out of range")
    return TrafficEntry(known, digest, at_ms)
