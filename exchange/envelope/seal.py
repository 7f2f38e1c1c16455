"""Seal a signed statement for its recipients (crypto.md 1.2).

1. Build the core, serialise it once; its hash binds every ciphertext.
2. Frame, pad and encrypt the body under a random content key.
3. Wrap the content key to each recipient's prekey of the day.
4. Put the leaves into random slots of 256, dummies into the rest; the root goes into the header.
5. Sign the header with the envelope key, many headers at once where there are many.

Seals nothing that verify.py or open.py would refuse for its form. Each call draws new randomness: sealing again makes
another envelope, so what was sealed is stored before it is sent (PROTOCOL 3).
Specification: docs/spec/envelope.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.crypto.chunked import encrypt
from exchange.crypto.keys import PublicKey
from exchange.crypto.padme import frame
from exchange.crypto.random import random_bytes, random_places
from exchange.crypto.signed import Signed, sign_batch
from exchange.crypto.signing import Ed25519Key
from exchange.crypto.xwing import WrapAll, wrap_each
from exchange.envelope import binding, rules
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import (
    SEED_BYTES,
    decode_core,
    encode_body,
    encode_core,
    encode_header,
    encode_leaf,
    encode_submission,
)
from exchange.envelope.model import (
    ENVELOPE_TYPE,
    SUITE,
    BlobRef,
    Body,
    EnvelopeCore,
    EnvelopeKind,
    Head,
    Lane,
    RecipientLeaf,
    SealedHeader,
    Submission,
    SubmittedLeaf,
)
from exchange.errors import MalformedInput, TooLarge
from exchange.limits import RECIPIENTS, SLOTS, SUBMISSION_BYTES
from exchange.merkle import leaf_hash
from exchange.names import ID_BYTES, ExchangeName, PartyId
from exchange.policy.agreement import AgreementRef
from exchange.policy.model import RelayLabel

__all__ = ("Prepared", "Recipient", "Sealed", "envelope_hash", "finish", "prepare", "seal", "seal_all")

_CONTENT_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a slot is for; `kem` is the prekey of the day, `pair_seq` the next number of (recipient, stream, lane)."""

    party: PartyId
    kem: PublicKey
    stream: int
    pair_seq: int
    basis: AgreementRef | None = None
    via: str = ""
    display_only: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """An envelope that lacks only the signature over `header_bytes`."""

    core: EnvelopeCore
    header_bytes: bytes
    envelope_hash: bytes
    leaves: tuple[SubmittedLeaf, ...] = field(repr=False)
    parties: tuple[PartyId, ...]
    """Recipients in the order of `leaves`."""
    dummy_seed: bytes = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the sender stores, and then sends until it is promised or refused."""

    submission_bytes: bytes = field(repr=False)
    envelope_hash: bytes
    slots: tuple[tuple[int, PartyId], ...]
    """Which recipient stands in which slot, ascending: what the relay's decision record is read with."""
    header: Signed
    """Evidence, together with the relay's promise."""


def seal(
    key: Ed25519Key,
    *,
    exchange: ExchangeName,
    sender: PartyId,
    created_ms: int,
    expires_ms: int,
    lane: Lane,
    kind: EnvelopeKind,
    label: RelayLabel,
    directory: Head,
    body: Body,
    recipients: Sequence[Recipient],
    blobs: Sequence[BlobRef] = (),
) -> Sealed:
    """Return one envelope, ready to submit; `key` is the sender's envelope key. Raises as `prepare` does."""
    prepared = prepare(
        exchange=exchange,
        sender=sender,
        sender_key=key.public.key_id,
        created_ms=created_ms,
        expires_ms=expires_ms,
        lane=lane,
        kind=kind,
        label=label,
        directory=directory,
        body=body,
        recipients=recipients,
        blobs=blobs,
    )
    return seal_all((prepared,), key)[0]


def prepare(
    *,
    exchange: ExchangeName,
    sender: PartyId,
    sender_key: bytes,
    created_ms: int,
    expires_ms: int,
    lane: Lane,
    kind: EnvelopeKind,
    label: RelayLabel,
    directory: Head,
    body: Body,
    recipients: Sequence[Recipient],
    blobs: Sequence[BlobRef] = (),
    wrap_all: WrapAll = wrap_each,
) -> Prepared:
    """Return an envelope without its signature (steps 1 to 4); `label` is CONTROL_LABEL in a control envelope.

    `wrap_all` may spread step 3 over several cores.

    Raises:
        BadInput: no envelope that a relay or recipient would accept can be made of this.
    """
    core = EnvelopeCore(
        suite=SUITE,
        exchange=exchange,
        envelope_id=random_bytes(ID_BYTES),
        sender=sender,
        sender_key=sender_key,
        created_ms=created_ms,
        expires_ms=expires_ms,
        lane=lane,
        kind=kind,
        label=label,
        grants=tuple(sha256(grant.payload).digest() for grant in body.grants),
        directory=directory,
        blobs=tuple(blobs),
    )
    core_bytes = _checked_core_bytes(core, body)
    core_hash = binding.core_hash(core_bytes)
    content_key = random_bytes(_CONTENT_KEY_BYTES)
    sealed_body = encrypt(content_key, frame(encode_body(body)), binding.body_context(core_hash))
    rules.check_body_size(core, len(sealed_body))
    leaves, parties = _seal_leaves(core, core_hash, content_key, recipients, wrap_all)
    seed = random_bytes(SEED_BYTES)
    tree = binding.slot_tree({leaf.index: leaf_hash(leaf.leaf) for leaf in leaves}, seed)
    header = SealedHeader(core_bytes, sha256(sealed_body).digest(), len(sealed_body), tree.root, SLOTS)
    header_bytes = encode_header(header)
    return Prepared(core, header_bytes, envelope_hash(header_bytes), leaves, parties, seed, sealed_body)


