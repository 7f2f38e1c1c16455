"""Files of reports on the command line: read from the disk and handed to the node, taken back and written.

A file is looked at before anything is sent: it must be there, be a file, be readable, and not change while it is read.
What comes back is written under a name that nobody takes for the file, which appears only when all of it was right.
"""

import mimetypes
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from exchange.envelope.attachments import MEDIA_TYPE, check_attachments, file_name, media_type
from exchange.envelope.model import Attachment
from exchange.errors import BadInput, ConfigurationError, Conflict, MalformedInput, VerificationFailed
from exchange.limits import MIB
from exchange.names import HASH_BYTES
from exchange.runtime.secrets import write_private
from nodes.admin import output
from nodes.v1 import attachment_pb2 as pb
from nodes.v1.node_service_pb2_grpc import NodeServiceStub


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that is to be attached, as it was looked at first."""

    path: Path
    name: str
    media_type: str
    stat: os.stat_result


def look_at(paths: Sequence[Path]) -> list[LocalFile]:
    """Return the files that are to be attached.

    Raises:
        BadInput: one is not there, no file, not readable, too large or badly named; or they are too many.
    """
    found = [_looked_at(path) for path in paths]
    check_attachments([Attachment(each.name, each.media_type, each.stat.st_size, bytes(HASH_BYTES)) for each in found])
    return found


def _looked_at(path: Path) -> LocalFile:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", hint="nothing was sent") from error
    try:
        seen = os.fstat(handle)
    finally:
        os.close(handle)
    if not stat.S_ISREG(seen.st_mode):
        raise BadInput(f"{path} is not a file", hint="a folder travels as an archive, as in .zip; nothing was sent")
    name = unicodedata.normalize("NFC", path.name)
    try:
        return LocalFile(path, file_name(name), _media_type(name), seen)
    except MalformedInput as error:
        raise BadInput(f"{path}: {error}", hint="give the file another name; nothing was sent") from error


def _media_type(name: str) -> str:
    """Return what the name says: nobody looks into the file."""
    found, encoding = mimetypes.guess_type(name, strict=True)
    try:
        return media_type(found) if found and not encoding else MEDIA_TYPE
    except MalformedInput:
        return MEDIA_TYPE


def attach(node: NodeServiceStub, files: Sequence[LocalFile]) -> list[str]:
    """Hand files to the node, and return under which ids a push takes them.

    Raises:
        BadInput: one changed while it was read; nothing was sent.
    """
    return [_attach(node, each) for each in files]


def _attach(node: NodeServiceStub, file: LocalFile) -> str:
    trouble: list[BadInput] = []

    def requests() -> Iterator[pb.AttachFileRequest]:
        yield pb.AttachFileRequest(name=file.name, media_type=file.media_type, size=file.stat.st_size)
        try:
            yield from (pb.AttachFileRequest(data=data) for data in _unchanged(file))
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


def _unchanged(file: LocalFile) -> Iterator[bytes]:
    try:
        with file.path.open("rb") as handle, output.bar(file.name, file.stat.st_size) as advance:
            left = file.stat.st_size
            while data := handle.read(min(MIB, left)):
                left -= len(data)
                yield data
                advance(len(data))
            after = os.fstat(handle.fileno())
    except OSError as error:
        raise BadInput(f"{file.path} cannot be read: {error.strerror}", hint="nothing was sent") from error
    before = file.stat
    same = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_dev,
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    )
    if left or not same:
        raise BadInput(f"{file.path} changes while it is read", hint="attach a copy of it; nothing was sent")


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
