"""Mutual TLS 1.3 with post-quantum key exchange, and who the peer is (crypto.md section 9).

The party is the directory CA that issued the peer's leaf, never a name alone: with several CAs trusted, each of them
can issue a leaf with any name, and TLS accepts it. Steps, for each call:

1. the connection is TLS 1.3 with X25519MLKEM768;
2. exactly one CA of the directory issued the leaf itself, and both are valid now;
3. the leaf's URI name is that party's.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

import grpc

from exchange.crypto import x509
from exchange.errors import ConfigurationError, NotAuthenticated
from exchange.names import ExchangeName, PartyId
from exchange.runtime.logs import get_logger

NEUTRAL_NAME = "relay.concord.internal"
"""The name that every relay's leaf carries and every channel asks for: it stands in clear in the handshake."""

TLS_VERSION = b"TLSv1.3"
KEY_EXCHANGE = b"X25519MLKEM768"

PEERS_KEPT = 4_096

AuthContext = Mapping[str, Iterable[bytes]]
Identity = tuple[bytes, bytes, bytes]
"""Leaf chain, leaf key and the CAs of acceptable clients, all PEM; no CAs means that no client is acceptable."""


def server_credentials(fetch: Callable[[], Identity], *, require_client: bool) -> grpc.ServerCredentials:
    """Return credentials that ask `fetch` at every handshake, so that leaf and CAs change without a restart.

    A `fetch` that fails later leaves the identity as it was and is logged; the first failure is raised. It runs in a
    thread of gRPC's, one call at a time. What it gives should stay the same for as long as it serves: gRPC destroys
    what it had when it is given something, while another handshake may begin with that, and the process ends.
    """
    shown = fetch()

    def configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
        chain_pem, key_pem, client_roots_pem = identity
        # Without any CA, gRPC refuses every client that it requires (a test says so).
        roots = (client_roots_pem or None) if require_client else None
        return grpc.ssl_server_certificate_configuration([(key_pem, chain_pem)], root_certificates=roots)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        try:
            identity = fetch()
            if identity == shown:
                return None
            made = configuration(identity)
        except Exception:  # noqa: BLE001 - gRPC would swallow it
            get_logger(__name__).exception("the server's certificate could not be renewed")
            return None
        shown = identity
        return made

    # The stubs leave out that the fetcher may say "unchanged" by None.
    return grpc.dynamic_ssl_server_credentials(
        configuration(shown),
        renewed,  # type: ignore[arg-type]
        require_client_authentication=require_client,
    )


def channel_credentials(
    root_pem: bytes, chain_pem: bytes | None = None, key_pem: bytes | None = None
) -> grpc.ChannelCredentials:
    """Return credentials that trust the CAs in `root_pem` and no other, and show our own leaf when it is given."""
    if not root_pem:
        # gRPC would fall back to the CAs of the web.
        raise ConfigurationError("no CA is known for the server", hint="look into the invitation or relay.info")
    return grpc.ssl_channel_credentials(root_pem, key_pem, chain_pem)


def peer_party(auth_context: AuthContext, cas: Mapping[bytes, PartyId], exchange: ExchangeName, now_ms: int) -> PartyId:
    """Return the party at the other end of a call; `cas` maps each CA of the directory (DER) to its party.

    Raises:
        NotAuthenticated: a step fails.
    """
    party, _ = _identify(_leaf(auth_context), cas, exchange, now_ms)
    return party


class PeerPolicy:
    """As peer_party, for a server: remembers what it found for a leaf while the directory stands still."""

    def __init__(self, exchange: ExchangeName) -> None:
        """`exchange` stands in the URI name of every leaf."""
        self._exchange = exchange
        self._generation = -1
        self._known: OrderedDict[bytes, tuple[PartyId, int]] = OrderedDict()

    def party(
        self, auth_context: AuthContext, cas: Mapping[bytes, PartyId], *, generation: int, now_ms: int
    ) -> PartyId:
        """Return the party; call it for each call and, on a long stream, whenever the directory grows.

        `generation` changes whenever `cas` does, the directory's size for example. NotAuthenticated when a step fails.
        """
        leaf = _leaf(auth_context)
        if generation != self._generation:
            self._known.clear()
            self._generation = generation
        name = hashlib.sha256(leaf).digest()
        known = self._known.get(name)
        if known is not None and now_ms <= known[1]:
            self._known.move_to_end(name)
            return known[0]
        self._known[name] = found = _identify(leaf, cas, self._exchange, now_ms)
        if len(self._known) > PEERS_KEPT:
            self._known.popitem(last=False)
        return found[0]


def _leaf(auth_context: AuthContext) -> bytes:
    # 1
    if _one(auth_context, "ssl_tls_version") != TLS_VERSION:
        raise NotAuthenticated("the connection is not TLS 1.3")
    if _one(auth_context, "ssl_negotiated_key_exchange_group") != KEY_EXCHANGE:
        raise NotAuthenticated("the key exchange is not X25519MLKEM768", hint="update the peer's TLS library")
    return _one(auth_context, "x509_pem_cert")


def _identify(leaf: bytes, cas: Mapping[bytes, PartyId], exchange: ExchangeName, now_ms: int) -> tuple[PartyId, int]:
    """Return the party, and until when that holds at the longest."""
    # 2
    ca = x509.issued_by(leaf, cas, now_ms)
    party = cas[ca]
    # 3
    if x509.uri_of(leaf) != x509.party_uri(exchange, party):
        raise NotAuthenticated(f"the CA of {party} issued a leaf with another name")
    return party, min(x509.validity(leaf)[1], x509.validity(ca)[1])


def _one(auth_context: AuthContext, key: str) -> bytes:
    values = tuple(auth_context.get(key, ()))
    if len(values) != 1:
        raise NotAuthenticated(f"the connection has {len(values)} values for {key}")
    return values[0]
