"""What every reader of a header checks, and what a sender therefore keeps to.

Sender, relay and recipient call the same functions, so that nobody seals what another refuses. Each raises
MalformedInput (or TooLarge) in words for the operator; verify.py and open.py add the number of their step.
Specification: docs/spec/envelope.md, "Rules".
"""

from dataclasses import dataclass
from types import TracebackType

from exchange.crypto.chunked import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES
from exchange.crypto.signed import payload_type
from exchange.envelope.blob import BLOB_BYTES, BLOBS_BYTES, blob_size
from exchange.envelope.model import (
    CONTROL_LABEL,
    CONTROL_TYPES,
    REPORT_TYPE,
    SUITE,
    Body,
    EnvelopeCore,
    EnvelopeKind,
    RecipientLeaf,
    SealedHeader,
)
from exchange.errors import BadEnvelope, BadInput, MalformedInput, TooLarge, VerificationFailed
from exchange.limits import CONTROL_BODY_BYTES, ENVELOPE_LIFE_MS, SLOTS

CONTROL_CIPHERTEXT_BYTES = CONTROL_BODY_BYTES + HEADER_BYTES + TAG_BYTES * (CONTROL_BODY_BYTES // CHUNK_BYTES + 1)
"""What a padded body of CONTROL_BODY_BYTES is encrypted to."""

BLOB_LEAST = blob_size(0)
"""The smallest blob of an attachment."""

_ALLOWED_TYPES = {
    EnvelopeKind.REPORT: frozenset({payload_type(REPORT_TYPE)}),
    EnvelopeKind.CONTROL: frozenset(payload_type(name) for name in CONTROL_TYPES),
}


@dataclass(frozen=True, slots=True)
class Step:
    """Turns whatever fails inside into BadEnvelope with the number of the check: `with Step(5): ...`."""

    number: int

    def __enter__(self) -> None:
        """Begin the check."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Say which check it was that failed."""
        if isinstance(error, BadInput | VerificationFailed):
            raise BadEnvelope(self.number, str(error)) from error


def check_suite(core: EnvelopeCore, header: SealedHeader, exchange: str) -> None:
    """Refuse another exchange, another suite, or another number of slots."""
    if core.exchange != exchange:
        raise MalformedInput(f"the envelope is for the exchange {core.exchange}")
    if core.suite != SUITE:
        raise MalformedInput(f"suite {core.suite} is not spoken here")
    if header.slots != SLOTS:
        raise MalformedInput(f"the tree of recipients has {SLOTS} slots, not {header.slots}")


def check_kind(core: EnvelopeCore) -> None:
    """Refuse a header whose parts do not belong to its kind."""
    label = core.label
    if core.kind is EnvelopeKind.REPORT:
        if not label.categories or not label.purposes:
            raise MalformedInput("the label of a report has at least one category and one purpose")
        if not core.created_ms < label.expires_ms <= core.expires_ms:
            raise MalformedInput("the label of a report expires after its creation and not after its envelope")
        _check_blobs(core)
    elif label != CONTROL_LABEL or core.grants or core.blobs:
        raise MalformedInput("a control envelope has the fixed label, no grants and no attachments")


def _check_blobs(core: EnvelopeCore) -> None:
    if any(not BLOB_LEAST <= blob.size <= BLOB_BYTES for blob in core.blobs):
        raise TooLarge(f"the blob of an attachment has {BLOB_LEAST} to {BLOB_BYTES} bytes")
    if sum(blob.size for blob in core.blobs) > BLOBS_BYTES:
        raise TooLarge(f"the attachments have more than {BLOBS_BYTES} bytes together")


def check_times(core: EnvelopeCore) -> None:
    """Refuse an envelope that expires before it was made, or lives longer than the relay holds one."""
    if not core.created_ms < core.expires_ms <= core.created_ms + ENVELOPE_LIFE_MS:
        raise MalformedInput(f"an envelope lives at most {ENVELOPE_LIFE_MS} ms from its creation, and not less than 1")


def check_body_size(core: EnvelopeCore, size: int) -> None:
    """Refuse a body ciphertext that is too large for the envelope's kind."""
    if core.kind is EnvelopeKind.CONTROL and size > CONTROL_CIPHERTEXT_BYTES:
        raise TooLarge(f"the body of a control envelope has {size} bytes; the limit is {CONTROL_CIPHERTEXT_BYTES}")


def check_leaf(core: EnvelopeCore, leaf: RecipientLeaf) -> None:
    """Refuse a slot whose parts do not belong to the envelope's kind."""
    if core.kind is EnvelopeKind.REPORT:
        if leaf.basis is None:
            raise MalformedInput("every recipient of a report has the agreement that permits it")
    elif leaf.basis is not None or leaf.via or leaf.display_only:
        raise MalformedInput("a recipient of a control envelope has no agreement, community or restriction")


def check_body(core: EnvelopeCore, body: Body) -> None:
    """Refuse a body whose parts are not the ones that the header announces."""
    if body.statement.payload_type not in _ALLOWED_TYPES[core.kind]:
        raise MalformedInput(f"a {core.kind.name} envelope does not carry {body.statement.payload_type[:120]!r}")
    if tuple(key.blob_id for key in body.blobs) != tuple(blob.blob_id for blob in core.blobs):
        raise MalformedInput("the attachment keys are not those of the attachments in the header")
    if any(blob.size != blob_size(key.size) for key, blob in zip(body.blobs, core.blobs, strict=True)):
        raise MalformedInput("an attachment's blob has another size than its file gives")
    if core.kind is EnvelopeKind.CONTROL and (body.release or body.approvals):
        raise MalformedInput("a control envelope carries no release and no approvals")
