"""What many ask for is done at once: as much as waits, in order, and nobody fails for another's sake."""

import asyncio
from collections.abc import Sequence

import pytest

from exchange.errors import Conflict
from nodes.gathering import Gathering


class Squares:
    """Squares numbers, remembers in what batches it was asked to, and does not like 13."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int]] = []
        self.gathering = Gathering(self._work, most=4)

    async def _work(self, numbers: Sequence[int]) -> Sequence[int]:
        self.batches.append(numbers)
        await asyncio.sleep(0)
        if 13 in numbers:
            raise Conflict("not this one")
        return [number * number for number in numbers]

    async def of(self, *numbers: int) -> list[int | BaseException]:
        """Ask for all at the same time."""
        asked = (self.gathering.ask(number) for number in numbers)
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_waits_together_is_done_together_and_answered_in_order() -> None:
    squares = Squares()
    assert await squares.of(1, 2, 3) == [1, 4, 9]
    assert squares.batches == [[1, 2, 3]]


async def test_nothing_waits_for_company_and_a_batch_is_bounded() -> None:
    squares = Squares()
    assert await squares.gathering.ask(7) == 49
    assert await squares.of(*range(6)) == [0, 1, 4, 9, 16, 25]
    assert squares.batches == [[7], [0, 1, 2, 3], [4, 5]]


async def test_who_asks_for_several_gets_all_answers_or_the_first_failure() -> None:
    squares = Squares()
    assert list(await squares.gathering.ask_each([3, 1, 2])) == [9, 1, 4]
    assert squares.batches == [[3, 1, 2]]
    with pytest.raises(Conflict):
        await squares.gathering.ask_each([2, 13, 3])


async def test_one_that_fails_fails_alone() -> None:
    first, wrong, last = await Squares().of(2, 13, 3)
    assert (first, last) == (4, 9)
    assert isinstance(wrong, Conflict)


async def test_one_who_gives_up_waiting_holds_up_nobody() -> None:
    squares = Squares()
    impatient = asyncio.create_task(squares.gathering.ask(5))
    other = asyncio.create_task(squares.gathering.ask(6))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await other == 36
    with pytest.raises(asyncio.CancelledError):
        await impatient
