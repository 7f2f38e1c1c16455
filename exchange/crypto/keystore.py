"""Secret keys in one file under a passphrase: Argon2id, then AES-256-GCM per entry (crypto.md 3.5).

Layout, integers big-endian:

    header   "concord/v1/keystore" 0x00 | memory in KiB (4) | passes (4) | lanes (4) | salt (16) | entries (4)
    data key nonce (12) | AES-256-GCM under the Argon2id key, 48 bytes | header is associated data
    entry    length of name (2) | name | length of box (4) | box = nonce (12) and AES-256-GCM under the data key

The data key is random and new each time a file is sealed, so an entry of an older file does not open in this one; an
entry's associated data is the header, its number and its name, so none can be renamed, moved, or dropped.
Memory and passes have caps: a hostile file must not exhaust the machine.
"""

import struct
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from exchange.crypto.random import random_bytes
from exchange.errors import ConfigurationError, MalformedInput, TooLarge, WrongPassphrase
from exchange.limits import MIB

MEMORY_LEAST_KIB = 64 * 1024
"""RFC 9106, second recommended option."""

MEMORY_MOST_KIB = 4 * 1024 * 1024
PASSES = 3
PASSES_MOST = 10
LANES = 4
LANES_MOST = 16
ENTRIES = 4096
NAME_BYTES = 128
VALUE_BYTES = MIB
KEYSTORE_BYTES = 16 * MIB

_MAGIC = b"concord/v1/keystore\x00"
_HEADER = struct.Struct(f">{len(_MAGIC)}sIII16sI")
_SALT_BYTES = 16
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_BOXED_KEY_BYTES = _NONCE_BYTES + _KEY_BYTES + _TAG_BYTES


def seal_keystore(entries: Mapping[str, bytes], passphrase: bytes, *, memory_kib: int) -> bytes:
    """Return the file that holds `entries`; `memory_kib` is what each guess will cost an attacker too.

    Takes 0.24 s with 64 MiB, 0.9 s with 256 MiB, 5 s with 1 GiB.

    Raises:
        MalformedInput: an empty passphrase, less than 64 MiB or more than 4 GiB, or an entry's name is not usable.
        TooLarge: too many entries, or an entry is too large.
        ConfigurationError: this machine does not have so much memory.
    """
    if not MEMORY_LEAST_KIB <= memory_kib <= MEMORY_MOST_KIB:
        raise MalformedInput(f"a keystore takes {MEMORY_LEAST_KIB} to {MEMORY_MOST_KIB} KiB, not {memory_kib}")
    if not passphrase:
        raise MalformedInput("the passphrase is empty")
    if len(entries) > ENTRIES:
        raise TooLarge(f"a keystore holds at most {ENTRIES} entries")
    named = sorted((_name_bytes(name), value) for name, value in entries.items())
    header = _HEADER.pack(_MAGIC, memory_kib, PASSES, LANES, random_bytes(_SALT_BYTES), len(named))
    data_key = random_bytes(_KEY_BYTES)
    parts = [header, _box(_passphrase_key(header, passphrase), data_key, header)]
    for number, (name, value) in enumerate(named):
        if len(value) > VALUE_BYTES:
            raise TooLarge(f"keystore entry {name!r} has {len(value)} bytes; the limit is {VALUE_BYTES}")
        box = _box(data_key, value, _entry_context(header, number, name))
        parts += [struct.pack(">H", len(name)), name, struct.pack(">I", len(box)), box]
    data = b"".join(parts)
    if len(data) > KEYSTORE_BYTES:
        raise TooLarge(f"the keystore has {len(data)} bytes; the limit is {KEYSTORE_BYTES}")
    return data


def open_keystore(data: bytes, passphrase: bytes) -> dict[str, bytes]:
    """Return all entries of a file that seal_keystore made, or nothing of it.

    Raises:
        WrongPassphrase: the passphrase is another, or the first part of the file is damaged: these look the same.
        MalformedInput: not a keystore, damaged behind that part, or its cost is outside the caps.
        TooLarge: more than 16 MiB.
        ConfigurationError: this machine does not have as much memory as the file asks for.
    """
    boxed_entries = check_keystore(data)
    header, rest = data[: _HEADER.size], data[_HEADER.size :]
    try:
        data_key = _unbox(_passphrase_key(header, passphrase), rest[:_BOXED_KEY_BYTES], header)
    except InvalidTag as error:
        raise WrongPassphrase(
            "the passphrase does not open the keystore", hint="if it is the right one, the file is damaged: restore it"
        ) from error
    entries = {}
    for number, (name, box) in enumerate(boxed_entries):
        try:
            entries[name.decode()] = _unbox(data_key, box, _entry_context(header, number, name))
        except InvalidTag as error:
            raise MalformedInput(f"keystore entry {number} is damaged", hint="restore the file") from error
    return entries


