"""Rates and counts of calls."""

import asyncio

import pytest

from exchange.errors import RateLimited
from exchange.relay.quota import CALLERS, DAY_S, SECOND_US, Allowance, Calls, HeldQuota, Rate
from exchange.relay.services.join import network_of


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_may_come_at_once_and_no_more() -> None:
    clock = Clock()
    rate = Rate(3, monotonic=clock)
    for _ in range(3):
        rate.demand("XA")
    with pytest.raises(RateLimited):
        rate.demand("XA")
    rate.demand("XV")
    clock.now += 20
    rate.demand("XA")
    with pytest.raises(RateLimited):
        rate.demand("XA")


def test_a_refused_call_costs_nothing() -> None:
    clock = Clock()
    rate = Rate(60, monotonic=clock)
    assert rate.take("XA", 60) == 0
    for _ in range(100):
        with pytest.raises(RateLimited):
            rate.demand("XA")
    clock.now += 1
    rate.demand("XA")


def test_a_debt_is_as_long_as_the_rate_says() -> None:
    assert Rate(60, monotonic=Clock()).take("XA", 90) == 30


def test_a_bucket_never_holds_more_than_a_minutes_worth() -> None:
    clock = Clock()
    rate = Rate(60, monotonic=clock)
    rate.take("XA", 10)
    clock.now += 86_400
    assert rate.take("XA", 61) == pytest.approx(1)


async def test_who_gives_up_waiting_owes_nothing_and_nothing_waits_for_nothing() -> None:
    rate = Rate(60, monotonic=Clock())
    await rate.wait("XA", 60)
    waiting = asyncio.create_task(rate.wait("XA", 600))
    await asyncio.sleep(0)
    await rate.wait("XA", 0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert rate.take("XA", 0) == 0


def test_strangers_cannot_make_the_table_grow() -> None:
    rate = Rate(60, monotonic=Clock())
    for number in range(CALLERS + 100):
        rate.take(str(number))
    assert len(rate._buckets) == CALLERS


def test_calls_are_counted_while_they_run() -> None:
    calls = Calls(2)
    with calls.one("XA"), calls.one("XA"):
        with pytest.raises(RateLimited), calls.one("XA"):
            raise AssertionError("a third call ran")
        with calls.one("XV"):
            assert calls.count("XV") == 1
    assert calls.count("XA") == calls.count("XV") == 0
    with pytest.raises(KeyError), calls.one("XA"):
        raise KeyError
    assert calls.count("XA") == 0


@pytest.mark.parametrize(
    "peer, network",
    [
        ("ipv4:192.0.2.7:50123", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50123", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::1]:50123", "2001:db8:1:2::/64"),
        ("ipv6:[fe80::1%eth0]:50123", "fe80::/64"),
        ("unix:/run/x.sock", "unix"),
        ("junk", "junk"),
    ],
)
def test_a_caller_on_the_join_port_is_its_network(peer: str, network: str) -> None:
    assert network_of(peer) == network


def test_control_traffic_may_go_an_eighth_over_what_its_sender_may_leave_here() -> None:
    held = HeldQuota(800)
    assert (held.room(700, control=False), held.room(700, control=True)) == (100, 200)
    assert (held.room(850, control=False), held.room(850, control=True)) == (-50, 50)
    assert held.room(0, control=False) == 800


def test_a_bucket_gives_back_what_a_window_holds_and_takes_nothing_from_one_that_is_full() -> None:
    hourly = Allowance(4, window_s=3_600)
    now = 10**15
    assert hourly.left(0, now) == 4
    full = hourly.spend(0, now, 3)
    assert (hourly.left(full, now), hourly.debt_us(full, now)) == (1, 0)
    assert hourly.left(full, now + 900 * SECOND_US) == 2
    assert hourly.debt_us(hourly.spend(full, now, 2), now) == 900 * SECOND_US
    assert hourly.spend(full, now, 0) == full


def test_what_is_left_can_be_taken_without_a_debt_and_not_one_more() -> None:
    now = 10**15
    for per_window in (1, 7, 499, 30_000, 10**7):
        allowance = Allowance(per_window)
        for taken in (0, 1, per_window // 3, per_window - 1):
            full = allowance.spend(0, now, taken)
            left = allowance.left(full, now + 12_345)
            assert allowance.debt_us(allowance.spend(full, now + 12_345, left), now + 12_345) == 0
            assert allowance.debt_us(allowance.spend(full, now + 12_345, left + 2), now + 12_345) > 0


def test_a_clock_that_once_stood_ahead_stops_nobody_for_longer_than_two_windows() -> None:
    daily, now, day_us = Allowance(10, DAY_S), 10**15, int(DAY_S) * SECOND_US
    for days in range(1, 401):
        ahead = daily.stored(daily.spend(0, now + days * day_us, 30), now + days * day_us)
        assert daily.debt_us(daily.believed(ahead, now), now) <= 2 * day_us
        assert daily.believed(ahead, now + days * day_us) == ahead, "by the clock that wrote it, it holds"


def test_what_another_count_knows_holds_only_when_it_is_worse() -> None:
    rate = Rate(60, monotonic=Clock())
    rate.owes("XA", 60 * SECOND_US)
    assert rate.take("XA", 0) == 0 and rate.take("XA") == 1
    rate.owes("XA", SECOND_US)
    assert rate.take("XA") == 2
