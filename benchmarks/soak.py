"""Whether memory or file descriptors grow while very many reports pass.

`python -m benchmarks.soak` lets reports go from one sender through the relay to two recipients, each a process with its
store on disk, and looks at all of them, with the processes that they have started, after each block of reports.
What a process takes while it warms up is not growth: the rule looks at the last half of the run alone. The straight
line that fits the looks best may rise by at most GROWTH_MIB and GROWTH_DESCRIPTORS from half to end, whatever the
number of reports; so the longer the run, the stricter the rule. Exit code 4 when one rises by more.
What fills up slowly and has a bound: the page cache and the prepared statements of each SQLite connection
(exchange/runtime/engine.py), batch signatures that held (VerifiedRoots), and envelopes in the relay (cache_bytes).
Beside these the allocator keeps what threads have freed, some tens of MiB in all: it grows ever more slowly. A run that
is too short to see the end of that is no proof of growth; `--minutes` ends one early, and the rule is the same.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cpu import descendants
from benchmarks.end_to_end import Field, burst, field
from benchmarks.table import Line, show

KIB_A_MIB = 1024
GROWTH_MIB = 8.0
"""Rise of the line in the last half. At 100,000 reports it is 168 bytes a report."""

GROWTH_DESCRIPTORS = 4.0
LOOKS_LEAST = 8
"""In the last half: fewer make no line."""


@dataclass(frozen=True, slots=True)
class Run:
    """How much passes."""

    reports: int = 100_000
    recipients: int = 2
    size: int = 1024
    """Bytes of a report."""
    block: int = 1_000
    """Reports between two looks."""
    minutes: float = 0.0
    """Nothing begins after this; 0 for as long as it takes."""


@dataclass(frozen=True, slots=True)
class Look:
    """One process, with those that it has started, at one moment."""

    passed: int
    """Reports so far."""
    resident_mib: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What the looks of one process at the last half of a run come to."""

    name: str
    half: Sequence[Look]

    @property
    def mib(self) -> float:
        """Rise of the line through its memory, from half to end."""
        return self._rise([look.resident_mib for look in self.half])

    @property
    def descriptors(self) -> float:
        """Rise of the line through its descriptors, from half to end."""
        return self._rise([look.descriptors for look in self.half])

    @property
    def grows(self) -> bool:
        """Whether one of them rises by more than the rule allows."""
        return self.mib > GROWTH_MIB or self.descriptors > GROWTH_DESCRIPTORS

    def lines(self) -> Iterator[Line]:
        """Return the figures."""
        first, last, passed = self.half[0], self.half[-1], self.half[-1].passed - self.half[0].passed
        each = f"{self.mib * KIB_A_MIB * 1024 / passed:+.0f} B a report"
        memory = f"{first.resident_mib:.1f} MiB at half, {last.resident_mib:.1f} at the end: {each}"
        yield Line(f"{self.name}: memory, last half", f"{self.mib:+.1f} MiB", must=f"{GROWTH_MIB:.0f}", beside=memory)
        open_ = f"{first.descriptors} at half, {last.descriptors} at the end"
        must = f"{GROWTH_DESCRIPTORS:.0f}"
        yield Line(f"{self.name}: descriptors, last half", f"{self.descriptors:+.1f}", must=must, beside=open_)

    def _rise(self, values: Sequence[float]) -> float:
        passed = [look.passed for look in self.half]
        return statistics.linear_regression(passed, values).slope * (passed[-1] - passed[0])


def growth(name: str, looks: Sequence[Look]) -> Growth:
    """Return what counts of a process's looks.

    Raises:
        ValueError: they are too few.
    """
    half = looks[len(looks) // 2 :]
    if len(half) < LOOKS_LEAST:
        raise ValueError(f"{len(half)} looks at the last half of {name} make no line: more reports, or smaller blocks")
    return Growth(name, half)


def soak(made: Field, run: Run) -> Mapping[str, Sequence[Look]]:
    """Let everything pass; return what each process was seen to hold, by its name. Tells stderr how far it is."""
    looks: dict[str, list[Look]] = defaultdict(list)
    begun = time.monotonic()
    passed = 0
    while passed < run.reports and not 0 < run.minutes * 60 <= time.monotonic() - begun:
        block = min(run.block, run.reports - passed)
        burst(made, reports=block, size=run.size)
        passed += block
        for process in made.processes.started():
            looks[process.name].append(_look(passed, process.pid))
        rate = passed * run.recipients / (time.monotonic() - begun)
        held = ", ".join(f"{name} {each[-1].resident_mib:.1f}" for name, each in looks.items())
        print(f"{passed:,} of {run.reports:,} reports, {rate:,.0f} deliveries/s; MiB: {held}", file=sys.stderr)
    return looks


def _look(passed: int, pid: int) -> Look:
    whole = [pid, *descendants(pid)]
    return Look(passed, sum(map(_resident_kib, whole)) / KIB_A_MIB, sum(map(_descriptors, whole)))


def _resident_kib(pid: int) -> int:
    """Return what the process has of its own: programs and files that are mapped come and go with the page cache."""
    status = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in status if line.startswith(("RssAnon:", "RssShmem:")))


def _descriptors(pid: int) -> int:
    return len(list((Path("/proc") / str(pid) / "fd").iterdir()))


def main() -> int:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--reports", type=int, default=usual.reports)
    parser.add_argument("--recipients", type=int, default=usual.recipients)
    parser.add_argument("--size", type=int, default=usual.size, help="bytes of a report")
    parser.add_argument("--block", type=int, default=usual.block, help="reports between two looks")
    parser.add_argument("--minutes", type=float, default=usual.minutes, help="end after so long, whatever has passed")
    run = Run(**vars(parser.parse_args()))
    with field(run.recipients) as made:
        looks = soak(made, run)
    found = [growth(name, each) for name, each in looks.items()]
    show(line for each in found for line in each.lines())
    growing = [each.name for each in found if each.grows]
    for name in growing:
        print(f"error: {name} grows", file=sys.stderr)
    return 4 if growing else 0


if __name__ == "__main__":
    sys.exit(main())
