"""JoinService: the door for those who are not yet partners (protos/exchange/v1/join_service.proto).

Server-only TLS: nobody here is known. Calls are limited by network address, requests to 32 KiB; what they say is proven
by signatures alone.
"""

import ipaddress
from contextlib import suppress
from urllib.parse import unquote

from exchange.crypto.codec import signed_from_proto
from exchange.directory.codec import join_request_from_proto
from exchange.errors import BadInput, TooLarge
from exchange.limits import JOIN_BYTES
from exchange.relay.checkpoints import Checkpoints
from exchange.relay.enrol import Enrolment
from exchange.relay.peers import Context
from exchange.relay.quota import Rate
from exchange.relay.sequencer import Log
from exchange.v1 import join_service_pb2 as pb
from exchange.v1.join_service_pb2_grpc import JoinServiceServicer


class JoinService(JoinServiceServicer):
    """Newcomers' door."""

    def __init__(self, enrolment: Enrolment, checkpoints: Checkpoints, rate: Rate) -> None:
        """`rate` bounds the calls from one network address."""
        self._enrolment = enrolment
        self._checkpoints = checkpoints
        self._rate = rate

    async def Join(  # noqa: N802 - the name in the proto
        self, request: pb.JoinServiceJoinRequest, context: Context
    ) -> pb.JoinServiceJoinResponse:
        """Log a request to join."""
        self._admit(context, request.ByteSize())
        admitted = await self._enrolment.join(join_request_from_proto(request.request))
        await self._checkpoints.refresh(Log.DIRECTORY)
        return pb.JoinServiceJoinResponse(admitted=admitted)

    async def Admit(  # noqa: N802
        self, request: pb.JoinServiceAdmitRequest, context: Context
    ) -> pb.JoinServiceAdmitResponse:
        """Log an admission."""
        self._admit(context, request.ByteSize())
        index = await self._enrolment.admit(request.admission)
        await self._checkpoints.refresh(Log.DIRECTORY)
        return pb.JoinServiceAdmitResponse(index=index)

    async def Rekey(  # noqa: N802
        self, request: pb.JoinServiceRekeyRequest, context: Context
    ) -> pb.JoinServiceRekeyResponse:
        """Log new node keys of a member."""
        self._admit(context, request.ByteSize())
        cert = signed_from_proto(request.node_cert, what="the node certificate")
        index = await self._enrolment.rekey(cert, signed_from_proto(request.transport_key, what="the transport key"))
        await self._checkpoints.refresh(Log.DIRECTORY)
        return pb.JoinServiceRekeyResponse(index=index)

    def _admit(self, context: Context, size: int) -> None:
        if context.time_remaining() is None:
            raise BadInput("the call has no deadline")
        self._rate.demand(network_of(context.peer()))
        if size > JOIN_BYTES:
            raise TooLarge(f"a request has {size} bytes; the limit is {JOIN_BYTES}")


def network_of(peer: str) -> str:
    """Return the address of a gRPC peer (`ipv4:192.0.2.7:50123`) without its port; of IPv6 the network of 64 bits."""
    kind, _, rest = peer.partition(":")
    if kind == "ipv4":
        return rest.rpartition(":")[0]
    if kind == "ipv6":
        address = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
        with suppress(ValueError):
            return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return kind