def finish(prepared: Prepared, signed_header: Signed) -> Submission:
    """Return the submission of a prepared envelope whose header was signed elsewhere, in a batch perhaps.

    Raises:
        MalformedInput: not this header, or not signed by the one key that the core names.
    """
    if signed_header.payload != prepared.header_bytes:
        raise MalformedInput("the signature is over another header")
    if [signature.key_id for signature in signed_header.signatures] != [prepared.core.sender_key]:
        raise MalformedInput("a header carries one signature, by the sender's envelope key")
    return Submission(signed_header, prepared.leaves, prepared.dummy_seed, prepared.body)


def seal_all(prepared: Sequence[Prepared], key: Ed25519Key) -> list[Sealed]:
    """Return 1 to 1,024 envelopes of one exchange, ready to submit, for the price of one signature (step 5).

    Raises:
        BadInput: too many or none, of several exchanges, for another key, or one is over the limit of a submission.
    """
    exchanges = {each.core.exchange for each in prepared}
    if len(exchanges) != 1:
        raise MalformedInput("a batch is of one exchange, and not empty")
    statements = [(ENVELOPE_TYPE, each.header_bytes) for each in prepared]
    signed = sign_batch(key, statements, context=exchanges.pop())
    return [_sealed(each, header) for each, header in zip(prepared, signed, strict=True)]


def _sealed(prepared: Prepared, signed_header: Signed) -> Sealed:
    submission = encode_submission(finish(prepared, signed_header))
    if len(submission) > SUBMISSION_BYTES:
        raise TooLarge(f"a submission has {len(submission)} bytes; the limit is {SUBMISSION_BYTES}")
    slots = tuple((leaf.index, party) for leaf, party in zip(prepared.leaves, prepared.parties, strict=True))
    return Sealed(submission, prepared.envelope_hash, slots, signed_header)


def _checked_core_bytes(core: EnvelopeCore, body: Body) -> bytes:
    core_bytes = encode_core(core)
    # What is read back is what others will read: a value that has no canonical form stops here.
    if decode_core(core_bytes) != core:
        raise MalformedInput("the core does not read back as it was written")
    rules.check_kind(core)
    rules.check_times(core)
    rules.check_body(core, body)
    return core_bytes


def _seal_leaves(
    core: EnvelopeCore, core_hash: bytes, content_key: bytes, recipients: Sequence[Recipient], wrap_all: WrapAll
) -> tuple[tuple[SubmittedLeaf, ...], tuple[PartyId, ...]]:
    """Return the leaves by ascending slot, and the party of each."""
    if not 1 <= len(recipients) <= RECIPIENTS:
        raise MalformedInput(f"an envelope has 1 to {RECIPIENTS} recipients, not {len(recipients)}")
    if len({recipient.party for recipient in recipients}) != len(recipients):
        raise MalformedInput("a recipient stands in an envelope once")
    placed = sorted(zip(random_places(len(recipients)), recipients, strict=True), key=lambda pair: pair[0])
    wanted = [(each.kem.raw, binding.wrap_info(core_hash, each.kem.key_id, each.party)) for _, each in placed]
    # One draw for all: to ask the operating system costs more than what it gives.
    salts = random_bytes(ID_BYTES * len(placed))
    leaves = tuple(
        _leaf(core, index, recipient, wrapped, salt=salts[ID_BYTES * number : ID_BYTES * (number + 1)])
        for number, ((index, recipient), wrapped) in enumerate(zip(placed, wrap_all(content_key, wanted), strict=True))
    )
    return leaves, tuple(recipient.party for _, recipient in placed)


def _leaf(core: EnvelopeCore, index: int, recipient: Recipient, wrapped: bytes, *, salt: bytes) -> SubmittedLeaf:
    leaf = RecipientLeaf(
        salt=salt,
        recipient=recipient.party,
        kem_key=recipient.kem.key_id,
        wrap_sha256=sha256(wrapped).digest(),
        stream=recipient.stream,
        pair_seq=recipient.pair_seq,
        basis=recipient.basis,
        via=recipient.via,
        display_only=recipient.display_only,
    )
    rules.check_leaf(core, leaf)
    return SubmittedLeaf(index, encode_leaf(leaf), wrapped)
