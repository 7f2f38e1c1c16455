"""How the node gets on with the relay, for people: what is connected, what went wrong last, how the clocks differ."""

from collections.abc import Callable

from exchange.errors import ExchangeError


class Link:
    """State of the connection; the parts that speak with the relay report here. For one event loop."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Begin unconnected."""
        self._clock = clock
        self._up: dict[str, int] = {}
        self.error = ""
        """What went wrong last; empty once all is well."""
        self.contact_ms = 0
        """When the relay last said anything."""
        self.empty_ms = 0
        """When the relay last said that nothing waits here."""
        self.skew_ms: int | None = None
        """Our clock less the relay's."""

    @property
    def state(self) -> str:
        """connected, connecting or unreachable."""
        if self._up:
            return "connected"
        return "unreachable" if self.error else "connecting"

    def up_since_ms(self, part: str) -> int:
        """Return since when one part has heard the relay without a break; 0 while it does not."""
        return self._up.get(part, 0)

    def heard(self, part: str, relay_ms: int = 0) -> None:
        """Note that the relay spoke with one part, and its clock if it said."""
        self.contact_ms = self._clock()
        self._up.setdefault(part, self.contact_ms)
        self.error = ""
        if relay_ms:
            self.skew_ms = self.contact_ms - relay_ms

    def emptied(self) -> None:
        """Note that the relay has said that nothing waits."""
        self.empty_ms = self._clock()

    def lost(self, part: str, error: ExchangeError) -> None:
        """Note that one part has lost the relay."""
        self._up.pop(part, None)
        self.error = f"{error.reason}: {error}"
