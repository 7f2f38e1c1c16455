"""Sealed files, and a partner's side of handing them to the relay and taking them back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256

from exchange.crypto.random import random_bytes
from exchange.envelope.blob import BlobSealing, new_blob_id
from exchange.envelope.model import BlobKey, BlobRef
from exchange.limits import BLOB_FRAME_BYTES
from exchange.v1 import blob_service_pb2 as pb
from tests.support.relay_world import CALL_S, Partner


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file and its blob."""

    plain: bytes
    data: bytes
    ref: BlobRef
    key: BlobKey


def a_file(size: int, *, name: str = "map.pdf", blob_id: bytes | None = None) -> SealedFile:
    """Return a file of random bytes, sealed."""
    plain, key, blob_id = random_bytes(size), random_bytes(32), blob_id or new_blob_id()
    sealing = BlobSealing(blob_id, key)
    data = b"".join([sealing.start, sealing.add(plain), *sealing.end()])
    opens = BlobKey(blob_id, key, size, sha256(plain).digest(), name, "application/pdf")
    return SealedFile(plain, data, sealing.ref, opens)


def named(ref: BlobRef) -> pb.UploadBlobRequest:
    """Return the request that names a blob."""
    return pb.UploadBlobRequest(blob_id=ref.blob_id, sha256=ref.sha256, size=ref.size)


async def upload(
    partner: Partner, ref: BlobRef, data: bytes, *, until: int | None = None, frame: int = BLOB_FRAME_BYTES
) -> list[tuple[int, bool]]:
    """Upload a blob from where the relay is on, or only up to an offset; return its answers."""
    held: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def requests() -> AsyncIterator[pb.UploadBlobRequest]:
        yield named(ref)
        end = len(data) if until is None else until
        for at in range(await held, end, frame):
            yield pb.UploadBlobRequest(data=data[at : min(at + frame, end)])

    answers: list[tuple[int, bool]] = []
    async for answer in partner.blobs.UploadBlob(requests(), timeout=CALL_S):
        answers.append((answer.held, answer.complete))
        if not held.done():
            held.set_result(answer.held)
    return answers


async def fetch(partner: Partner, sender: str, blob_id: bytes, *, start: int = 0) -> bytes:
    """Fetch a blob from an offset on."""
    request = pb.FetchBlobRequest(sender=sender, blob_id=blob_id, start=start)
    return b"".join([part.data async for part in partner.blobs.FetchBlob(request, timeout=CALL_S)])


async def acknowledge(partner: Partner, sender: str, blob_id: bytes) -> None:
    """Say that a blob is held durably."""
    await partner.blobs.AcknowledgeBlob(pb.AcknowledgeBlobRequest(sender=sender, blob_id=blob_id), timeout=CALL_S)
