"""Open a delivery, as the recipient does before it decides (crypto.md 1.6; docs/spec/envelope.md, recipient's checks).

1. The delivery is within its limit; delivery, header, core and leaf parse strictly; the relay's promise is for it.
2. Exactly one signature over the header, by the sender's envelope key, valid at the promise's directory size and time.
3. The exchange is ours, the suite is spoken, label and leaf belong to the kind, the times make sense.
4. The leaf is for me, and for a prekey that I hold.
5. The wrap has its hash and length; the proof has exactly eight steps and leads to the header's root.
6. The body has the hash and size that the header names.
7. The content key unwraps; commitment, chunks and padding of the body hold.
8. The statement inside holds (exchange/envelope/statement.py): its signature, its exchange, its originator against the
   sender, the label against the relay label, grants and attachments against the header, and approvals of it.

Steps 9 (decide), 10 (directory head against my copy) and 11 (sequence, repetition) are the node's: nodes/receiver.py.
Pure: directory and keys are arguments. Returns everything opened, or raises BadEnvelope with the step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from exchange.approvals.model import Approved
from exchange.crypto.chunked import decrypt
from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.padme import unframe
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verify_signed
from exchange.crypto.xwing import WRAP_BYTES, XWingKey, unwrap
from exchange.envelope import binding, rules
from exchange.envelope.codec import decode_body, decode_core, decode_delivery, decode_header, decode_leaf
from exchange.envelope.model import (
    ENVELOPE_TYPE,
    Body,
    Delivery,
    EnvelopeCore,
    RecipientLeaf,
    ReportStatement,
    SealedHeader,
)
from exchange.envelope.rules import Step
from exchange.envelope.statement import Signing, open_statement
from exchange.errors import BadEnvelope, BadProof, MalformedInput
from exchange.limits import SLOTS
from exchange.merkle import leaf_hash, root_from_path
from exchange.names import ExchangeName, PartyId
from exchange.policy.model import Label


class KeyAt(Protocol):
    """A lookup in the directory as it was when the relay accepted the envelope."""

    def __call__(self, party: PartyId, key_id: bytes, /, *, at_size: int, at_ms: int) -> PublicKey | None:
        """Return the party's key of this id if it was valid at that directory size and time, else None."""
        ...


@dataclass(frozen=True, slots=True)
class PromiseFacts:
    """What the relay's promise says: under which directory the envelope was accepted, and when."""

    directory_size: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class OpenChecks:
    """What the recipient knows."""

    exchange: ExchangeName
    me: PartyId
    verify_promise: Callable[[Signed, bytes], PromiseFacts]
    """Verifies a promise with the relay's promise key and that it names this envelope hash; raises if it does not."""
    envelope_key: KeyAt
    statement_key: KeyAt
    report_keys: Callable[[Signing, PromiseFacts], KeyLookup]
    """Gives which keys may have signed a report; of what is passed on that depends on the grants that came along."""
    xwing_key: Callable[[bytes], XWingKey | None] = field(repr=False)
    """Gives the prekey of a key id, if this node holds it still."""
    seen: VerifiedRoots | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A delivery that passed steps 1 to 8; whether it may be shown is not yet decided."""

    core: EnvelopeCore
    header: SealedHeader
    header_signed: Signed
    """Its payload are the SealedHeader bytes, evidence together with `promise`."""
    envelope_hash: bytes
    leaf: RecipientLeaf
    leaf_bytes: bytes
    leaf_index: int
    path: tuple[bytes, ...]
    """From the leaf to the header's root."""
    promise: Signed
    promise_facts: PromiseFacts
    body: Body
    """Its grants have the hashes that the header names and are NOT verified; step 9 does that."""
    statement: Signed = field(repr=False)
    """The originator's own signature: evidence that travels onward."""
    item_hash: bytes
    payload: bytes = field(repr=False)
    report: ReportStatement | None
    """None in a control envelope: `statement.payload_type` says what `payload` is."""
    label: Label | None
    label_bytes: bytes = field(repr=False)
    approvals: tuple[Approved, ...] = ()
    """By different operators of the originator, for this very statement."""


