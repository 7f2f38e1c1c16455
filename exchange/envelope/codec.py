"""Envelopes as bytes (protos/exchange/v1/envelope.proto), strictly: one encoding for each value, all others refused.

Decoding checks the shape: lengths, counts, vocabularies, identifiers. It verifies nothing: what a decoded value claims
holds only after verify.py or open.py accepted it. Every decoder raises BadInput (TooLarge, MalformedInput, BadName) and
nothing else, whatever it is given. Encoders check nothing.
Specification: docs/spec/envelope.md, "Messages".
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import TypeVar

from google.protobuf.message import DecodeError

from exchange.approvals.codec import proof_from_proto, proof_to_proto
from exchange.approvals.model import APPROVALS
from exchange.crypto.codec import signed_from_proto, signed_to_proto
from exchange.envelope.attachments import check_attachments, file_name, media_type
from exchange.envelope.model import (
    REPORT_KINDS,
    REPORT_MEDIA_TYPE,
    Attachment,
    BlobKey,
    BlobRef,
    Body,
    Delivery,
    EnvelopeCore,
    EnvelopeKind,
    Head,
    Lane,
    RecipientLeaf,
    ReportStatement,
    SealedHeader,
    Submission,
    SubmittedLeaf,
)
from exchange.errors import MalformedInput, TooLarge
from exchange.limits import (
    ATTACHMENTS,
    DELIVERY_BYTES,
    KIB,
    LABEL_BYTES,
    RECIPIENTS,
    RELEASE_BYTES,
    REPORT_BYTES,
    SUBMISSION_BYTES,
)
from exchange.names import HASH_BYTES, ID_BYTES, exchange_name, party_id
from exchange.policy.agreement import AgreementRef
from exchange.policy.model import Category, Purpose, RelayFlag, RelayLabel, Tlp
from exchange.v1 import envelope_pb2 as pb
from exchange.wire import field_of_bytes, field_of_number, serialise, strict_parse

CORE_BYTES = 16 * KIB
HEADER_BYTES = CORE_BYTES + KIB
LEAF_BYTES = KIB
STATEMENT_PAYLOAD_BYTES = REPORT_BYTES + LABEL_BYTES + 33 * KIB
"""Of a report: content, label, its list of attachments and the small fields."""

GRANTS = 64
"""Consent grants of one envelope."""

POLICY_LENGTH = 64
VIA_LENGTH = 128
SEED_BYTES = 32
KEY_BYTES = 32
NUMBER_MAX = (1 << 63) - 1
"""Of times, sizes and sequence numbers: what every store can hold."""

_FLAGS = sum(RelayFlag)

E = TypeVar("E", bound=IntEnum)


# -- header ------------------------------------------------------------------------------------------------------------


def encode_core(core: EnvelopeCore) -> bytes:
    """Return the bytes that the sender makes once and everybody else carries."""
    return serialise(
        pb.EnvelopeCore(
            suite=core.suite,
            exchange=core.exchange,
            envelope_id=core.envelope_id,
            sender=core.sender,
            sender_key=core.sender_key,
            created_ms=core.created_ms,
            expires_ms=core.expires_ms,
            lane=pb.Lane.ValueType(core.lane),
            kind=pb.EnvelopeKind.ValueType(core.kind),
            label=_relay_label_to_proto(core.label),
            grants=core.grants,
            directory=pb.Head(size=core.directory.size, root=core.directory.root),
            blobs=[pb.BlobRef(blob_id=blob.blob_id, sha256=blob.sha256, size=blob.size) for blob in core.blobs],
        )
    )


def decode_core(data: bytes) -> EnvelopeCore:
    """Return the core; its suite may still be one that nobody speaks."""
    message = strict_parse(pb.EnvelopeCore, data, limit=CORE_BYTES, what="an envelope core")
    _count(len(message.grants), GRANTS, "grants")
    _count(len(message.blobs), ATTACHMENTS, "attachments")
    grants = tuple(_exact(grant, HASH_BYTES, "a grant's hash") for grant in message.grants)
    _distinct(grants, "grants")
    blobs = tuple(_blob_ref_from_proto(blob) for blob in message.blobs)
    _distinct([blob.blob_id for blob in blobs], "attachments")
    return EnvelopeCore(
        suite=message.suite,
        exchange=exchange_name(message.exchange),
        envelope_id=_exact(message.envelope_id, ID_BYTES, "envelope_id"),
        sender=party_id(message.sender),
        sender_key=_exact(message.sender_key, HASH_BYTES, "sender_key"),
        created_ms=_number(message.created_ms, 1, "created_ms"),
        expires_ms=_number(message.expires_ms, 1, "expires_ms"),
        lane=_known(Lane, message.lane, "lane"),
        kind=_known(EnvelopeKind, message.kind, "kind"),
        label=_relay_label_from_proto(message.label),
        grants=grants,
        directory=Head(
            _number(message.directory.size, 1, "directory.size"),
            _exact(message.directory.root, HASH_BYTES, "directory.root"),
        ),
        blobs=blobs,
    )


def encode_header(header: SealedHeader) -> bytes:
    """Return the bytes that the envelope key signs."""
    return serialise(
        pb.SealedHeader(
            core=header.core,
            body_sha256=header.body_sha256,
            body_size=header.body_size,
            recipients_root=header.recipients_root,
            slots=header.slots,
        )
    )


def decode_header(data: bytes) -> SealedHeader:
    """Return the header; its core is still bytes."""
    message = strict_parse(pb.SealedHeader, data, limit=HEADER_BYTES, what="an envelope header")
    return SealedHeader(
        core=message.core,
        body_sha256=_exact(message.body_sha256, HASH_BYTES, "body_sha256"),
        body_size=_number(message.body_size, 1, "body_size"),
        recipients_root=_exact(message.recipients_root, HASH_BYTES, "recipients_root"),
        slots=message.slots,
    )


def _relay_label_to_proto(label: RelayLabel) -> pb.RelayLabel:
    return pb.RelayLabel(
        tlp=label.tlp,
        policy=label.policy,
        categories=label.categories,
        purposes=label.purposes,
        flags=label.flags,
        expires_ms=label.expires_ms,
        label_sha256=label.label_sha256,
    )


def _relay_label_from_proto(message: pb.RelayLabel) -> RelayLabel:
    if message.flags & ~_FLAGS:
        raise MalformedInput(f"relay label: unknown flags {message.flags:#x}")
    _ascending(message.categories, "relay label: categories")
    _ascending(message.purposes, "relay label: purposes")
    return RelayLabel(
        tlp=_known(Tlp, message.tlp, "relay label: tlp"),
        policy=_text(message.policy, POLICY_LENGTH, "relay label: policy"),
        categories=tuple(_known(Category, number, "relay label: category") for number in message.categories),
        purposes=tuple(_known(Purpose, number, "relay label: purpose") for number in message.purposes),
        flags=message.flags,
        expires_ms=_number(message.expires_ms, 0, "relay label: expires_ms"),
        label_sha256=_exact(message.label_sha256, HASH_BYTES, "relay label: label_sha256"),
    )


def _blob_ref_from_proto(message: pb.BlobRef) -> BlobRef:
    return BlobRef(
        _exact(message.blob_id, ID_BYTES, "an attachment's id"),
        _exact(message.sha256, HASH_BYTES, "an attachment's hash"),
        _number(message.size, 1, "an attachment's size"),
    )


# -- leaves ------------------------------------------------------------------------------------------------------------


def encode_leaf(leaf: RecipientLeaf) -> bytes:
    """Return the bytes that are hashed into a slot."""
    return serialise(
        pb.RecipientLeaf(
            salt=leaf.salt,
            recipient=leaf.recipient,
            kem_key=leaf.kem_key,
            wrap_sha256=leaf.wrap_sha256,
            stream=leaf.stream,
            pair_seq=leaf.pair_seq,
            basis=None if leaf.basis is None else _basis_to_proto(leaf.basis),
            via=leaf.via,
            display_only=leaf.display_only,
        )
    )


def decode_leaf(data: bytes) -> RecipientLeaf:
    """Return a slot's content; a held release (`share_commitment`) is refused."""
    message = strict_parse(pb.RecipientLeaf, data, limit=LEAF_BYTES, what="a recipient leaf")
    if message.share_commitment:
        raise MalformedInput("a recipient leaf: held release is not spoken here")
    if len(message.via) > VIA_LENGTH or not message.via.isprintable():
        raise MalformedInput(f"a recipient leaf: via has at most {VIA_LENGTH} printable characters")
    return RecipientLeaf(
        salt=_exact(message.salt, ID_BYTES, "a leaf's salt"),
        recipient=party_id(message.recipient),
        kem_key=_exact(message.kem_key, HASH_BYTES, "kem_key"),
        wrap_sha256=_exact(message.wrap_sha256, HASH_BYTES, "wrap_sha256"),
        stream=_number(message.stream, 1, "stream"),
        pair_seq=_number(message.pair_seq, 1, "pair_seq"),
        basis=_basis_from_proto(message.basis) if message.HasField("basis") else None,
        via=message.via,
        display_only=message.display_only,
    )


