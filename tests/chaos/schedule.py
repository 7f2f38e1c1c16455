"""What breaks, when and for how long: drawn from the seed alone, so that one seed breaks the same in the same order.

Pure. What takes longer than planned, on a loaded machine for example, shifts all that follows and changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

PAUSE_S = (0.5, 3.0)
"""Between two faults."""

DOWN_S = (0.2, 5.0)
"""Until a killed process is started again, or a frozen one goes on."""

CUT_S = (0.5, 12.0)
"""Until a way that was cut is mended, or a clock is set right."""

JUMP_MS = (-600_000, 120_000)
"""How far a clock jumps, unless it is asked for more."""

BROKEN_MOST = 4
"""Things that are broken at the same time."""

BOTH = 0.5
"""How often both ways of a node are cut: it is alone then, and otherwise goes on over the other."""

RELAYS = ("relay", "relay-2")
DATABASE = "database"


class Kind(StrEnum):
    """What can break, in the words of the figures."""

    NODE = "nodes killed"
    RELAY = "relays killed"
    FREEZE = "processes frozen"
    CUT = "ways cut"
    CLOCK = "clocks moved"
    DATABASE = "databases killed"


OFTEN = [Kind.NODE] * 5 + [Kind.RELAY] * 3 + [Kind.FREEZE] * 3 + [Kind.CUT] * 4 + [Kind.CLOCK] * 2 + [Kind.DATABASE]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks, and when it is mended; both in seconds from the start."""

    kind: Kind
    target: str
    """A party, a relay or the database."""
    at_s: float
    until_s: float
    ways: tuple[int, ...] = ()
    """Of a cut: to which relays."""
    jump_ms: int = 0
    """Of a clock."""

    @property
    def place(self) -> str:
        """What cannot break in another way meanwhile: a process that is frozen is not killed."""
        return f"{self.kind} {self.target}" if self.kind in (Kind.CUT, Kind.CLOCK) else self.target


@dataclass(frozen=True, slots=True)
class Step:
    """A moment of the run: something breaks, or is mended."""

    at_s: float
    fault: Fault
    breaks: bool


def faults(
    random: Random, parties: Sequence[str], seconds: float, *, jump_ms: tuple[int, int] = JUMP_MS
) -> Iterator[Fault]:
    """Yield what breaks within so many seconds, in the order in which it does; all of it is mended by then."""
    broken: list[Fault] = []
    now = 0.0
    while (now := now + random.uniform(*PAUSE_S)) < seconds:
        broken = [each for each in broken if each.until_s > now]
        fault = _drawn(random, parties, now, seconds, jump_ms)
        # All draws are made before anything is left out: what follows does not depend on it.
        if len(broken) < BROKEN_MOST and fault.place not in {each.place for each in broken}:
            broken.append(fault)
            yield fault


def steps(planned: Sequence[Fault]) -> list[Step]:
    """Return breaking and mending in the order of their times."""
    both = [step for each in planned for step in (Step(each.at_s, each, True), Step(each.until_s, each, False))]
    return sorted(both, key=lambda step: step.at_s)


def _drawn(random: Random, parties: Sequence[str], now: float, seconds: float, most_ms: tuple[int, int]) -> Fault:
    kind = random.choice(OFTEN)
    targets: dict[Kind, Callable[[], Sequence[str]]] = {
        Kind.RELAY: lambda: RELAYS,
        Kind.FREEZE: lambda: [*parties, *RELAYS],
        Kind.CLOCK: lambda: [*parties, *RELAYS],
        Kind.DATABASE: lambda: [DATABASE],
    }
    target = random.choice(targets.get(kind, lambda: parties)())
    lasts = random.uniform(*(CUT_S if kind in (Kind.CUT, Kind.CLOCK) else DOWN_S))
    ways = (0, 1) if random.random() < BOTH else (random.randrange(2),)
    jump_ms = random.randint(*most_ms)
    return Fault(
        kind,
        target,
        now,
        min(now + lasts, seconds),
        ways if kind is Kind.CUT else (),
        jump_ms if kind is Kind.CLOCK else 0,
    )
