"""Breaks what is planned, in its order, and mends it again."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from signal import SIGCONT, SIGSTOP

from tests.chaos.field import Field
from tests.chaos.recovery import Recovery
from tests.chaos.schedule import RELAYS, Fault, Kind, Step, steps

TICK_S = 0.05
TELL_S = 10.0


@dataclass(slots=True)
class Faults:
    """Goes through a plan of faults."""

    exchange: Field
    recovery: Recovery
    done: Counter[str] = field(default_factory=Counter)
    _broken: dict[str, Fault] = field(default_factory=dict)

    def run(self, planned: Sequence[Fault], seconds: float, tell: Callable[[float], None]) -> None:
        """Break and mend, for so many seconds; at the end all is mended. `tell` hears now and then what is left.

        Raises:
            AssertionError: a process ended that nobody killed.
        """
        last = telling = 0.0
        try:
            for step in [*steps(planned), None]:
                at_s = seconds if step is None else step.at_s
                # From the moment at which the step before was done: what takes long shifts all that follows.
                due = time.monotonic() + at_s - last
                while (now := time.monotonic()) < due:
                    if now >= telling:
                        tell(seconds - last)
                        telling = now + TELL_S
                    self._none_ended()
                    time.sleep(min(TICK_S, due - now))
                last = at_s
                if step is not None:
                    self._take(step)
        finally:
            for fault in list(self._broken.values()):
                self._mend(fault)

    def _take(self, step: Step) -> None:
        if step.breaks:
            self._broken[step.fault.place] = step.fault
            self.done[step.fault.kind] += 1
            self._break(step.fault)
        else:
            self._mend(step.fault)

    def _none_ended(self) -> None:
        ended = {name: self.exchange.code(name) for name in self.exchange.ended() if name not in self._broken}
        assert not ended, f"ended by themselves, with these codes: {ended}"

    def _break(self, fault: Fault) -> None:
        exchange, target = self.exchange, fault.target
        match fault.kind:
            case Kind.NODE | Kind.RELAY:
                exchange.kill(target)
            case Kind.FREEZE:
                exchange.signal(target, SIGSTOP)
            case Kind.CUT:
                exchange.ways.cut(target, fault.ways)
            case Kind.CLOCK:
                exchange.set_clock(target, fault.jump_ms)
            case Kind.DATABASE:
                exchange.server.kill()

    def _mend(self, fault: Fault) -> None:
        exchange, target = self.exchange, fault.target
        match fault.kind:
            case Kind.NODE | Kind.RELAY:
                exchange.start(target)
            case Kind.FREEZE:
                exchange.signal(target, SIGCONT)
            case Kind.CUT:
                exchange.ways.mend(target, fault.ways)
            case Kind.CLOCK:
                exchange.set_clock(target, 0)
            case Kind.DATABASE:
                exchange.server.restart()
        del self._broken[fault.place]
        down = {each.target for each in self._broken.values()}
        if fault.kind is not Kind.CLOCK and not down.intersection({target}):
            every = fault.kind is Kind.DATABASE or target in RELAYS
            self.recovery.expect(
                fault.kind, [each for each in exchange.parties if each not in down] if every else [target]
            )
