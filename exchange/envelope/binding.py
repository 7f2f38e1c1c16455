"""The byte strings that tie the parts of an envelope together (docs/spec/envelope.md, "Exact bytes").

Sender, relay and recipient compute them here and nowhere else. Each has its own label, so that none of them can be
taken for another, and the hash of the core in the contexts makes a ciphertext worthless under any other sender,
exchange, label or time.
"""

from collections.abc import Mapping
from hashlib import sha256

from exchange.limits import SLOTS
from exchange.merkle import Tree, filled_tree

_BODY_LABEL = b"concord/v1/body\x00"
_WRAP_LABEL = b"concord/v1/wrap\x00"
_DUMMY_LABEL = b"concord/v1/dummy\x00"


def envelope_hash(header: bytes) -> bytes:
    """Return what names an envelope everywhere: SHA-256 of the SealedHeader bytes, without signatures."""
    return sha256(header).digest()


def item_hash(payload: bytes) -> bytes:
    """Return what names a report or control statement everywhere: SHA-256 of the statement's payload."""
    return sha256(payload).digest()


def core_hash(core: bytes) -> bytes:
    """Return SHA-256 of the EnvelopeCore bytes."""
    return sha256(core).digest()


def body_context(core_sha256: bytes) -> bytes:
    """Return the context under which the body is encrypted."""
    return _BODY_LABEL + core_sha256


def wrap_info(core_sha256: bytes, kem_key: bytes, recipient: str) -> bytes:
    """Return the HPKE info under which the content key is wrapped; only the recipient's id varies in length."""
    return b"".join((_WRAP_LABEL, core_sha256, kem_key, recipient.encode()))


def slot_tree(occupied: Mapping[int, bytes], seed: bytes) -> Tree:
    """Return the tree over all 256 slots: leaf hashes where recipients are, dummies derived from `seed` elsewhere."""
    return filled_tree(occupied, SLOTS, _DUMMY_LABEL + seed)
