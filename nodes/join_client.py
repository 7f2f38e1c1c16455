"""Speak to the relay's join port: ask to be let in, hand over an admission. Synchronous, for the command line.

Server-only TLS: the relay is recognised by the CA that relay.info or the invitation pins, and what is handed over
proves itself by its signatures.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from exchange.crypto.codec import encode_signed, signed_to_proto
from exchange.crypto.signed import Signed
from exchange.directory.codec import join_request_to_proto
from exchange.directory.statements import JoinRequest
from exchange.errors import Unavailable
from exchange.runtime.grpc_options import channel_options
from exchange.runtime.interceptors import from_rpc_error, was_answered
from exchange.runtime.relay_info import RelayInfo
from exchange.runtime.tls import NEUTRAL_NAME, channel_credentials
from exchange.v1 import join_service_pb2 as pb
from exchange.v1.join_service_pb2_grpc import JoinServiceStub

TIMEOUT_S = 30.0

T = TypeVar("T")


def join(relay: RelayInfo, request: JoinRequest) -> bool:
    """Hand over a request to join; return whether the party is admitted already. Repeating it is safe.

    Raises:
        ExchangeError: what the relay answered, or Unavailable when it cannot be reached.
    """
    message = pb.JoinServiceJoinRequest(request=join_request_to_proto(request))
    return _call(relay, lambda stub: stub.Join(message, timeout=TIMEOUT_S).admitted)


def admit(relay: RelayInfo, admission: Signed) -> int:
    """Hand over the admission of a party; return its index in the directory log. Safe to repeat; raises as `join`."""
    message = pb.JoinServiceAdmitRequest(admission=encode_signed(admission))
    return _call(relay, lambda stub: stub.Admit(message, timeout=TIMEOUT_S).index)


def rekey(relay: RelayInfo, node_cert: Signed, transport_key: Signed) -> int:
    """Hand over new keys of a member's node; return the certificate's index in the directory log.

    Safe to repeat; raises as `join`.
    """
    message = pb.JoinServiceRekeyRequest(
        node_cert=signed_to_proto(node_cert), transport_key=signed_to_proto(transport_key)
    )
    return _call(relay, lambda stub: stub.Rekey(message, timeout=TIMEOUT_S).index)


def _call(relay: RelayInfo, ask: Callable[[JoinServiceStub], T]) -> T:
    with _stub(relay) as stub:
        try:
            return ask(stub)
        except grpc.RpcError as error:
            found = from_rpc_error(error)
            if type(found) is Unavailable and not was_answered(error):
                where = relay.join_address
                raise Unavailable(f"no relay answers at {where}: {found}", hint="check that it runs there") from error
            raise found from error


@contextmanager
def _stub(relay: RelayInfo) -> Iterator[JoinServiceStub]:
    credentials = channel_credentials(relay.join_ca_pem.encode())
    with grpc.secure_channel(relay.join_address, credentials, options=channel_options(NEUTRAL_NAME)) as channel:
        yield JoinServiceStub(channel)
