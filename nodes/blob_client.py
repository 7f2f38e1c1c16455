"""Attachments at the relay over gRPC: the one place that speaks blob_service.proto. Nothing is verified here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from exchange.envelope.model import BlobRef
from exchange.errors import ExchangeError
from exchange.limits import BLOB_FRAME_BYTES
from exchange.names import PartyId
from exchange.v1 import blob_service_pb2 as pb
from exchange.v1.blob_service_pb2_grpc import BlobServiceStub

if TYPE_CHECKING:
    from exchange.v1.blob_service_pb2_grpc import BlobServiceAsyncStub

CALL_S = 30.0


class BlobClient:
    """The relay's attachments as nodes/relay_port.py wants them. For one event loop."""

    def __init__(
        self,
        channel: Callable[[], grpc.aio.Channel],
        failed: Callable[[grpc.RpcError, grpc.aio.Channel], ExchangeError],
    ) -> None:
        """`channel` gives the channel in use; `failed` gives our error for one of gRPC on a channel."""
        self._channel = channel
        self._failed = failed

    async def upload(
        self, ref: BlobRef, read: Callable[[int], AsyncIterator[bytes]]
    ) -> AsyncIterator[tuple[int, bool]]:
        """Send a blob from where the relay is on; yield how much it holds durably, and whether that is all."""
        held: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def requests() -> AsyncIterator[pb.UploadBlobRequest]:
            yield pb.UploadBlobRequest(blob_id=ref.blob_id, sha256=ref.sha256, size=ref.size)
            async for data in read(await held):
                for at in range(0, len(data), BLOB_FRAME_BYTES):
                    yield pb.UploadBlobRequest(data=data[at : at + BLOB_FRAME_BYTES])

        channel, stub = self._stub()
        call = stub.UploadBlob(requests())
        try:
            async for answer in call:
                if not answer.complete and not held.done():
                    held.set_result(answer.held)
                yield answer.held, answer.complete
                if answer.complete:
                    return
        except grpc.RpcError as error:
            raise self._failed(error, channel) from error
        finally:
            # gRPC leaves the reader of a lost call's requests waiting.
            held.cancel()
            with suppress(Exception):
                call.cancel()

    async def fetch(self, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
        """Yield a blob from an offset on."""
        channel, stub = self._stub()
        call = stub.FetchBlob(pb.FetchBlobRequest(sender=sender, blob_id=blob_id, start=start))
        try:
            async for part in call:
                yield part.data
        except grpc.RpcError as error:
            raise self._failed(error, channel) from error
        finally:
            with suppress(Exception):
                call.cancel()

    async def acknowledge(self, sender: PartyId, blob_id: bytes) -> None:
        """Say that a blob is held durably, or not wanted any more."""
        request = pb.AcknowledgeBlobRequest(sender=sender, blob_id=blob_id)
        channel, stub = self._stub()
        try:
            await stub.AcknowledgeBlob(request, timeout=CALL_S)
        except grpc.RpcError as error:
            raise self._failed(error, channel) from error

    def _stub(self) -> "tuple[grpc.aio.Channel, BlobServiceAsyncStub]":
        channel = self._channel()
        return channel, BlobServiceStub(channel)