def _basis_to_proto(basis: AgreementRef) -> pb.AgreementRef:
    return pb.AgreementRef(id=basis.id, version=basis.version, commitment=basis.commitment)


def _basis_from_proto(message: pb.AgreementRef) -> AgreementRef:
    return AgreementRef(
        _exact(message.id, ID_BYTES, "an agreement's id"),
        _number(message.version, 1, "an agreement's version"),
        _exact(message.commitment, HASH_BYTES, "an agreement's commitment"),
    )


# -- outer frames ------------------------------------------------------------------------------------------------------


def encode_submission(submission: Submission) -> bytes:
    """Return what travels to the relay."""
    return serialise(
        pb.Submission(
            header=signed_to_proto(submission.header),
            leaves=[pb.SubmittedLeaf(index=each.index, leaf=each.leaf, wrap=each.wrap) for each in submission.leaves],
            dummy_seed=submission.dummy_seed,
            body=submission.body,
        )
    )


def decode_submission(data: bytes) -> Submission:
    """Return a submission; header, leaves and body are still bytes."""
    message = strict_parse(pb.Submission, data, limit=SUBMISSION_BYTES, what="a submission")
    if not message.leaves:
        raise MalformedInput("a submission has at least one recipient")
    _count(len(message.leaves), RECIPIENTS, "recipients")
    return Submission(
        header=signed_from_proto(message.header, what="a submission's header"),
        leaves=tuple(SubmittedLeaf(each.index, each.leaf, each.wrap) for each in message.leaves),
        dummy_seed=_exact(message.dummy_seed, SEED_BYTES, "dummy_seed"),
        body=message.body,
    )


