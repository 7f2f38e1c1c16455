"""Evidence that a key of the relay was used after the council had ended it: by the relay, or by a thief. Pure.

What was signed names a directory, by its size: a promise or a refusal as a number, a checkpoint as its own. The entry
that named the next keys is proven to stand in that directory, below a checkpoint of it that the relay signed.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed, payload_type
from exchange.errors import BadProof
from exchange.limits import KIB
from exchange.merkle import PATH_MAX, leaf_hash, verify_inclusion
from exchange.names import HASH_BYTES, ExchangeName
from exchange.policy.strict_json import Entry, Plain
from exchange.receipts.verify import REFUSAL, open_promise, open_refusal
from exchange.tlog.checkpoint import Checkpoint, directory_origin
from exchange.tlog.note import NOTE_BYTES
from nodes.evidence_check import Check, Result
from nodes.shown_keys import ShownKeys, ShownSet, shown_at

ANSWER_BYTES = 8 * KIB


@dataclass(frozen=True, slots=True)
class AfterEnd:
    """Something that the relay signed with keys which the council had ended in the directory that it names."""

    signed: Signed | None
    """A promise or refusal; None when it is the note itself."""
    index: int
    """Where the entry stands that named the next keys."""
    path: tuple[bytes, ...]
    """Inclusion proof of it under the note."""
    note: str
    """A checkpoint of the directory."""


def plain_after_end(claim: AfterEnd) -> Plain:
    """Return it as plain data."""
    return {
        "signed": None if claim.signed is None else encode_signed(claim.signed).hex(),
        "index": claim.index,
        "path": [step.hex() for step in claim.path],
        "note": claim.note,
    }


def read_after_end(entry: Entry) -> AfterEnd:
    """Return what plain_after_end wrote; nothing of it is verified."""
    found = entry.fields("signed", "index", "path", "note")
    signed = found["signed"].maybe(lambda each: decode_signed(each.data(), limit=ANSWER_BYTES, what="the answer"))
    note = found["note"].text()
    if len(note) > NOTE_BYTES:
        raise found["note"].wrong("the note is too long")
    path = tuple(step.data(HASH_BYTES) for step in found["path"].items(most=PATH_MAX))
    return AfterEnd(signed, found["index"].number(), path, note)


def check_after_end(claim: AfterEnd, exchange: ExchangeName, entries: Sequence[bytes], keys: ShownKeys) -> list[Check]:
    """Return every check; `entries` are those that name keys of the relay.

    Raises:
        VerificationFailed, BadInput: it does not hold.
    """
    checkpoint, noted_by = keys.opened(claim.note, directory_origin(exchange))
    ended_at = shown_at(keys, _proven_entry(claim, entries, checkpoint))
    if claim.signed is None:
        used, size, what = noted_by, checkpoint.size, "a checkpoint of the directory"
    else:
        used = keys.promised_by(claim.signed)
        size, what = _named(claim.signed, used, exchange)
    where = f"entry {claim.index:,} of the directory named other keys"
    signed = Check("key", Result.HOLDS, f"{where}, and a key before them signed {what} of {size:,} entries")
    if keys.sets.index(used) >= ended_at or size <= claim.index:
        return [Check("key", Result.FAILS, f"{where}; what was signed is signed with keys in force there")]
    after = Check("end", Result.WRONG, "it is signed with a key that the council had ended: by the relay, or a thief")
    return [signed, after]


def _proven_entry(claim: AfterEnd, entries: Sequence[bytes], checkpoint: Checkpoint) -> bytes:
    for entry in entries:
        with suppress(BadProof):
            verify_inclusion(leaf_hash(entry), claim.index, checkpoint.size, claim.path, checkpoint.root)
            return entry
    raise BadProof(f"no entry of the file is proven to stand at {claim.index:,} of the directory")


def _named(signed: Signed, used: ShownSet, exchange: ExchangeName) -> tuple[int, str]:
    if signed.payload_type == payload_type(REFUSAL):
        return open_refusal(signed, used.keys.promise, exchange).directory_size, "a refusal under a directory"
    return open_promise(signed, used.keys.promise, exchange).directory_size, "a promise under a directory"
