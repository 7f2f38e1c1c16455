"""How long it takes until nodes speak with a relay again, after what was broken is mended."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from tests.chaos.field import Field

POLL_S = 0.5


@dataclass(slots=True)
class _Expected:
    kind: str
    parties: set[str]
    since: float


@dataclass(slots=True)
class Recovery:
    """Looks at nodes from the side; a thread of its own."""

    exchange: Field
    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By what was mended: how long it took, as closely as POLL_S."""
    _expected: list[_Expected] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = Thread(target=self._run, name="recovery")
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what has not come back by now is not counted: the judge finds it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def expect(self, kind: str, parties: Sequence[str]) -> None:
        """Note that from now on these nodes should come back."""
        with self._lock:
            self._expected.append(_Expected(kind, set(parties), time.monotonic()))

    def figures(self) -> Mapping[str, str]:
        """Return the figures, by what was mended."""
        return {
            f"connected again after {kind}, s": f"{sorted(took)[len(took) // 2]:.1f} (most {max(took):.1f})"
            for kind, took in sorted(self.took_s.items())
        }

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            with self._lock:
                waiting = list(self._expected)
            back = {
                party for party in set().union(*(each.parties for each in waiting)) if self.exchange.connected(party)
            }
            now = time.monotonic()
            for each in waiting:
                each.parties -= back
                if not each.parties:
                    self.took_s[each.kind].append(now - each.since)
                    with self._lock:
                        self._expected.remove(each)
