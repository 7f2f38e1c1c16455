"""Cosignatures: a witness says that a checkpoint continues all that it has seen of a log, and when.

Pure. C2SP tlog-cosignature with ML-DSA-44 keys (signature type 0x06): a line below the checkpoint's note. What is
signed names witness, time, log, size and root hash, so that a line belongs to one checkpoint only.
Times are in seconds; 0 says nothing of when: so the log itself signs (exchange/tlog/signing.py).
That the checkpoint does continue what the witness saw, and that no larger one was seen, is the caller's duty.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.signing import MLDSA44_SIGNATURE_BYTES, Mldsa44Key, sign_raw_mldsa44, verify_raw_mldsa44
from exchange.errors import BadInput, BadProof, BadSignature
from exchange.tlog.checkpoint import Checkpoint, checkpoint_text
from exchange.tlog.note import SignatureLine, read_line, read_note, write_line

TIME_MAX_S = (1 << 63) - 1
COSIGNATURE_BYTES = 8 + MLDSA44_SIGNATURE_BYTES

_LABEL = b"subtree/v1\n\x00"
_TIME = struct.Struct(">Q")
_RANGE = struct.Struct(">QQ")
_START = 0
"""First leaf of what is signed: checkpoints are of whole trees."""


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness as others know it."""

    name: str
    key: PublicKey
    """ML-DSA-44."""


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that holds."""

    name: str
    at_s: int
    """By the witness's clock; 0 when it says nothing of when."""


def cosign(checkpoint: Checkpoint, name: str, key: Mldsa44Key, at_s: int) -> str:
    """Return the signature line, with its newline, of the witness `name`.

    Raises:
        BadInput: not a checkpoint, or a name or time that no cosignature can have.
    """
    checkpoint_text(checkpoint)
    signature = sign_raw_mldsa44(key, _cosigned_message(checkpoint, name, at_s))
    return write_line(name, key.public, _TIME.pack(at_s) + signature)


def check_cosignature(line: str, checkpoint: Checkpoint, cosigner: Cosigner) -> Cosignature:
    """Return what a line says that this witness signed for this checkpoint.

    Raises:
        BadProof: it is by somebody else, for another checkpoint, or no such line.
    """
    found = read_line(line)
    if not _is_by(found, cosigner):
        raise BadProof(f"the line is not by {cosigner.name[:80]!r}")
    return _checked(found, checkpoint, cosigner)


def cosignatures(note: str, checkpoint: Checkpoint, cosigners: Iterable[Cosigner]) -> tuple[Cosignature, ...]:
    """Return the cosignatures of these witnesses below a note whose text is this checkpoint, one a witness.

    Raises:
        BadProof: the text is another, a line by one of them does not hold, or one of them signed twice.
    """
    text, lines = read_note(note)
    if text != checkpoint_text(checkpoint):
        raise BadProof("the note is of another checkpoint")
    found = []
    for cosigner in cosigners:
        own = [line for line in lines if _is_by(line, cosigner)]
        if len(own) > 1:
            raise BadProof(f"{cosigner.name[:80]!r} cosigned twice")
        found += [_checked(line, checkpoint, cosigner) for line in own]
    return tuple(found)


def _checked(line: SignatureLine, checkpoint: Checkpoint, cosigner: Cosigner) -> Cosignature:
    if len(line.value) != COSIGNATURE_BYTES:
        raise BadProof(f"a cosignature has {COSIGNATURE_BYTES} bytes, not {len(line.value)}")
    (at_s,) = _TIME.unpack(line.value[:8])
    try:
        message = _cosigned_message(checkpoint, cosigner.name, at_s)
        verify_raw_mldsa44(cosigner.key, line.value[8:], message)
    except (BadInput, BadSignature) as error:
        raise BadProof(f"the cosignature of {cosigner.name[:80]!r} does not hold: {error}") from error
    return Cosignature(cosigner.name, at_s)


def _is_by(line: SignatureLine, cosigner: Cosigner) -> bool:
    # A key of another algorithm never stands for a witness, whatever its key hash would be.
    return cosigner.key.algorithm is KeyAlgorithm.MLDSA_44 and line.by(cosigner.name, cosigner.key)


def _cosigned_message(checkpoint: Checkpoint, name: str, at_s: int) -> bytes:
    """Return the `cosigned_message` structure of the specification."""
    if not 0 <= at_s <= TIME_MAX_S:
        raise BadInput(f"no cosignature has the time {at_s}")
    return b"".join(
        (
            _LABEL,
            _short(name.encode()),
            _TIME.pack(at_s),
            _short(checkpoint.origin.encode()),
            _RANGE.pack(_START, checkpoint.size),
            checkpoint.root,
        )
    )


def _short(value: bytes) -> bytes:
    if not 1 <= len(value) <= 255:
        raise BadInput("a name in a cosignature has 1 to 255 bytes")
    return bytes((len(value),)) + value
