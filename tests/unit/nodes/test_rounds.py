"""Work in rounds: at the start, when somebody asks, after a while; a round that fails is told, the next one tries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from exchange.errors import Unavailable
from nodes.rounds import Rounds

LONG_S = 60.0


async def test_work_is_done_at_the_start_and_whenever_somebody_asks() -> None:
    done = asyncio.Queue[int]()

    async def work() -> None:
        done.put_nowait(1)

    rounds = Rounds(work, every_s=LONG_S, failed=_never)
    async with _running(rounds):
        await done.get()
        rounds.hurry()
        await done.get()
        assert done.empty()


async def test_work_is_done_again_after_a_while() -> None:
    done = asyncio.Queue[int]()

    async def work() -> None:
        done.put_nowait(1)

    async with _running(Rounds(work, every_s=0.001, failed=_never)):
        for _ in range(3):
            await done.get()


async def test_what_is_asked_for_during_a_round_is_not_lost() -> None:
    began, may_end = asyncio.Queue[int](), asyncio.Event()

    async def work() -> None:
        began.put_nowait(1)
        await may_end.wait()

    rounds = Rounds(work, every_s=LONG_S, failed=_never)
    async with _running(rounds):
        await began.get()
        rounds.hurry()
        may_end.set()
        await began.get()


async def test_a_round_that_fails_is_told_and_the_next_one_tries_again() -> None:
    told: list[tuple[str, str]] = []
    tried = asyncio.Queue[int]()

    async def work() -> None:
        tried.put_nowait(1)
        raise Unavailable("the relay is away")

    def failed(*, reason: str, detail: str) -> None:
        told.append((reason, detail))

    rounds = Rounds(work, every_s=LONG_S, failed=failed)
    async with _running(rounds):
        await tried.get()
        rounds.hurry()
        await tried.get()
    assert told == [("UNAVAILABLE", "the relay is away")] * 2


def _never(*, reason: str, detail: str) -> None:
    raise AssertionError(f"{reason}: {detail}")


@asynccontextmanager
async def _running(rounds: Rounds) -> AsyncIterator[None]:
    """Let rounds run while the block runs."""
    task = asyncio.create_task(rounds.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
