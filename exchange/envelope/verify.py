"""Verify a submission, as the relay does before it decides (crypto.md 1.5; docs/spec/envelope.md, relay's checks).

 1. The submission is within its limit.
 2. Submission, header and core parse strictly; their values are known ones.
 3. The exchange is ours, the suite is spoken, the label belongs to the kind.
 4. The sender is the peer that the channel proved.
 5. The sender's envelope key is valid in the directory now.
 6. Exactly one signature, by that key, over the header.
 7. The clock window, an expiry that lies ahead, and a directory head of no more entries than there are.
 8. The body has the hash and size that the header names.
 9. Every leaf parses strictly, slots ascend, each wrap has its hash and length, no recipient twice, a basis by kind.
10. Every leaf's key is that recipient's published prekey of the day. An unknown recipient is refused in the same words.
11. Leaves and dummies give the root in the header. Looked at before step 10 is, so that all but the recipients holds
    when that fails, and the relay can do for an unknown recipient whatever it does for one that is not cleared.

Steps 12 (decide for each recipient) and 13 (attachments are present) are the relay's: exchange/relay/submit.py.
Pure: time, directory and peer are arguments. Returns everything verified, or raises BadEnvelope with the step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.signed import Signed, VerifiedRoots, verify_signed
from exchange.crypto.xwing import WRAP_BYTES
from exchange.envelope import binding, rules
from exchange.envelope.codec import decode_core, decode_header, decode_leaf, decode_submission
from exchange.envelope.model import (
    ENVELOPE_TYPE,
    EnvelopeCore,
    RecipientLeaf,
    SealedHeader,
    Submission,
    SubmittedLeaf,
)
from exchange.envelope.rules import Step
from exchange.errors import BadEnvelope, BadProof, BadSignature, MalformedInput, TooLarge
from exchange.limits import CLOCK_AHEAD_MS, CLOCK_BEHIND_MS, SLOTS, SUBMISSION_BYTES
from exchange.merkle import leaf_hash
from exchange.names import ExchangeName, PartyId


@dataclass(frozen=True, slots=True)
class RelayChecks:
    """What the relay knows when a submission arrives."""

    exchange: ExchangeName
    peer: PartyId
    now_ms: int
    envelope_key: Callable[[PartyId, bytes], PublicKey | None]
    """Gives a party's envelope key by its id, if it is valid in the directory now."""
    directory_size: int
    """Entries of the directory that this is judged under; a promise then never says less than the header."""
    prekey_ids: Callable[[PartyId, int], bytes | None]
    """Gives the key id of a party's published prekey for a time in ms; None also for a party that does not exist."""
    seen: VerifiedRoots | None = None


@dataclass(frozen=True, slots=True)
class VerifiedLeaf:
    """One recipient's slot: `data` are the RecipientLeaf bytes that travel on, `leaf` what they say."""

    index: int
    data: bytes
    leaf: RecipientLeaf
    wrap: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """A submission that passed steps 1 to 11; it is not yet decided who of the recipients may get it."""

    core: EnvelopeCore
    header: SealedHeader
    header_signed: Signed
    envelope_hash: bytes
    leaves: tuple[VerifiedLeaf, ...]
    proofs: tuple[tuple[bytes, ...], ...]
    """Inclusion proof of each leaf, in the order of `leaves`."""
    body: bytes = field(repr=False)


class Undeliverable(BadEnvelope):
    """Step 10 alone does not hold: `verified` is what holds of the submission, and nobody may get it."""

    def __init__(self, detail: str, verified: Verified) -> None:
        super().__init__(10, detail)
        self.verified = verified


