"""A backup of a node or of the relay as one sealed file: a keystore under the passphrase, then its files, in pieces.

    "concord/v1/backup" 0x00 | length (4) | keystore with one entry, `backup`: a random key
    pieces: length (4) | piece, sealed under that key in the context hash of the keystore || number (8) || last (1)

The pieces together are: length of the manifest (4) | manifest, JSON | the files one after the other. Number and mark of
the last piece are under the seal, so none can be left out, moved, or cut off at the end. Names in a manifest are those
that the reader allows: a file that somebody made cannot write anywhere else, and a node's is none of the relay's.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedIOBase
from pathlib import Path
from typing import Protocol

import orjson

from exchange.crypto.atrest import open_record, seal_record
from exchange.crypto.keystore import KEYSTORE_BYTES, open_keystore, seal_keystore
from exchange.crypto.random import random_bytes
from exchange.errors import Conflict, MalformedInput, StorageFull, TooLarge, VerificationFailed
from exchange.limits import KIB, MIB
from exchange.names import hash_bytes
from exchange.runtime.secrets import private_dir

MAGIC = b"concord/v1/backup\x00"
ENTRY = "backup"
PIECE_BYTES = 4 * MIB
SEALED_PIECE_BYTES = PIECE_BYTES + 64 * KIB
MANIFEST_BYTES = 32 * MIB
"""Some 200,000 files."""
VERSION = 1

Allowed = Callable[[str], bool]
"""Says whether a backup may hold a file of this name."""


Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows a long step: what it is called and its bytes, then how many more of them are done."""


