"""Public keys as objects of the libraries, parsed once and kept.

Loading a key costs as much as using it, and an exchange has few keys. The caches are bounded, because peers choose
which keys are looked up. Every function raises ValueError for bytes that are no such key.
"""

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

MLKEM_BYTES = 1184
X25519_BYTES = 32


@lru_cache(maxsize=512)
def mldsa65(raw: bytes) -> MLDSA65PublicKey:
    """Return the ML-DSA-65 key of 1,952 bytes."""
    return MLDSA65PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=128)
def mldsa44(raw: bytes) -> MLDSA44PublicKey:
    """Return the ML-DSA-44 key of 1,312 bytes."""
    return MLDSA44PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=1024)
def xwing(raw: bytes) -> MLKEM768X25519PublicKey:
    """Return the X-Wing key of 1,216 bytes: ML-KEM-768, then X25519."""
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_BYTES]), X25519PublicKey.from_public_bytes(raw[MLKEM_BYTES:])
    )


def x25519(raw: bytes) -> X25519PublicKey:
    """Return the X25519 key of 32 bytes; any 32 bytes are one."""
    return X25519PublicKey.from_public_bytes(raw)
