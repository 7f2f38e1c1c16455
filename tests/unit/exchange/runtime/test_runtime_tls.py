"""Over real connections on this machine: who gets in, and as whom."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from exchange.crypto import x509
from exchange.errors import ConfigurationError, NotAuthenticated
from exchange.names import PartyId
from exchange.runtime.clock import now_ms
from exchange.runtime.grpc_options import METADATA_BYTES
from exchange.runtime.tls import NEUTRAL_NAME, PeerPolicy, channel_credentials, peer_party, server_credentials
from tests.support.loopback import EXCHANGE, XA, XV, Authority, authority, channel, running, unary

DAY_MS = 24 * 60 * 60 * 1000
RELAY = authority("r")
CA_A = authority("a", at_ms=now_ms() - 10 * DAY_MS)
CA_V = authority("v")
CAS: Mapping[bytes, PartyId] = {CA_A.der: XA, CA_V.der: XV}
CLIENTS = CA_A.pem + CA_V.pem
AS_XA = x509.party_uri(EXCHANGE, XA)
AS_XV = x509.party_uri(EXCHANGE, XV)


class WhoAmI(grpc.GenericRpcHandler):
    """Answers with the party that it takes the caller for."""

    def __init__(self) -> None:
        self.context: Mapping[str, Any] = {}

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def answer(_: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            self.context = dict(context.auth_context())
            try:
                return peer_party(self.context, CAS, EXCHANGE, now_ms()).encode()
            except NotAuthenticated as error:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))

        return grpc.unary_unary_rpc_method_handler(answer)


async def ask(
    leaf: tuple[bytes, bytes] | None, *, relay: Authority = RELAY, clients: bytes = CLIENTS, **call: Any
) -> bytes:
    async with running(WhoAmI(), RELAY, clients) as port, channel(port, relay, leaf) as made:
        return await unary(made, "/any/WhoAmI")(b"", timeout=5, **call)


async def refused(leaf: tuple[bytes, bytes] | None, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(leaf, **options)
    return caught.value


async def test_a_partner_is_known_by_the_ca_that_issued_its_leaf() -> None:
    assert await ask(CA_A.leaf(AS_XA)) == b"XA"
    assert await ask(CA_V.leaf(AS_XV)) == b"XV"


async def test_a_partner_that_names_itself_another_is_refused() -> None:
    error = await refused(CA_A.leaf(AS_XV))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "CA of XA issued a leaf with another name" in (error.details() or "")


async def test_a_leaf_of_another_exchange_or_of_the_relay_is_refused() -> None:
    other = "concord://other.example/party/XA"
    for uri in (other, x509.relay_uri(EXCHANGE)):
        assert (await refused(CA_A.leaf(uri))).code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "leaf",
    [None, authority("stranger").leaf(AS_XA), CA_A.leaf(AS_XA, at_ms=now_ms() - 3 * DAY_MS)],
    ids=["no certificate", "unknown CA", "certificate that has ended"],
)
async def test_without_a_valid_certificate_there_is_no_connection(leaf: tuple[bytes, bytes] | None) -> None:
    assert (await refused(leaf)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_relay_that_the_channel_does_not_know_gets_no_call() -> None:
    assert (await refused(CA_A.leaf(AS_XA), relay=authority("other"))).code() is grpc.StatusCode.UNAVAILABLE


async def test_before_any_partner_is_admitted_nobody_gets_in() -> None:
    assert (await refused(CA_A.leaf(AS_XA), clients=b"")).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_compressed_message_is_refused() -> None:
    error = await refused(CA_A.leaf(AS_XA), compression=grpc.Compression.Gzip)
    assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)


async def test_metadata_over_the_limit_is_refused() -> None:
    error = await refused(CA_A.leaf(AS_XA), metadata=(("x", "y" * 3 * METADATA_BYTES),))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_leaf_and_cas_change_without_a_restart() -> None:
    """The server asks for its identity at every handshake; a failure leaves the last one in place."""
    newer = authority("newer")
    chain, key = RELAY.leaf(x509.relay_uri(EXCHANGE), server=True)
    identities = [(chain, key, CA_A.pem)]

    def fetch() -> tuple[bytes, bytes, bytes]:
        return identities[0]

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((WhoAmI(),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(fetch, require_client=True))
    await server.start()

    async def outcome(relay: Authority, leaf: tuple[bytes, bytes]) -> object:
        async with channel(port, relay, leaf) as made:
            try:
                return await unary(made, "/any/WhoAmI")(b"", timeout=5)
            except grpc.aio.AioRpcError as error:
                return error.code()

    assert await outcome(RELAY, CA_V.leaf(AS_XV)) is grpc.StatusCode.UNAVAILABLE
    identities[0] = (*newer.leaf(x509.relay_uri(EXCHANGE), server=True), CLIENTS)
    assert await outcome(RELAY, CA_V.leaf(AS_XV)) is grpc.StatusCode.UNAVAILABLE
    assert await outcome(newer, CA_V.leaf(AS_XV)) == b"XV"
    identities.clear()
    assert await outcome(newer, CA_V.leaf(AS_XV)) == b"XV"
    await server.stop(None)


async def test_an_identity_that_stays_the_same_is_given_to_grpc_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It destroys what it had before while other handshakes may begin with that: each time may end the process."""
    given: list[bytes] = []
    make = grpc.ssl_server_certificate_configuration

    def counted(pairs: Any, root_certificates: bytes | None = None) -> grpc.ServerCertificateConfiguration:
        given.append(root_certificates or b"")
        return make(pairs, root_certificates)

    monkeypatch.setattr(grpc, "ssl_server_certificate_configuration", counted)
    async with running(WhoAmI(), RELAY, CLIENTS) as port:
        for _ in range(3):
            async with channel(port, RELAY, CA_A.leaf(AS_XA)) as made:
                assert await unary(made, "/any/WhoAmI")(b"", timeout=5) == b"XA"
    assert given == [CLIENTS]


