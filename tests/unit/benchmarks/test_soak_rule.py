"""What counts as growth in a soak: the straight line through the last half, and how far it rises there."""

import pytest

from benchmarks.soak import GROWTH_DESCRIPTORS, GROWTH_MIB, Look, growth


def looks(*, mib_at_end: float = 0.0, descriptors_at_end: float = 0.0, warm_up_mib: float = 0.0) -> list[Look]:
    """Forty looks at a process that grows evenly, up to so much at the end of the run."""
    return [
        Look(
            1_000 * (at + 1),
            100.0 + mib_at_end * at / 39 + (warm_up_mib if at >= 20 else warm_up_mib * at / 20),
            50 + round(descriptors_at_end * at / 39),
        )
        for at in range(40)
    ]


def test_what_a_process_takes_while_it_warms_up_is_not_growth() -> None:
    found = growth("the relay", looks(warm_up_mib=500.0))
    assert found.mib == pytest.approx(0.0) and not found.grows


def test_steady_growth_is_found_by_how_far_its_line_rises_in_the_last_half() -> None:
    found = growth("the relay", looks(mib_at_end=2 * GROWTH_MIB * 39 / 19))
    assert found.mib == pytest.approx(2 * GROWTH_MIB) and found.grows
    assert not growth("the relay", looks(mib_at_end=GROWTH_MIB)).grows


def test_descriptors_that_stay_open_are_growth() -> None:
    assert growth("a node", looks(descriptors_at_end=4 * GROWTH_DESCRIPTORS)).grows
    assert not growth("a node", looks(descriptors_at_end=1)).grows


def test_noise_around_a_level_is_not_growth() -> None:
    noisy = [Look(each.passed, each.resident_mib + (at % 2) * 20, each.descriptors) for at, each in enumerate(looks())]
    assert not growth("the relay", noisy).grows


def test_a_few_looks_make_no_line() -> None:
    with pytest.raises(ValueError, match="make no line"):
        growth("the relay", looks()[:10])
