"""Checkpoints: a log's size and root hash, signed.

Pure. C2SP tlog-checkpoint in a signed note whose key name is the origin. Extension lines are refused: nobody could
audit them. A log must never sign two checkpoints of which one does not continue the other; that is the caller's duty.
"""

import base64
import re
from dataclasses import dataclass

from exchange.crypto.keys import PublicKey
from exchange.crypto.signing import Ed25519Key
from exchange.errors import BadInput, BadProof
from exchange.merkle import HASH_BYTES, SIZE_MAX, empty_root
from exchange.tlog.note import is_key_name, sign_note, strict_base64, verify_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself at one moment."""

    origin: str
    """Names the log, and the key that signs for it."""
    size: int
    """Entries."""
    root: bytes
    """RFC 6962 root hash over them."""


def directory_origin(exchange: str) -> str:
    """Return the origin of an exchange's directory log."""
    return f"{exchange}/dir"


def traffic_origin(exchange: str) -> str:
    """Return the origin of an exchange's traffic log."""
    return f"{exchange}/traffic"


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519Key) -> str:
    """Return the signed note of a checkpoint.

    Raises:
        BadInput: not a checkpoint that `open_checkpoint` would accept.
    """
    wrong = _wrong(checkpoint)
    if wrong:
        raise BadInput(wrong)
    root = base64.b64encode(checkpoint.root).decode()
    return sign_note(f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n", checkpoint.origin, key)


def open_checkpoint(note: str, origin: str, public: PublicKey) -> Checkpoint:
    """Return the checkpoint in a note that the log `origin` has signed with the key `public`.

    Raises:
        BadProof: the note does not hold, is of another log, or says no size and root hash in their one form.
    """
    text = verify_note(note, origin, public)
    lines = text.removesuffix("\n").split("\n")
    if len(lines) != _LINES:
        raise BadProof(f"the checkpoint has {len(lines)} lines, not {_LINES}")
    stated, size, root = lines
    if stated != origin:
        raise BadProof(f"the checkpoint is one of {stated[:80]!r}, not of {origin[:80]!r}")
    if not _SIZE.fullmatch(size):
        raise BadProof("the size of the checkpoint is not a decimal number in its one form")
    checkpoint = Checkpoint(origin, int(size), strict_base64(root, "the root hash of the checkpoint"))
    wrong = _wrong(checkpoint)
    if wrong:
        raise BadProof(wrong)
    return checkpoint


def _wrong(checkpoint: Checkpoint) -> str:
    if not is_key_name(checkpoint.origin):
        return "the origin of the checkpoint cannot name a key"
    if not 0 <= checkpoint.size <= SIZE_MAX:
        return "the size of the checkpoint is out of range"
    if len(checkpoint.root) != HASH_BYTES:
        return "the root hash of the checkpoint has the wrong length"
    if checkpoint.size == 0 and checkpoint.root != empty_root():
        return "an empty log has one root hash, and the checkpoint states another"
    return ""
