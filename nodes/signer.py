"""Signs statements with the statement key, as many at once as wait: one composite signature serves up to 1,024.

Nothing waits for company: while one batch is being signed, the next one gathers (PROTOCOL 1).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from exchange.crypto.signed import Signed, sign_batch
from exchange.crypto.signing import CompositeKey
from exchange.limits import BATCH_STATEMENTS


class Signer:
    """The statement key in use. For one event loop."""

    def __init__(self, key: Callable[[], CompositeKey], *, exchange: str, executor: Executor) -> None:
        """Sign with the key of the moment, under the exchange's name, in `executor`."""
        self._key = key
        self._exchange = exchange
        self._executor = executor
        self._waiting: list[tuple[str, bytes, asyncio.Future[Signed]]] = []
        self._task: asyncio.Task[None] | None = None

    async def sign(self, name: str, payload: bytes) -> Signed:
        """Return the statement of this short type name, signed; its payload must carry 16 random bytes."""
        future: asyncio.Future[Signed] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, payload, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_STATEMENTS], self._waiting[BATCH_STATEMENTS:]
            statements = [(name, payload) for name, payload, _ in batch]
            try:
                sign = partial(sign_batch, self._key(), statements, context=self._exchange)
                signed = await loop.run_in_executor(self._executor, sign)
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                for _, _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, _, future), each in zip(batch, signed, strict=True):
                if not future.done():
                    future.set_result(each)
