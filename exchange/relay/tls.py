"""The relay's TLS: leaves from its own CAs, renewed in time, and the partners' CAs as the directory has them now.

gRPC asks for the identity at every handshake, in threads of its own.
"""

import threading
from collections.abc import Callable, Mapping

from exchange.crypto import x509
from exchange.names import ExchangeName, PartyId
from exchange.relay.directory import LiveDirectory, Snapshot
from exchange.relay.home import CertificateAuthority
from exchange.relay.peers import Context, Identify
from exchange.runtime.tls import NEUTRAL_NAME, Identity, PeerPolicy

LEAF_HOURS = 48
RENEW_AFTER_MS = 24 * 60 * 60 * 1000


class Leaf:
    """A server's leaf and key, issued anew when half of its life is over, or another CA serves."""

    def __init__(
        self, authority: Callable[[], CertificateAuthority], exchange: ExchangeName, clock: Callable[[], int]
    ) -> None:
        """Issue under the CA that `authority` gives now."""
        self._authority = authority
        self._issued_by: CertificateAuthority | None = None
        self._uri = x509.relay_uri(exchange)
        self._clock = clock
        self._lock = threading.Lock()
        self._current: tuple[bytes, bytes] | None = None
        self._issued_ms = 0

    def current(self) -> tuple[bytes, bytes]:
        """Return chain and key, both PEM."""
        now_ms, authority = self._clock(), self._authority()
        with self._lock:
            young = 0 <= now_ms - self._issued_ms < RENEW_AFTER_MS
            if self._current is None or not young or self._issued_by != authority:
                self._current = x509.issue_leaf(
                    authority.certificate,
                    authority.key,
                    uri=self._uri,
                    dns_names=(NEUTRAL_NAME,),
                    ip_addresses=(),
                    now_ms=now_ms,
                    hours=LEAF_HOURS,
                    client=False,
                    server=True,
                )
                self._issued_ms, self._issued_by = now_ms, authority
            return self._current


class PartnerAuthorities:
    """The transport CAs of the partners, computed once for each directory size. From any thread."""

    def __init__(self, directory: LiveDirectory) -> None:
        """Read the newest snapshot."""
        self._directory = directory
        self._known: tuple[int, Mapping[bytes, PartyId], bytes] = (-1, {}, b"")

    def now(self) -> tuple[int, Mapping[bytes, PartyId], bytes]:
        """Return the directory size, the party of each CA (DER), and all CAs as PEM."""
        snapshot: Snapshot = self._directory.now
        if self._known[0] != snapshot.size:
            cas = dict(snapshot.directory.transport_cas())
            self._known = (snapshot.size, cas, b"".join(map(x509.pem_of, cas)))
        return self._known


def partners_identity(leaf: Leaf, authorities: PartnerAuthorities) -> Callable[[], Identity]:
    """Return what gRPC asks at each handshake on the partners' port."""
    return lambda: (*leaf.current(), authorities.now()[2])


def newcomers_identity(leaf: Leaf) -> Callable[[], Identity]:
    """Return what gRPC asks at each handshake on the join port, where no client shows a certificate."""
    return lambda: (*leaf.current(), b"")


def identify_by(exchange: ExchangeName, authorities: PartnerAuthorities, clock: Callable[[], int]) -> Identify:
    """Return what tells which partner a call comes from."""
    policy = PeerPolicy(exchange)

    def identify(context: Context) -> PartyId:
        size, cas, _ = authorities.now()
        return policy.party(context.auth_context(), cas, generation=size, now_ms=clock())

    return identify
