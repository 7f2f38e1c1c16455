"""The two keys that a log signs its checkpoints with: Ed25519 and ML-DSA-44, each for nothing else."""

from dataclasses import dataclass
from typing import Self

from exchange.crypto.keys import PublicKey
from exchange.crypto.signing import Ed25519Key, Mldsa44Key


@dataclass(frozen=True, slots=True)
class LogPublicKeys:
    """What a log's checkpoints are checked with; both must hold."""

    ed25519: PublicKey
    mldsa: PublicKey

    @property
    def key_ids(self) -> tuple[bytes, bytes]:
        """Ids of both."""
        return self.ed25519.key_id, self.mldsa.key_id


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The secret halves."""

    ed25519: Ed25519Key
    mldsa: Mldsa44Key

    @classmethod
    def generate(cls) -> Self:
        """Make new keys."""
        return cls(Ed25519Key.generate(), Mldsa44Key.generate())

    @property
    def public(self) -> LogPublicKeys:
        """The public halves."""
        return LogPublicKeys(self.ed25519.public, self.mldsa.public)
