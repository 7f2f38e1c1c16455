"""A file that proves that an envelope was logged, with everything that anyone needs to check it without a node. Pure.

C2SP tlog-proof (exchange/tlog/proof.py). Its extra data is JSON: exchange, envelope, the log's entry, what shows from
the genesis on who the witnesses are (nodes/witness_anchor.py), and which keys the relay has (nodes/shown_keys.py). It
holds hashes, keys and signatures, and nothing of any report. Whoever checks it knows the genesis hash; that nothing
later named other witnesses or keys is for a node to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from exchange.directory.fold import Directory
from exchange.directory.seats import with_seats
from exchange.directory.witnesses import cosigners
from exchange.errors import BadInput, BadProof, VerificationFailed
from exchange.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from exchange.names import ExchangeName, exchange_name
from exchange.policy.strict_json import Plain, read_json, write_json
from exchange.tlog.checkpoint import Checkpoint, traffic_origin
from exchange.tlog.cosignature import cosignatures
from exchange.tlog.entry import EntryKind, TrafficEntry, decode_entry
from exchange.tlog.proof import EXTRA_BYTES, LogProof, read_proof, write_proof
from nodes.evidence_check import Check, Result
from nodes.shown_keys import plain_entries, read_entries, shown_keys
from nodes.witness_anchor import FIELDS, Anchor, plain_anchor, read_anchor

VERSION = 3


@dataclass(frozen=True, slots=True)
class LoggedEnvelope:
    """What a file claims."""

    exchange: ExchangeName
    envelope: bytes
    entry: bytes
    """41 bytes, as they stand in the traffic log."""
    anchor: Anchor
    relay_keys: tuple[bytes, ...]
    """Entry that named the keys which signed the checkpoint; none when the genesis did."""
    proof: LogProof
    """Its extra data is what stands above."""


def write_logged(logged: LoggedEnvelope) -> str:
    """Return the file."""
    plain: Plain = {
        "version": VERSION,
        "exchange": logged.exchange,
        "envelope": logged.envelope.hex(),
        "entry": logged.entry.hex(),
        **plain_anchor(logged.anchor),
        "relay_keys": plain_entries(logged.relay_keys),
    }
    return write_proof(LogProof(logged.proof.index, logged.proof.path, logged.proof.note, write_json(plain)))


def read_logged(text: str) -> LoggedEnvelope:
    """Return what a file claims; nothing of it is verified.

    Raises:
        BadProof, BadInput: it is no such file.
    """
    proof = read_proof(text)
    found = read_json(proof.extra, limit=EXTRA_BYTES, what="the extra data of the proof").fields(
        "version", "exchange", "envelope", "entry", *FIELDS, "relay_keys"
    )
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    return LoggedEnvelope(
        exchange=exchange_name(found["exchange"].text()),
        envelope=found["envelope"].data(HASH_BYTES),
        entry=found["entry"].data(),
        anchor=read_anchor(found),
        relay_keys=read_entries(found["relay_keys"]),
        proof=proof,
    )


def check_logged(logged: LoggedEnvelope) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    try:
        return list(_checks(logged))
    except (BadInput, VerificationFailed) as error:
        return [Check("proof", Result.FAILS, str(error))]


def _checks(logged: LoggedEnvelope) -> Iterator[Check]:
    directory = logged.anchor.directory(logged.exchange)
    entry = decode_entry(logged.entry)
    if (entry.kind, entry.sha256) != (EntryKind.ENVELOPE, logged.envelope):
        raise BadProof("the entry logs something else than the envelope")
    keys = shown_keys(with_seats(directory, logged.anchor.seats if logged.relay_keys else ()), logged.relay_keys)
    checkpoint, _ = keys.opened(logged.proof.note, traffic_origin(logged.exchange))
    yield Check("checkpoint", Result.HOLDS, f"the relay signed the traffic log of {checkpoint.size:,} entries")
    leaf = leaf_hash(logged.entry)
    verify_inclusion(leaf, logged.proof.index, checkpoint.size, logged.proof.path, checkpoint.root)
    yield Check("inclusion", Result.HOLDS, _words(logged, entry))
    yield from _witnessed(logged, checkpoint, directory)
    yield from keys.checks()
    genesis_hash = directory.genesis_hash.hex()
    yield Check("genesis", Result.NOT_CHECKED, f"compare its hash with the council: {genesis_hash}")


def _words(logged: LoggedEnvelope, entry: TrafficEntry) -> str:
    when = datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"envelope {logged.envelope.hex()[:16]} is entry {logged.proof.index:,}; the relay says it came at {when}"


def _witnessed(logged: LoggedEnvelope, checkpoint: Checkpoint, directory: Directory) -> Iterator[Check]:
    try:
        witnesses = logged.anchor.witnesses(directory)
    except VerificationFailed as error:
        yield Check("witnesses", Result.FAILS, str(error))
        return
    if not witnesses.members:
        alone = "the file names none: when it was logged is the relay's word alone"
        yield Check("witnesses", Result.NOT_CHECKED, alone)
        return
    found = cosignatures(logged.proof.note, checkpoint, cosigners(logged.exchange, witnesses))
    times = sorted(each.at_s for each in found if each.at_s > 0)
    count = f"{len(times)} of {len(witnesses.members)} witnesses cosigned it; {witnesses.quorum} must"
    if len(times) < witnesses.quorum:
        yield Check("witnesses", Result.NOT_CHECKED, count)
    else:
        # Enough of them, one after the other: the quorum stood when the last that it needs had signed.
        at = datetime.fromtimestamp(times[witnesses.quorum - 1], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        yield Check("witnesses", Result.HOLDS, f"{count}: it was logged by {at}")
    newer = "that no later statement named other witnesses: compare with a node, concord log witness"
    yield Check("witness set", Result.NOT_CHECKED, newer)
