"""The process that wraps for another one: `python -m nodes.wrapping_worker`, started by nodes/wrapping.py alone.

It reads what is to be wrapped from stdin and answers on stdout, frame by frame, and ends when stdin does: with the
process that started it, however that one ends. A frame is its length in four bytes, then what the functions here say.
It holds no keys but those of other parties, and of a report no more than the secret that it wraps.
"""

import signal
import struct
import sys
from collections.abc import Sequence
from typing import IO

from exchange.crypto.xwing import SECRET_BYTES, WRAP_BYTES, wrap_each
from exchange.errors import BadInput, Unavailable

_LENGTH = struct.Struct(">I")
_SIZES = struct.Struct(">HH")


def write_frame(pipe: IO[bytes], frame: bytes) -> None:
    """Send one frame."""
    pipe.write(_LENGTH.pack(len(frame)) + frame)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """Return the next frame; None when the other side is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    frame = pipe.read(length)
    return frame if len(frame) == length else None


def encode_wanted(secret: bytes, wanted: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a request: the secret, then for each wrap two lengths, the key and the info."""
    parts = [secret]
    for key, info in wanted:
        parts += (_SIZES.pack(len(key), len(info)), key, info)
    return b"".join(parts)


def decode_wanted(frame: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return what encode_wanted wrote; only our own process writes it."""
    wanted, at = [], SECRET_BYTES
    while at < len(frame):
        of_key, of_info = _SIZES.unpack_from(frame, at)
        key_at = at + _SIZES.size
        info_at = key_at + of_key
        at = info_at + of_info
        wanted.append((frame[key_at:info_at], frame[info_at:at]))
    return frame[:SECRET_BYTES], wanted


def decode_wraps(frame: bytes | None, count: int) -> list[bytes]:
    """Return the wraps of an answer; Unavailable when it is none."""
    if frame is None or len(frame) != count * WRAP_BYTES:
        raise Unavailable("a process that wraps gave no answer")
    return [frame[at : at + WRAP_BYTES] for at in range(0, len(frame), WRAP_BYTES)]


def main() -> None:
    """Wrap what is asked for until nobody asks any more."""
    # Ctrl-C is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        try:
            wraps = wrap_each(*decode_wanted(frame))
        except BadInput:
            # Whoever asked does it again by itself, and sees what is wrong.
            wraps = []
        write_frame(sys.stdout.buffer, b"".join(wraps))


if __name__ == "__main__":
    main()
