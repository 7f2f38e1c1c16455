"""Seal what a node stores: each record under its own key, each such key under a master key.

Destroying a record's key destroys the record, wherever copies of it lie. The context names the place (table, row id),
so that a sealed record moved to another row does not open. Both are chunked encryption, which has no limit on how
many keys one master wraps, and which commits to the key.
"""

from exchange.crypto import chunked
from exchange.errors import MalformedInput, VerificationFailed

KEY_BYTES = 32
WRAPPED_KEY_BYTES = chunked.HEADER_BYTES + KEY_BYTES + chunked.TAG_BYTES

_KEY_LABEL = b"concord/v1/at-rest/key\x00"
_RECORD_LABEL = b"concord/v1/at-rest/record\x00"


def wrap_key(master: bytes, key: bytes, context: bytes) -> bytes:
    """Return the 32-byte `key` sealed under the 32-byte `master`, 104 bytes; MalformedInput for other lengths."""
    if len(key) != KEY_BYTES:
        raise MalformedInput(f"a record's key has {KEY_BYTES} bytes, not {len(key)}")
    return chunked.encrypt(master, key, _KEY_LABEL + context)


def unwrap_key(master: bytes, wrapped: bytes, context: bytes) -> bytes:
    """Return the key that wrap_key sealed in this context; VerificationFailed if it is another or damaged."""
    if len(wrapped) != WRAPPED_KEY_BYTES:
        raise VerificationFailed(f"a wrapped key has {WRAPPED_KEY_BYTES} bytes, not {len(wrapped)}")
    return chunked.decrypt(master, wrapped, _KEY_LABEL + context)


def seal_record(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Return `plaintext` sealed under the record's own 32-byte key; the length stays visible."""
    return chunked.encrypt(key, plaintext, _RECORD_LABEL + context)


def open_record(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return the plaintext that seal_record sealed in this context; VerificationFailed if it is another or damaged."""
    return chunked.decrypt(key, sealed, _RECORD_LABEL + context)
