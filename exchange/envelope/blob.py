"""Seal one attachment, and open it, piece by piece (crypto.md 1.8).

A blob is the ciphertext of one file under a random key of its own, in the context of its random id: a blob under
another id opens nowhere. The file is padded with zeros to its Padmé size, so that the size of the blob says little of
the file's. What holds it together with its report: the header names id, size and hash of the blob, the body carries its
key, and the originator's statement names the file's own size and hash.
Specification: docs/spec/envelope.md, "Attachments".
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from exchange.crypto.chunked import Opening, Sealing, sealed_size
from exchange.crypto.padme import FRAME_LEAST, padme
from exchange.crypto.random import random_bytes
from exchange.envelope.model import Attachment, BlobKey, BlobRef
from exchange.errors import VerificationFailed
from exchange.limits import ATTACHMENT_BYTES, ATTACHMENTS, ATTACHMENTS_BYTES, KIB
from exchange.names import ID_BYTES

KEY_BYTES = 32

_LABEL = b"concord/v1/blob\x00"
_ZEROS = bytes(256 * KIB)


def blob_context(blob_id: bytes) -> bytes:
    """Return the context in which a blob is sealed."""
    return _LABEL + blob_id


def padded_size(size: int) -> int:
    """Return to how many bytes a file of `size` bytes is padded."""
    return max(FRAME_LEAST, padme(size))


def blob_size(size: int) -> int:
    """Return the size of the blob of a file of `size` bytes."""
    return sealed_size(padded_size(size))


BLOB_BYTES = blob_size(ATTACHMENT_BYTES)
"""The largest blob."""

BLOBS_BYTES = ATTACHMENTS_BYTES // 8 * 9 + ATTACHMENTS * blob_size(0)
"""What the blobs of one envelope have together at most: padding and sealing add less than an eighth."""


def new_blob_id() -> bytes:
    """Return the id of a new blob."""
    return random_bytes(ID_BYTES)


def attachment_of(key: BlobKey) -> Attachment:
    """Return what the originator's statement must say of a file whose key came along."""
    return Attachment(key.name, key.media_type, key.size, key.plain_sha256)


def attachments_of(keys: Sequence[BlobKey]) -> tuple[Attachment, ...]:
    """Return what the originator's statement must say of these."""
    return tuple(attachment_of(key) for key in keys)


class BlobSealing:
    """Seals one file: `start`, then what `add` returns, then all that `end` yields, is the blob."""

    def __init__(self, blob_id: bytes, key: bytes) -> None:
        """`key` is random and serves for this blob alone."""
        self._blob_id = blob_id
        self._sealing = Sealing(key, blob_context(blob_id))
        self._plain, self._sealed = hashlib.sha256(), hashlib.sha256(self._sealing.start)
        self.size = 0
        """Bytes of the file so far."""
        self.start = self._sealing.start

    def add(self, data: bytes) -> bytes:
        """Return the next part of the blob, now that `data` of the file follows."""
        self._plain.update(data)
        self.size += len(data)
        return self._hashed(self._sealing.add(data))

    def end(self) -> Iterator[bytes]:
        """Yield the rest of the blob, the padding in it; the file ends here."""
        left = padded_size(self.size) - self.size
        while left:
            zeros = _ZEROS[: min(left, len(_ZEROS))]
            left -= len(zeros)
            yield self._hashed(self._sealing.add(zeros))
        yield self._hashed(self._sealing.end())

    @property
    def ref(self) -> BlobRef:
        """What the header says of the blob, once it has ended."""
        return BlobRef(self._blob_id, self._sealed.digest(), blob_size(self.size))

    @property
    def plain_sha256(self) -> bytes:
        """Hash of the file so far."""
        return self._plain.digest()

    def _hashed(self, sealed: bytes) -> bytes:
        self._sealed.update(sealed)
        return sealed


def open_blob(key: BlobKey, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the file whose blob comes in `parts`; only when this has ended without an error was it all, and intact.

    Raises:
        VerificationFailed: not the blob of this key, or a part of it changed, moved, missing or added; or it holds
            another file than the key says.
    """
    opening, plain = Opening(key.key, blob_context(key.blob_id)), hashlib.sha256()
    at, padded = 0, padded_size(key.size)

    def checked(opened: bytes) -> bytes:
        nonlocal at
        wanted, padding = opened[: max(0, key.size - at)], opened[max(0, key.size - at) :]
        at += len(opened)
        if at > padded or padding.count(0) != len(padding):
            raise VerificationFailed("behind the file stands more than its padding")
        plain.update(wanted)
        return wanted

    for part in parts:
        if wanted := checked(opening.add(part)):
            yield wanted
    if wanted := checked(opening.end()):
        yield wanted
    if at != padded or plain.digest() != key.plain_sha256:
        raise VerificationFailed("it is another file than the one that was signed for")
