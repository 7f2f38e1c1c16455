"""Signs statements with the statement key, as many at once as wait: one composite signature serves up to 1,024.

Nothing waits for company: while one batch is being signed, the next one gathers (PROTOCOL 1).
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from exchange.crypto.signed import Signed, sign_batch
from exchange.crypto.signing import CompositeKey
from exchange.limits import BATCH_STATEMENTS
from nodes.gathering import Gathering


class Signer:
    """The statement key in use. For one event loop."""

    def __init__(self, key: Callable[[], CompositeKey], *, exchange: str, executor: Executor) -> None:
        """Sign with the key of the moment, under the exchange's name, in `executor`."""
        self._key = key
        self._exchange = exchange
        self._executor = executor
        self._gathering = Gathering(self._sign, most=BATCH_STATEMENTS)

    async def sign(self, name: str, payload: bytes) -> Signed:
        """Return the statement of this short type name, signed; its payload must carry 16 random bytes."""
        return await self._gathering.ask((name, payload))

    async def sign_each(self, name: str, payloads: Sequence[bytes]) -> Sequence[Signed]:
        """Do as `sign` for several statements of one type, in their order."""
        return await self._gathering.ask_each([(name, payload) for payload in payloads])

    async def _sign(self, statements: Sequence[tuple[str, bytes]]) -> Sequence[Signed]:
        sign = partial(sign_batch, self._key(), statements, context=self._exchange)
        return await asyncio.get_running_loop().run_in_executor(self._executor, sign)
