"""Files that sensors attach: taken in piece by piece, and pushed by what they are.

1. a file is named by name, type, size and hash; of one that waits here nothing more is needed, and one that is on its
   way goes on where it is
2. a new one lies within what the sensor may attach; all that refuses it does so before anything of it is kept
3. it is sealed as it comes; of two calls that send the same file, one is refused
4. all of it has come: it is the file that was named, else nothing of it stays
5. a push names its files in the same way, and finds those of its own sensor alone
How far a file is, is in memory, as its key is: after a restart of the node it is sent anew.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from exchange.envelope.model import Attachment
from exchange.errors import ExchangeError, MalformedInput, RateLimited, Unavailable
from exchange.limits import ATTACHMENTS, MIB
from nodes.attached import Attached
from nodes.attaching import Attaching
from nodes.core import Core
from nodes.sensors import Scope, Sensors, permit_bytes
from nodes.taking import Taking

PART_BYTES = MIB
"""Most bytes of a file in one message."""

UPLOADS_MOST = 16
"""Files that come in at once, of all sensors: pushes need some of the door's calls too."""

UPLOADS_EACH = 4
"""Of one sensor."""

SILENT_S = 60.0
"""A call in which nothing comes for so long ends; the file goes on in another."""


class SensorFiles:
    """What sensors attach at one node. For one event loop."""

    def __init__(self, core: Core, sensors: Sensors, attaching: Attaching) -> None:
        """Keep files in `attaching`, each for its sensor."""
        self._core = core
        self._sensors = sensors
        self._attaching = attaching
        self._calls: list[str] = []

    async def take(
        self, scope: Scope, file: Attachment, parts: AsyncIterator[bytes]
    ) -> AsyncIterator[tuple[int, bool]]:
        """Take a file in: yield where it goes on, then that it is here; each with how much has come.

        Raises:
            MalformedInput, TooLarge: it cannot be attached, or is not what was announced.
            PolicyDenied: the sensor may not attach it.
            RateLimited: the hour's allowance is spent, or too much comes or waits at once.
            StorageFull: there is no room for it now.
            Conflict: another call goes on with it.
            Unavailable: nothing came for too long.
        """
        # 1
        if file in self._waiting(scope):
            yield file.size, True
            return
        with self._call(scope.name):
            taking = await self._begun(scope, file)
            at = await asyncio.to_thread(lambda: taking.come)
            yield at, False
            # 3
            while at < file.size and (part := await _next(parts)):
                at = await self._add(taking, at, part)
            if at < file.size:
                raise Unavailable("the rest of the file is still to come")
            # 4
            try:
                await self._attaching.end(taking)
            except MalformedInput:
                await asyncio.to_thread(self._attaching.drop, taking)
                raise
            yield at, True

    def found(self, scope: Scope, files: Sequence[Attachment]) -> tuple[list[Attached], list[int]]:
        """Return the files of a push that wait here, and the places of those that do not."""
        # 5
        waiting = self._waiting(scope)
        missing = [place for place, each in enumerate(files) if each not in waiting]
        return [waiting[each] for each in files if each in waiting], missing

    def pushed(self, attached: Sequence[Attached]) -> None:
        """Let go of files that a push has taken."""
        self._attaching.pushed(attached)

    def _waiting(self, scope: Scope) -> dict[Attachment, Attached]:
        return {each.attachment: each for each in self._attaching.waiting(scope.who)}

    async def _begun(self, scope: Scope, file: Attachment) -> Taking:
        under_way = self._attaching.under_way(scope.who)
        for each in under_way:
            if each.announced == file:
                return each
        # 2
        try:
            permit_bytes(scope, file.size)
            if len(under_way) + len(self._attaching.waiting(scope.who)) >= ATTACHMENTS:
                raise RateLimited("too many files of this sensor wait for a push", hint="push them, or wait an hour")
            taking = self._attaching.begin(file, owner=scope.who)
        except ExchangeError as error:
            if not error.retryable:
                await self._sensors.count(scope, accepted=False)
            raise
        try:
            self._sensors.spend_bytes(scope, file.size)
        except RateLimited:
            self._attaching.drop(taking)
            raise
        return taking

    async def _add(self, taking: Taking, at: int, part: bytes) -> int:
        try:
            return await asyncio.to_thread(taking.add, at, part, self._core.clock())
        except MalformedInput:
            await asyncio.to_thread(self._attaching.drop, taking)
            raise

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        if len(self._calls) >= UPLOADS_MOST or self._calls.count(name) >= UPLOADS_EACH:
            raise RateLimited("too many files come in at once", hint="one after the other")
        self._calls.append(name)
        try:
            yield
        finally:
            self._calls.remove(name)


async def _next(parts: AsyncIterator[bytes]) -> bytes:
    """Return the next part; empty at the end."""
    try:
        async with asyncio.timeout(SILENT_S):
            return await anext(parts, b"")
    except TimeoutError as error:
        raise Unavailable("nothing of the file comes") from error
