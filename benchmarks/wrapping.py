"""Wrap one report's key for many recipients: in processes on all cores, beside one after the other in this one.

`python -m benchmarks.wrapping`. Both are measured in turn, so that what else the machine does touches them alike. What
this process itself is busy with tells how long its event loop would have been held up.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from benchmarks.table import Line, show
from exchange.crypto.random import random_bytes
from exchange.crypto.xwing import WrapAll, XWingKey, wrap_each
from nodes.wrapping import WORTH_IT, Wrapping

ROUNDS = 41
COUNTS = (8, WORTH_IT, 140)


def _took(wrap_all: WrapAll, wanted: Sequence[tuple[bytes, bytes]]) -> tuple[float, float]:
    """Return seconds on the clock, and of this process."""
    clock, own = time.perf_counter(), time.process_time()
    wrap_all(random_bytes(32), wanted)
    return time.perf_counter() - clock, time.process_time() - own


def lines(rounds: int = ROUNDS) -> list[Line]:
    """Return the figures."""
    keys = [XWingKey.generate().public.raw for _ in range(max(COUNTS))]
    made = []
    with Wrapping() as wrapping:
        wrapping.wrap_all(random_bytes(32), [(key, b"info") for key in keys])
        for count in COUNTS:
            wanted = [(key, b"info") for key in keys[:count]]
            pairs = [(_took(wrap_each, wanted), _took(wrapping.wrap_all, wanted)) for _ in range(rounds)]
            ratio = _median(pairs, lambda here, there: there[0] / here[0])
            own = _median(pairs, lambda here, there: there[1] / here[1])
            figure = f"{ratio:.2f} of one after the other"
            made.append(Line(f"wrapping for {count} on all cores", figure, beside=f"{own:.2f} of the CPU time here"))
    return made


Took = tuple[float, float]


def _median(pairs: Sequence[tuple[Took, Took]], ratio: Callable[[Took, Took], float]) -> float:
    return statistics.median(ratio(here, there) for here, there in pairs)


if __name__ == "__main__":
    show(lines())
