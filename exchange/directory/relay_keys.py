"""Which keys of the relay hold where: those of the genesis, then those that the council named, each from one entry on.

Pure. What the relay signs is judged by the keys in force as of the directory size that it was made under, so the keys
that sign change at one entry and nothing overlaps. Only the TLS certificate cannot name a size: a node that was away
knows the CA of before. So the relay goes on with that one for 30 days, and nodes accept both; unless it was stolen.
Specification: docs/spec/directory.md, "Keys of the relay".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.crypto.keys import fingerprint
from exchange.crypto.x509 import ca_key_hash
from exchange.directory.statements import RelayKeys
from exchange.limits import KEY_OVERLAP_MS
from exchange.names import RELAY


@dataclass(frozen=True, slots=True)
class KeysSince:
    """Keys of the relay, from one entry on."""

    index: int
    """Entry that named them; 0 is the genesis."""
    keys: RelayKeys
    since_ms: int
    """When their statement says that they begin."""
    stolen_since_ms: int
    """Since when those before them may be in other hands; 0 when they were followed in good order."""


def spoken(keys: RelayKeys) -> str:
    """Return the fingerprint of all four keys, for people to compare."""
    return fingerprint(RELAY, b"".join(key_ids(keys)))


def key_ids(keys: RelayKeys) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the ids of all four: promise, both of the log, and the CA's key hash."""
    return (keys.promise.key_id, *keys.log.key_ids, ca_key_hash(keys.transport_ca))


def keys_at(history: Sequence[KeysSince], at_size: int) -> KeysSince:
    """Return what is in force as of the first `at_size` entries; the genesis's own also for size 0."""
    return next((found for found in reversed(history) if found.index < at_size), history[0])


def cas_at(history: Sequence[KeysSince], at_ms: int) -> tuple[bytes, ...]:
    """Return the transport CAs (DER) that nodes accept at a moment, oldest first: the relay answers by that one."""
    found = [history[-1].keys.transport_ca]
    for after, before in zip(reversed(history), reversed(history[:-1]), strict=False):
        if after.stolen_since_ms or at_ms >= after.since_ms + KEY_OVERLAP_MS:
            break
        if before.keys.transport_ca not in found:
            found.append(before.keys.transport_ca)
    return tuple(reversed(found))
