"""Rates and counts of calls."""

import asyncio

import pytest

from exchange.errors import RateLimited
from exchange.names import PartyId
from exchange.relay.quota import CALLERS, Calls, HeldQuota, Rate, StatementQuota
from exchange.relay.services.join import network_of

XA, XV = PartyId("XA"), PartyId("XV")


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


def test_what_a_node_adds_to_the_directory_in_a_day_is_bounded_and_uses_up_nothing_of_its_roots() -> None:
    clock = Clock()
    quota = StatementQuota(4, monotonic=clock)
    for _ in range(4):
        quota.demand(XA, root=False)
    with pytest.raises(RateLimited) as refused:
        quota.demand(XA, root=False)
    assert refused.value.hint == "try again in 21600 s"
    quota.demand(XA, root=True)
    quota.demand(XV, root=False)
    clock.now += 6 * 60 * 60
    quota.demand(XA, root=False)