def plain_tls(directory: Path, leaf: tuple[bytes, bytes]) -> ssl.SSLContext:
    """A client of Python's own TLS library, whose version and groups a test can choose."""
    for name, data in (("ca", RELAY.pem), ("leaf", leaf[0]), ("key", leaf[1])):
        (directory / name).write_bytes(data)
    context = ssl.create_default_context(cafile=directory / "ca")
    context.load_cert_chain(directory / "leaf", directory / "key")
    context.set_alpn_protocols(["h2"])
    return context


def shake_hands(context: ssl.SSLContext, port: int) -> str | None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=NEUTRAL_NAME) as connection,
    ):
        return connection.version()


async def test_tls_1_2_is_refused(tmp_path: Path) -> None:
    context = plain_tls(tmp_path, CA_A.leaf(AS_XA))
    async with running(WhoAmI(), RELAY, CLIENTS) as port:
        assert await asyncio.to_thread(shake_hands, context, port) == "TLSv1.3"
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(shake_hands, context, port)


def call_by_hand(context: ssl.SSLContext, port: int) -> bytes:
    """Make one gRPC call over a connection of our own and return all that comes back."""

    def field(name: bytes, value: bytes) -> bytes:
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    fields = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/any/WhoAmI"), (b":authority", b"relay")]
    fields += [(b"te", b"trailers"), (b"content-type", b"application/grpc")]
    head = b"".join(field(name, value) for name, value in fields)
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    sent += len(head).to_bytes(3, "big") + b"\x01\x04\x00\x00\x00\x01" + head
    sent += b"\x00\x00\x05\x00\x01\x00\x00\x00\x01" + bytes(5)
    received = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=NEUTRAL_NAME) as connection,
    ):
        connection.sendall(sent)
        while b"grpc-status" not in received:
            part = connection.recv(4096)
            if not part:
                break
            received += part
    return received


async def test_a_client_without_post_quantum_key_exchange_is_refused(tmp_path: Path) -> None:
    """TLS itself would take it: the check of each call refuses it."""
    context = plain_tls(tmp_path, CA_A.leaf(AS_XA))
    context.set_ecdh_curve("prime256v1")
    handler = WhoAmI()
    async with running(handler, RELAY, CLIENTS) as port:
        received = await asyncio.to_thread(call_by_hand, context, port)
    assert [bytes(group) for group in handler.context["ssl_negotiated_key_exchange_group"]] != [b"X25519MLKEM768"]
    assert b"key exchange is not X25519MLKEM768" in received


GOOD = {
    "ssl_tls_version": [b"TLSv1.3"],
    "ssl_negotiated_key_exchange_group": [b"X25519MLKEM768"],
    "x509_pem_cert": [CA_A.leaf(AS_XA)[0]],
}


@pytest.mark.parametrize(
    "change",
    [
        {"ssl_tls_version": [b"TLSv1.2"]},
        {"ssl_tls_version": []},
        {"ssl_negotiated_key_exchange_group": [b"X25519"]},
        {"ssl_negotiated_key_exchange_group": [b"X25519MLKEM768", b"X25519"]},
        {"x509_pem_cert": []},
        {"x509_pem_cert": [b"nonsense"]},
        {"x509_pem_cert": [CA_A.leaf(AS_XV)[0]]},
        {"x509_pem_cert": [CA_A.leaf(AS_XA, server=True)[0]]},
    ],
)
def test_every_missing_or_wrong_part_of_the_channel_denies(change: dict[str, list[bytes]]) -> None:
    assert peer_party(GOOD, CAS, EXCHANGE, now_ms()) == XA
    with pytest.raises(NotAuthenticated):
        peer_party(GOOD | change, CAS, EXCHANGE, now_ms())
    with pytest.raises(NotAuthenticated):
        peer_party({key: value for key, value in GOOD.items() if key not in change}, CAS, EXCHANGE, now_ms())


def test_a_remembered_peer_is_forgotten_when_the_directory_changes_or_its_leaf_ends() -> None:
    policy = PeerPolicy(EXCHANGE)
    now = now_ms()
    assert policy.party(GOOD, CAS, generation=1, now_ms=now) == XA
    assert policy.party(GOOD, {}, generation=1, now_ms=now) == XA, "remembered while the directory stands still"
    with pytest.raises(NotAuthenticated):
        policy.party(GOOD, CAS, generation=1, now_ms=now + 2 * DAY_MS)
    with pytest.raises(NotAuthenticated):
        policy.party(GOOD, {CA_V.der: XV}, generation=2, now_ms=now)


def test_a_remembered_peer_still_needs_the_right_channel() -> None:
    policy = PeerPolicy(EXCHANGE)
    assert policy.party(GOOD, CAS, generation=1, now_ms=now_ms()) == XA
    with pytest.raises(NotAuthenticated):
        policy.party(GOOD | {"ssl_tls_version": [b"TLSv1.2"]}, CAS, generation=1, now_ms=now_ms())


def test_a_channel_without_a_ca_is_refused_rather_than_trusting_the_web() -> None:
    with pytest.raises(ConfigurationError):
        channel_credentials(b"")
