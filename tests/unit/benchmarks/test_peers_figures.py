"""benchmarks/peers/figures.py: what drivers report becomes lines of the table."""

import json

import pytest

from benchmarks.peers.figures import Asked, Measured, lost, measured, percentile, ratio
from benchmarks.table import GOAL, MISSED, MUST
from exchange.errors import MalformedInput

SENT = json.dumps({"began_ns": 1_000_000_000, "cpu_s": 0.5})


def received(**changes: object) -> str:
    return json.dumps(
        {"delivered": 10, "last_ns": 3_000_000_000, "waits_ms": [1.0, 2.0], "failed": 0, "cpu_s": 0.25, **changes}
    )


def test_deliveries_a_second_are_counted_from_the_first_call_to_the_last_delivery_of_all() -> None:
    found = measured(SENT, [received(last_ns=2_000_000_000), received()], expected=20, server_s=1.0)
    assert found.speed == 10.0
    assert (found.delivered, found.expected, found.waits_ms) == (20, 20, (1.0, 2.0, 1.0, 2.0))


def test_cpu_time_of_a_delivery_is_that_of_all_processes() -> None:
    assert measured(SENT, [received(), received()], expected=20, server_s=1.0).cpu_ms == 2.0 / 20 * 1000


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Traceback (most recent call last):",
        "[]",
        "{}",
        received(delivered="10"),
        received(last_ns=None),
        received(waits_ms=[1]),
        received(cpu_s=None),
        received(waits_ms="1.0"),
        json.dumps({"delivered": 10, "last_ns": 3_000_000_000, "waits_ms": []}),
    ],
)
def test_what_no_driver_writes_is_refused(line: str) -> None:
    with pytest.raises(MalformedInput):
        measured(SENT, [line], expected=10, server_s=1.0)


def test_a_measurement_without_deliveries_or_time_is_no_figure() -> None:
    with pytest.raises(MalformedInput, match="nothing was delivered"):
        measured(SENT, [received(delivered=0)], expected=10, server_s=1.0)
    with pytest.raises(MalformedInput, match="before the first call"):
        measured(SENT, [received(last_ns=1_000_000_000)], expected=10, server_s=1.0)


@pytest.mark.parametrize("share, value", [(0.5, 51.0), (0.99, 100.0), (0.0, 1.0), (1.0, 100.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(MalformedInput):
        percentile([], 0.5)


def test_a_ratio_is_the_median_of_the_ratios_of_rounds() -> None:
    # The medians of the sides, 200 and 100, would say 2.
    line = ratio("ours ÷ theirs", [(300, 100), (200, 50), (100, 100)], unit="a second", asked=Asked(1, 4))
    assert (line.figure, line.must, line.goal, line.held) == ("3.00", "1", "4", MUST)
    assert line.beside == "200 and 100 a second; 1.00 to 4.00"


def test_where_less_is_better_the_goal_is_below_what_must_be() -> None:
    asked = Asked(8, 4, less_is_better=True)
    assert [asked.held(value) for value in (4.0, 4.1, 8.1)] == [GOAL, MUST, MISSED]


def test_a_ratio_of_which_nothing_is_asked_holds_nothing() -> None:
    line = ratio("CPU", [(2.0, 1.0)], unit="ms")
    assert (line.figure, line.must, line.goal, line.held) == ("2.00", "", "", "")


def test_what_a_peer_lost_or_refused_stands_in_the_line() -> None:
    fine, less = Measured(delivered=8, expected=8), Measured(delivered=6, expected=8, failed=3)
    assert lost([fine, fine]) == ""
    assert lost([fine, less]) == "; of the peer 2 not delivered in time, 3 answers were errors"
