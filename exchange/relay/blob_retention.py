"""Let blobs go: when every recipient has them, when their time is over, and when no envelope has named them in time.

What is read for a party that is cut off (exchange/relay/retention.py) is given up. A blob is marked first and then
deleted a few parts at a time, with a pause as long after each, so that submissions never wait long behind a large one.
"""

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from exchange.directory.fold import Directory
from exchange.names import PartyId
from exchange.relay.blobs import Store
from exchange.relay.retention import cut_off, paced
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger

MARK = 100
"""Blobs that are marked in one transaction."""

PARTS = 8
"""Parts that are deleted in one transaction: about as many MiB."""


class BlobRetention:
    """Sweeps blobs; called every few seconds."""

    def __init__(
        self,
        database: Database,
        store: Store,
        clock: Callable[[], int],
        *,
        directory: Callable[[], Directory],
        orphans_ms: int,
    ) -> None:
        """A blob that no envelope names goes `orphans_ms` after its last bytes came."""
        self._database = database
        self._store = store
        self._clock = clock
        self._directory = directory
        self._orphans_ms = orphans_ms
        self._cut_off: tuple[int, frozenset[PartyId]] = (0, frozenset())
        self._log = get_logger(__name__)

    async def sweep(self) -> int:
        """Delete all that may go now; return how many blobs were marked."""
        await self._give_up()
        if not await self._database.read(self._is_due):
            return 0
        total = 0
        while await self._database.read(self._overdue):
            total += await paced(self._database.write(self._mark))
        while await self._database.read(self._going):
            await paced(self._database.write(self._delete))
        if total:
            self._log.info("attachments deleted", count=total)
        return total

    async def _give_up(self) -> None:
        directory = self._directory()
        if directory.size == self._cut_off[0]:
            return
        for party in sorted(cut_off(directory) - self._cut_off[1]):
            await self._database.write(partial(self._release_all, party=party))
        self._cut_off = directory.size, cut_off(directory)

    def _release_all(self, connection: Connection, party: PartyId) -> int:
        return self._store(connection).release_all(party)

    def _is_due(self, connection: Connection) -> bool:
        return bool(self._overdue(connection)) or self._going(connection)

    def _overdue(self, connection: Connection) -> Sequence[tuple[PartyId, bytes]]:
        now_ms = self._clock()
        return self._store(connection).overdue(now_ms, now_ms - self._orphans_ms, MARK)

    def _mark(self, connection: Connection) -> int:
        found = self._overdue(connection)
        for sender, blob_id in found:
            self._store(connection).go(sender, blob_id)
        return len(found)

    def _going(self, connection: Connection) -> bool:
        return self._store(connection).going()

    def _delete(self, connection: Connection) -> None:
        self._store(connection).delete(PARTS)
