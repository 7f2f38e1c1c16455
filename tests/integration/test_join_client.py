"""The join port over real TLS on this machine: one pinned CA, and answers as our errors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256

import grpc
import pytest

from exchange.crypto import x509
from exchange.directory import ceremony
from exchange.directory.codec import join_request_from_proto
from exchange.errors import Unavailable
from exchange.names import party_id
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import RelayInfo
from exchange.runtime.tls import NEUTRAL_NAME
from exchange.v1 import join_service_pb2 as pb
from exchange.v1.join_service_pb2_grpc import JoinServiceServicer, add_JoinServiceServicer_to_server
from nodes import join_client
from tests.support.directory_builders import (
    EXCHANGE,
    NOON,
    Exchange,
    a_join_request,
    an_exchange,
    an_invitation,
    party_keys,
)

XV = party_id("XV")


class Door(JoinServiceServicer):
    """The least that a relay does: check and apply."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def Join(self, request: pb.JoinServiceJoinRequest, context: grpc.ServicerContext) -> pb.JoinServiceJoinResponse:  # noqa: ARG002, N802
        directory = self.exchange.directory
        claims = ceremony.check_join_request(join_request_from_proto(request.request), directory, NOON)
        for entry in claims.entries:
            directory.apply(entry, directory.size)
        party = directory.party(claims.party)
        return pb.JoinServiceJoinResponse(admitted=party is not None and party.admitted_at is not None)

    def Rekey(  # noqa: N802
        self, request: pb.JoinServiceRekeyRequest, context: grpc.ServicerContext
    ) -> pb.JoinServiceRekeyResponse:
        raise NotImplementedError

    def Admit(self, request: pb.JoinServiceAdmitRequest, context: grpc.ServicerContext) -> pb.JoinServiceAdmitResponse:  # noqa: ARG002, N802
        directory = self.exchange.directory
        directory.apply(request.admission, directory.size)
        return pb.JoinServiceAdmitResponse(index=directory.size - 1)


@dataclass(frozen=True)
class Served:
    exchange: Exchange
    relay: RelayInfo


@pytest.fixture
def served() -> Iterator[Served]:
    exchange = an_exchange(("XA",))
    ca, ca_key = x509.new_ca("join", now_ms=now_ms(), days=1)
    chain, key = x509.issue_leaf(
        ca,
        ca_key,
        uri=x509.relay_uri(EXCHANGE),
        dns_names=[NEUTRAL_NAME],
        ip_addresses=[],
        now_ms=now_ms(),
        hours=1,
        client=False,
        server=True,
    )
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        add_JoinServiceServicer_to_server(Door(exchange), server)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
        server.start()
        address = f"127.0.0.1:{port}"
        relay = RelayInfo(
            EXCHANGE,
            address,
            address,
            x509.pem_of(ca).decode(),
            exchange.directory.genesis_hash,
            exchange.entries[0],
        )
        yield Served(exchange, relay)
        server.stop(None).wait()


def test_a_party_asks_is_admitted_and_asks_again(served: Served) -> None:
    request = a_join_request(party_keys("XV"), an_invitation("XV", served.exchange.council_key))
    assert join_client.join(served.relay, request) is False
    admission = ceremony.make_admission(
        exchange=EXCHANGE,
        party=XV,
        root_key_id=party_keys("XV").root.public.key_id,
        now_ms=NOON,
        council_key=served.exchange.council_key,
    )
    index = join_client.admit(served.relay, admission)
    assert served.exchange.directory.index_of(sha256(admission.payload).digest()) == index
    assert join_client.join(served.relay, request) is True


def test_a_server_that_another_ca_certified_is_not_spoken_to(served: Served) -> None:
    other, _ = x509.new_ca("other", now_ms=now_ms(), days=1)
    request = a_join_request(party_keys("XV"), an_invitation("XV", served.exchange.council_key))
    with pytest.raises(Unavailable):
        join_client.join(replace(served.relay, join_ca_pem=x509.pem_of(other).decode()), request)
    assert served.exchange.directory.party(XV) is None


def test_a_relay_that_is_not_there_is_unavailable(served: Served) -> None:
    invitation = an_invitation("XV", served.exchange.council_key)
    with pytest.raises(Unavailable):
        join_client.admit(replace(served.relay, join_address="127.0.0.1:1"), invitation)
