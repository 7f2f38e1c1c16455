"""Files on this disk that are to be attached to a report, as commands and sensors look at them.

A file is looked at before anything is sent: it must be there, be a file, be readable, and not change while it is read.
"""

import mimetypes
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from exchange.envelope.attachments import MEDIA_TYPE, check_attachments, file_name, media_type
from exchange.envelope.model import Attachment
from exchange.errors import BadInput, MalformedInput
from exchange.limits import MIB
from exchange.names import HASH_BYTES


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that is to be attached, as it was looked at first."""

    path: Path
    name: str
    media_type: str
    stat: os.stat_result

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.stat.st_size


def look_at(paths: Sequence[Path]) -> list[LocalFile]:
    """Return the files that are to be attached.

    Raises:
        BadInput: one is not there, no file, not readable, too large or badly named; or they are too many.
    """
    found = [_looked_at(path) for path in paths]
    check_attachments([Attachment(each.name, each.media_type, each.size, bytes(HASH_BYTES)) for each in found])
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


def hashed(file: LocalFile) -> Attachment:
    """Return what names a file: with the hash of all of it; raises as `unchanged`."""
    digest = sha256()
    for data in unchanged(file):
        digest.update(data)
    return Attachment(file.name, file.media_type, file.size, digest.digest())


def unchanged(file: LocalFile, start: int = 0, part_bytes: int = MIB) -> Iterator[bytes]:
    """Yield a file from an offset on.

    Raises:
        BadInput: it cannot be read, or is not what it was when it was looked at.
    """
    try:
        with file.path.open("rb") as handle:
            handle.seek(start)
            left = file.size - start
            while data := handle.read(max(0, min(part_bytes, left))):
                left -= len(data)
                yield data
            after = os.fstat(handle.fileno())
    except OSError as error:
        raise BadInput(f"{file.path} cannot be read: {error.strerror}", hint="nothing was sent") from error
    if left or _identity(file.stat) != _identity(after):
        raise BadInput(f"{file.path} changes while it is read", hint="attach a copy of it; nothing was sent")


def _identity(seen: os.stat_result) -> tuple[int, int, int, int]:
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns
