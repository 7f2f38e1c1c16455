"""Random bytes, bearer tokens, and comparison in constant time.

The one place from which the pure packages draw randomness. libsodium asks the operating system on every call, so a
process that forks repeats nothing.
"""

import base64
import hashlib
import hmac

from nacl.bindings import randombytes

_TOKEN_LABEL = b"concord/v1/token\x00"
_TOKEN_BYTES = 32


def random_bytes(count: int) -> bytes:
    """Return `count` bytes from the operating system."""
    return randombytes(count)


def random_places(count: int) -> list[int]:
    """Return `count` different numbers below 256, every choice and order equally likely: they say nothing of who."""
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn.update(dict.fromkeys(random_bytes(256)))  # a byte is a place; the first time that it comes counts
    return list(drawn)[:count]


def token() -> str:
    """Return a new bearer token of 256 random bits, safe in URLs; store only its token_digest."""
    return base64.urlsafe_b64encode(random_bytes(_TOKEN_BYTES)).rstrip(b"=").decode()


def token_digest(token: str) -> bytes:
    """Return the 32 bytes under which a token is stored: who reads the store cannot present the token."""
    return hashlib.sha256(_TOKEN_LABEL + token.encode()).digest()


def same(a: bytes, b: bytes) -> bool:
    """Say whether `a` equals `b` in time that depends on the lengths only."""
    return hmac.compare_digest(a, b)
