"""Secret signing keys, and signatures over bytes under a context.

Composite ML-DSA-65 + Ed25519 follows draft-ietf-lamps-pq-composite-sigs (id-MLDSA65-Ed25519-SHA512): one message
representative, both halves over it, and both must hold. It is randomised and not strongly unforgeable, so signature
bytes never serve as an id. Ed25519 is libsodium's only, because libraries disagree on edge cases (crypto.md section 2).
The context is the exchange's name: a signature made for an exercise is none on the live exchange.
An Ed25519 key, or that half of a composite one, may lie in a device that signs and never shows it (`in_device`): the
ML-DSA half and the device are then both needed. What a device answers is checked before it is used.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from exchange.crypto import parsed
from exchange.crypto.keys import MLDSA65_BYTES, KeyAlgorithm, PublicKey
from exchange.crypto.random import random_bytes
from exchange.errors import BadSignature, MalformedInput

SEED_BYTES = 32
MLDSA44_SIGNATURE_BYTES = 2420
MLDSA65_SIGNATURE_BYTES = 3309
ED25519_SIGNATURE_BYTES = 64
COMPOSITE_SIGNATURE_BYTES = MLDSA65_SIGNATURE_BYTES + ED25519_SIGNATURE_BYTES
CONTEXT_MAX = 255

SignEd25519 = Callable[[bytes], bytes]
"""Returns the 64-byte RFC 8032 signature over a message, by a key that stays where it is; for any thread."""

_COMPOSITE_PREFIX = b"CompositeAlgorithmSignatures2025"
_COMPOSITE_LABEL = b"COMPSIG-MLDSA65-Ed25519-SHA512"
_ED25519_LABEL = b"concord/v1/ed25519\x00"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Ed25519Key:
    """Secret Ed25519 key; one key has one use."""

    seed: bytes
    """Empty when the key lies in a device."""
    public: PublicKey
    sign: SignEd25519

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls.from_seed(random_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key of a 32-byte seed; MalformedInput for another length."""
        _check_length(seed, SEED_BYTES)
        public, expanded = crypto_sign_seed_keypair(seed)
        return cls(seed, PublicKey(KeyAlgorithm.ED25519, public), _in_memory(expanded))

    @classmethod
    def in_device(cls, public: PublicKey, sign: SignEd25519) -> Self:
        """Return the key that a device holds; `public` is its admitted public half."""
        return cls(b"", public, _checked(public.raw, sign))

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"Ed25519Key({self.public.key_id.hex()[:16]})"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class CompositeKey:
    """Secret composite key; its halves are used in nothing else."""

    seed: bytes
    """64 bytes, or 32 of ML-DSA's half alone when the other half lies in a device."""
    public: PublicKey
    mldsa: MLDSA65PrivateKey
    sign_ed25519: SignEd25519

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls.from_seed(random_bytes(2 * SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key of a 64-byte seed, ML-DSA's first; MalformedInput for another length."""
        _check_length(seed, 2 * SEED_BYTES)
        mldsa = MLDSA65PrivateKey.from_seed_bytes(seed[:SEED_BYTES])
        public, expanded = crypto_sign_seed_keypair(seed[SEED_BYTES:])
        raw = mldsa.public_key().public_bytes_raw() + public
        return cls(seed, PublicKey(KeyAlgorithm.COMPOSITE_65, raw), mldsa, _in_memory(expanded))

    @classmethod
    def in_device(cls, mldsa_seed: bytes, ed25519: PublicKey, sign: SignEd25519) -> Self:
        """Return the key whose Ed25519 half a device holds; MalformedInput for a seed that has not 32 bytes."""
        _check_length(mldsa_seed, SEED_BYTES)
        mldsa = MLDSA65PrivateKey.from_seed_bytes(mldsa_seed)
        public = PublicKey(KeyAlgorithm.COMPOSITE_65, mldsa.public_key().public_bytes_raw() + ed25519.raw)
        return cls(mldsa_seed, public, mldsa, _checked(ed25519.raw, sign))

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"CompositeKey({self.public.key_id.hex()[:16]})"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Mldsa44Key:
    """Secret ML-DSA-44 key: signs checkpoints of logs, and nothing else."""

    seed: bytes
    public: PublicKey
    secret: MLDSA44PrivateKey

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls.from_seed(random_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key of a 32-byte seed; MalformedInput for another length."""
        _check_length(seed, SEED_BYTES)
        secret = MLDSA44PrivateKey.from_seed_bytes(seed)
        return cls(seed, PublicKey(KeyAlgorithm.MLDSA_44, secret.public_key().public_bytes_raw()), secret)

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"Mldsa44Key({self.public.key_id.hex()[:16]})"


SigningKey = CompositeKey | Ed25519Key


def sign_bytes(key: SigningKey, message: bytes, context: bytes) -> bytes:
    """Return a signature of 3,373 (composite) or 64 bytes over `message`.

    Raises:
        MalformedInput: `context` is empty or longer than 255 bytes.
    """
    if not 1 <= len(context) <= CONTEXT_MAX:
        raise MalformedInput(f"a signature context has 1 to {CONTEXT_MAX} bytes, not {len(context)}")
    if isinstance(key, Ed25519Key):
        return sign_raw_ed25519(key, _ed25519_message(message, context))
    represented = _composite_message(message, context)
    mldsa = key.mldsa.sign(represented, _COMPOSITE_LABEL)
    return mldsa + key.sign_ed25519(represented)


def verify_bytes(public: PublicKey, signature: bytes, message: bytes, context: bytes) -> None:
    """Return when `signature` over `message` holds under an admitted key; raise BadSignature otherwise."""
    if not 1 <= len(context) <= CONTEXT_MAX:
        raise BadSignature(f"a signature context has 1 to {CONTEXT_MAX} bytes, not {len(context)}")
    match public.algorithm:
        case KeyAlgorithm.ED25519:
            _verify_ed25519(public.raw, signature, _ed25519_message(message, context))
        case KeyAlgorithm.COMPOSITE_65:
            _verify_composite(public.raw, signature, _composite_message(message, context))
        case _:
            raise BadSignature(f"a {public.algorithm.name} key does not sign statements")


def sign_raw_ed25519(key: Ed25519Key, message: bytes) -> bytes:
    """Return a plain RFC 8032 signature, without label and context.

    Only for formats that others define (C2SP signed notes), with a key that signs nothing else.
    """
    return key.sign(message)


def verify_raw_ed25519(public: PublicKey, signature: bytes, message: bytes) -> None:
    """Return when a signature made by sign_raw_ed25519 holds under an admitted key; raise BadSignature otherwise."""
    if public.algorithm is not KeyAlgorithm.ED25519:
        raise BadSignature(f"a {public.algorithm.name} key signs no notes")
    _verify_ed25519(public.raw, signature, message)


def sign_raw_mldsa44(key: Mldsa44Key, message: bytes) -> bytes:
    """Return a plain FIPS 204 signature, without context; only for the checkpoints that C2SP defines."""
    return key.secret.sign(message)


def verify_raw_mldsa44(public: PublicKey, signature: bytes, message: bytes) -> None:
    """Return when a signature made by sign_raw_mldsa44 holds under an admitted key; raise BadSignature otherwise."""
    if public.algorithm is not KeyAlgorithm.MLDSA_44:
        raise BadSignature(f"a {public.algorithm.name} key cosigns nothing")
    if len(signature) != MLDSA44_SIGNATURE_BYTES:
        raise BadSignature(f"an ML-DSA-44 signature has {MLDSA44_SIGNATURE_BYTES} bytes, not {len(signature)}")
    try:
        parsed.mldsa44(public.raw).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the ML-DSA-44 signature does not hold") from error


def _in_memory(expanded: bytes) -> SignEd25519:
    return lambda message: crypto_sign(message, expanded)[:ED25519_SIGNATURE_BYTES]


def _checked(raw: bytes, sign: SignEd25519) -> SignEd25519:
    """Return `sign` with each answer checked: a faulty device would give its key away, or sign for another one."""

    def checked(message: bytes) -> bytes:
        signature = sign(message)
        _verify_ed25519(raw, signature, message)
        return signature

    return checked


def _ed25519_message(message: bytes, context: bytes) -> bytes:
    return b"".join((_ED25519_LABEL, bytes((len(context),)), context, message))


def _composite_message(message: bytes, context: bytes) -> bytes:
    """Return the representative M' of the draft, section 2.2."""
    digest = hashlib.sha512(message).digest()
    return b"".join((_COMPOSITE_PREFIX, _COMPOSITE_LABEL, bytes((len(context),)), context, digest))


def _verify_composite(raw: bytes, signature: bytes, represented: bytes) -> None:
    if len(signature) != COMPOSITE_SIGNATURE_BYTES:
        raise BadSignature(f"a composite signature has {COMPOSITE_SIGNATURE_BYTES} bytes, not {len(signature)}")
    # Both halves must hold; the cheap one goes first, so that junk costs little.
    _verify_ed25519(raw[MLDSA65_BYTES:], signature[MLDSA65_SIGNATURE_BYTES:], represented)
    try:
        parsed.mldsa65(raw[:MLDSA65_BYTES]).verify(signature[:MLDSA65_SIGNATURE_BYTES], represented, _COMPOSITE_LABEL)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the ML-DSA-65 half does not hold") from error


def _verify_ed25519(raw: bytes, signature: bytes, message: bytes) -> None:
    # crypto_sign_open takes signature and message joined: without this check a short signature would borrow
    # its missing bytes from the message.
    if len(signature) != ED25519_SIGNATURE_BYTES:
        raise BadSignature(f"an Ed25519 signature has {ED25519_SIGNATURE_BYTES} bytes, not {len(signature)}")
    try:
        crypto_sign_open(signature + message, raw)
    except (BadSignatureError, ValueError) as error:
        raise BadSignature("the Ed25519 signature does not hold") from error


def _check_length(seed: bytes, expected: int) -> None:
    if len(seed) != expected:
        raise MalformedInput(f"the seed of this key has {expected} bytes, not {len(seed)}")
