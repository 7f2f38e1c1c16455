"""What is read of both logs: entries, and proofs about sizes that are committed."""

from functools import partial

from sqlalchemy import Connection

from exchange.errors import BadInput, NotFound
from exchange.limits import FRAME_BYTES
from exchange.relay.sequencer import Log
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.database import Database
from exchange.tlog.tiles import consistency_proof, inclusion_proof

READ_ENTRIES = 4_096
"""Of one answer."""

DIRECTORY_CHUNK = 128
"""Directory entries read at once: each may have 64 KiB."""


class LogReader:
    """Reads committed states only."""

    def __init__(self, database: Database) -> None:
        """Read from this store."""
        self._database = database

    async def entries(self, log: Log, start: int, count: int) -> list[bytes]:
        """Return at most `count` entries from `start` on, fewer at the end or when they fill a frame."""
        if not 1 <= count <= READ_ENTRIES:
            raise BadInput(f"1 to {READ_ENTRIES} entries are read at once, not {count}")
        chunk = count if log is Log.TRAFFIC else min(count, DIRECTORY_CHUNK)
        found = await self._database.read(lambda connection: SqlLogs(connection).entries(log, start, chunk))
        fitting: list[bytes] = []
        size = 0
        for entry in found:
            size += len(entry)
            if fitting and size > FRAME_BYTES:
                break
            fitting.append(entry)
        return fitting

    async def inclusion(self, log: Log, index: int, size: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Return an entry and its path in the tree of `size` entries.

        Raises:
            NotFound: the log does not have so many.
            BadInput: no such entry in a tree of that size.
        """
        return await self._database.read(partial(_inclusion, log, index, size))

    async def consistency(self, log: Log, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` entries continues the one of `old`; raises as `inclusion`."""
        return await self._database.read(partial(_consistency, log, old, new))


def _inclusion(log: Log, index: int, size: int, connection: Connection) -> tuple[bytes, tuple[bytes, ...]]:
    logs = SqlLogs(connection)
    _check_size(logs, log, size)
    path = inclusion_proof(partial(logs.tile, log), index, size)
    return logs.entry(log, index), path


def _consistency(log: Log, old: int, new: int, connection: Connection) -> tuple[bytes, ...]:
    logs = SqlLogs(connection)
    _check_size(logs, log, new)
    return consistency_proof(partial(logs.tile, log), old, new)


def _check_size(logs: SqlLogs, log: Log, size: int) -> None:
    if size > logs.state(log).size:
        raise NotFound(f"the {log.name.lower()} log does not have {size} entries")
