"""`python -m benchmarks` (make bench): every figure of this folder as one table, with the load of the machine before.

A row says what was measured, the figure, what it must be and what it should be (docs/benchmarks.md), what of that it
holds, and what stood beside it in the same run. Figures of a machine that does other work tell little: the last column
tells more. `--all` (make bench-all) measures backlogs of 100,000, most of an hour; `--quick` only shows that everything
runs. Beside other systems: `python -m benchmarks.peers` (make bench-peers).
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import (
    attachments,
    catch_up,
    decide,
    end_to_end,
    lanes,
    relay_alone,
    relay_lanes,
    relay_store,
    relay_together,
    rules_load,
    table,
    trust,
    wrapping,
)
from benchmarks.table import Line
from exchange.errors import ExchangeError
from nodes.admin.output import say


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is measured."""

    rounds: int = 5
    backlog: int = 20_000
    """Envelopes that wait at the relay."""
    routine: int = 1_500
    """Reports that flash reports overtake."""
    quick: bool = False


QUICK = Amount(rounds=1, backlog=3_000, routine=400, quick=True)
ALL = Amount(backlog=100_000, routine=100_000)


def sections(amount: Amount) -> list[tuple[str, Callable[[], list[Line]]]]:
    """Return what is measured, in the order of the table."""
    rounds, quick = amount.rounds, amount.quick
    flash = 3 if quick else lanes.FLASH
    full = end_to_end.Run(rounds=rounds, reports=50, seconds=2.0) if quick else end_to_end.Run(rounds=rounds)
    few = relay_alone.Run(deliveries=1_120 if quick else relay_alone.Run().deliveries, rounds=rounds)
    together = relay_together.Run(envelopes=64 if quick else relay_together.Run().envelopes, rounds=rounds)
    return [
        ("full work", lambda: end_to_end.lines(full)),
        ("flash", lambda: lanes.lines(amount.routine, flash)),
        ("attachments", lambda: attachments.lines(attachments.Run(rounds=rounds))),
        ("the relay alone", lambda: relay_alone.lines(few)),
        ("flash at the relay", lambda: relay_lanes.lines(relay_lanes.Run(amount.backlog, flash))),
        ("catch-up", lambda: catch_up.lines(catch_up.Run(envelopes=amount.backlog))),
        ("the relay's store", lambda: relay_store.lines(relay_store.Run(envelopes=amount.backlog, rounds=rounds))),
        ("relays together", lambda: relay_together.lines(together)),
        ("decisions", lambda: decide.lines(rounds=21 if quick else 101)),
        ("rules", rules_load.lines),
        ("wrapping", wrapping.lines),
        ("trust", lambda: trust.lines(entries=2_000 if quick else trust.ENTRIES)),
    ]


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--quick", action="store_true", help="one round of little: to see that it runs, not to quote")
    much.add_argument("--all", action="store_true", help="backlogs of 100,000")
    parser.add_argument("--rounds", type=int, help="of what is measured several times; medians count")
    given = parser.parse_args()
    amount = QUICK if given.quick else ALL if given.all else Amount()
    if given.rounds:
        amount = replace(amount, rounds=given.rounds)
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{cores} cores; load {load:.1f} at the start{' (not quiet)' if load > cores / 2 else ''}")
    lines: list[Line] = []
    for name, measure in sections(amount):
        say(f"{name}…")
        try:
            lines += measure()
        except ExchangeError as error:
            # The others are worth their time all the same.
            lines.append(Line(name, "not measured", beside=str(error), held=table.MISSED))
    table.show(lines)
    missed = [line.what for line in lines if line.held == table.MISSED]
    print(
        f"\n{len(missed)} of {sum(bool(line.held) for line in lines)} miss what must be{': ' if missed else ''}", end=""
    )
    print("; ".join(missed))


if __name__ == "__main__":
    main()
