"""Resident memory of a process, as the kernel counts it."""

from pathlib import Path

from exchange.limits import KIB

RESET_PEAK = "5"
"""What the kernel takes in clear_refs to begin a new peak."""


def resident(pid: int, what: str) -> int:
    """Return bytes of resident memory of a process: now (`VmRSS`) or at its peak (`VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * KIB
    raise ValueError(f"the kernel does not tell {what}")


def forget_peak(pid: int) -> None:
    """Let the kernel begin a new peak."""
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
