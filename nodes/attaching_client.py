"""How a sensor's file reaches its node: over as many calls as it takes, each from where the one before was cut."""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import grpc

from exchange.envelope.model import Attachment
from exchange.errors import BadInput, Conflict, Unavailable
from exchange.limits import KIB
from exchange.runtime.interceptors import from_rpc_error
from nodes.local_file import LocalFile, unchanged
from nodes.v1 import attachment_pb2 as pb
from nodes.v1.node_service_pb2_grpc import SensorServiceStub

PART_BYTES = 256 * KIB
TRIES = 6
"""Calls in a row that bring nothing further, after which it is given up."""

WAIT_FIRST_S = 0.5
Metadata = tuple[tuple[str, str], ...]


def named(file: Attachment) -> pb.AttachedFile:
    """Return a file as a sensor names it."""
    return pb.AttachedFile(name=file.name, media_type=file.media_type, size=file.size, sha256=file.sha256)


def attach(
    stub: SensorServiceStub,
    file: Attachment,
    local: LocalFile,
    *,
    metadata: Metadata,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Return when the node has all of a file; `advance` is told how many bytes more have gone.

    Raises:
        BadInput: it changed meanwhile, or cannot be attached.
        PolicyDenied, RateLimited: the sensor may not attach it, or not now.
        Unavailable: the node cannot be reached, or has no room.
    """
    tries, furthest = 0, -1
    while True:
        sending = _Sending(file, local, advance)
        try:
            sending.run(stub, metadata)
        except (Unavailable, Conflict):
            tries = 0 if sending.come > furthest else tries + 1
            furthest = max(furthest, sending.come)
            if tries >= TRIES:
                raise
            time.sleep(WAIT_FIRST_S * 2**tries)
        else:
            return


class _Sending:
    """One call."""

    def __init__(self, file: Attachment, local: LocalFile, advance: Callable[[int], None]) -> None:
        self._file = file
        self._local = local
        self._advance = advance
        self._starts: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._trouble: BadInput | None = None
        self.come = -1
        """Where the node was on when the call began; -1 when it did not say."""

    def run(self, stub: SensorServiceStub, metadata: Metadata) -> None:
        call = stub.Attach(self._requests(), metadata=metadata)
        complete = False
        try:
            for answer in call:
                if self.come < 0:
                    self.come = answer.come
                    self._starts.put(None if answer.complete else answer.come)
                complete = answer.complete
        except grpc.RpcError as error:
            if self._trouble is not None:
                raise self._trouble from None
            raise from_rpc_error(error) from error
        finally:
            self._starts.put(None)
            with suppress(Exception):
                call.cancel()
        if not complete:
            raise Unavailable("the node ended the call early")

    def _requests(self) -> Iterator[pb.AttachRequest]:
        """Yield what is sent, in a thread of gRPC."""
        yield pb.AttachRequest(file=named(self._file))
        start = self._starts.get()
        if start is None:
            return
        try:
            for data in unchanged(self._local, start, PART_BYTES):
                yield pb.AttachRequest(data=data)
                self._advance(len(data))
        except BadInput as error:
            # What is raised here gRPC would show as its own; the node refuses what ends early.
            self._trouble = error
