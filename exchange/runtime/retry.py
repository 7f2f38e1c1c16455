"""How long to wait before trying again: exponential, capped, with full jitter.

Full jitter draws uniformly from zero to the current bound, so that nodes that lost the relay together do not come back
together. It never ends: whoever tries decides when to give up, by the error's `retryable`.
"""

import random
from collections.abc import Callable, Iterator
from typing import Self


class Backoff(Iterator[float]):
    """Endless waits in seconds; `reset` after a success."""

    def __init__(self, *, first_s: float = 0.5, cap_s: float = 60.0, draw: Callable[[], float] | None = None) -> None:
        """The n-th wait is drawn from [0, min(cap_s, first_s * 2**n)); `draw` gives numbers in [0, 1)."""
        self._first_s = first_s
        self._cap_s = cap_s
        self._draw = draw or random.SystemRandom().random
        self._bound_s = first_s

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> float:
        """Return the next wait."""
        wait = min(self._bound_s, self._cap_s) * self._draw()
        self._bound_s = min(self._bound_s * 2, self._cap_s)
        return wait

    def reset(self) -> None:
        """Start again with short waits."""
        self._bound_s = self._first_s
