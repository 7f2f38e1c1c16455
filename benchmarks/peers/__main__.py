"""`python -m benchmarks.peers` (make bench-peers): full work beside NATS JetStream and OpenTAXII, in one run.

What each side does and does not do: docs/benchmarks.md. In every round each side is measured once, in an order that
turns with the round; a figure is the median of the rounds' ratios. Every peer is started for one measurement; the
exchange stands all the time, and what it takes while it has nothing to do is printed too.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import relay_alone
from benchmarks.end_to_end import RECIPIENTS as RECIPIENT_NODES
from benchmarks.end_to_end import RELAY, SENDER, Field, a_report, burst, field, steady
from benchmarks.peers import jetstream, opentaxii
from benchmarks.peers.environment import Environment
from benchmarks.peers.figures import Asked, Measured, lost, ratio
from benchmarks.peers.jetstream import JetStream
from benchmarks.peers.opentaxii import OpenTaxii
from benchmarks.table import Line, show
from exchange.errors import ExchangeError
from nodes.admin.exit_codes import INTERRUPTED, exit_code
from nodes.admin.output import complain, say

IDLE_S = 5.0
PER_SECOND, MS = "deliveries a second", "ms"
FULL, SINGLES, STEADY = "full work", "full work, single submits", "full work, steady rate"
ALONE = "relay alone"
STREAM, STREAM_STEADY = "JetStream, all at once", "JetStream, steady rate"
BATCHES, POSTS = "OpenTAXII, batches", "OpenTAXII, one report a POST"


@dataclass(frozen=True, slots=True)
class Run:
    """How much is measured."""

    rounds: int = 5
    recipients: int = 8
    reports: int = 1_000
    """Handed over all at once."""
    singles: int = 200
    """Handed over one after the other."""
    size: int = 4096
    """Bytes of a report."""
    batch: int = 500
    """Reports of a POST: at its best."""
    rate: float = 20.0
    """Reports a second for the latency."""
    seconds: float = 10.0
    """Length of a latency measurement."""
    jetstream_port: int = 0
    opentaxii_port: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: which measurement over which."""

    what: str
    ours: str
    theirs: str
    value: Callable[[Measured], float]
    asked: Asked | None = None


def speed(measured: Measured) -> float:
    """What most rows compare."""
    return measured.speed


def p50(measured: Measured) -> float:
    """Half are delivered within."""
    return measured.p50


def p99(measured: Measured) -> float:
    """All but one in a hundred are delivered within."""
    return measured.p99


def cpu(measured: Measured) -> float:
    """What a machine that does other work hardly moves."""
    return measured.cpu_ms


def rows(run: Run) -> tuple[Row, ...]:
    """Return the rows with what they must reach."""
    rate = f"latency at {run.rate:.0f} reports a second, N={run.recipients}"
    return (
        Row(f"full work ÷ {opentaxii.NAME}, SQLite, {run.batch} reports a POST", FULL, BATCHES, speed, Asked(2, 4)),
        Row(f"single submits ÷ {opentaxii.NAME}, SQLite, one report a POST", SINGLES, POSTS, speed, Asked(5, 12)),
        Row(f"full work ÷ {jetstream.NAME}, sync always, mTLS", FULL, STREAM, speed, Asked(0.25, 0.5)),
        Row(f"relay alone ÷ {jetstream.NAME}, sync always, mTLS", ALONE, STREAM, speed, Asked(1, 2)),
        Row(f"{rate}: p50 ÷ {jetstream.NAME}'s", STEADY, STREAM_STEADY, p50, Asked(8, 4, less_is_better=True)),
        Row(f"{rate}: p99 ÷ {jetstream.NAME}'s", STEADY, STREAM_STEADY, p99, Asked(12, 6, less_is_better=True)),
        Row(f"CPU time of a delivery: full work ÷ {opentaxii.NAME}, {run.batch} reports a POST", FULL, BATCHES, cpu),
        Row(f"CPU time of a delivery: full work ÷ {jetstream.NAME}", FULL, STREAM, cpu),
        Row(f"CPU time of a delivery at {run.rate:.0f} reports a second: full work ÷ all at once", STEADY, FULL, cpu),
    )


