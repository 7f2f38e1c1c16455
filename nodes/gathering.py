"""Do at once what many ask for one by one.

Nothing waits for company: while one batch is worked on, the next one gathers. So a batch is as large as what is
waiting, and whoever asks alone is served at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gathering(Generic[T, R]):
    """One kind of work that is cheaper for many. For one event loop."""

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int) -> None:
        """`work` answers at most so many, in their order. Repeating it is safe: after a failure each is tried alone."""
        self._work = work
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, one: T) -> R:
        """Return the answer for one, or raise what the work raised for it."""
        return await self._add(one)

    async def ask_each(self, many: Sequence[T]) -> Sequence[R]:
        """Return the answers for several, in their order, or raise what the work raised for the first that failed."""
        return await asyncio.gather(*(self._add(one) for one in many))

    def _add(self, one: T) -> asyncio.Future[R]:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())
        return future

    async def _serve(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._answer(batch)

    async def _answer(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._work([one for one, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            if len(batch) > 1:
                # Nobody fails for another's sake.
                for each in batch:
                    await self._answer([each])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
