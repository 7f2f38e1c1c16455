"""The relay over gRPC: mutual TLS 1.3, own short-lived leaf, the relay's CA by the directory and no other.

The one place that speaks relay_service.proto; attachments are those of nodes/blob_client.py. Errors are ours; nothing
that comes back is verified here. Streams end with Unavailable when the relay goes; the callers open them anew. A relay
may have several addresses: processes on one database, any of which serves. When one of them is not available, the next
call goes to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
import grpc.aio

from exchange.crypto.codec import signed_from_proto
from exchange.crypto.x509 import issue_leaf, party_uri, pem_of, validity
from exchange.envelope.model import Lane
from exchange.errors import ExchangeError, MalformedInput, NotAuthenticated, Unavailable
from exchange.names import ExchangeName, PartyId
from exchange.runtime.grpc_options import channel_options
from exchange.runtime.interceptors import from_rpc_error, was_answered
from exchange.runtime.relay_info import check_addresses
from exchange.runtime.tls import NEUTRAL_NAME, channel_credentials
from exchange.v1 import envelope_pb2
from exchange.v1 import relay_service_pb2 as pb
from exchange.v1.relay_service_pb2_grpc import RelayServiceStub
from nodes.blob_client import BlobClient
from nodes.keyring import KeysInUse
from nodes.keystore import NodeKeys
from nodes.relay_port import AgreementPart, Answered, Delivered, DirectoryFrame, Frame, Log, Notes, Outcome, Waiting

if TYPE_CHECKING:
    from exchange.v1.relay_service_pb2_grpc import RelayServiceAsyncStub

LEAF_HOURS = 24
RENEW_MS = 12 * 60 * 60 * 1000
CALL_S = 30.0
OLD_CHANNEL_S = 3_600.0
"""Streams on a channel with the leaf before may go on so long; the relay ends them earlier."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Streaming(Protocol[T_co]):
    """What both kinds of streaming call have in common."""

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Yield what comes."""
        ...

    def cancel(self) -> bool:
        """End the call."""
        ...


class RelayClient:
    """The relay as nodes/relay_port.py wants it. For one event loop."""

    def __init__(
        self,
        address: str,
        *,
        server_name: str,
        relay_cas: Callable[[], Sequence[bytes]],
        exchange: ExchangeName,
        party: PartyId,
        keys: KeysInUse,
        clock: Callable[[], int],
    ) -> None:
        """`address` may be several, with commas between them; partners begin at different ones.

        `relay_cas` gives the relay's transport CAs (DER); `server_name` is empty for the neutral name of all relays.

        `keys` gives the keys in use. When a CA changes, the relay's or our own, later calls go over a new channel.
        """
        self._addresses = check_addresses(address)
        # Of its own party, so that it begins at the same one after a restart.
        self._at = int.from_bytes(sha256(party.encode()).digest()[:4]) % len(self._addresses)
        self._server_name = server_name or NEUTRAL_NAME
        self._relay_cas = relay_cas
        self._roots: Sequence[bytes] = ()
        self._exchange = exchange
        self._party = party
        self._keys = keys
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None
        self._issued_ms = 0
        self._until_ms = 0
        self._leaf: bytes | None = None
        self._authority = b""
        self._closing: set[asyncio.Task[None]] = set()
        self.blobs = BlobClient(self._open, self._failed)
        """Attachments, over the same channel."""

    @property
    def address(self) -> str:
        """Where the next channel goes."""
        return self._addresses[self._at]

    @property
    def leaf_until_ms(self) -> int:
        """When the leaf in use ends; 0 before the first call."""
        return self._until_ms

    @property
    def leaf(self) -> bytes | None:
        """The leaf in use, PEM; None before the first call."""
        return self._leaf

    async def close(self) -> None:
        """End every call."""
        for task in self._closing:
            task.cancel()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    # -- streams -------------------------------------------------------------------------------------------------------

    async def submit(self, frames: AsyncIterator[Frame]) -> AsyncIterator[Answered]:
        """Send frames as they come and yield their answers."""

        async def requests() -> AsyncIterator[pb.SubmitRequest]:
            async for frame in frames:
                yield pb.SubmitRequest(frame=frame.number, submissions=frame.submissions)

        call = self._stub().Submit(requests())
        async for response in self._stream(call):
            outcomes = [
                Outcome(signed_from_proto(each.answer, what="the relay's answer"), each.decision_record)
                for each in response.outcomes
            ]
            yield Answered(response.frame, outcomes)

    async def deliver(
        self, window_bytes: int, acknowledged: AsyncIterator[Sequence[tuple[Lane, int]]]
    ) -> AsyncIterator[Delivered]:
        """Yield what waits, then what arrives."""

        async def requests() -> AsyncIterator[pb.DeliverRequest]:
            yield pb.DeliverRequest(window_bytes=window_bytes)
            async for positions in acknowledged:
                cursors = [
                    pb.Cursor(lane=envelope_pb2.Lane.ValueType(lane), position=position) for lane, position in positions
                ]
                yield pb.DeliverRequest(acknowledged=cursors)

        call = self._stub().Deliver(requests())
        async for response in self._stream(call):
            yield Delivered([_waiting(each) for each in response.waiting], response.now_ms)

    async def follow_directory(self, start: int) -> AsyncIterator[DirectoryFrame]:
        """Yield the directory log from an index on, then live."""
        call = self._stub().FollowDirectory(pb.FollowDirectoryRequest(start=start))
        async for response in self._stream(call):
            yield DirectoryFrame(response.start, list(response.entries), response.checkpoint, response.cosigned)

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def publish_statement(self, statement: bytes) -> int:
        """Append a statement; return its index."""
        request = pb.PublishStatementRequest(statement=statement)
        return (await self._call(self._stub().PublishStatement(request, timeout=CALL_S))).index

    async def publish_prekeys(self, bundle: bytes, statement: bytes) -> int:
        """Publish a bundle with the statement that names it."""
        request = pb.PublishPrekeysRequest(bundle=bundle, statement=statement)
        return (await self._call(self._stub().PublishPrekeys(request, timeout=CALL_S))).index

    async def fetch_prekeys(self, hashes: Sequence[bytes]) -> Sequence[bytes]:
        """Return bundles by payload hash."""
        request = pb.FetchPrekeysRequest(bundle_sha256=hashes)
        return list((await self._call(self._stub().FetchPrekeys(request, timeout=CALL_S))).bundles)

    async def publish_agreement(self, view: bytes) -> int:
        """Hand over a view that all parties signed."""
        request = pb.PublishAgreementRequest(view=view)
        return (await self._call(self._stub().PublishAgreement(request, timeout=CALL_S))).index

    async def change_agreement(self, change: bytes) -> int:
        """Hand over an accession or a notice of this party."""
        request = pb.ChangeAgreementRequest(change=change)
        return (await self._call(self._stub().ChangeAgreement(request, timeout=CALL_S))).index

    async def fetch_agreements(self, known: Mapping[bytes, int]) -> Sequence[AgreementPart]:
        """Return what is new of this party's agreements."""
        have = [pb.KnownAgreement(commitment=each, changes=changes) for each, changes in known.items()]
        answer = await self._call(self._stub().FetchAgreements(pb.FetchAgreementsRequest(known=have), timeout=CALL_S))
        return [AgreementPart(each.commitment, each.view, each.first, tuple(each.changes)) for each in answer.parts]

    async def publish_community(self, notice: bytes) -> int:
        """Announce an epoch of an own community, or its end."""
        request = pb.PublishCommunityRequest(notice=notice)
        return (await self._call(self._stub().PublishCommunity(request, timeout=CALL_S))).index

    async def checkpoint(self, log: Log) -> str:
        """Return the newest checkpoint of a log."""
        request = pb.GetCheckpointRequest(log=_log(log))
        return (await self._call(self._stub().GetCheckpoint(request, timeout=CALL_S))).checkpoint

    async def notes(self, log: Log) -> Notes:
        """Return the three notes of a log."""
        found = await self._call(self._stub().GetCheckpoint(pb.GetCheckpointRequest(log=_log(log)), timeout=CALL_S))
        return Notes(found.checkpoint, found.cosigned, found.asked)

    async def cosign(self, log: Log, size: int, line: str) -> None:
        """Hand over a cosignature."""
        await self._call(self._stub().Cosign(pb.CosignRequest(log=_log(log), size=size, line=line), timeout=CALL_S))

    async def inclusion_proof(self, log: Log, index: int, size: int) -> tuple[bytes, Sequence[bytes]]:
        """Return an entry and its inclusion path under a tree size."""
        request = pb.GetInclusionProofRequest(log=_log(log), index=index, size=size)
        response = await self._call(self._stub().GetInclusionProof(request, timeout=CALL_S))
        return response.entry, list(response.path)

    async def consistency_proof(self, log: Log, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the consistency path between two tree sizes."""
        request = pb.GetConsistencyProofRequest(log=_log(log), old_size=old_size, new_size=new_size)
        return list((await self._call(self._stub().GetConsistencyProof(request, timeout=CALL_S))).path)

    async def read_log(self, log: Log, start: int, count: int) -> Sequence[bytes]:
        """Return entries from an index on."""
        request = pb.ReadLogRequest(log=_log(log), start=start, count=count)
        return list((await self._call(self._stub().ReadLog(request, timeout=CALL_S))).entries)

    # -- how calls end -------------------------------------------------------------------------------------------------

    async def _stream(self, call: _Streaming[T]) -> AsyncIterator[T]:
        """Yield what a call yields, with our errors; a stream that the relay ends in good order ends here too."""
        channel = self._channel
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise self._failed(error, channel) from error
        finally:
            with suppress(Exception):
                call.cancel()

    async def _call(self, call: Awaitable[T]) -> T:
        channel = self._channel
        try:
            return await call
        except grpc.RpcError as error:
            raise self._failed(error, channel) from error

    def _failed(self, error: grpc.RpcError, channel: grpc.aio.Channel | None) -> ExchangeError:
        found = from_rpc_error(error)
        if isinstance(found, Unavailable):
            self._move_on(channel)
        # A CA that the relay does not know fails the handshake, which looks like a relay that is away.
        if isinstance(found, NotAuthenticated) or not was_answered(error):
            self._keys.not_let_in()
        return found

    # -- the channel ---------------------------------------------------------------------------------------------------

    def _stub(self) -> "RelayServiceAsyncStub":
        return RelayServiceStub(self._open())

    def _open(self) -> grpc.aio.Channel:
        now_ms = self._clock()
        keys = self._keys()
        roots = self._relay_cas()
        changed = keys.transport_ca != self._authority or roots != self._roots
        # A clock that was ahead when the leaf was issued may have been set right since: the leaf begins in the future.
        young = 0 <= now_ms - self._issued_ms <= RENEW_MS
        if self._channel is None or changed or not young:
            self._roots = roots
            self._renew(keys, now_ms)
        if self._channel is None:
            raise Unavailable("there is no channel to the relay")
        return self._channel

    def _move_on(self, failed: grpc.aio.Channel | None) -> None:
        """Let the next call go to the next address, unless another call has seen to that already."""
        if len(self._addresses) > 1 and failed is not None and failed is self._channel:
            self._at = (self._at + 1) % len(self._addresses)
            self._channel = None
            self._close_later(failed)

    def _close_later(self, channel: grpc.aio.Channel) -> None:
        """Close a channel once its streams have ended: what still works may go on."""
        task = asyncio.create_task(channel.close(OLD_CHANNEL_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _renew(self, keys: NodeKeys, now_ms: int) -> None:
        old = self._channel
        chain, key = issue_leaf(
            keys.transport_ca,
            keys.transport_key,
            uri=party_uri(self._exchange, self._party),
            dns_names=(),
            ip_addresses=(),
            now_ms=now_ms,
            hours=LEAF_HOURS,
            client=True,
            server=False,
        )
        self._channel = grpc.aio.secure_channel(
            self.address,
            channel_credentials(b"".join(map(pem_of, self._roots)), chain, key),
            options=channel_options(self._server_name),
        )
        self._issued_ms, self._until_ms, self._leaf = now_ms, validity(chain)[1], chain
        self._authority = keys.transport_ca
        if old is not None:
            self._close_later(old)


def _waiting(message: pb.Waiting) -> Waiting:
    try:
        lane = Lane(message.lane)
    except ValueError as error:
        raise MalformedInput(f"the relay knows a lane {message.lane}") from error
    return Waiting(lane, message.position, message.delivery)


def _log(log: Log) -> pb.Log.ValueType:
    return pb.Log.ValueType(log)
