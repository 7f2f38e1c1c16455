"""One run: found, push while things break, mend, wait, judge."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.faults import Faults
from tests.chaos.field import Field, running
from tests.chaos.judge import Verdict, judge, wait_until_arrived
from tests.chaos.load import Load, Pushed
from tests.chaos.recovery import Recovery
from tests.chaos.schedule import JUMP_MS, faults
from tests.support.ten_nodes import PARTIES

ARRIVE_S = 300.0
"""From the last mend until all must have arrived."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is broken."""

    nodes: int
    seconds: float
    rate: float
    seed: int
    proxies: bool = False
    """Cut by proxies even where network namespaces are allowed."""
    jump_minutes: int = 0
    """Clocks jump by so much, forwards and backwards; 0 for what is usual."""

    @property
    def jump_ms(self) -> tuple[int, int]:
        """How far a clock jumps."""
        most_ms = self.jump_minutes * 60_000
        return (-most_ms, most_ms) if most_ms else JUMP_MS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    pushed: Sequence[Pushed]
    again: int
    refused: Sequence[str]
    faults: Mapping[str, int]
    recovery: Mapping[str, str]
    settled_s: float
    verdict: Verdict

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled, leaked or refused, and something was tried."""
        return not self.found and bool(self.pushed) and bool(self.faults)

    @property
    def found(self) -> list[str]:
        """What does not hold, for people."""
        return [*self.verdict.missing, *self.verdict.strange, *self.verdict.wrong, *self.refused]

    def figures(self) -> dict[str, str]:
        """What people want to know, in their order."""
        lanes = Counter(each.lane for each in self.pushed)
        return {
            "reports pushed": f"{len(self.pushed):,}",
            **{f"  {lane}": f"{lanes[lane]:,}" for lane in sorted(lanes)},
            "  with a file": f"{sum(bool(each.files) for each in self.pushed):,}",
            "  that correct another": f"{sum(bool(each.supersedes) for each in self.pushed):,}",
            "deliveries due": f"{sum(len(each.audience) for each in self.pushed):,}",
            "pushes repeated": f"{self.again:,}",
            **dict(sorted((str(name), f"{times:,}") for name, times in self.faults.items())),
            **self.recovery,
            "seconds until all had arrived": f"{self.settled_s:.1f}",
            **{name: f"{number:,}" for name, number in self.verdict.checked.items()},
            "missing": f"{len(self.verdict.missing):,}",
            "doubled, leaked, altered or made up": f"{len(self.verdict.strange):,}",
            "broken promises, evidence, alarms": f"{len(self.verdict.wrong):,}",
            "pushes refused": f"{len(self.refused):,}",
        }


def chaos(path: Path, plan: Plan, *, tell: Callable[[str], None]) -> Outcome:
    """Run it below `path`; `tell` hears how far it is. Unless all holds, the relays' database stays there as well."""
    tell("founding the exchange")
    holds = False
    with running(path, PARTIES[: plan.nodes], proxies=plan.proxies) as field:
        try:
            outcome = _broken_and_judged(field, plan, tell)
            holds = outcome.holds
        finally:
            if not holds:
                _keep_database(field)
    return outcome


def _broken_and_judged(field: Field, plan: Plan, tell: Callable[[str], None]) -> Outcome:
    load, recovery = Load(field, plan.rate, plan.seed), Recovery(field)
    breaking = Faults(field, recovery)
    recovery.start()
    load.start()
    try:
        breaking.run(
            list(faults(Random(plan.seed), field.parties, plan.seconds, jump_ms=plan.jump_ms)),
            plan.seconds,
            lambda left: tell(f"{left:.0f} s to go: {len(load.pushed):,} reports, {breaking.done.total():,} faults"),
        )
    finally:
        load.stop()
        recovery.stop()
    mended = time.monotonic()
    field.wait_until_connected()
    wait_until_arrived(field, load.pushed, ARRIVE_S, lambda left: tell(f"{left:,} reports are on their way"))
    settled_s = time.monotonic() - mended
    tell("all has arrived: looking at everything")
    verdict = judge(field, load.pushed, field.home.path / "files")
    return Outcome(load.pushed, load.again, load.refused, breaking.done, recovery.figures(), settled_s, verdict)


def _keep_database(field: Field) -> None:
    """Copy the database's files as a power cut would leave them: a server that is started on them recovers."""
    field.server.kill()
    shutil.copytree(
        Path(str(field.server.handle.pgdata)), field.home.path / "postgresql", ignore=shutil.ignore_patterns(".s.*")
    )
