"""Whether memory or file descriptors grow while very many reports pass.

`python -m benchmarks.soak` lets reports go from one sender through the relay to two recipients, each a process with its
store on disk, and looks at all of them after each block. Figures are of the last half: what a process takes while it
warms up is not growth. The slope is that of the straight line which fits best.
"""

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.end_to_end import Field, burst, field
from benchmarks.table import Line, show

MIB = 1 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Run:
    """How much passes."""

    reports: int = 100_000
    recipients: int = 2
    size: int = 1024
    """Bytes of a report."""
    block: int = 1_000
    """Reports between two looks."""


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one moment."""

    passed: int
    """Reports so far."""
    resident_mib: float
    descriptors: int


def soak(made: Field, run: Run) -> Mapping[str, Sequence[Look]]:
    """Let everything pass; return what each process was seen to hold, by its name. Tells stderr how far it is."""
    looks: dict[str, list[Look]] = defaultdict(list)
    begun = time.monotonic()
    passed = 0
    while passed < run.reports:
        block = min(run.block, run.reports - passed)
        burst(made, reports=block, size=run.size)
        passed += block
        for process in made.processes.started():
            looks[process.name].append(_look(passed, process.pid))
        rate = passed * run.recipients / (time.monotonic() - begun)
        print(f"\r{passed:,} of {run.reports:,} reports, {rate:,.0f} deliveries/s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return looks


def _look(passed: int, pid: int) -> Look:
    of = Path("/proc") / str(pid)
    resident = int((of / "statm").read_text().split()[1]) * PAGE_BYTES / MIB
    return Look(passed, resident, len(list((of / "fd").iterdir())))


def lines(run: Run) -> list[Line]:
    """Return the figures, two for each process."""
    with field(run.recipients) as made:
        looks = soak(made, run)
    return [line for name, of in looks.items() for line in _lines(name, of[len(of) // 2 :])]


def _lines(name: str, half: Sequence[Look]) -> list[Line]:
    passed = [look.passed for look in half]
    memory, descriptors = [look.resident_mib for look in half], [look.descriptors for look in half]
    return [
        Line(
            f"{name}: memory a report, last half",
            f"{_slope(passed, memory) * MIB:+.0f} B",
            beside=f"{memory[0]:.0f} MiB at half, {memory[-1]:.0f} at the end",
        ),
        Line(
            f"{name}: descriptors a 1,000 reports, last half",
            f"{_slope(passed, descriptors) * 1_000:+.2f}",
            beside=f"{descriptors[0]} at half, {descriptors[-1]} at the end",
        ),
    ]


def _slope(at: Sequence[int], values: Sequence[float]) -> float:
    return statistics.linear_regression(at, values).slope if len(at) > 1 else 0.0


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--reports", type=int, default=usual.reports)
    parser.add_argument("--recipients", type=int, default=usual.recipients)
    parser.add_argument("--size", type=int, default=usual.size, help="bytes of a report")
    parser.add_argument("--block", type=int, default=usual.block, help="reports between two looks")
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