def verify_submission(data: bytes, *, context: RelayChecks) -> Verified:
    """Return the submission of these bytes when steps 1 to 11 hold.

    Raises:
        BadEnvelope: with the number of the first step that does not hold; Undeliverable when it is step 10.
    """
    with Step(1):
        if len(data) > SUBMISSION_BYTES:
            raise TooLarge(f"a submission has {len(data)} bytes; the limit is {SUBMISSION_BYTES}")
    with Step(2):
        submission = decode_submission(data)
        header = decode_header(submission.header.payload)
        core = decode_core(header.core)
    with Step(3):
        rules.check_suite(core, header, context.exchange)
        rules.check_kind(core)
    if core.sender != context.peer:
        raise BadEnvelope(4, f"the header names {core.sender} as the sender, the channel {context.peer}")
    _check_signature(submission.header, core, context)  # steps 5 and 6
    with Step(7):
        _check_clock(core, context.now_ms)
        if core.directory.size > context.directory_size:
            raise MalformedInput(f"its sender names {core.directory.size} entries of the directory: there are fewer")
    with Step(8):
        if len(submission.body) != header.body_size or sha256(submission.body).digest() != header.body_sha256:
            raise MalformedInput("the body is not the one that the header names")
        rules.check_body_size(core, len(submission.body))
    with Step(9):
        leaves = _read_leaves(submission, core)
    with Step(11):
        tree = binding.slot_tree({leaf.index: leaf_hash(leaf.data) for leaf in leaves}, submission.dummy_seed)
        if tree.root != header.recipients_root:
            raise BadProof("leaves and dummies give another root than the header's")
    verified = Verified(
        core=core,
        header=header,
        header_signed=submission.header,
        envelope_hash=binding.envelope_hash(submission.header.payload),
        leaves=leaves,
        proofs=tuple(tree.path(leaf.index) for leaf in leaves),
        body=submission.body,
    )
    strangers = [
        leaf.index for leaf in leaves if context.prekey_ids(leaf.leaf.recipient, core.created_ms) != leaf.leaf.kem_key
    ]
    if strangers:
        raise Undeliverable(
            f"slot {strangers[0]}: the key is not the recipient's published prekey of the day", verified
        )
    return verified


def _check_signature(signed: Signed, core: EnvelopeCore, context: RelayChecks) -> None:
    with Step(5):
        key = context.envelope_key(core.sender, core.sender_key)
        if key is None or key.algorithm is not KeyAlgorithm.ED25519:
            raise BadSignature(f"{core.sender} has no envelope key {core.sender_key.hex()[:16]} now")
    with Step(6):
        verify_signed(
            signed,
            lambda key_id: key if key_id == core.sender_key else None,
            expected_type=ENVELOPE_TYPE,
            context=context.exchange,
            seen=context.seen,
        )


def _check_clock(core: EnvelopeCore, now_ms: int) -> None:
    rules.check_times(core)
    if not now_ms - CLOCK_BEHIND_MS <= core.created_ms <= now_ms + CLOCK_AHEAD_MS:
        raise MalformedInput(f"created {core.created_ms - now_ms} ms from now; the clocks differ, or it is too old")
    if core.expires_ms <= now_ms:
        raise MalformedInput("the envelope has expired")


def _read_leaves(submission: Submission, core: EnvelopeCore) -> tuple[VerifiedLeaf, ...]:
    before = -1
    for submitted in submission.leaves:
        if not before < submitted.index < SLOTS:
            raise MalformedInput(f"slot {submitted.index} after {before}; slots ascend and end at {SLOTS - 1}")
        before = submitted.index
    leaves = tuple(_read_leaf(submitted, core) for submitted in submission.leaves)
    if len({leaf.leaf.recipient for leaf in leaves}) != len(leaves):
        raise MalformedInput("a recipient stands in the envelope twice")
    return leaves


def _read_leaf(submitted: SubmittedLeaf, core: EnvelopeCore) -> VerifiedLeaf:
    leaf = decode_leaf(submitted.leaf)
    rules.check_leaf(core, leaf)
    if len(submitted.wrap) != WRAP_BYTES or sha256(submitted.wrap).digest() != leaf.wrap_sha256:
        raise MalformedInput(f"slot {submitted.index}: the wrap is not the one that the leaf names")
    return VerifiedLeaf(submitted.index, submitted.leaf, leaf, submitted.wrap)
