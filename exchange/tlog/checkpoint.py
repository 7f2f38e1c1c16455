"""Checkpoints: a log's size and root hash as three lines of text.

Pure. C2SP tlog-checkpoint. Extension lines are refused: nobody could audit them. Signed by the log in
exchange/tlog/signing.py, by witnesses in exchange/tlog/cosignature.py.
"""

import base64
import re
from dataclasses import dataclass

from exchange.errors import BadInput, BadProof
from exchange.merkle import HASH_BYTES, SIZE_MAX, empty_root
from exchange.tlog.note import is_key_name, strict_base64

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


def witness_name(exchange: str, party: str) -> str:
    """Return the name under which a party's witness cosigns."""
    return f"{exchange}/witness/{party}"


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return the text of a checkpoint's note.

    Raises:
        BadInput: not a checkpoint that `read_checkpoint` would accept.
    """
    wrong = _wrong(checkpoint)
    if wrong:
        raise BadInput(wrong)
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def read_checkpoint(text: str, origin: str) -> Checkpoint:
    """Return the checkpoint of the log `origin` in the text of a note; who signed it is not asked here.

    Raises:
        BadProof: it is of another log, or says no size and root hash in their one form.
    """
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