def open_envelope(data: bytes, *, context: OpenChecks) -> Opened:
    """Return the delivery of these bytes when steps 1 to 8 hold.

    Raises:
        BadEnvelope: with the number of the first step that does not hold.
    """
    with Step(1):
        delivery = decode_delivery(data)
        header_bytes = delivery.header.payload
        header = decode_header(header_bytes)
        core = decode_core(header.core)
        leaf = decode_leaf(delivery.leaf)
        envelope_hash = binding.envelope_hash(header_bytes)
        promised = context.verify_promise(delivery.promise, envelope_hash)
    with Step(2):
        _check_signature(delivery.header, core, promised, context)
    with Step(3):
        rules.check_suite(core, header, context.exchange)
        rules.check_kind(core)
        rules.check_times(core)
        rules.check_leaf(core, leaf)
    prekey = _my_prekey(leaf, context)  # step 4
    with Step(5):
        _check_place(delivery, leaf, header)
    with Step(6):
        if len(delivery.body) != header.body_size or sha256(delivery.body).digest() != header.body_sha256:
            raise MalformedInput("the body is not the one that the header names")
        rules.check_body_size(core, len(delivery.body))
    with Step(7):
        body = _open_body(delivery, header, leaf, prekey)
    with Step(8):
        inner = open_statement(
            core,
            body,
            lambda party, key_id: context.statement_key(
                party, key_id, at_size=promised.directory_size, at_ms=promised.received_ms
            ),
            report_keys=lambda signing: context.report_keys(signing, promised),
            seen=context.seen,
        )
    return Opened(
        core=core,
        header=header,
        header_signed=delivery.header,
        envelope_hash=envelope_hash,
        leaf=leaf,
        leaf_bytes=delivery.leaf,
        leaf_index=delivery.leaf_index,
        path=tuple(delivery.proof),
        promise=delivery.promise,
        promise_facts=promised,
        body=body,
        statement=body.statement,
        item_hash=binding.item_hash(body.statement.payload),
        payload=body.statement.payload,
        report=inner.report,
        label=inner.label,
        label_bytes=inner.label_bytes,
        approvals=inner.approvals,
    )


def _check_signature(signed: Signed, core: EnvelopeCore, promised: PromiseFacts, context: OpenChecks) -> None:
    def lookup(key_id: bytes) -> PublicKey | None:
        if key_id != core.sender_key:
            return None
        key = context.envelope_key(core.sender, key_id, at_size=promised.directory_size, at_ms=promised.received_ms)
        return key if key is not None and key.algorithm is KeyAlgorithm.ED25519 else None

    # Under our own exchange's name, whatever the core claims: a header of an exercise does not verify here.
    verify_signed(signed, lookup, expected_type=ENVELOPE_TYPE, context=context.exchange, seen=context.seen)


def _my_prekey(leaf: RecipientLeaf, context: OpenChecks) -> XWingKey:
    if leaf.recipient != context.me:
        raise BadEnvelope(4, f"the leaf is for {leaf.recipient}")
    prekey = context.xwing_key(leaf.kem_key)
    if prekey is None or prekey.public.key_id != leaf.kem_key:
        raise BadEnvelope(4, f"no prekey {leaf.kem_key.hex()[:16]} is held here")
    return prekey


def _check_place(delivery: Delivery, leaf: RecipientLeaf, header: SealedHeader) -> None:
    if len(delivery.wrap) != WRAP_BYTES or sha256(delivery.wrap).digest() != leaf.wrap_sha256:
        raise MalformedInput("the wrap is not the one that the leaf names")
    # In a tree of 256 slots every proof has eight steps, whoever else is in it; another length does not pass here.
    root = root_from_path(leaf_hash(delivery.leaf), delivery.leaf_index, SLOTS, delivery.proof)
    if root != header.recipients_root:
        raise BadProof("the proof leads to another root than the header's")


def _open_body(delivery: Delivery, header: SealedHeader, leaf: RecipientLeaf, prekey: XWingKey) -> Body:
    core_hash = binding.core_hash(header.core)
    content_key = unwrap(delivery.wrap, prekey, binding.wrap_info(core_hash, leaf.kem_key, leaf.recipient))
    return decode_body(unframe(decrypt(content_key, delivery.body, binding.body_context(core_hash))))
