"""Sealed files on this disk: `HOME/attachments/FILE`, or `FILE.part` while it is not whole.

What is said to be durable is: files are flushed before the store says so, and a name appears only together with all
that belongs under it. Everything here waits for the disk: call it in a thread.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from exchange.errors import StorageFull, Unavailable
from exchange.limits import MIB
from exchange.runtime.secrets import private_dir

FOLDER = "attachments"
READ_BYTES = MIB
PART = ".part"


class BlobFiles:
    """The sealed files of one node."""

    def __init__(self, home: Path) -> None:
        """Keep them in `home`."""
        self._folder = private_dir(home / FOLDER)

    def write(self, file: bytes, at: int, data: bytes) -> None:
        """Write a part behind the first `at` bytes of an unfinished file; whatever lay behind is dropped.

        Raises:
            StorageFull: there is no room for it.
        """
        try:
            handle = os.open(self._part(file), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(handle, at)
                view = memoryview(data)
                while view:
                    written = os.pwrite(handle, view, at)
                    at, view = at + written, view[written:]
            finally:
                os.close(handle)
        except OSError as error:
            raise _ours(error) from error

    def flush(self, file: bytes) -> None:
        """Return when what was written of an unfinished file is durable."""
        _sync(self._part(file))

    def finish(self, file: bytes) -> None:
        """Give a whole file its name, durably."""
        try:
            _sync(self._part(file))
            self._part(file).replace(self._whole(file))
            _sync(self._folder)
        except OSError as error:
            raise _ours(error) from error

    def read(self, file: bytes, start: int = 0, end: int | None = None, *, part: bool = False) -> Iterator[bytes]:
        """Yield a whole file from an offset on, or an unfinished one with `part`.

        Raises:
            Unavailable: it is not here, or cannot be read.
        """
        try:
            with (self._part(file) if part else self._whole(file)).open("rb") as handle:
                handle.seek(start)
                left = READ_BYTES if end is None else end - start
                while left > 0 and (data := handle.read(min(READ_BYTES, left))):
                    left -= 0 if end is None else len(data)
                    yield data
        except OSError as error:
            raise _ours(error) from error

    def is_whole(self, file: bytes) -> bool:
        """Say whether a file has its name."""
        return self._whole(file).is_file()

    def size_of_part(self, file: bytes) -> int:
        """Return how much lies here of an unfinished file."""
        try:
            return self._part(file).stat().st_size
        except OSError:
            return 0

    def remove(self, file: bytes) -> None:
        """Remove what lies here of a file."""
        self._part(file).unlink(missing_ok=True)
        self._whole(file).unlink(missing_ok=True)

    def free(self) -> int:
        """Return how many bytes of the disk are free."""
        return shutil.disk_usage(self._folder).free

    def names(self) -> set[bytes]:
        """Return the files of which anything lies here."""
        found = set()
        for path in self._folder.iterdir():
            try:
                found.add(bytes.fromhex(path.name.removesuffix(PART)))
            except ValueError:
                continue
        return found

    def _whole(self, file: bytes) -> Path:
        return self._folder / file.hex()

    def _part(self, file: bytes) -> Path:
        return self._folder / f"{file.hex()}{PART}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ours(error: OSError) -> Unavailable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull("the disk has no room for an attachment", hint="make room; it goes on by itself")
    return Unavailable(f"an attachment's file cannot be used: {error.strerror}", hint="check the node's home")
