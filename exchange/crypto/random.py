"""Random bytes, bearer tokens, and comparison in constant time.

The one place from which the pure packages draw randomness; it comes from the operating system on every call, so a
process that forks or a machine that is cloned repeats nothing.
"""

import hashlib
import hmac
import secrets

_TOKEN_LABEL = b"concord/v1/token\x00"
_TOKEN_BYTES = 32


def random_bytes(count: int) -> bytes:
    """Return `count` bytes from the operating system."""
    return secrets.token_bytes(count)


def token() -> str:
    """Return a new bearer token of 256 random bits, safe in URLs; store only its token_digest."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """Return the 32 bytes under which a token is stored: who reads the store cannot present the token."""
    return hashlib.sha256(_TOKEN_LABEL + token.encode()).digest()


def same(a: bytes, b: bytes) -> bool:
    """Say whether `a` equals `b` in time that depends on the lengths only."""
    return hmac.compare_digest(a, b)
