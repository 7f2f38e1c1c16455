"""Public keys: their ids, the check that lets one in, and the fingerprint that people compare.

A key's id is a hash of its algorithm and bytes, so a key never changes its algorithm, and a signature carries no
algorithm field that could be swapped. Bytes from outside become a PublicKey through `admit_public_key` only.
Specification: docs/spec/envelope.md, "Keys".
"""

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

from exchange.crypto import parsed
from exchange.errors import MalformedInput

MLDSA65_BYTES = 1952
MLDSA44_BYTES = 1312
ED25519_BYTES = 32

_KEY_LABEL = b"concord/v1/key\x00"
_FINGERPRINT_LABEL = b"concord/v1/fingerprint\x00"
_FINGERPRINT_BYTES = 20
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class KeyAlgorithm(IntEnum):
    """What a key can do. The numbers are part of every key id."""

    COMPOSITE_65 = 1
    """ML-DSA-65, then Ed25519: signs statements."""
    XWING = 2
    """ML-KEM-768, then X25519: a report's key is wrapped for it."""
    ED25519 = 3
    """Signs envelope headers, promises, checkpoints."""
    MLDSA_44 = 4
    """Cosigns checkpoints."""


PUBLIC_KEY_BYTES = {
    KeyAlgorithm.COMPOSITE_65: MLDSA65_BYTES + ED25519_BYTES,
    KeyAlgorithm.XWING: parsed.MLKEM_BYTES + parsed.X25519_BYTES,
    KeyAlgorithm.ED25519: ED25519_BYTES,
    KeyAlgorithm.MLDSA_44: MLDSA44_BYTES,
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that was made here or admitted; `key_id` names it everywhere."""

    algorithm: KeyAlgorithm
    raw: bytes = field(repr=False)
    key_id: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the id once; it is asked for on every signature."""
        object.__setattr__(self, "key_id", key_id(self.algorithm, self.raw))


def key_id(algorithm: int, raw: bytes) -> bytes:
    """Return the 32-byte id of a key."""
    return hashlib.sha256(_KEY_LABEL + bytes((algorithm,)) + raw).digest()


def admit_public_key(algorithm: int, raw: bytes) -> PublicKey:
    """Return bytes from outside as a key that is safe to verify with or to wrap for.

    Checks the length, lets the library load it, and refuses curve points that are not canonical or of low order:
    libraries disagree on signatures under such points (crypto.md section 2).

    Raises:
        MalformedInput: unknown algorithm, wrong length, or a key that fails its check.
    """
    try:
        known = KeyAlgorithm(algorithm)
    except ValueError as error:
        raise MalformedInput(f"key algorithm {algorithm} is not known") from error
    if len(raw) != PUBLIC_KEY_BYTES[known]:
        raise MalformedInput(f"a {known.name} key has {PUBLIC_KEY_BYTES[known]} bytes, not {len(raw)}")
    try:
        _check(known, raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedInput(f"not a {known.name} key: {error}") from error
    return PublicKey(known, raw)


def fingerprint(party: str, root_raw: bytes) -> str:
    """Return what two people read to each other: 32 Crockford base-32 letters in groups of four.

    160 bits of a hash over the partner's id and its root key (crypto.md 3.2).
    """
    digest = hashlib.sha256(_FINGERPRINT_LABEL + party.encode() + b"\x00" + root_raw).digest()
    number = int.from_bytes(digest[:_FINGERPRINT_BYTES], "big")
    letters = "".join(_CROCKFORD[number >> shift & 31] for shift in range(155, -1, -5))
    return " ".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def _check(algorithm: KeyAlgorithm, raw: bytes) -> None:
    match algorithm:
        case KeyAlgorithm.COMPOSITE_65:
            parsed.mldsa65(raw[:MLDSA65_BYTES])
            _check_ed25519(raw[MLDSA65_BYTES:])
        case KeyAlgorithm.ED25519:
            _check_ed25519(raw)
        case KeyAlgorithm.MLDSA_44:
            parsed.mldsa44(raw)
        case KeyAlgorithm.XWING:
            parsed.xwing(raw)
            # Any scalar does: a clamped one is a multiple of 8 and sends each low-order point to zero, which raises.
            X25519PrivateKey.from_private_bytes(bytes(32)).exchange(parsed.x25519(raw[parsed.MLKEM_BYTES :]))


def _check_ed25519(raw: bytes) -> None:
    if not crypto_core_ed25519_is_valid_point(raw):
        raise ValueError("the Ed25519 point is not canonical, not on the curve or not of prime order")
