"""For sensors: push reports to a node over TLS with a bearer token (docs/sensors.md).

    with SensorClient("127.0.0.1:7201", ca=ca_pem, token=token) as node:
        pushed = node.push(content, label=label, files=[Path("photo.jpg")])

A push returns when the report is durable at the node, with its files. Pushing the same again, after a lost connection
for example, is safe: it is sent once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from exchange.errors import TooLarge, Unavailable
from exchange.limits import LABEL_BYTES, REPORT_BYTES
from exchange.runtime.grpc_options import channel_options
from exchange.runtime.interceptors import from_rpc_error
from exchange.runtime.tls import NEUTRAL_NAME, channel_credentials
from nodes.attaching_client import attach, named
from nodes.local_file import hashed, look_at
from nodes.v1 import node_service_pb2 as pb
from nodes.v1 import sensor_ca_pb2
from nodes.v1.node_service_pb2_grpc import SensorServiceStub

PUSH_S = 30.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """A report that is durable at the node."""

    item: str
    """Its hash, hexadecimal."""
    repeated: bool
    """True when it was pushed before; nothing was sent again."""


class SensorClient:
    """One sensor's connection to its node; as a context manager it closes at the end."""

    def __init__(self, address: str, *, ca: bytes, token: str, timeout_s: float = PUSH_S) -> None:
        """`ca` are the PEM certificates and `token` the text that `concord sensor add` gave."""
        # With a name of its own each certificate of the node fits, whatever address it is reached by.
        self._channel = grpc.secure_channel(address, channel_credentials(ca), options=channel_options(NEUTRAL_NAME))
        self._stub = SensorServiceStub(self._channel)
        # Read from a file it ends with a line end, which no header may hold.
        self._metadata = (("authorization", f"Bearer {token.strip()}"),)
        self._timeout_s = timeout_s

    def push(self, content: bytes, *, label: bytes = b"", key: str = "", files: Sequence[Path] = ()) -> Pushed:
        """Push a STIX 2.1 bundle; `label` is YAML, `key` tells two equal reports apart, `files` go along with it.

        The node judges the report first, and takes only what it asks for of the files: what it refuses, and what it has
        already, is not sent. A cut does not begin a file anew.

        Raises:
            NotAuthenticated, PolicyDenied, BadInput, Conflict: the node does not take it; repeating will not help.
            RateLimited, Unavailable: try again later.
        """
        if len(content) > REPORT_BYTES or len(label) > LABEL_BYTES:
            # gRPC would say of a message that is too large what a node says of one that comes too soon.
            raise TooLarge(f"a report holds {REPORT_BYTES:,} bytes and its label {LABEL_BYTES:,}", hint="split it")
        looked = look_at(files)
        hashes = [hashed(each) for each in looked]
        request = pb.PushRequest(
            report=pb.ReportFile(content=content, label_yaml=label),
            idempotency_key=key,
            attached=[named(each) for each in hashes],
        )
        response = self._push(request)
        if response.missing:
            for place in response.missing:
                attach(self._stub, hashes[place], looked[place], metadata=self._metadata)
            response = self._push(request)
        if response.missing:
            raise Unavailable("the node has let a file go", hint="push again")
        return Pushed(response.item, response.repeated_push)

    def _push(self, request: pb.PushRequest) -> pb.PushResponse:
        try:
            return self._stub.Push(request, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def follow_ca(self) -> bytes:
        """Return the CAs (PEM) to pin from now on: those of today and those that will take their place.

        Ask once a day and keep what comes where `ca` is read from: a node shows a new CA only after 30 days. Raises as
        `push`.
        """
        try:
            response = self._stub.FollowCa(
                sensor_ca_pb2.FollowCaRequest(), timeout=self._timeout_s, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return response.ca_certificates.encode()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()


def push(address: str, ca: bytes, token: str, content: bytes, *, label: bytes = b"") -> Pushed:
    """Push one report over a connection of its own."""
    with SensorClient(address, ca=ca, token=token) as client:
        return client.push(content, label=label)
