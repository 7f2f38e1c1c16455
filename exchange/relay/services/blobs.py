"""BlobService: attachments for partners (protos/exchange/v1/blob_service.proto, docs/spec/relay-api.md)."""

from collections.abc import AsyncIterator

from exchange.envelope.model import BlobRef
from exchange.errors import MalformedInput, Unavailable
from exchange.names import party_id
from exchange.relay.blobs import Blobs, Incoming
from exchange.relay.peers import Context, Peer, Peers
from exchange.runtime.lifecycle import Drain
from exchange.v1 import blob_service_pb2 as pb
from exchange.v1.blob_service_pb2_grpc import BlobServiceServicer


class BlobService(BlobServiceServicer):
    """Partners' door for sealed files."""

    def __init__(self, peers: Peers, blobs: Blobs, draining: Drain) -> None:
        """`draining` ends the streams in good order."""
        self._peers = peers
        self._blobs = blobs
        self._draining = draining

    async def UploadBlob(  # noqa: N802 - the name in the proto
        self, request_iterator: AsyncIterator[pb.UploadBlobRequest], context: Context
    ) -> AsyncIterator[pb.UploadBlobResponse]:
        """Say how much is here, then take what follows."""
        with self._peers.stream(context) as peer:
            requests = aiter(request_iterator)
            first = await anext(requests, None)
            if first is None:
                return
            if first.data:
                raise MalformedInput("the first request of an upload only names the blob")
            incoming = await self._blobs.open(peer.party, BlobRef(first.blob_id, first.sha256, first.size))
            yield _response(incoming)
            async for request in requests:
                self._go_on(peer)
                if request.blob_id or request.sha256 or request.size:
                    raise MalformedInput("a blob is named once")
                if incoming.complete:
                    raise MalformedInput("the blob is complete")
                if await incoming.add(request.data):
                    yield _response(incoming)
            await incoming.store()
            yield _response(incoming)

    async def FetchBlob(  # noqa: N802
        self, request: pb.FetchBlobRequest, context: Context
    ) -> AsyncIterator[pb.FetchBlobResponse]:
        """Send a blob from an offset on."""
        with self._peers.stream(context) as peer:
            sender = party_id(request.sender)
            async for data in self._blobs.read(peer.party, peer.status, sender, request.blob_id, request.start):
                self._go_on(peer)
                yield pb.FetchBlobResponse(data=data)

    async def AcknowledgeBlob(  # noqa: N802
        self, request: pb.AcknowledgeBlobRequest, context: Context
    ) -> pb.AcknowledgeBlobResponse:
        """Note that the caller has a blob."""
        with self._peers.call(context) as party:
            await self._blobs.release(party, party_id(request.sender), request.blob_id)
            return pb.AcknowledgeBlobResponse()

    def _go_on(self, peer: Peer) -> None:
        """Return when a stream may go on."""
        peer.check()
        if self._draining.begun:
            raise Unavailable("the relay stops")


def _response(incoming: Incoming) -> pb.UploadBlobResponse:
    return pb.UploadBlobResponse(held=incoming.held, complete=incoming.complete)
