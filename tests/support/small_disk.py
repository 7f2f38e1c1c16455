"""A real disk that is soon full: a small file system in memory, which only root can make."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted file system."""

    root: Path

    @property
    def _filler(self) -> Path:
        return self.root / "filler"

    def fill(self) -> None:
        """Leave no room at all."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        continue
                except OSError:
                    continue

    def empty(self) -> None:
        """Make the room that `fill` took."""
        self._filler.unlink()


def cannot_mount() -> str:
    """Return why no such disk can be made here; empty when it can."""
    with tempfile.TemporaryDirectory() as place:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
        )
        if made.returncode:
            return "a small file system can only be mounted by root"
        subprocess.run(["umount", place], check=True)
    return ""


@contextmanager
def a_small_disk(mib: int) -> Iterator[SmallDisk]:
    """Mount a file system of this size while the block runs."""
    place = Path(tempfile.mkdtemp(prefix="disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(place)], check=True)
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()
