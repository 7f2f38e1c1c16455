"""What an operator signs to log in, and what both sides compute alike. Pure.

The node gives a challenge; the operator signs it with the name of the exchange, the party and the time that the node
gave, so that a signature serves one login at one node. Nothing that an operator signs elsewhere has this type.
"""

from dataclasses import dataclass

from exchange.crypto.dsse import pae
from exchange.crypto.keys import PublicKey
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import payload_type
from exchange.crypto.signing import CompositeKey, sign_bytes, verify_bytes
from exchange.errors import MalformedInput
from exchange.names import ExchangeName, PartyId

CHALLENGE_BYTES = 32

_TYPE = payload_type("operator-login")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a node asks an operator to sign."""

    exchange: ExchangeName
    party: PartyId
    nonce: bytes
    at_ms: int

    def __post_init__(self) -> None:
        if len(self.nonce) != CHALLENGE_BYTES:
            raise MalformedInput(f"a challenge has {CHALLENGE_BYTES} bytes, not {len(self.nonce)}")


def new_challenge(exchange: ExchangeName, party: PartyId, now_ms: int) -> Challenge:
    """Return a challenge that nobody has seen."""
    return Challenge(exchange, party, random_bytes(CHALLENGE_BYTES), now_ms)


def answer(challenge: Challenge, key: CompositeKey) -> bytes:
    """Return the operator's signature over a challenge."""
    return sign_bytes(key, _message(challenge), challenge.exchange.encode())


def check_answer(challenge: Challenge, key: PublicKey, signature: bytes) -> None:
    """Return when the holder of `key` answered this challenge; BadSignature otherwise."""
    verify_bytes(key, signature, _message(challenge), challenge.exchange.encode())


def _message(challenge: Challenge) -> bytes:
    # Names hold no zero byte and what follows them has a fixed length: no two challenges have the same bytes.
    names = b"".join(name.encode() + b"\x00" for name in (challenge.exchange, challenge.party))
    return pae(_TYPE, names + challenge.nonce + challenge.at_ms.to_bytes(8, "big"))
