"""Files of reports as values: sealed for a report to come, and what opens those of a report that is here.

A sealed file is named on this disk by who uploads it, its id and its report: nobody else's choice of an id meets it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Connection

from exchange.envelope.model import Attachment, BlobKey, BlobRef
from exchange.names import ID_BYTES
from nodes import vault
from nodes.store import blobs
from nodes.store.blobs import BlobState, KeptBlob, Way

_FILE = b"concord/v1/node/blob\x00"


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that is sealed and waits for its report to be pushed."""

    attachment: Attachment
    ref: BlobRef
    file: bytes
    key: bytes = field(repr=False)


def file_of(sender: str, blob_id: bytes, item: bytes) -> bytes:
    """Return the name on this disk of a file that came with an item."""
    return sha256(b"".join((_FILE, sender.encode(), b"\x00", blob_id, item))).digest()[:ID_BYTES]


def kept_outgoing(
    attached: Sequence[Attached], item: bytes, report_key: bytes, *, me: str, lane: int, now_ms: int
) -> list[KeptBlob]:
    """Return files sealed here, in the order of the report's attachments, as they are stored with it."""
    return [
        KeptBlob(
            file=each.file,
            item=item,
            place=place,
            way=Way.OUT,
            sender=me,
            blob_id=each.ref.blob_id,
            sha256=each.ref.sha256,
            size=each.ref.size,
            state=BlobState.HERE,
            lane=lane,
            added_ms=now_ms,
            sealed_key=vault.seal_blob_key(report_key, item, each.ref.blob_id, each.key),
            done=each.ref.size,
        )
        for place, each in enumerate(attached)
    ]


def kept_incoming(
    refs: Sequence[BlobRef],
    keys: Sequence[BlobKey],
    item: bytes,
    report_key: bytes,
    *,
    sender: str,
    lane: int,
    now_ms: int,
) -> list[KeptBlob]:
    """Return the files of an envelope that came, as they are stored before any of them is fetched."""
    return [
        KeptBlob(
            file=file_of(sender, ref.blob_id, item),
            item=item,
            place=place,
            way=Way.IN,
            sender=sender,
            blob_id=ref.blob_id,
            sha256=ref.sha256,
            size=ref.size,
            state=BlobState.WAITING,
            lane=lane,
            added_ms=now_ms,
            sealed_key=vault.seal_blob_key(report_key, item, key.blob_id, key.key),
        )
        for place, (ref, key) in enumerate(zip(refs, keys, strict=True))
    ]


def files_to_seal(
    connection: Connection, item: bytes, report_key: bytes, opened: vault.Opened
) -> list[tuple[BlobRef, BlobKey]] | None:
    """Return a report's files as they are sealed for the relay; None while it does not have all of them."""
    attachments = opened.statement.attachments
    kept = blobs.of_item(connection, item, Way.OUT) if attachments else []
    if len(kept) != len(attachments) or any(each.state is not BlobState.KEPT for each in kept):
        return None
    return [(ref_of(each), key_of(each, attachments[each.place], report_key)) for each in kept]


def ref_of(kept: KeptBlob) -> BlobRef:
    """Return what a header says of a file."""
    return BlobRef(kept.blob_id, kept.sha256, kept.size)


def key_of(kept: KeptBlob, attachment: Attachment, report_key: bytes) -> BlobKey:
    """Return what opens a file; VerificationFailed if its key is another report's or damaged."""
    return BlobKey(
        blob_id=kept.blob_id,
        key=vault.open_blob_key(report_key, kept.item, kept.blob_id, kept.sealed_key),
        size=attachment.size,
        plain_sha256=attachment.sha256,
        name=attachment.name,
        media_type=attachment.media_type,
    )
