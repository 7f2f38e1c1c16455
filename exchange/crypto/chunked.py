"""Seal bytes under a key: Cobblestone-256 of c2sp.org/chunked-encryption (SHA-512, AES-256-GCM).

A sealed text is `salt || commitment || chunks`. The commitment is checked before anything is decrypted: AES-GCM alone
lets a hostile sender make one ciphertext that opens to different texts under two keys. Chunks hold 16 KiB, the last
one less, so that an end cut off at a chunk is noticed. Costs 56 bytes and 16 a chunk.
`Sealing` and `Opening` do the same piece by piece, for texts that are too large for memory.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from exchange.crypto.random import random_bytes, same
from exchange.errors import MalformedInput, VerificationFailed

KEY_BYTES = 32
CHUNK_BYTES = 16 * 1024
TAG_BYTES = 16
HEADER_BYTES = 56
"""Salt and commitment."""

_SALT_BYTES = 24
_NONCE_BYTES = 12
_COMMITMENT_BYTES = 32
_SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def encrypt(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Return `plaintext` sealed under a uniformly random 32-byte key; MalformedInput for another length.

    A fresh salt makes every call different, so one key may seal any number of texts that we can make. `context` is
    not carried; who opens must know it.
    """
    return _encrypt(key, plaintext, context, random_bytes(_SALT_BYTES))


def decrypt(key: bytes, ciphertext: bytes, context: bytes) -> bytes:
    """Return all of the plaintext or nothing of it.

    Raises:
        VerificationFailed: another key or context, or bytes changed, moved, missing or added.
    """
    body = len(ciphertext) - HEADER_BYTES
    if len(key) != KEY_BYTES or body < 0 or body % _SEALED_CHUNK_BYTES < TAG_BYTES:
        raise VerificationFailed("no sealed text has this length, or the key has not")
    aead, base, commitment = _derive(key, ciphertext[:_SALT_BYTES], context)
    if not same(commitment, ciphertext[_SALT_BYTES:HEADER_BYTES]):
        raise VerificationFailed("sealed under another key or in another context")
    view = memoryview(ciphertext)
    try:
        chunks = [
            aead.decrypt(_nonce(base, number), view[start : start + _SEALED_CHUNK_BYTES], None)
            for number, start in enumerate(range(HEADER_BYTES, len(ciphertext), _SEALED_CHUNK_BYTES))
        ]
    except InvalidTag as error:
        raise VerificationFailed("a chunk does not open") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def sealed_size(size: int) -> int:
    """Return how many bytes a text of `size` bytes is sealed to."""
    return HEADER_BYTES + size + TAG_BYTES * (size // CHUNK_BYTES + 1)


class Sealing:
    """Seal one text piece by piece: what `start`, `add` and `end` return, joined, is what `encrypt` could return."""

    def __init__(self, key: bytes, context: bytes) -> None:
        """Begin one text; MalformedInput for a key that is not a uniformly random one of 32 bytes."""
        if len(key) != KEY_BYTES:
            raise MalformedInput(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
        salt = random_bytes(_SALT_BYTES)
        self._aead, self._base, commitment = _derive(key, salt, context)
        self._number = 0
        self._rest = b""
        self.start = salt + commitment
        """Stands before everything else."""

    def add(self, plaintext: bytes) -> bytes:
        """Return what can be sealed now that `plaintext` follows."""
        whole = self._rest + plaintext
        full = len(whole) - len(whole) % CHUNK_BYTES
        self._rest = whole[full:]
        view = memoryview(whole)
        return b"".join(self._seal(view[at : at + CHUNK_BYTES]) for at in range(0, full, CHUNK_BYTES))

    def end(self) -> bytes:
        """Return the last chunk, which is always short. Nothing is added afterwards."""
        rest, self._rest = self._rest, b""
        return self._seal(memoryview(rest))

    def _seal(self, chunk: memoryview) -> bytes:
        self._number += 1
        return self._aead.encrypt(_nonce(self._base, self._number - 1), chunk, None)


class Opening:
    """Open one sealed text piece by piece, in order.

    Every piece that comes out is what was sealed at its place; that nothing is missing behind it, only `end` says.
    """

    def __init__(self, key: bytes, context: bytes) -> None:
        """Begin one text; VerificationFailed for a key of another length than 32 bytes."""
        if len(key) != KEY_BYTES:
            raise VerificationFailed("the key has another length")
        self._key, self._context = key, context
        self._aead: AESGCM | None = None
        self._base = 0
        self._number = 0
        self._rest = b""

    def add(self, ciphertext: bytes) -> bytes:
        """Return what opens now that `ciphertext` follows.

        Raises:
            VerificationFailed: another key or context, or bytes changed or moved.
        """
        whole = self._rest + ciphertext
        if self._aead is None:
            if len(whole) < HEADER_BYTES:
                self._rest = whole
                return b""
            self._begin(whole[:HEADER_BYTES])
            whole = whole[HEADER_BYTES:]
        full = len(whole) - len(whole) % _SEALED_CHUNK_BYTES
        self._rest = whole[full:]
        view = memoryview(whole)
        return b"".join(self._open(view[at : at + _SEALED_CHUNK_BYTES]) for at in range(0, full, _SEALED_CHUNK_BYTES))

    def end(self) -> bytes:
        """Return the end of the text; VerificationFailed when what came is cut off, or was never begun."""
        if self._aead is None or len(self._rest) < TAG_BYTES:
            raise VerificationFailed("no sealed text has this length")
        rest, self._rest = self._rest, b""
        return self._open(memoryview(rest))

    def _begin(self, header: bytes) -> None:
        self._aead, self._base, commitment = _derive(self._key, header[:_SALT_BYTES], self._context)
        if not same(commitment, header[_SALT_BYTES:]):
            raise VerificationFailed("sealed under another key or in another context")

    def _open(self, chunk: memoryview) -> bytes:
        if self._aead is None:
            raise VerificationFailed("no sealed text has this length")
        try:
            opened = self._aead.decrypt(_nonce(self._base, self._number), chunk, None)
        except InvalidTag as error:
            raise VerificationFailed("a chunk does not open") from error
        self._number += 1
        return opened


def _encrypt(key: bytes, plaintext: bytes, context: bytes, salt: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise MalformedInput(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
    aead, base, commitment = _derive(key, salt, context)
    view = memoryview(plaintext)
    parts = [salt, commitment]
    # The last chunk is always short, hence the + 1: a text that fills its chunks is followed by an empty one.
    for number in range(len(plaintext) // CHUNK_BYTES + 1):
        start = number * CHUNK_BYTES
        parts.append(aead.encrypt(_nonce(base, number), view[start : start + CHUNK_BYTES], None))
    return b"".join(parts)


def _derive(key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, int, bytes]:
    """Return the cipher, the base nonce as a number, and the commitment of one sealed text."""
    length = KEY_BYTES + _NONCE_BYTES + _COMMITMENT_BYTES
    derived = HKDFExpand(SHA512(), length, b"".join((_LABEL, salt, context))).derive(key)
    base = int.from_bytes(derived[KEY_BYTES : KEY_BYTES + _NONCE_BYTES], "big")
    return AESGCM(derived[:KEY_BYTES]), base, derived[KEY_BYTES + _NONCE_BYTES :]


def _nonce(base: int, number: int) -> bytes:
    # Texts are far below the 2^38 chunks at which the counter would end.
    return (base ^ number).to_bytes(_NONCE_BYTES, "big")
