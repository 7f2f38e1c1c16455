"""A file that proves an entry of a log offline: its inclusion under a checkpoint, with all signatures on that.

Pure. C2SP tlog-proof: index, inclusion path and the checkpoint's note, as text; `extra` carries what the application
needs to know the entry. Nothing of `extra` is authenticated by the file. Whoever checks one knows the log's keys and,
if it is to show when, the witnesses' (C2SP tlog-policy, `write_policy`).
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from exchange.crypto.logkeys import LogPublicKeys
from exchange.errors import BadInput, BadProof
from exchange.limits import KIB, MIB
from exchange.merkle import HASH_BYTES, PATH_MAX
from exchange.tlog.cosignature import Cosigner
from exchange.tlog.note import NOTE_BYTES, strict_base64, verifier_key

HEADER = "c2sp.org/tlog-proof@v1"
EXTRA_BYTES = 2 * MIB
"""Of the decoded extra data: a genesis, a council that changed its roots and a set of witnesses fit in."""

PROOF_CHARS = EXTRA_BYTES * 4 // 3 + NOTE_BYTES + 16 * KIB
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class LogProof:
    """What a file says; nothing of it is verified."""

    index: int
    path: tuple[bytes, ...]
    """Inclusion path, lowest first."""
    note: str = field(repr=False)
    """The checkpoint with its signature lines."""
    extra: bytes = field(default=b"", repr=False)


def write_proof(proof: LogProof) -> str:
    """Return the file; BadInput when it would not be read again."""
    lines = [HEADER]
    if proof.extra:
        lines.append(f"extra {base64.b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines += [base64.b64encode(step).decode() for step in proof.path]
    text = "\n".join(lines) + "\n\n" + proof.note
    try:
        same = read_proof(text) == proof
    except BadProof as error:
        raise BadInput(f"no proof that could be read: {error}") from error
    if not same:
        raise BadInput("no proof that could be read")
    return text


def read_proof(text: str) -> LogProof:
    """Return what a file says.

    Raises:
        BadProof: it is no such file.
    """
    if len(text) > PROOF_CHARS:
        raise BadProof("the proof is too long")
    head, gap, note = text.partition("\n\n")
    if not gap or len(note) > NOTE_BYTES:
        raise BadProof("the proof has no checkpoint, or one that is too long")
    header, *lines = head.split("\n")
    if header != HEADER:
        raise BadProof("not a log proof")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = strict_base64(lines.pop(0).removeprefix("extra "), "the extra data")
        if not 1 <= len(extra) <= EXTRA_BYTES:
            raise BadProof("the extra data is empty or too long")
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if index is None or len(lines) - 1 > PATH_MAX:
        raise BadProof("the proof names no index, or has too many steps")
    path = tuple(strict_base64(line, "a step of the proof") for line in lines[1:])
    if any(len(step) != HASH_BYTES for step in path):
        raise BadProof("a step of the proof is no hash")
    return LogProof(int(index[1]), path, note, extra)


def write_policy(origin: str, logs: Sequence[LogPublicKeys], witnesses: Sequence[Cosigner], quorum: int) -> str:
    """Return the C2SP tlog-policy by which proofs of this log are checked: its keys, the witnesses and their quorum.

    `logs` are all pairs of keys that the log has had. Both keys of one pair MUST have signed.
    """
    lines = ["# Both keys of a pair must have signed: Ed25519 and, in the line below it, ML-DSA-44."]
    lines += [f"log {verifier_key(origin, key)}" for log in logs for key in (log.ed25519, log.mldsa)]
    names = [each.name.rpartition("/")[2] for each in witnesses]
    lines += [
        f"witness {name} {verifier_key(each.name, each.key)}" for name, each in zip(names, witnesses, strict=True)
    ]
    if names:
        lines += [f"group witnesses {quorum} {' '.join(names)}", "quorum witnesses"]
    else:
        lines.append("quorum none")
    return "\n".join(lines) + "\n"
