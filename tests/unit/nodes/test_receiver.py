"""While a frame is judged, the flash lane is looked at every eight envelopes."""

from typing import cast

import pytest

from exchange.envelope.model import Lane
from nodes.arrivals import Arrivals
from nodes.opening import Ground
from nodes.receiver import FLASH_LOOK, judge_until
from nodes.relay_port import Delivered, Waiting

FRAME = [Waiting(Lane.ROUTINE, position, b"no delivery") for position in range(5 * FLASH_LOOK)]
NO_GROUND = cast(Ground, None)
"""What is no delivery is set aside, whatever it is judged under."""


@pytest.mark.parametrize("come_at", [1, 2, 4])
def test_judging_stops_at_the_look_at_which_flash_has_come_and_goes_on_behind_it(come_at: int) -> None:
    looks = 0

    def overtaken() -> bool:
        nonlocal looks
        looks += 1
        return looks == come_at

    judged = judge_until(FRAME, NO_GROUND, overtaken)
    assert [each.waiting for each in judged] == FRAME[: come_at * FLASH_LOOK]
    behind = judge_until(FRAME[len(judged) :], NO_GROUND, lambda: False)
    assert [each.waiting for each in behind] == FRAME[come_at * FLASH_LOOK :]


def test_a_frame_that_nothing_overtakes_is_judged_whole_and_looked_up_from_every_eight() -> None:
    arrivals, looks = Arrivals(), 0

    def overtaken() -> bool:
        nonlocal looks
        looks += 1
        return arrivals.flash_waits()

    assert len(judge_until(FRAME, NO_GROUND, overtaken)) == len(FRAME) and looks == len(FRAME) // FLASH_LOOK - 1
    arrivals.add(Delivered([Waiting(Lane.PRIORITY, 1, b"")], 0))
    assert not arrivals.flash_waits()
    arrivals.add(Delivered([Waiting(Lane.FLASH, 2, b"")], 0))
    assert len(judge_until(FRAME, NO_GROUND, overtaken)) == FLASH_LOOK
