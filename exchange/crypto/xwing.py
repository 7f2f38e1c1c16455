"""Wrap a report's key for one recipient: HPKE with ML-KEM-768 + X25519 (KEM 0x647A), HKDF-SHA256, ChaCha20-Poly1305.

Post-quantum without a classical fallback. The `info` binds a wrap to its envelope and its recipient (crypto.md 1.4);
the library would let it be empty, this module does not. Secret keys are 32-byte seeds, expanded as X-Wing does.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from exchange.crypto import parsed
from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.random import random_bytes
from exchange.errors import MalformedInput, VerificationFailed

WrapAll = Callable[[bytes, Sequence[tuple[bytes, bytes]]], Sequence[bytes]]
"""`wrap_each`, or what does as it does elsewhere."""

SECRET_BYTES = 32
SEED_BYTES = 32
WRAP_BYTES = 1168
"""1,120 of the KEM, then 48 of the AEAD."""

_MLKEM_SEED_BYTES = 64
_EXPANDED_BYTES = 96
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class XWingKey:
    """Secret X-Wing key; it unwraps, and does nothing else."""

    seed: bytes
    public: PublicKey
    parsed: MLKEM768X25519PrivateKey

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls.from_seed(random_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key of a 32-byte seed; MalformedInput for another length."""
        if len(seed) != SEED_BYTES:
            raise MalformedInput(f"the seed of this key has {SEED_BYTES} bytes, not {len(seed)}")
        expanded = hashlib.shake_256(seed).digest(_EXPANDED_BYTES)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        raw = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return cls(seed, PublicKey(KeyAlgorithm.XWING, raw), MLKEM768X25519PrivateKey(mlkem, x25519))

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"XWingKey({self.public.key_id.hex()[:16]})"


def wrap(secret: bytes, public_raw: bytes, info: bytes) -> bytes:
    """Return the 32-byte `secret` wrapped for the holder of an admitted X-Wing key, 1,168 bytes, fresh on each call.

    Raises:
        MalformedInput: the secret or the key has the wrong length, the key cannot be wrapped for, or `info` is empty.
    """
    if len(secret) != SECRET_BYTES:
        raise MalformedInput(f"a wrapped secret has {SECRET_BYTES} bytes")
    if not info:
        raise MalformedInput("a wrap is bound to something: info is empty")
    try:
        return _SUITE.encrypt(secret, parsed.xwing(public_raw), info)
    except ValueError as error:
        raise MalformedInput("this X-Wing key cannot be wrapped for") from error


def wrap_each(secret: bytes, wanted: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Return `secret` wrapped for each of these admitted keys under its `info`, in order. Raises as `wrap`."""
    return [wrap(secret, public_raw, info) for public_raw, info in wanted]


def unwrap(wrapped: bytes, key: XWingKey, info: bytes) -> bytes:
    """Return the 32-byte secret that was wrapped for `key` under the same `info`; VerificationFailed otherwise."""
    if len(wrapped) != WRAP_BYTES or not info:
        raise VerificationFailed(f"a wrap has {WRAP_BYTES} bytes and an info, not {len(wrapped)} and {len(info)}")
    try:
        return _SUITE.decrypt(wrapped, key.parsed, info)
    except (InvalidTag, ValueError) as error:
        raise VerificationFailed("the wrap does not open: another key, another envelope, or damaged") from error
