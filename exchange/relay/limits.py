"""What one partner may ask of this relay: what the council has set for the exchange, else what relay.toml says.

Recipients and suite are judged with each envelope, by the directory that it is judged under (submit.py); a report's
size only its sender's node can know. Rates and what is held follow the directory within a second.
"""

from dataclasses import dataclass

from exchange.directory.statements import ExchangeLimits
from exchange.relay.config import LimitSettings
from exchange.relay.quota import HeldQuota, StatementQuota, SubmitRates


@dataclass(frozen=True, slots=True)
class InForce:
    """One limit."""

    name: str
    value: int
    by_council: bool


@dataclass(slots=True)
class Limits:
    """Sets the quotas that the council may change. For one event loop."""

    settings: LimitSettings
    rates: SubmitRates
    held: HeldQuota
    statements: StatementQuota
    _applied: ExchangeLimits | None = None

    @classmethod
    def of(cls, settings: LimitSettings) -> "Limits":
        """Return the quotas as relay.toml says, until `apply`."""
        return cls(
            settings,
            SubmitRates(settings.reports_per_minute, settings.control_per_minute),
            HeldQuota(settings.held_bytes),
            StatementQuota(settings.statements_per_day),
        )

    def apply(self, council: ExchangeLimits) -> None:
        """Go by what the council says from now on."""
        if council == self._applied:
            return
        self._applied = council
        self.rates.set(
            council.reports_per_minute or self.settings.reports_per_minute,
            council.control_per_minute or self.settings.control_per_minute,
        )
        self.held.set(council.held_bytes or self.settings.held_bytes)
        self.statements.set(council.statements_per_day or self.settings.statements_per_day)

    def in_force(self, council: ExchangeLimits) -> list[InForce]:
        """Return each limit that the council may set, and whether it has."""
        own = self.settings
        return [
            InForce("report_bytes", council.report_bytes, by_council=True),
            InForce("recipients", council.recipients, by_council=True),
            _either("reports_per_minute", council.reports_per_minute, own.reports_per_minute),
            _either("control_per_minute", council.control_per_minute, own.control_per_minute),
            _either("held_bytes", council.held_bytes, own.held_bytes),
            _either("statements_per_day", council.statements_per_day, own.statements_per_day),
        ]


def _either(name: str, council: int, own: int) -> InForce:
    return InForce(name, council or own, by_council=bool(council))