def lane_of(submission: bytes) -> Lane | None:
    """Return the lane that a submission names, None when it does not parse: for what to look at first, nothing else."""
    try:
        header = pb.SealedHeader.FromString(pb.Submission.FromString(submission).header.payload)
        return Lane(pb.EnvelopeCore.FromString(header.core).lane)
    except (DecodeError, ValueError):
        return None


def encode_delivery(delivery: Delivery) -> bytes:
    """Return what travels to one recipient."""
    return serialise(
        pb.Delivery(
            header=signed_to_proto(delivery.header),
            leaf=delivery.leaf,
            leaf_index=delivery.leaf_index,
            proof=delivery.proof,
            wrap=delivery.wrap,
            body=delivery.body,
            promise=signed_to_proto(delivery.promise),
        )
    )


def delivery_bytes(
    *, header: bytes, leaf: bytes, leaf_index: int, proof: Sequence[bytes], wrap: bytes, body: bytes, promise: bytes
) -> bytes:
    """Return the bytes of encode_delivery from stored parts; `header` and `promise` are encode_signed bytes.

    For the relay, which does it once a delivery: the parts were verified when they were stored and are not again, nor
    parsed.
    """
    parts = [*field_of_bytes(1, header)]
    if leaf:
        parts += field_of_bytes(2, leaf)
    if leaf_index:
        parts += field_of_number(3, leaf_index)
    for step in proof:
        parts += field_of_bytes(4, step)
    for number, data in ((5, wrap), (6, body)):
        if data:
            parts += field_of_bytes(number, data)
    return b"".join((*parts, *field_of_bytes(7, promise)))


def decode_delivery(data: bytes) -> Delivery:
    """Return a delivery; header, leaf and body are still bytes."""
    message = strict_parse(pb.Delivery, data, limit=DELIVERY_BYTES, what="a delivery")
    return Delivery(
        header=signed_from_proto(message.header, what="a delivery's header"),
        leaf=message.leaf,
        leaf_index=message.leaf_index,
        proof=tuple(message.proof),
        wrap=message.wrap,
        body=message.body,
        promise=signed_from_proto(message.promise, what="a delivery's promise"),
    )


# -- what only recipients read -----------------------------------------------------------------------------------------


def encode_body(body: Body) -> bytes:
    """Return the bytes that are framed, padded and encrypted."""
    return serialise(
        pb.Body(
            statement=signed_to_proto(body.statement),
            grants=[signed_to_proto(grant) for grant in body.grants],
            blobs=[
                pb.BlobKey(
                    blob_id=blob.blob_id,
                    key=blob.key,
                    size=blob.size,
                    plain_sha256=blob.plain_sha256,
                    name=blob.name,
                    media_type=blob.media_type,
                )
                for blob in body.blobs
            ],
            release=body.release,
            approvals=[proof_to_proto(proof) for proof in body.approvals],
        )
    )


