"""Signed notes: text that people can read, with one or more signature lines below it.

Pure. C2SP signed-note with Ed25519 keys (signature type 0x01), which sign the text as it stands. Lines by ML-DSA-44
keys (type 0x06) say more than the text: exchange/tlog/cosignature.py makes and checks them.
Lines of keys other than the expected one are ignored but must be well formed: witnesses add theirs to a log's note.
Verifying returns the text or raises BadProof.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.signing import Ed25519Key, sign_raw_ed25519, verify_raw_ed25519
from exchange.errors import BadInput, BadProof, BadSignature

NOTE_BYTES = 128 << 10
"""Whole note. As many witnesses as an exchange may have, with ML-DSA-44 cosignatures of 3.3 KB a line, fit in."""

NOTE_SIGNATURES = 64
NAME_CHARS = 255
KEY_HASH_BYTES = 4

_SIGNATURE_TYPES = {KeyAlgorithm.ED25519: b"\x01", KeyAlgorithm.MLDSA_44: b"\x06"}
_MARK = "\u2014 "  # an em dash opens a signature line
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME = re.compile(r"[^\s+]+")


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature line below a note; nothing of it is verified."""

    name: str
    key: bytes
    """Key hash."""
    value: bytes = field(repr=False)

    def text(self) -> str:
        """Return the line with its newline."""
        return f"{_MARK}{self.name} {base64.b64encode(self.key + self.value).decode()}\n"

    def by(self, name: str, public: PublicKey) -> bool:
        """Say whether the line claims to be by this key under this name."""
        return (self.name, self.key) == (name, key_hash(name, public))


def key_hash(name: str, public: PublicKey) -> bytes:
    """Return the four bytes that tell, together with `name`, which key made a signature line; not a secure hash.

    Raises:
        BadInput: a key of this algorithm signs no notes.
    """
    kind = _SIGNATURE_TYPES.get(public.algorithm)
    if kind is None:
        raise BadInput(f"a {public.algorithm.name} key signs no notes")
    return sha256(name.encode() + b"\n" + kind + public.raw).digest()[:KEY_HASH_BYTES]


def verifier_key(name: str, public: PublicKey) -> str:
    """Return the C2SP vkey by which others know a key: its name, its key hash, and its type with its bytes."""
    kind = _SIGNATURE_TYPES[public.algorithm]
    return f"{name}+{key_hash(name, public).hex()}+{base64.b64encode(kind + public.raw).decode()}"


def write_line(name: str, public: PublicKey, value: bytes) -> str:
    """Return the signature line with its newline; BadInput when the name may not be one."""
    if not is_key_name(name):
        raise BadInput(f"{name[:80]!r} cannot name a key")
    return SignatureLine(name, key_hash(name, public), value).text()


def read_line(line: str) -> SignatureLine:
    """Return what a signature line says; BadProof for anything else."""
    if not line.endswith("\n") or len(line) > NOTE_BYTES or _CONTROL.search(line):
        raise BadProof("not a signature line of a note")
    return _signature(line[:-1])


def read_note(note: str) -> tuple[str, tuple[SignatureLine, ...]]:
    """Return the text of a note and all its signature lines, none of them verified; BadProof for anything else."""
    text, lines = _split(note)
    return text, tuple(map(_signature, lines))


def with_lines(note: str, lines: Iterable[str]) -> str:
    """Return a note with more signature lines; BadProof when that is none, or too long."""
    longer = note + "".join(lines)
    read_note(longer)
    return longer


def sign_note(text: str, name: str, key: Ed25519Key) -> str:
    """Return the note of `text` with one signature line.

    Raises:
        BadInput: the text does not end in a newline or holds control characters, or the name may not be one.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise BadInput("the text of a note ends in a newline and holds no control characters")
    note = f"{text}\n{write_line(name, key.public, sign_raw_ed25519(key, text.encode()))}"
    if len(note.encode()) > NOTE_BYTES:
        raise BadInput("the note is too long")
    return note


def verify_note(note: str, name: str, public: PublicKey) -> str:
    """Return the text of a note that the key `public`, known as `name`, has signed.

    Raises:
        BadProof: not a note, over a limit, not signed by that key or signed wrongly.
    """
    if public.algorithm != KeyAlgorithm.ED25519:
        raise BadProof("only Ed25519 keys sign the text of notes")
    text, lines = read_note(note)
    found = [line.value for line in lines if line.by(name, public)]
    if len(found) != 1:
        raise BadProof(f"the note carries {len(found)} signatures of {name[:80]!r}, not one")
    try:
        verify_raw_ed25519(public, found[0], text.encode())
    except BadSignature as error:
        raise BadProof(f"the signature of {name[:80]!r} on the note does not hold") from error
    return text


def replace_line(note: str, line: str) -> str:
    """Return a note with a signature line, in place of those under the same name and key hash, or behind the others.

    Raises:
        BadProof: not a note, not a line, or the note becomes too long.
    """
    text, lines = read_note(note)
    new = read_line(line)
    kept = [each for each in lines if (each.name, each.key) != (new.name, new.key)]
    return with_lines(f"{text}\n", [each.text() for each in (*kept, new)])


def is_key_name(name: str) -> bool:
    """Say whether `name` may name a key: not empty, no spaces of any alphabet, no plus, no control characters."""
    return len(name) <= NAME_CHARS and bool(_NAME.fullmatch(name)) and not _CONTROL.search(name)


def strict_base64(text: str, what: str) -> bytes:
    """Return what the only accepted base64 form `text` says.

    Raises:
        BadProof: other characters, missing padding, or bits left over.
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadProof(f"{what} is not base64") from error
    if base64.b64encode(value).decode() != text:
        raise BadProof(f"{what} is not in the one base64 form")
    return value


def _split(note: str) -> tuple[str, list[str]]:
    """Return the text with its last newline, and the signature lines."""
    # Characters first: encoding a gigabyte to count its bytes is what the limit is there to prevent.
    if len(note) > NOTE_BYTES or not _is_utf8(note) or len(note.encode()) > NOTE_BYTES:
        raise BadProof("the note is too long, or not UTF-8")
    if _CONTROL.search(note):
        raise BadProof("the note holds control characters")
    body, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise BadProof("the note has no signature lines, or no end")
    lines = tail[:-1].split("\n")
    if len(lines) > NOTE_SIGNATURES:
        raise BadProof("the note has too many signature lines")
    return body + "\n", lines


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _signature(line: str) -> SignatureLine:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space or not is_key_name(name):
        raise BadProof("a signature line of the note is malformed")
    value = strict_base64(encoded, "a signature of the note")
    if len(value) <= KEY_HASH_BYTES:
        raise BadProof("a signature of the note is empty")
    return SignatureLine(name, value[:KEY_HASH_BYTES], value[KEY_HASH_BYTES:])
