"""A mapping in layers: a fork is a copy, whoever of the two changes what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.directory.layers import GROWTH, Layers

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.integers(0, 40), st.integers(0, 3), st.integers()),
        st.tuples(st.just("fork"), st.just(0), st.integers(0, 3), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_forks_are_copies_whatever_is_given_to_whom(steps: list[tuple[str, int, int, int]]) -> None:
    real: list[Layers[int, int]] = [Layers()]
    model: list[dict[int, int]] = [{}]
    for deed, key, which, value in steps:
        at = which % len(real)
        if deed == "give":
            real[at][key] = value
            model[at][key] = value
        else:
            real.append(real[at].fork())
            model.append(dict(model[at]))
        for mine, theirs in zip(real, model, strict=True):
            assert dict(mine) == theirs and len(mine) == len(theirs)
            assert list(mine) == list(theirs), "in the order in which they were first given"
            assert all((key in mine) == (key in theirs) for key in range(41))


def test_a_fork_of_many_items_copies_few_and_there_are_few_layers() -> None:
    live: Layers[int, int] = Layers()
    for number in range(10_000):
        live[number] = number
    copied = 0
    for number in range(10_000, 12_000):
        before = set(map(id, live._below))
        live = live.fork()
        copied += sum(len(layer) for layer in live._below if id(layer) not in before)
        live[number] = number
        assert len(live._below) <= 10
    assert copied < 10_000 + 2_000 * 4 * GROWTH, "an item is copied a few times in its life"
    assert list(live) == list(range(12_000))


def test_nothing_is_deleted() -> None:
    live: Layers[int, int] = Layers()
    live[1] = 1
    assert not hasattr(live, "__delitem__")
    with pytest.raises(KeyError):
        live[2]
