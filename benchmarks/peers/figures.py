"""What drivers report, and lines of the table made of it. Pure.

Drivers tell times of the machine's monotonic clock, which all processes share. A sender writes one line of JSON,
{"began_ns": …, "cpu_s": …}: the moment of its first call, and what CPU time it took from there on. A receiver writes
{"delivered": …, "last_ns": …, "waits_ms": […], "failed": …, "cpu_s": …}: how many reports it took, when it had the
last, how long each was under way, how often it was answered with an error and asked again, and its CPU time since it
began.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from benchmarks.table import Line, at_least, at_most
from exchange.errors import MalformedInput

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measurement of one side came to."""

    speed: float = 0.0
    """Deliveries a second, from the sender's first call to the last delivery."""
    delivered: int = 0
    expected: int = 0
    waits_ms: tuple[float, ...] = ()
    """From the call that hands a report over to each of its deliveries, where that was measured."""
    failed: int = 0
    """Answers that were errors; what was asked was asked again."""
    cpu_ms: float = 0.0
    """Milliseconds of CPU time of a delivery, of all processes together."""

    @property
    def p50(self) -> float:
        """Milliseconds within which half are delivered."""
        return percentile(self.waits_ms, 0.5)

    @property
    def p99(self) -> float:
        """Milliseconds within which 99 % are delivered."""
        return percentile(self.waits_ms, 0.99)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share lies: one of them, the next above, never a mean of two."""
    if not values:
        raise MalformedInput("there is nothing to take a percentile of")
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measured(sent: str, received: Sequence[str], *, expected: int, server_s: float) -> Measured:
    """Return what a sender and receivers report as one, and the CPU time of the server between them.

    Raises:
        MalformedInput: a line is not what a driver writes, or nothing was delivered.
    """
    sender = _read(sent)
    began = _number(sender, "began_ns")
    rows = [_read(line) for line in received]
    delivered = sum(_number(row, "delivered") for row in rows)
    if not delivered:
        raise MalformedInput("nothing was delivered")
    took = max(_number(row, "last_ns") for row in rows) - began
    if took <= 0:
        raise MalformedInput("the last delivery was before the first call")
    cpu_s = server_s + sum(_seconds(row, "cpu_s") for row in (sender, *rows))
    return Measured(
        speed=delivered * NS / took,
        delivered=delivered,
        expected=expected,
        waits_ms=tuple(wait for row in rows for wait in _waits(row)),
        failed=sum(_number(row, "failed") for row in rows),
        cpu_ms=cpu_s / delivered * 1000,
    )


def _read(line: str) -> Mapping[str, object]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise MalformedInput(f"not what a driver writes: {line[:80]!r}") from error
    if not isinstance(row, dict):
        raise MalformedInput(f"not what a driver writes: {line[:80]!r}")
    return row


def _number(row: Mapping[str, object], name: str) -> int:
    value = row.get(name)
    if not isinstance(value, int):
        raise MalformedInput(f"a driver does not say {name}")
    return value


def _seconds(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    if not isinstance(value, float):
        raise MalformedInput(f"a driver does not say {name}")
    return value


def _waits(row: Mapping[str, object]) -> list[float]:
    waits = row.get("waits_ms")
    if not isinstance(waits, list) or not all(isinstance(wait, float) for wait in waits):
        raise MalformedInput("a driver does not say waits_ms")
    return waits


@dataclass(frozen=True, slots=True)
class Asked:
    """What a ratio must reach, and what is the goal."""

    must: float
    goal: float
    less_is_better: bool = False

    def held(self, value: float) -> str:
        """Say which of both a value holds."""
        return (at_most if self.less_is_better else at_least)(value, self.must, self.goal)


def ratio(
    what: str, pairs: Sequence[tuple[float, float]], *, unit: str, asked: Asked | None = None, more: str = ""
) -> Line:
    """Return the line of ours ÷ theirs, of (ours, theirs) of each round: the median of the rounds' ratios."""
    ratios = [ours / theirs for ours, theirs in pairs]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    value, spread = statistics.median(ratios), f"{_short(min(ratios))} to {_short(max(ratios))}"
    beside = f"{_short(ours)} and {_short(theirs)} {unit}; {spread}{more}"
    if asked is None:
        return Line(what, _short(value), beside=beside)
    return Line(what, _short(value), f"{asked.must:g}", f"{asked.goal:g}", beside, asked.held(value))


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def lost(rounds: Sequence[Measured]) -> str:
    """Return words for what a peer did not deliver or answered with an error; none when all is well."""
    missing = sum(each.expected - each.delivered for each in rounds)
    failed = sum(each.failed for each in rounds)
    words = [f"{missing:,} not delivered in time"] * bool(missing) + [f"{failed:,} answers were errors"] * bool(failed)
    return f"; of the peer {', '.join(words)}" if words else ""
