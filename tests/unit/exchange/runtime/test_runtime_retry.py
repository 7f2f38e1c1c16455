from itertools import islice

import pytest

from exchange.runtime.clock import now_ms
from exchange.runtime.retry import Backoff


def test_the_bound_doubles_up_to_the_cap() -> None:
    backoff = Backoff(first_s=0.5, cap_s=3.0, draw=lambda: 1.0)
    assert list(islice(backoff, 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_wait_is_drawn_from_the_whole_range() -> None:
    draws = iter([0.0, 0.5, 0.25])
    assert list(islice(Backoff(first_s=1.0, cap_s=9.0, draw=lambda: next(draws)), 3)) == [0.0, 1.0, 1.0]


def test_a_reset_starts_with_short_waits_again() -> None:
    backoff = Backoff(first_s=1.0, cap_s=64.0, draw=lambda: 1.0)
    assert list(islice(backoff, 5))[-1] == 16.0
    backoff.reset()
    assert next(backoff) == 1.0


def test_it_never_ends_and_stays_below_the_cap() -> None:
    assert all(0 <= wait < 2.0 for wait in islice(Backoff(cap_s=2.0), 5000))


def test_the_clock_counts_milliseconds_of_this_century() -> None:
    assert now_ms() == pytest.approx(now_ms(), abs=10_000)
    assert 1_600_000_000_000 < now_ms() < 4_200_000_000_000
