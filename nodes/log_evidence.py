"""A file that shows what the relay signed and cannot have meant: two histories, a broken promise, a word after an end.

Armoured JSON with the genesis, what leads from there to the witnesses (nodes/witness_anchor.py) and to the relay's keys
(nodes/shown_keys.py), so that it convinces whoever knows the genesis hash, without any node. It holds hashes and
signatures only: who is given it learns nothing of any report. Pure.

Two checkpoints contradict each other when they state different roots for one size; or when the larger one's tree is
proven to have had another root at the smaller one's size. Where the relay refuses every proof there is none: then the
file says what was seen, and that it proves nothing yet. A witness whose cosignature holds below both of two that
contradict each other has vouched for two histories: that is proof against this witness, whoever else lied.
What a key signed that the council had ended: nodes/after_end.py. Keys that were stolen may sign anything: where the
council has said so, the checks say it too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.directory.fold import Directory
from exchange.directory.seats import with_seats
from exchange.directory.statements import Witnesses
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
from nodes.after_end import AfterEnd, check_after_end, plain_after_end, read_after_end
from nodes.evidence_check import Check, Result
from nodes.shown_keys import ShownKeys, ShownSet, plain_entries, read_entries, shown_keys, suspect
from nodes.witness_anchor import FIELDS, Anchor, plain_anchor, read_anchor

KIND = "LOG EVIDENCE"
VERSION = 3
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


Claim = Fork | Unkept | AfterEnd


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """What a file holds."""

    exchange: ExchangeName
    made_by: PartyId
    made_ms: int
    anchor: Anchor
    relay_keys: tuple[bytes, ...]
    """Entries by which the council named other keys of the relay than the genesis."""
    claim: Claim


def write_log_evidence(evidence: LogEvidence) -> str:
    """Return the file."""
    claim = evidence.claim
    fork = unkept = after_end = None
    if isinstance(claim, Fork):
        fork = {
            "log": claim.log,
            "first": claim.first,
            "second": claim.second,
            "root": claim.root.hex(),
            "path": [step.hex() for step in claim.path],
        }
    elif isinstance(claim, AfterEnd):
        after_end = plain_after_end(claim)
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
        "relay_keys": plain_entries(evidence.relay_keys),
        "fork": fork,
        "unkept": unkept,
        "after_end": after_end,
    }
    return write_armour(KIND, write_json(plain))


def read_log_evidence(text: str) -> LogEvidence:
    """Return what a file holds; nothing of it is verified.

    Raises:
        BadInput: it is no such file, or was changed by hand.
    """
    _, data = read_armour(text, {KIND})
    found = read_json(data, limit=EVIDENCE_BYTES, what="log evidence").fields(
        "version", "exchange", "made_by", "made_ms", *FIELDS, "relay_keys", "fork", "unkept", "after_end"
    )
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    claims: list[Claim | None] = [
        found["fork"].maybe(_read_fork),
        found["unkept"].maybe(_read_unkept),
        found["after_end"].maybe(read_after_end),
    ]
    made = [each for each in claims if each is not None]
    if len(made) != 1:
        raise found["fork"].wrong("the file makes one claim")
    return LogEvidence(
        exchange=exchange_name(found["exchange"].text()),
        made_by=party_id(found["made_by"].text()),
        made_ms=found["made_ms"].number(),
        anchor=read_anchor(found),
        relay_keys=read_entries(found["relay_keys"]),
        claim=made[0],
    )


def check_log_evidence(evidence: LogEvidence) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    try:
        directory = evidence.anchor.directory(evidence.exchange)
    except (BadInput, VerificationFailed) as error:
        return [Check("genesis", Result.FAILS, str(error))]
    anchor = Check("genesis", Result.NOT_CHECKED, f"compare its hash with the council: {directory.genesis_hash.hex()}")
    try:
        seats = evidence.anchor.seats if evidence.relay_keys else ()
        keys = shown_keys(with_seats(directory, seats), evidence.relay_keys)
        return [*_claim(evidence, directory, keys), *keys.checks(), anchor]
    except (BadInput, VerificationFailed) as error:
        return [Check("evidence", Result.FAILS, str(error)), anchor]


def _claim(evidence: LogEvidence, directory: Directory, keys: ShownKeys) -> list[Check]:
    match evidence.claim:
        case Fork() as fork:
            return _fork(fork, evidence, directory, keys)
        case Unkept() as unkept:
            return _unkept(unkept, evidence.exchange, keys)
        case AfterEnd() as after_end:
            return check_after_end(after_end, evidence.exchange, evidence.relay_keys, keys)


def contradiction(fork: Fork, exchange: str, keys: ShownKeys) -> bool:
    """Say whether the two checkpoints are proven to contradict each other; False when that stays open.

    Raises:
        BadProof: a note is not signed by the relay, or the proof does not hold.
    """
    (first, _), (second, _) = _opened(fork, exchange, keys)
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


def _opened(
    fork: Fork, exchange: str, keys: ShownKeys
) -> tuple[tuple[Checkpoint, ShownSet], tuple[Checkpoint, ShownSet]]:
    origin = directory_origin(exchange) if fork.log == "directory" else traffic_origin(exchange)
    return keys.opened(fork.first, origin), keys.opened(fork.second, origin)


def vouched_for_both(fork: Fork, witnesses: Witnesses, exchange: ExchangeName, keys: ShownKeys) -> tuple[PartyId, ...]:
    """Return the witnesses whose cosignatures hold below both notes; proof against each where these contradict.

    Raises:
        BadProof: a note is not signed by the relay.
    """
    opened = _opened(fork, exchange, keys)
    first, second = (
        cosigned_by(note, checkpoint, witnesses, exchange)
        for note, (checkpoint, _) in zip((fork.first, fork.second), opened, strict=True)
    )
    return tuple(sorted(first & second))


def _fork(fork: Fork, evidence: LogEvidence, directory: Directory, keys: ShownKeys) -> list[Check]:
    exchange = evidence.exchange
    (first, by), (second, then) = _opened(fork, exchange, keys)
    signed = Check(
        "checkpoints",
        Result.HOLDS,
        f"the relay signed the {fork.log} log of {first.size:,} entries, root {first.root.hex()[:16]}, and of"
        f" {second.size:,} entries, root {second.root.hex()[:16]}",
    )
    if not contradiction(fork, exchange, keys):
        return [signed, Check("history", Result.NOT_CHECKED, "the relay gave no proof that one continues the other")]
    history = Check("history", Result.WRONG, f"the two have different first {first.size:,} entries")
    # A checkpoint carries no time: whether a thief made it is for people to judge.
    stolen = [found for each in (by, then) for found in suspect(each, each.stolen_since_ms, "whoever made it")][:1]
    return [signed, history, *_witnesses(fork, evidence, directory, keys), *stolen]


def _witnesses(fork: Fork, evidence: LogEvidence, directory: Directory, relay: ShownKeys) -> Iterator[Check]:
    try:
        named = evidence.anchor.witnesses(directory)
    except VerificationFailed as error:
        yield Check("witnesses", Result.FAILS, str(error))
        return
    keys = {member.party: member.key.key_id.hex()[:16] for member in named.members}
    for party in vouched_for_both(fork, named, evidence.exchange, relay):
        yield Check(f"witness {party}", Result.LIED, f"its key {keys[party]} cosigned both")


def check_together(files: Sequence[LogEvidence]) -> list[Check]:
    """Return the witnesses that vouched for both sides of a proven fork, each side by another of these files.

    Who was shown one history has its witnesses' lines, and nobody those of the other: two partners who put their files
    together have both. A file that does not hold adds nothing.
    """
    signers: dict[tuple[bytes, Checkpoint], set[PartyId]] = {}
    proven: list[tuple[bytes, Checkpoint, Checkpoint]] = []
    for each in files:
        if not isinstance(each.claim, Fork):
            continue
        try:
            directory = each.anchor.directory(each.exchange)
            seats = each.anchor.seats if each.relay_keys else ()
            keys = shown_keys(with_seats(directory, seats), each.relay_keys)
            named, genesis = each.anchor.witnesses(directory), directory.genesis_hash
            (first, _), (second, _) = _opened(each.claim, each.exchange, keys)
            if contradiction(each.claim, each.exchange, keys):
                proven.append((genesis, first, second))
        except (BadInput, VerificationFailed):
            continue
        for note, checkpoint in ((each.claim.first, first), (each.claim.second, second)):
            found = cosigned_by(note, checkpoint, named, each.exchange)
            signers.setdefault((genesis, checkpoint), set()).update(found)
    liars = {party for genesis, first, second in proven for party in signers[genesis, first] & signers[genesis, second]}
    detail = "by these files together its key cosigned both"
    return [Check(f"witness {party}", Result.LIED, detail) for party in sorted(liars)]


def _unkept(claim: Unkept, exchange: ExchangeName, keys: ShownKeys) -> list[Check]:
    by = keys.promised_by(claim.promise)
    promise = open_promise(claim.promise, by.keys.promise, exchange)
    checkpoint, _ = keys.opened(claim.note, traffic_origin(exchange))
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
    wrong = Check("log", Result.WRONG, f"another entry stands there: {claim.entry.hex()[:32]}")
    return [signed, wrong, *suspect(by, promise.received_ms, "whoever promised it")]


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