def decode_body(data: bytes) -> Body:
    """Return a body; its statement, grants and approvals are not verified."""
    message = strict_parse(pb.Body, data, limit=SUBMISSION_BYTES, what="a body")
    _count(len(message.grants), GRANTS, "grants")
    _count(len(message.blobs), ATTACHMENTS, "attachments")
    _count(len(message.approvals), APPROVALS, "approvals")
    if len(message.release) > RELEASE_BYTES:
        raise TooLarge(f"a release has {len(message.release)} bytes; the limit is {RELEASE_BYTES}")
    return Body(
        statement=signed_from_proto(message.statement, what="a body's statement"),
        grants=tuple(signed_from_proto(grant, what="a consent grant") for grant in message.grants),
        blobs=tuple(_blob_key_from_proto(blob) for blob in message.blobs),
        release=message.release,
        approvals=tuple(proof_from_proto(proof) for proof in message.approvals),
    )


def _blob_key_from_proto(message: pb.BlobKey) -> BlobKey:
    return BlobKey(
        blob_id=_exact(message.blob_id, ID_BYTES, "an attachment's id"),
        key=_exact(message.key, KEY_BYTES, "an attachment's key"),
        size=_number(message.size, 0, "an attachment's size"),
        plain_sha256=_exact(message.plain_sha256, HASH_BYTES, "an attachment's plain hash"),
        name=file_name(message.name),
        media_type=media_type(message.media_type),
    )


def encode_report(report: ReportStatement) -> bytes:
    """Return the payload that the originator signs."""
    return serialise(
        pb.ReportStatement(
            exchange=report.exchange,
            originator=report.originator,
            label=report.label,
            kind=report.kind,
            media_type=report.media_type,
            content=report.content,
            thread_id=report.thread_id,
            supersedes=report.supersedes,
            authored_ms=report.authored_ms,
            salt=report.salt,
            attachments=[
                pb.Attachment(name=each.name, media_type=each.media_type, size=each.size, sha256=each.sha256)
                for each in report.attachments
            ],
        )
    )


def decode_report(data: bytes) -> ReportStatement:
    """Return a report statement; its label is still bytes, its content is not looked at."""
    message = strict_parse(pb.ReportStatement, data, limit=STATEMENT_PAYLOAD_BYTES, what="a report")
    if not message.content:
        raise MalformedInput("a report has content")
    if len(message.content) > REPORT_BYTES:
        raise TooLarge(f"a report has {len(message.content)} bytes of content; the limit is {REPORT_BYTES}")
    if message.kind not in REPORT_KINDS:
        raise MalformedInput(f"{message.kind[:80]!r} is not a kind of report")
    if message.media_type != REPORT_MEDIA_TYPE:
        raise MalformedInput(f"a report's media type is {REPORT_MEDIA_TYPE}, not {message.media_type[:80]!r}")
    return ReportStatement(
        exchange=exchange_name(message.exchange),
        originator=party_id(message.originator),
        label=message.label,
        kind=message.kind,
        media_type=message.media_type,
        content=message.content,
        thread_id=_exact(message.thread_id, ID_BYTES, "thread_id"),
        supersedes=_exact(message.supersedes, HASH_BYTES, "supersedes") if message.supersedes else b"",
        authored_ms=_number(message.authored_ms, 1, "authored_ms"),
        salt=_exact(message.salt, ID_BYTES, "a report's salt"),
        attachments=_attachments(message),
    )


def _attachments(message: pb.ReportStatement) -> tuple[Attachment, ...]:
    _count(len(message.attachments), ATTACHMENTS, "attachments")
    found = tuple(
        Attachment(
            name=file_name(each.name),
            media_type=media_type(each.media_type),
            size=_number(each.size, 0, "an attachment's size"),
            sha256=_exact(each.sha256, HASH_BYTES, "an attachment's hash"),
        )
        for each in message.attachments
    )
    check_attachments(found)
    return found


# -- shapes ------------------------------------------------------------------------------------------------------------


def _exact(value: bytes, length: int, what: str) -> bytes:
    if len(value) != length:
        raise MalformedInput(f"{what} has {len(value)} bytes, not {length}")
    return value


def _number(value: int, least: int, what: str) -> int:
    if not least <= value <= NUMBER_MAX:
        raise MalformedInput(f"{what} is {value}; it must be from {least} to {NUMBER_MAX}")
    return value


def _count(count: int, most: int, what: str) -> None:
    if count > most:
        raise TooLarge(f"{count} {what}; the limit is {most}")


def _known(kind: type[E], number: int, what: str) -> E:
    try:
        return kind(number)
    except ValueError as error:
        raise MalformedInput(f"{what}: {number} is not known") from error


def _text(value: str, most: int, what: str) -> str:
    if not 1 <= len(value) <= most or not value.isprintable():
        raise MalformedInput(f"{what} has 1 to {most} printable characters")
    return value


def _ascending(numbers: Sequence[int], what: str) -> None:
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise MalformedInput(f"{what} are not ascending")


def _distinct(values: Sequence[bytes], what: str) -> None:
    if len(set(values)) != len(values):
        raise MalformedInput(f"{what} repeat")
