"""The synchronous client of NodeService that the commands use.

    with connect(home) as node:
        reply = node.GetStatus(pb.GetStatusRequest())

Every call presents the session of the operator who is logged in, if there is one (nodes/session.py).
Errors are ours again when they leave the block, with detail and hint: the socket is only its owner's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from exchange.errors import ExchangeError, Unavailable
from exchange.runtime.grpc_options import local_options
from exchange.runtime.interceptors import from_rpc_error, was_answered
from nodes.bearer import HEADER, PREFIX
from nodes.session import operator_home as usual_home
from nodes.session import session_token
from nodes.v1.node_service_pb2_grpc import NodeServiceStub

SOCKET = Path("run") / "node.sock"
CALL_S = 60.0
STREAM_S = 3_600.0


@contextmanager
def connect(home: Path, *, operator_home: Path | None = None) -> Iterator[NodeServiceStub]:
    """Speak with the node that runs in `home`. Every call has a deadline.

    `operator_home` holds the session; the one that the environment names, else the usual one, when left out.

    Raises:
        Unavailable: no node runs there.
        ExchangeError: whatever the node answers, in its own class.
    """
    path = home / SOCKET
    if not path.is_socket():
        raise _not_running(home)
    with grpc.insecure_channel(f"unix:{path}", options=local_options()) as channel:
        try:
            yield NodeServiceStub(
                grpc.intercept_channel(channel, _Calls(session_token(operator_home or usual_home(), home)))
            )
        except grpc.RpcError as error:
            raise _ours(error, home) from error


def _ours(error: grpc.RpcError, home: Path) -> ExchangeError:
    found = from_rpc_error(error)
    # A node that was killed leaves its socket behind. A node that runs may itself say that the relay is unavailable.
    return _not_running(home) if type(found) is Unavailable and not was_answered(error) else found


def _not_running(home: Path) -> Unavailable:
    return Unavailable(f"no node runs in {home}", hint=f"concord node serve --home {home}")


@dataclass(frozen=True, slots=True)
class _Details(grpc.ClientCallDetails):
    """A call's details with a deadline."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


class _Calls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Gives every call its session, and a deadline: a node that hangs must not hang its operator.

    Any: every method passes here.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Give a single answer a minute."""
        return continuation(self._with(details, CALL_S), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Give a stream an hour."""
        return continuation(self._with(details, STREAM_S), request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """Give a stream of requests an hour."""
        return continuation(self._with(details, STREAM_S), requests)

    def _with(self, details: Any, seconds: float) -> _Details:
        metadata = [*(details.metadata or ())]
        if self._token:
            metadata.append((HEADER, f"{PREFIX}{self._token}"))
        return _Details(details.method, seconds, metadata, details.credentials, details.wait_for_ready, None)
