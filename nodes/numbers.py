"""The parts that look after numbers of envelopes: what came, what did not, who is asked, who has fallen silent."""

from collections.abc import Callable
from dataclasses import dataclass

from exchange.envelope.model import Lane
from exchange.runtime.metrics import Metrics
from nodes.core import Core
from nodes.losses import Losses
from nodes.resending import Resending
from nodes.silence import Silence
from nodes.streams import Streams


@dataclass(frozen=True, slots=True)
class Numbers:
    """What looks after numbers at one node."""

    streams: Streams
    resending: Resending
    losses: Losses
    silence: Silence

    @classmethod
    def of(cls, core: Core, *, wake: Callable[[], None]) -> "Numbers":
        """Return the parts; `wake` tells the sender that there is work."""
        return cls(Streams(core, wake=wake), Resending(core, wake=wake), Losses(core), Silence(core))

    def measure(self, metrics: Metrics) -> None:
        """Let metrics show what the last looks came to."""
        metrics.gauges("node_missing_numbers", "Numbers under which nothing came.", ("partner", "lane"), self._missing)
        metrics.gauges(
            "node_partner_silent_since_ms", "When a silent partner was last heard.", ("partner",), self._silent
        )
        measured: dict[str, tuple[str, Callable[[], float]]] = {
            "node_resend_asked": ("Missing numbers asked for since the start.", lambda: self.resending.asked),
            "node_resend_answered": ("Numbers of ours answered since the start.", lambda: self.resending.answered),
            "node_withheld": ("Envelopes promised of late and never delivered.", lambda: self.losses.found),
        }
        for name, (what, measure) in measured.items():
            metrics.gauge(name, what).set_function(measure)

    def _missing(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for gap in self.streams.gaps:
            key = (gap.sender, Lane(gap.lane).name.lower())
            found[key] = found.get(key, 0.0) + gap.count
        return found

    def _silent(self) -> dict[tuple[str, ...], float]:
        return {(party,): float(since_ms) for party, since_ms in self.silence.silent.items()}
