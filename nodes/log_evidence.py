"""A file that shows what the relay signed about its logs and cannot have meant: two histories, or a promise not kept.

Armoured JSON with the genesis and what leads from there to the witnesses (nodes/witness_anchor.py), so that it
convinces whoever knows the genesis hash, without any node. It holds hashes and signatures only: who is given it learns
nothing of any report. Pure.

Two checkpoints contradict each other when they state different roots for one size; or when the larger one's tree is
proven to have had another root at the smaller one's size. Where the relay refuses every proof there is none: then the
file says what was seen, and that it proves nothing yet. A witness whose cosignature holds below both of two that
contradict each other has vouched for two histories: that is proof against this witness, whoever else lied.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.directory.fold import Directory
from exchange.directory.statements import RelayKeys, Witnesses
from exchange.directory.witnesses import cosigned_by
from exchange.errors import BadInput, BadProof, VerificationFailed
from exchange.limits import KIB, MIB
from exchange.merkle import HASH_BYTES, PATH_MAX, leaf_hash, verify_consistency, verify_inclusion
from exchange.names import ExchangeName, PartyId, exchange_name, party_id
from exchange.policy.strict_json import Entry, Plain, read_json, write_json
from exchange.receipts.model import Promise
from exchange.receipts.verify import check_promise_in_log, open_promise
from exchange.runtime.armour import read_armour, write_armour
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.entry import ENTRY_BYTES
from exchange.tlog.note import NOTE_BYTES
from exchange.tlog.signing import open_checkpoint
from nodes.evidence_check import Check, Result
from nodes.witness_anchor import FIELDS, Anchor, plain_anchor, read_anchor

KIND = "LOG EVIDENCE"
VERSION = 2
EVIDENCE_BYTES = 2 * MIB
PROMISE_BYTES = 8 * KIB


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints of one log."""

    log: str
    """directory or traffic."""
    first: str
    """Note of the smaller one, or of one of two of the same size."""
    second: str
    root: bytes
    """What the larger one's tree had at the smaller one's size; empty when no proof was given, or none is needed."""
    path: tuple[bytes, ...]
    """Consistency proof from there to the larger one."""


@dataclass(frozen=True, slots=True)
class Unkept:
    """A promise, and the log that does not keep it."""

    promise: Signed
    note: str
    """A checkpoint of the traffic log that must hold the promised entry."""
    entry: bytes
    """What stands at the promised index; empty when the relay gave no proof."""
    path: tuple[bytes, ...]
    """Inclusion proof of that."""


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """What a file holds."""

    exchange: ExchangeName
    made_by: PartyId
    made_ms: int
    anchor: Anchor
    claim: Fork | Unkept


def write_log_evidence(evidence: LogEvidence) -> str:
    """Return the file."""
    claim = evidence.claim
    fork = unkept = None
    if isinstance(claim, Fork):
        fork = {
            "log": claim.log,
            "first": claim.first,
            "second": claim.second,
            "root": claim.root.hex(),
            "path": [step.hex() for step in claim.path],
        }
    else:
        unkept = {
            "promise": encode_signed(claim.promise).hex(),
            "note": claim.note,
            "entry": claim.entry.hex(),
            "path": [step.hex() for step in claim.path],
        }
    plain: Plain = {
        "version": VERSION,
        "exchange": evidence.exchange,
        "made_by": evidence.made_by,
        "made_ms": evidence.made_ms,
        **plain_anchor(evidence.anchor),
        "fork": fork,
        "unkept": unkept,
    }
    return write_armour(KIND, write_json(plain))


def read_log_evidence(text: str) -> LogEvidence:
    """Return what a file holds; nothing of it is verified.

    Raises:
        BadInput: it is no such file, or was changed by hand.
    """
    _, data = read_armour(text, {KIND})
    found = read_json(data, limit=EVIDENCE_BYTES, what="log evidence").fields(
        "version", "exchange", "made_by", "made_ms", *FIELDS, "fork", "unkept"
    )
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    fork, unkept = found["fork"].maybe(_read_fork), found["unkept"].maybe(_read_unkept)
    claim = fork or unkept
    if claim is None or (fork and unkept):
        raise found["fork"].wrong("the file makes one claim")
    return LogEvidence(
        exchange=exchange_name(found["exchange"].text()),
        made_by=party_id(found["made_by"].text()),
        made_ms=found["made_ms"].number(),
        anchor=read_anchor(found),
        claim=claim,
    )


def check_log_evidence(evidence: LogEvidence) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    try:
        directory = evidence.anchor.directory(evidence.exchange)
    except (BadInput, VerificationFailed) as error:
        return [Check("genesis", Result.FAILS, str(error))]
    anchor = Check("genesis", Result.NOT_CHECKED, f"compare its hash with the council: {directory.genesis_hash.hex()}")
    try:
        keys = directory.relay_keys
        if isinstance(evidence.claim, Fork):
            return [*_fork(evidence.claim, evidence, directory), anchor]
        return [*_unkept(evidence.claim, evidence.exchange, keys), anchor]
    except (BadInput, VerificationFailed) as error:
        return [Check("evidence", Result.FAILS, str(error)), anchor]


