"""Turns: shares are fair by weight, order within a caller is kept, and nothing is lost by who goes away."""

import asyncio
from contextlib import suppress

import pytest

from exchange.relay.turns import Turns


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def asked(turns: Turns, served: list[str], name: str, weight: int = 1) -> "asyncio.Task[None]":
    """Let an item wait for its turn, and note its name when it has it; the test gives it back."""

    async def take() -> None:
        await turns.take(name, weight)
        served.append(name)

    task = asyncio.create_task(take())
    await settle()
    return task


async def test_while_there_is_room_nobody_waits() -> None:
    turns, served = Turns(3), list[str]()
    for name in ("a", "a", "b"):
        await asked(turns, served, name)
    assert served == ["a", "a", "b"] and turns.waiting == 0
    await asked(turns, served, "b")
    assert len(served) == 3 and turns.waiting == 1


async def test_one_that_asks_for_little_waits_for_what_is_under_way_and_for_no_backlog() -> None:
    turns, served = Turns(1), list[str]()
    for _ in range(100):
        await asked(turns, served, "flood", 10)
    await asked(turns, served, "small")
    assert served == ["flood"]
    turns.give_back("flood", 10)
    await settle()
    assert served == ["flood", "small"]


async def test_shares_are_even_by_weight_and_not_by_number() -> None:
    turns, served = Turns(1), list[str]()
    weights = {"large": 40, "small": 10}
    for name, count in (("large", 20), ("small", 80)):
        for _ in range(count):
            await asked(turns, served, name, weights[name])
    had = dict.fromkeys(weights, 0)
    for _ in range(60):
        await settle()
        had[served[-1]] += weights[served[-1]]
        turns.give_back(served[-1], weights[served[-1]])
    assert abs(had["large"] - had["small"]) <= 2 * max(weights.values())


async def test_who_was_away_comes_back_without_a_credit() -> None:
    turns, served = Turns(1), list[str]()
    for _ in range(50):
        await asked(turns, served, "steady", 10)
    for _ in range(20):
        turns.give_back("steady", 10)
        await settle()
    for _ in range(20):
        await asked(turns, served, "late", 10)
    for _ in range(10):
        turns.give_back(served[-1], 10)
        await settle()
    assert served[21:].count("steady") >= 4, "the one that came late does not take all turns"


async def test_who_goes_away_while_it_waits_or_as_its_turn_comes_takes_nothing_along() -> None:
    turns, served = Turns(1), list[str]()
    await asked(turns, served, "a")
    gone, other = await asked(turns, served, "b"), await asked(turns, served, "c")
    gone.cancel()
    await settle()
    assert turns.waiting == 1
    turns.give_back("a", 1)
    other.cancel()
    with suppress(asyncio.CancelledError):
        await other
    if served[-1] == "c":
        turns.give_back("c", 1)
    await asked(turns, served, "d")
    assert served[-1] == "d" and turns.waiting == 0


async def test_the_largest_item_has_its_turn_and_nothing_passes_beside_it() -> None:
    turns, served = Turns(4), list[str]()
    await asked(turns, served, "large", 100)
    await asked(turns, served, "small")
    assert served == ["large"]
    turns.give_back("large", 100)
    await settle()
    assert served == ["large", "small"]


async def test_a_turn_is_given_back_when_its_block_fails() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError, match="on purpose"):
        async with turns.turn("a", 1):
            raise ValueError("on purpose")
    async with asyncio.timeout(1), turns.turn("b", 1):
        pass


async def test_nothing_is_remembered_of_who_is_gone() -> None:
    turns = Turns(2)
    for number in range(1_000):
        async with turns.turn(f"p{number}", 1):
            pass
    assert not turns._clocks and not turns._under_way and not turns._waiting