@contextmanager
def unshown(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda _: None


class Source(Protocol):
    """What a backup is read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """One file in a backup."""

    name: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of, and what it holds."""

    party: str
    exchange: str
    made_ms: int
    files: tuple[Kept, ...]
    permitted: tuple[str, ...] = ()
    """Operators of the node who permitted it; nobody where there are none."""


# -- writing -----------------------------------------------------------------------------------------------------------


def describe(
    folder: Path,
    names: Sequence[str],
    *,
    party: str,
    exchange: str,
    made_ms: int,
    permitted: Sequence[str] = (),
    more: Sequence[Kept] = (),
) -> Manifest:
    """Return the manifest of these files of a folder, and of `more`, which were looked at already."""
    files = tuple(Kept(name, (folder / name).stat().st_size, digest_of(folder / name)) for name in names)
    return Manifest(party, exchange, made_ms, (*files, *more), tuple(permitted))


def write_backup(
    out: BufferedIOBase,
    folder: Path,
    manifest: Manifest,
    passphrase: bytes,
    *,
    memory_kib: int,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the sealed file; `advance` is told how many bytes more are written."""
    key = random_bytes(32)
    keystore = seal_keystore({ENTRY: key}, passphrase, memory_kib=memory_kib)
    out.write(MAGIC + len(keystore).to_bytes(4, "big") + keystore)
    bound = sha256(keystore).digest()
    before: bytes | None = None
    number = 0
    for piece in _pieces(folder, manifest):
        if before is not None:
            _write_piece(out, key, before, bound, number, last=False)
            number += 1
        before = piece
        advance(len(piece))
    _write_piece(out, key, before or b"", bound, number, last=True)


def write_verified(
    out: Path,
    folder: Path,
    manifest: Manifest,
    passphrase: bytes,
    verify: Callable[[Path], None],
    *,
    memory_kib: int,
    bar: Bar = unshown,
) -> None:
    """Write the sealed file under a dot name; it gets its own name once `verify` returns, durably, or leaves nothing.

    Raises:
        Conflict: there is a file of this name.
        StorageFull: it does not fit on the disk.
    """
    if out.exists():
        raise Conflict(f"{out} exists already", hint="a backup is never overwritten; choose another name")
    total = sum(each.size for each in manifest.files)
    if shutil.disk_usage(out.parent).free < total:
        raise StorageFull(f"{out} has no room: {total:,} bytes", hint="write it to another disk")
    part = out.with_name(f".{out.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file, bar("writing", total) as advance:
            write_backup(file, folder, manifest, passphrase, memory_kib=memory_kib, advance=advance)
            file.flush()
            os.fsync(file.fileno())
        verify(part)
        part.replace(out)
        _sync(out.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _write_piece(out: BufferedIOBase, key: bytes, piece: bytes, bound: bytes, number: int, *, last: bool) -> None:
    sealed = seal_record(key, piece, _context(bound, number, last=last))
    out.write(len(sealed).to_bytes(4, "big") + sealed)


def _context(bound: bytes, number: int, *, last: bool) -> bytes:
    return MAGIC + bound + number.to_bytes(8, "big") + (b"\x01" if last else b"\x00")


def _pieces(folder: Path, manifest: Manifest) -> Iterator[bytes]:
    head = encode_manifest(manifest)
    if len(head) > MANIFEST_BYTES:
        raise TooLarge(f"{len(manifest.files):,} files do not fit into one backup")
    head = len(head).to_bytes(4, "big") + head
    for at in range(0, len(head), PIECE_BYTES):
        yield head[at : at + PIECE_BYTES]
    for kept in manifest.files:
        with (folder / kept.name).open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes that `decode_manifest` accepts."""
    return orjson.dumps(
        {
            "version": VERSION,
            "party": manifest.party,
            "exchange": manifest.exchange,
            "made_ms": manifest.made_ms,
            "permitted": list(manifest.permitted),
            "files": [{"name": each.name, "size": each.size, "sha256": each.sha256.hex()} for each in manifest.files],
        }
    )


# -- reading -----------------------------------------------------------------------------------------------------------


def read_backup(
    source: Source, into: Path, passphrase: bytes, *, allowed: Allowed, only_look: Allowed = lambda _: False
) -> Manifest:
    """Write the files of a backup into a folder that is ours and empty, and return the manifest.

    Every file is checked as it comes; those that are `only_look` are not written.

    Raises:
        WrongPassphrase: another passphrase.
        MalformedInput, VerificationFailed: no backup, or damaged; what was written so far is not to be used.
    """
    if source.read(len(MAGIC)) != MAGIC:
        raise MalformedInput("not a backup")
    keystore = _take(source, _length(source, KEYSTORE_BYTES))
    entries = open_keystore(keystore, passphrase)
    if set(entries) != {ENTRY}:
        raise MalformedInput("not the keystore of a backup")
    stream = _Plain(_opened(source, entries[ENTRY], sha256(keystore).digest()))
    size = int.from_bytes(stream.take(4), "big")
    if not 1 <= size <= MANIFEST_BYTES:
        raise MalformedInput("the manifest has an impossible length")
    manifest = decode_manifest(stream.take(size), allowed=allowed)
    for kept in manifest.files:
        if only_look(kept.name):
            _copy(stream, kept, lambda _: None)
            continue
        path = into / kept.name
        private_dir(path.parent)
        _restore(stream, kept, path)
    stream.end()
    return manifest


def decode_manifest(data: bytes, *, allowed: Allowed) -> Manifest:
    """Return what a manifest says; MalformedInput for anything else."""
    try:
        fields = orjson.loads(data)
        if fields["version"] != VERSION:
            raise MalformedInput(
                f"a backup of version {fields['version']} is not known here", hint="use a newer program"
            )
        files = tuple(
            Kept(str(each["name"]), int(each["size"]), hash_bytes(bytes.fromhex(each["sha256"]), "a file's hash"))
            for each in fields["files"]
        )
        people = tuple(str(name) for name in fields.get("permitted", ()))
        manifest = Manifest(str(fields["party"]), str(fields["exchange"]), int(fields["made_ms"]), files, people)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedInput("the manifest of the backup is damaged") from error
    names = [each.name for each in files]
    if len(set(names)) != len(names) or not all(map(allowed, names)) or any(each.size < 0 for each in files):
        raise MalformedInput("the backup holds files that none of this kind holds")
    return manifest


def _opened(source: Source, key: bytes, bound: bytes) -> Iterator[bytes]:
    """Yield the pieces; the last one must say that it is."""
    number, here = 0, _take_piece(source)
    if here is None:
        raise MalformedInput("the backup is cut off")
    while here is not None:
        after = _take_piece(source)
        yield open_record(key, here, _context(bound, number, last=after is None))
        here, number = after, number + 1


def _take_piece(source: Source) -> bytes | None:
    prefix = source.read(4)
    if not prefix:
        return None
    if len(prefix) != 4 or not 1 <= int.from_bytes(prefix, "big") <= SEALED_PIECE_BYTES:
        raise MalformedInput("the backup is cut off or damaged")
    return _take(source, int.from_bytes(prefix, "big"))


def _length(source: Source, most: int) -> int:
    length = int.from_bytes(_take(source, 4), "big")
    if not 1 <= length <= most:
        raise MalformedInput("the backup is damaged")
    return length


def _take(source: Source, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise MalformedInput("the backup is cut off")
    return data


class Watched:
    """A file that is read once from its beginning, and the SHA-256 of what was read."""

    def __init__(self, source: BufferedIOBase, advance: Callable[[int], None] = lambda _: None) -> None:
        """Nothing is read yet; `advance` is told how many bytes more are."""
        self._source = source
        self._digest = sha256()
        self._advance = advance

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer at the end."""
        data = self._source.read(size)
        self._digest.update(data)
        self._advance(len(data))
        return data

    def digest(self) -> bytes:
        """Return the hash of what was read so far: of the whole file, once a backup was read to its end."""
        return self._digest.digest()


class _Plain:
    """The pieces as one stream of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def take(self, size: int) -> bytes:
        while len(self._rest) < size:
            more = next(self._pieces, None)
            if more is None:
                raise MalformedInput("the backup is shorter than its manifest says")
            self._rest += more
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def end(self) -> None:
        if self._rest or next(self._pieces, None) is not None:
            raise MalformedInput("the backup is longer than its manifest says")


def _restore(stream: _Plain, kept: Kept, path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as out:
        _copy(stream, kept, out.write)
        out.flush()
        os.fsync(out.fileno())


def _copy(stream: _Plain, kept: Kept, write: Callable[[bytes], object]) -> None:
    digest, left = sha256(), kept.size
    while left:
        piece = stream.take(min(left, PIECE_BYTES))
        digest.update(piece)
        write(piece)
        left -= len(piece)
    if digest.digest() != kept.sha256:
        raise VerificationFailed(f"{kept.name} in the backup is damaged")


# -- folders -----------------------------------------------------------------------------------------------------------


@contextmanager
def temporary(home: Path, what: str) -> Iterator[Path]:
    """Give a folder in the home, which only we may enter, and remove it; so are those that a kill -9 has left there."""
    for left in home.glob(f".{what}-*"):
        with _alone(left) as is_ours:
            if is_ours:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{what}-", dir=home))
    try:
        with _alone(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold a folder while the block runs; say whether nobody else does. A process that ends lets go."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


@contextmanager
def appearing(home: Path) -> Iterator[Path]:
    """Give a folder to be made ready; it becomes `home` when the block ends well, and is gone otherwise.

    Raises:
        Conflict: the home holds something already.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Conflict(f"{home} holds something already", hint="restore into a new home")
    home.parent.mkdir(parents=True, exist_ok=True)
    ready = home.with_name(f".{home.name}.restoring")
    if ready.exists():
        shutil.rmtree(ready)
    private_dir(ready)
    try:
        yield ready
        if home.exists():
            home.rmdir()
        ready.rename(home)
    except BaseException:
        # What did not hold, or was not permitted, must not stay there to be used all the same.
        shutil.rmtree(ready, ignore_errors=True)
        raise
    _sync(home.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(path: Path, advance: Callable[[int], None] = lambda _: None) -> bytes:
    """Return the SHA-256 of a file, also of one that does not fit into memory; `advance` as for `write_backup`."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            advance(len(piece))
    return digest.digest()