def contradiction(fork: Fork, exchange: str, keys: RelayKeys) -> bool:
    """Say whether the two checkpoints are proven to contradict each other; False when that stays open.

    Raises:
        BadProof: a note is not signed by the relay, or the proof does not hold.
    """
    first, second = _opened(fork, exchange, keys)
    if first.size == second.size:
        if first.root == second.root:
            raise BadProof("the two checkpoints are the same")
        return True
    if first.size > second.size:
        raise BadProof("the larger checkpoint stands first")
    if not fork.root:
        return False
    verify_consistency(first.size, second.size, fork.root, second.root, fork.path)
    if fork.root == first.root:
        raise BadProof("the second checkpoint continues the first")
    return True


def _opened(fork: Fork, exchange: str, keys: RelayKeys) -> tuple[Checkpoint, Checkpoint]:
    origin = directory_origin(exchange) if fork.log == "directory" else traffic_origin(exchange)
    return open_checkpoint(fork.first, origin, keys.log), open_checkpoint(fork.second, origin, keys.log)


def vouched_for_both(fork: Fork, witnesses: Witnesses, exchange: ExchangeName, keys: RelayKeys) -> tuple[PartyId, ...]:
    """Return the witnesses whose cosignatures hold below both notes; proof against each where these contradict.

    Raises:
        BadProof: a note is not signed by the relay.
    """
    checkpoints = _opened(fork, exchange, keys)
    first, second = (
        cosigned_by(note, checkpoint, witnesses, exchange)
        for note, checkpoint in zip((fork.first, fork.second), checkpoints, strict=True)
    )
    return tuple(sorted(first & second))


def _fork(fork: Fork, evidence: LogEvidence, directory: Directory) -> list[Check]:
    exchange, keys = evidence.exchange, directory.relay_keys
    first, second = _opened(fork, exchange, keys)
    signed = Check(
        "checkpoints",
        Result.HOLDS,
        f"the relay signed the {fork.log} log of {first.size:,} entries, root {first.root.hex()[:16]}, and of"
        f" {second.size:,} entries, root {second.root.hex()[:16]}",
    )
    if not contradiction(fork, exchange, keys):
        return [signed, Check("history", Result.NOT_CHECKED, "the relay gave no proof that one continues the other")]
    history = Check("history", Result.WRONG, f"the two have different first {first.size:,} entries")
    return [signed, history, *_witnesses(fork, evidence, directory)]


def _witnesses(fork: Fork, evidence: LogEvidence, directory: Directory) -> Iterator[Check]:
    try:
        named = evidence.anchor.witnesses(directory)
    except VerificationFailed as error:
        yield Check("witnesses", Result.FAILS, str(error))
        return
    keys = {member.party: member.key.key_id.hex()[:16] for member in named.members}
    for party in vouched_for_both(fork, named, evidence.exchange, directory.relay_keys):
        yield Check(f"witness {party}", Result.LIED, f"its key {keys[party]} cosigned both")


def _unkept(claim: Unkept, exchange: ExchangeName, keys: RelayKeys) -> list[Check]:
    promise = open_promise(claim.promise, keys.promise, exchange)
    checkpoint = open_checkpoint(claim.note, traffic_origin(exchange), keys.log)
    said = f"the relay promised envelope {promise.envelope_hash.hex()[:16]} at index {promise.log_index:,}"
    signed = Check("promise", Result.HOLDS, f"{said} of the traffic log")
    if promise.log_index >= checkpoint.size:
        short = f"the log has {checkpoint.size:,} entries: whether a minute had passed, the file cannot show"
        return [signed, Check("log", Result.NOT_CHECKED, short)]
    if not claim.entry:
        return [signed, Check("log", Result.NOT_CHECKED, "the relay gave no proof of what stands there")]
    leaf = leaf_hash(claim.entry)
    verify_inclusion(leaf, promise.log_index, checkpoint.size, claim.path, checkpoint.root)
    if _kept(promise, claim, checkpoint):
        return [signed, Check("log", Result.FAILS, "the promised entry stands there: the promise is kept")]
    return [signed, Check("log", Result.WRONG, f"another entry stands there: {claim.entry.hex()[:32]}")]


def _kept(promise: Promise, claim: Unkept, checkpoint: Checkpoint) -> bool:
    try:
        check_promise_in_log(promise, claim.entry, claim.path, size=checkpoint.size, root=checkpoint.root)
    except (BadInput, VerificationFailed):
        return False
    return True


def _read_fork(entry: Entry) -> Fork:
    found = entry.fields("log", "first", "second", "root", "path")
    log = found["log"].text()
    if log not in ("directory", "traffic"):
        raise found["log"].wrong("directory or traffic")
    return Fork(
        log,
        _note(found["first"]),
        _note(found["second"]),
        _hash_or_none(found["root"]),
        _path(found["path"]),
    )


def _read_unkept(entry: Entry) -> Unkept:
    found = entry.fields("promise", "note", "entry", "path")
    stands = found["entry"].data()
    if stands and len(stands) != ENTRY_BYTES:
        raise found["entry"].wrong(f"an entry has {ENTRY_BYTES} bytes")
    promise = decode_signed(found["promise"].data(), limit=PROMISE_BYTES, what="the promise")
    return Unkept(promise, _note(found["note"]), stands, _path(found["path"]))


def _note(entry: Entry) -> str:
    text = entry.text()
    if len(text) > NOTE_BYTES:
        raise entry.wrong("the note is too long")
    return text


def _hash_or_none(entry: Entry) -> bytes:
    found = entry.data()
    if len(found) not in (0, HASH_BYTES):
        raise entry.wrong(f"a root hash has {HASH_BYTES} bytes")
    return found


def _path(entry: Entry) -> tuple[bytes, ...]:
    return tuple(step.data(HASH_BYTES) for step in entry.items(most=PATH_MAX))