def check_keystore(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return names and boxes of the entries when this has the form of a keystore; what is in them takes a passphrase.

    Raises:
        MalformedInput: not a keystore, cut off, or its cost is outside the caps.
        TooLarge: more than 16 MiB.
    """
    if len(data) > KEYSTORE_BYTES:
        raise TooLarge(f"the keystore has {len(data)} bytes; the limit is {KEYSTORE_BYTES}")
    count = _check_header(data[: _HEADER.size])
    return _split_entries(data[_HEADER.size + _BOXED_KEY_BYTES :], count)


def change_passphrase(data: bytes, old: bytes, new: bytes, *, memory_kib: int) -> bytes:
    """Return the file with the same entries under another passphrase and a new data key; raises as both others do."""
    return seal_keystore(open_keystore(data, old), new, memory_kib=memory_kib)


def _check_header(header: bytes) -> int:
    """Return the number of entries of a header that is in every way one of ours."""
    if len(header) != _HEADER.size or not header.startswith(_MAGIC):
        raise MalformedInput("not a keystore")
    _, memory_kib, passes, lanes, _, count = _HEADER.unpack(header)
    if not MEMORY_LEAST_KIB <= memory_kib <= MEMORY_MOST_KIB:
        raise MalformedInput(f"the keystore asks for {memory_kib} KiB of memory, outside the limits")
    if not PASSES <= passes <= PASSES_MOST or not 1 <= lanes <= LANES_MOST:
        raise MalformedInput(f"the keystore asks for {passes} passes in {lanes} lanes, outside the limits")
    if count > ENTRIES:
        raise MalformedInput(f"the keystore claims {count} entries")
    return int(count)


def _split_entries(data: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Return names and boxes; MalformedInput unless they fill `data` exactly."""
    entries: list[tuple[bytes, bytes]] = []
    at = 0
    for _ in range(count):
        name, at = _take(data, at, ">H", NAME_BYTES)
        box, at = _take(data, at, ">I", _NONCE_BYTES + VALUE_BYTES + _TAG_BYTES)
        try:
            _name_bytes(name.decode())
        except UnicodeDecodeError as error:
            raise MalformedInput("the name of a keystore entry is not UTF-8") from error
        entries.append((name, box))
    if at != len(data):
        raise MalformedInput("the keystore does not end where it should")
    return entries


def _take(data: bytes, at: int, length_format: str, most: int) -> tuple[bytes, int]:
    """Return the length-prefixed bytes at `at`, and where they end."""
    start = at + struct.calcsize(length_format)
    prefix = data[at:start]
    if len(prefix) != start - at:
        raise MalformedInput("the keystore is cut off")
    (length,) = struct.unpack(length_format, prefix)
    if length > most or start + length > len(data):
        raise MalformedInput("the keystore is cut off or damaged")
    return data[start : start + length], start + length


def _name_bytes(name: str) -> bytes:
    encoded = name.encode()
    if not 1 <= len(encoded) <= NAME_BYTES:
        raise MalformedInput(f"the name of a keystore entry has 1 to {NAME_BYTES} bytes")
    return encoded


def _passphrase_key(header: bytes, passphrase: bytes) -> bytes:
    _, memory_kib, passes, lanes, salt, _ = _HEADER.unpack(header)
    kdf = Argon2id(salt=salt, length=_KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
    try:
        return kdf.derive(passphrase)
    except MemoryError as error:
        raise ConfigurationError(
            f"the keystore needs {memory_kib // 1024} MiB of memory to open",
            hint="free memory, or use a larger machine",
        ) from error


def _entry_context(header: bytes, number: int, name: bytes) -> bytes:
    return header + struct.pack(">I", number) + name


def _box(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    nonce = random_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context)


def _unbox(key: bytes, box: bytes, context: bytes) -> bytes:
    if len(box) < _NONCE_BYTES + _TAG_BYTES:
        raise MalformedInput("the keystore is cut off")
    return AESGCM(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], context)
