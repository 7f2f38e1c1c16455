"""Text form of the files that people carry: keys, invitations, requests, admissions, agreements.

    -----BEGIN CONCORD INVITATION-----
    base64, 64 columns
    -----END CONCORD INVITATION-----

One block a file and nothing else in it, so that what a person checks is what the program reads. Line ends and spaces
around lines do not matter: such files travel by mail. The armour protects nothing; the bytes inside are signed.
"""

import base64
import binascii
import re
from collections.abc import Collection

from exchange.errors import MalformedInput, TooLarge
from exchange.limits import MIB

ARMOUR_BYTES = 4 * MIB
"""Longest text that is read."""

_COLUMNS = 64
_KIND = re.compile(r"[A-Z]+( [A-Z]+)*")
_BEGIN = re.compile(r"-----BEGIN CONCORD ([A-Z ]{1,40})-----")


def write_armour(kind: str, data: bytes) -> str:
    """Return `data` as text. `kind` is words in capitals, such as INVITATION."""
    if not _KIND.fullmatch(kind):
        raise MalformedInput(f"{kind!r} cannot be the kind of an armoured file")
    text = base64.b64encode(data).decode("ascii")
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return "\n".join([f"-----BEGIN CONCORD {kind}-----", *lines, f"-----END CONCORD {kind}-----", ""])


def read_armour(text: str, kinds: Collection[str]) -> tuple[str, bytes]:
    """Return the kind and the bytes of the one block in `text`.

    Raises:
        TooLarge: over ARMOUR_BYTES.
        MalformedInput: not exactly one whole block, not of one of `kinds`, or not strict base64.
    """
    if len(text) > ARMOUR_BYTES:
        raise TooLarge(f"the file has {len(text)} characters; the limit is {ARMOUR_BYTES}")
    lines = [line.strip() for line in text.strip().splitlines()]
    wanted = " or ".join(sorted(kinds))
    begin = _BEGIN.fullmatch(lines[0]) if lines else None
    if begin is None:
        raise MalformedInput(f"this is not a Concord file; wanted is {wanted}", place="line 1")
    kind = begin.group(1)
    if kind not in kinds:
        raise MalformedInput(f"this file holds {kind}; wanted is {wanted}", place="line 1")
    if lines[-1] != f"-----END CONCORD {kind}-----":
        raise MalformedInput("the file is cut off: its last line is not the END line", place=f"line {len(lines)}")
    return kind, _decode("".join(lines[1:-1]))


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput("the file is damaged: it is not base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise MalformedInput("the file is damaged: its last base64 letter has stray bits")
    return data
