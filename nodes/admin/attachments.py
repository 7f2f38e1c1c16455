"""Files of reports on the command line: read from the disk and handed to the node, taken back and written.

A file is looked at before anything is sent (nodes/local_file.py), and must not change while it is read.
What comes back is written under a name that nobody takes for the file, which appears only when all of it was right.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from exchange.errors import BadInput, ConfigurationError, Conflict, VerificationFailed
from exchange.runtime.secrets import write_private
from nodes.admin import output
from nodes.local_file import LocalFile, unchanged
from nodes.v1 import attachment_pb2 as pb
from nodes.v1.node_service_pb2_grpc import NodeServiceStub


def attach(node: NodeServiceStub, files: Sequence[LocalFile]) -> list[str]:
    """Hand files to the node, and return under which ids a push takes them.

    Raises:
        BadInput: one changed while it was read; nothing was sent.
    """
    return [_attach(node, each) for each in files]


def _attach(node: NodeServiceStub, file: LocalFile) -> str:
    trouble: list[BadInput] = []

    def requests() -> Iterator[pb.AttachFileRequest]:
        yield pb.AttachFileRequest(name=file.name, media_type=file.media_type, size=file.size)
        try:
            with output.bar(file.name, file.size) as advance:
                for data in unchanged(file):
                    yield pb.AttachFileRequest(data=data)
                    advance(len(data))
        except BadInput as error:
            # What is raised here gRPC would show as its own; the node refuses what ends early.
            trouble.append(error)

    try:
        answer = node.AttachFile(requests())
    except Exception:
        if trouble:
            raise trouble[0] from None
        raise
    if trouble:
        raise trouble[0]
    return answer.id


# -- taken back --------------------------------------------------------------------------------------------------------


def write_attachment(responses: Iterator[pb.ExportAttachmentResponse], out: Path) -> pb.ExportAttachmentResponse:
    """Write a file that the node hands out, with its handling beside it; return what the node said of it.

    Raises:
        Conflict: one of both files exists.
        VerificationFailed: what came is not the file; nothing stays.
    """
    beside = out.with_name(f"{out.name}.handling.yaml")
    for path in (out, beside):
        if path.exists():
            raise Conflict(f"{path} exists", hint="choose another name")
    first = next(responses, None)
    if first is None:
        raise VerificationFailed("the node handed nothing out")
    with _appearing(out) as handle, output.bar(first.attachment.name, first.attachment.size) as advance:
        digest, size = sha256(), 0
        for response in responses:
            handle.write(response.data)
            digest.update(response.data)
            size += len(response.data)
            advance(len(response.data))
        handle.flush()
        os.fsync(handle.fileno())
        if size != first.attachment.size or digest.hexdigest() != first.attachment.sha256:
            raise VerificationFailed("the node handed out another file than the one that was signed for")
        # The handling first: content never lies about without it.
        write_private(beside, first.handling_yaml)
    return first


@contextmanager
def _appearing(out: Path) -> Iterator[BinaryIO]:
    """Yield a file to write, which gets its name when the block ends well, and vanishes otherwise."""
    part = out.with_name(f".{out.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{part} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        part.replace(out)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
