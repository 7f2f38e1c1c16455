"""A node or a relay whose clock jumps: `python -m tests.chaos.clocked node serve --home HOME`.

HOME/clock-offset holds milliseconds, and counts from the moment in which it changes. TLS looks at the machine's own
clock, which does not jump.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

from exchange.runtime import clock
from nodes.admin.main import run

OFFSET = "clock-offset"
_FORMAT = struct.Struct("<q")


def set_offset(home: Path, offset_ms: int) -> None:
    """Let the clock of whatever runs in this home differ from the machine's."""
    file = home / OFFSET
    with file.open("r+b" if file.exists() else "w+b", buffering=0) as handle:
        handle.write(_FORMAT.pack(offset_ms))


class JumpingClock:
    """What exchange.runtime.clock asks for the time."""

    def __init__(self, home: Path) -> None:
        if not (home / OFFSET).exists():
            set_offset(home, 0)
        with (home / OFFSET).open("rb") as file:
            self._offset = mmap.mmap(file.fileno(), _FORMAT.size, prot=mmap.PROT_READ)

    def time_ns(self) -> int:
        """As time.time_ns, but shifted."""
        offset_ms: int = _FORMAT.unpack_from(self._offset)[0]
        return time.time_ns() + offset_ms * 1_000_000


def main(words: list[str]) -> int:
    """Run one command under this clock."""
    vars(clock)["time"] = JumpingClock(Path(words[words.index("--home") + 1]))
    return run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
