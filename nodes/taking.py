"""Take one file in: seal it as it comes, and write what is sealed. Nothing of it stands in clear on the disk.

How far it is, is in memory, as its key is: whoever sends it goes on there after a cut, and begins anew after a restart.
What the disk has no room for now is not taken, and can be sent again.
"""

import threading
from collections.abc import Iterator

from exchange.crypto.random import random_bytes
from exchange.envelope.blob import KEY_BYTES, BlobSealing, blob_size, new_blob_id
from exchange.envelope.model import Attachment
from exchange.errors import Conflict, MalformedInput, VerificationFailed
from exchange.limits import MIB
from exchange.names import ID_BYTES
from nodes.attached import Attached
from nodes.blob_files import BlobFiles

WRITE_BYTES = MIB
"""What is sealed is written in pieces of about this size."""


class Writing:
    """Collects what is sealed and writes it in large pieces. For one thread at a time."""

    def __init__(self, files: BlobFiles, file: bytes) -> None:
        """Write an unfinished file from its beginning."""
        self._files = files
        self._file = file
        self._pending = bytearray()
        self.written = 0

    def add(self, sealed: bytes) -> None:
        """Take what follows, after what was taken before has room on the disk; StorageFull when it has none."""
        self.make_room()
        self._pending += sealed

    def make_room(self) -> None:
        """Write what is large enough, so that the next `add` cannot fail; StorageFull when the disk has no room."""
        if len(self._pending) >= WRITE_BYTES:
            self._write()

    def finish(self, size: int) -> None:
        """Write the rest, durably, and give the file its name; it must be of this size."""
        self._write()
        if self.written != size:
            raise VerificationFailed("a sealed file has another size than it should have")
        self._files.finish(self._file)

    def _write(self) -> None:
        self._files.write(self._file, self.written, bytes(self._pending))
        self.written += len(self._pending)
        self._pending.clear()


class Taking:
    """One file on its way in. Any thread may call; what two calls send at once is refused to one of them."""

    def __init__(self, files: BlobFiles, announced: Attachment, *, owner: str, now_ms: int) -> None:
        """`announced` has no hash when whoever sends it does not know it yet; `owner` is who may push it."""
        self.file = random_bytes(ID_BYTES)
        self.announced = announced
        self.owner = owner
        self.moved_ms = now_ms
        """When something of it came last."""
        self._key = random_bytes(KEY_BYTES)
        self._sealing = BlobSealing(new_blob_id(), self._key)
        self._writing = Writing(files, self.file)
        self._writing.add(self._sealing.start)
        self._rest: Iterator[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def come(self) -> int:
        """How much of the file has come."""
        with self._lock:
            return self._sealing.size

    @property
    def to_write(self) -> int:
        """How much is still to be written to the disk, when all of it comes."""
        return blob_size(self.announced.size) - self._writing.written

    def add(self, at: int, part: bytes, now_ms: int) -> int:
        """Take the part that follows the first `at` bytes; return how much has come.

        Raises:
            Conflict: another call goes on with it, or it was dropped.
            MalformedInput: more came than was announced.
            StorageFull: there is no room for it now; nothing of this part was taken.
        """
        with self._lock:
            self._check_open()
            if at != self._sealing.size or self._rest is not None:
                raise Conflict("another call goes on with this file")
            if at + len(part) > self.announced.size:
                raise MalformedInput(f"more came of {self.announced.name!r} than was announced")
            self._writing.make_room()
            self._writing.add(self._sealing.add(part))
            self.moved_ms = now_ms
            return self._sealing.size

    def end(self) -> Attached:
        """Return the file once it lies here whole, sealed, durably. What was refused for want of room may be repeated.

        Raises:
            MalformedInput: less came than was announced, or another file.
            Conflict: another call has ended it, or it was dropped.
            StorageFull: there is no room for it now.
        """
        with self._lock:
            self._check_open()
            said, come, digest = self.announced, self._sealing.size, self._sealing.plain_sha256
            if come != said.size:
                raise MalformedInput(f"{come:,} bytes came of {said.name!r}, and {said.size:,} were announced")
            if said.sha256 and digest != said.sha256:
                raise MalformedInput(f"another file came than the {said.name!r} that was announced")
            self._rest = self._rest or self._sealing.end()
            while True:
                self._writing.make_room()
                sealed = next(self._rest, None)
                if sealed is None:
                    break
                self._writing.add(sealed)
            self._writing.finish(blob_size(come))
            self._closed = True
            return Attached(
                Attachment(said.name, said.media_type, come, digest), self._sealing.ref, self.file, self._key
            )

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise Conflict("this file is not taken in any more", hint="begin anew")
