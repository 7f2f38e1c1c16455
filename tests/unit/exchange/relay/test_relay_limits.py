"""What the council sets goes before what relay.toml says; what it leaves out, the relay's configuration says."""

from dataclasses import replace

from exchange.relay.config import LimitSettings
from exchange.relay.limits import Limits
from tests.support.directory_builders import LIMITS

OWN = LimitSettings(reports_per_minute=600, control_per_minute=700, held_bytes=1 << 30, statements_per_day=5)


def test_the_council_goes_before_the_configuration_and_may_leave_it_alone_again() -> None:
    limits = Limits.of(OWN)
    limits.apply(LIMITS)
    assert limits.rates.reports.take("XA", 600) == 0 and limits.rates.reports.take("XA") > 0, "as configured"
    limits.apply(replace(LIMITS, reports_per_minute=60, held_bytes=1 << 20))
    assert limits.rates.reports.take("XV", 60) == 0 and limits.rates.reports.take("XV") > 0
    assert limits.held.room(0, control=False) == 1 << 20
    assert limits.rates.control.take("XV", 700) == 0
    limits.apply(LIMITS)
    assert limits.held.room(0, control=False) == 1 << 30
    assert limits.rates.reports.take("XO", 600) == 0


def test_each_limit_is_shown_with_who_has_set_it() -> None:
    shown = {each.name: (each.value, each.by_council) for each in Limits.of(OWN).in_force(LIMITS)}
    assert shown["recipients"] == (LIMITS.recipients, True)
    assert shown["reports_per_minute"] == (600, False)
    stricter = replace(LIMITS, reports_per_minute=60)
    assert {each.name: each.value for each in Limits.of(OWN).in_force(stricter)}["reports_per_minute"] == 60