@dataclass(frozen=True, slots=True)
class Sides:
    """All sides of one run."""

    made: Field
    stream: JetStream
    taxii: OpenTaxii
    run: Run

    def all(self) -> Mapping[str, Callable[[], Measured]]:
        """Return every measurement by its name."""
        run = self.run
        common = {"size": run.size, "recipients": run.recipients}
        steady = int(run.rate * run.seconds)
        return {
            FULL: self._full,
            STREAM: lambda: self.stream.deliver(reports=run.reports, **common),
            ALONE: self._alone,
            BATCHES: lambda: self.taxii.deliver(reports=run.reports, batch=run.batch, **common),
            STEADY: self._steady,
            STREAM_STEADY: lambda: self.stream.deliver(reports=steady, rate=run.rate, **common),
            SINGLES: self._singles,
            POSTS: lambda: self.taxii.deliver(reports=run.singles, batch=1, **common),
        }

    def _full(self) -> Measured:
        found = burst(self.made, reports=self.run.reports, size=self.run.size)
        return Measured(found.speed, cpu_ms=sum(found.cpu.values()) * 1000)

    def _alone(self) -> Measured:
        """A relay of its own, as a peer is started, with envelopes that were sealed before."""
        run = relay_alone.Run(deliveries=self.run.reports * self.run.recipients, size=self.run.size, rounds=1)
        (speed,) = asyncio.run(relay_alone.deliveries_per_second(self.run.recipients, run))
        return Measured(speed)

    def _singles(self) -> Measured:
        """One report after the other, over one connection, each when the one before is answered."""
        contents = [a_report(self.run.size) for _ in range(self.run.singles)]
        expected = [count + len(contents) for count in self.made.received()]
        start = time.perf_counter()
        last = self.made.push(contents)
        self.made.wait_for(expected)
        took = time.perf_counter() - start
        self.made.wait_for_receipts([last])
        return Measured(len(contents) * len(expected) / took)

    def _steady(self) -> Measured:
        run = self.run
        found = steady(self.made, rate=run.rate, seconds=run.seconds, size=run.size)
        return Measured(waits_ms=tuple(found.waits_ms), cpu_ms=found.cpu * 1000)


def lines(run: Run) -> list[Line]:
    """Measure all sides and return the table."""
    environment = Environment()
    stream = JetStream(environment, run.jetstream_port)
    taxii = OpenTaxii(environment, run.opentaxii_port)
    # First, whatever is missing or taken: it is known before an exchange is founded.
    stream.deliver(reports=1, size=run.size, recipients=1)
    taxii.deliver(reports=1, size=run.size, recipients=1, batch=1)
    say("founding an exchange …")
    with field(run.recipients) as made:
        burst(made, reports=20, size=run.size)
        idle = _idle_share(made)
        found = _rounds(Sides(made, stream, taxii, run).all(), run.rounds)
    beside = f"of {_cores()} cores, while a peer is measured; not taken off"
    return [
        *(_line(row, found) for row in rows(run)),
        Line("CPU that the exchange takes while it has nothing to do", f"{idle:.1%}", beside=beside),
    ]


def _rounds(sides: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Measure every side once a round, every other round the other way round."""
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    order = list(sides)
    for number in range(rounds):
        for name in reversed(order) if number % 2 else order:
            say(f"round {number + 1} of {rounds}: {name} …")
            found[name].append(sides[name]())
    return found


def _line(row: Row, found: Mapping[str, Sequence[Measured]]) -> Line:
    pairs = [
        (row.value(ours), row.value(theirs)) for ours, theirs in zip(found[row.ours], found[row.theirs], strict=True)
    ]
    unit = PER_SECOND if row.value is speed else MS
    return ratio(row.what, pairs, unit=unit, asked=row.asked, more=lost(found[row.theirs]))


def _idle_share(made: Field) -> float:
    """Return the share of this machine that relay and nodes take when there is nothing to do."""
    before = made.cpu()
    time.sleep(IDLE_S)
    after = made.cpu()
    return sum(after[role] - before[role] for role in (SENDER, RELAY, RECIPIENT_NODES)) / IDLE_S / _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def main() -> int:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--recipients", type=int, default=usual.recipients)
    parser.add_argument("--reports", type=int, default=usual.reports, help="reports that are handed over all at once")
    parser.add_argument("--singles", type=int, default=usual.singles, help="reports handed over one after the other")
    parser.add_argument("--size", type=int, default=usual.size, help="bytes of a report")
    parser.add_argument("--batch", type=int, default=usual.batch, help="reports of a POST to OpenTAXII")
    parser.add_argument("--rate", type=float, default=usual.rate, help="reports a second for the latency")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="length of a latency measurement")
    parser.add_argument("--jetstream-port", type=int, default=usual.jetstream_port, help="0: a free one")
    parser.add_argument("--opentaxii-port", type=int, default=usual.opentaxii_port, help="0: a free one")
    run = Run(**vars(parser.parse_args()))
    # Whoever asks it to end lets it end what it started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"{_cores()} cores; load {os.getloadavg()[0]:.1f} at the start")
    try:
        show(lines(run))
    except ExchangeError as error:
        complain(str(error), place=error.place, hint=error.hint)
        return exit_code(error)
    except KeyboardInterrupt:
        say("stopped; nothing of it runs any more")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
