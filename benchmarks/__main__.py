"""`python -m benchmarks` (make bench): every figure of this folder as one table, with the load of the machine before.

Figures of a machine that does other work tell little: the last column, measured in the same run, tells more.
"""

import argparse
import os

from benchmarks import (
    attachments,
    decide,
    end_to_end,
    relay_alone,
    relay_store,
    relay_together,
    rules_load,
    table,
    trust,
    wrapping,
)


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it runs, not to quote")
    quick = parser.parse_args().quick
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{cores} cores; load {load:.1f} at the start{' (not quiet)' if load > cores / 2 else ''}")
    run = end_to_end.Run(rounds=1, reports=50, seconds=2.0) if quick else end_to_end.Run()
    trusted = trust.lines(entries=2_000 if quick else trust.ENTRIES)
    files = attachments.lines(attachments.Run(rounds=1) if quick else attachments.Run())
    alone = relay_alone.lines(relay_alone.Run(deliveries=1_120, rounds=1) if quick else relay_alone.Run())
    stored = relay_store.lines(relay_store.Run(envelopes=500, rounds=1) if quick else relay_store.Run())
    shared = relay_together.lines(relay_together.Run(envelopes=64, rounds=1) if quick else relay_together.Run())
    pure = [*decide.lines(rounds=21 if quick else 101), *rules_load.lines(), *wrapping.lines()]
    table.show([*pure, *trusted, *end_to_end.lines(run), *files, *alone, *stored, *shared])


if __name__ == "__main__":
    main()
