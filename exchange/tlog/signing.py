"""Checkpoints signed by their log, with two keys: Ed25519 and ML-DSA-44. Both must hold.

Pure. A C2SP signed note whose key name is the origin, in both lines: the Ed25519 line signs the text, the ML-DSA-44
line is a cosignature without a time. So whoever breaks one of the algorithms still cannot write a log's word.
A log must never sign two checkpoints of which one does not continue the other; that is the caller's duty.
"""

from exchange.crypto.logkeys import LogKeys, LogPublicKeys
from exchange.errors import BadProof
from exchange.tlog.checkpoint import Checkpoint, checkpoint_text, read_checkpoint
from exchange.tlog.cosignature import Cosigner, cosign, cosignatures
from exchange.tlog.note import sign_note, verify_note, with_lines

_NO_TIME = 0


def sign_checkpoint(checkpoint: Checkpoint, keys: LogKeys) -> str:
    """Return the signed note of a checkpoint.

    Raises:
        BadInput: not a checkpoint that `open_checkpoint` would accept.
    """
    note = sign_note(checkpoint_text(checkpoint), checkpoint.origin, keys.ed25519)
    return with_lines(note, [cosign(checkpoint, checkpoint.origin, keys.mldsa, _NO_TIME)])


def open_checkpoint(note: str, origin: str, keys: LogPublicKeys) -> Checkpoint:
    """Return the checkpoint in a note that the log `origin` has signed with both its keys.

    Raises:
        BadProof: a signature is missing or does not hold, or the note is of another log or no checkpoint.
    """
    checkpoint = read_checkpoint(verify_note(note, origin, keys.ed25519), origin)
    if not cosignatures(note, checkpoint, (Cosigner(origin, keys.mldsa),)):
        raise BadProof("the log's ML-DSA-44 signature is missing")
    return checkpoint
