"""A gRPC server and a channel on this machine, with certificates of a partner's or the relay's CA."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import grpc.aio

from exchange.crypto import x509
from exchange.names import exchange_name, party_id
from exchange.runtime.clock import now_ms
from exchange.runtime.grpc_options import channel_options, server_options
from exchange.runtime.lifecycle import bind_port
from exchange.runtime.tls import NEUTRAL_NAME, channel_credentials, server_credentials

EXCHANGE = exchange_name("demo.concord.example")
XA = party_id("XA")
XV = party_id("XV")


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA of the test, with its key."""

    der: bytes
    key: bytes

    @property
    def pem(self) -> bytes:
        return x509.pem_of(self.der)

    def leaf(self, uri: str, *, server: bool = False, at_ms: int | None = None) -> tuple[bytes, bytes]:
        """A leaf and its key, PEM, with any name: the test decides who lies."""
        return x509.issue_leaf(
            self.der,
            self.key,
            uri=uri,
            dns_names=[NEUTRAL_NAME] if server else [],
            ip_addresses=[],
            now_ms=at_ms or now_ms(),
            hours=24,
            client=not server,
            server=server,
        )


def authority(name: str = "ca", *, at_ms: int | None = None, days: int = 30) -> Authority:
    return Authority(*x509.new_ca(name, now_ms=at_ms or now_ms(), days=days))


@contextlib.asynccontextmanager
async def running(
    handlers: grpc.GenericRpcHandler,
    relay: Authority,
    clients: bytes,
    *,
    interceptors: tuple[grpc.aio.ServerInterceptor, ...] = (),
) -> AsyncIterator[int]:
    """A server of the relay's that takes clients of the CAs in `clients` (PEM); yields its port."""
    chain, key = relay.leaf(x509.relay_uri(EXCHANGE), server=True)
    server = grpc.aio.server(options=server_options(), interceptors=interceptors)
    server.add_generic_rpc_handlers((handlers,))
    port = bind_port(server, "127.0.0.1:0", server_credentials(lambda: (chain, key, clients), require_client=True))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def channel(port: int, relay: Authority, leaf: tuple[bytes, bytes] | None) -> grpc.aio.Channel:
    """A channel to that server, showing this leaf."""
    credentials = channel_credentials(relay.pem, *(leaf or (None, None)))
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=channel_options(NEUTRAL_NAME))


def unary(made: grpc.aio.Channel, method: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """A method that takes and gives bytes."""
    return made.unary_unary(method)
