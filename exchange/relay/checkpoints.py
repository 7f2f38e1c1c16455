"""Signed checkpoints of both logs, of committed states only.

A root hash is signed only after it was read back from what is committed, and handed out only after the note is
committed too: no failed transaction and no crash can make the relay sign two histories.
At the start the last note is compared with the tree: a store that is not the one that signed it stops the start.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.logkeys import LogKeys
from exchange.errors import ConfigurationError
from exchange.relay.sequencer import Log, LogState
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.database import Database
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from exchange.tlog.tiles import root_at


class Checkpoints:
    """The newest checkpoint of each log. For one event loop."""

    def __init__(self, database: Database, exchange: str, keys: LogKeys) -> None:
        """Sign with the log's keys, for both logs of `exchange`."""
        self._database = database
        self._keys = keys
        self._origins = {Log.DIRECTORY: directory_origin(exchange), Log.TRAFFIC: traffic_origin(exchange)}
        self._newest: dict[Log, tuple[int, str]] = {}
        self._locks = {log: asyncio.Lock() for log in Log}
        self._grown = {log: asyncio.Event() for log in Log}

    async def load(self) -> None:
        """Take up the notes that were handed out last.

        Raises:
            ConfigurationError: the store does not continue what was signed.
        """
        for log in Log:
            found = await self._database.read(partial(self._load, log))
            if found is not None:
                self._newest[log] = found
            await self.refresh(log)

    def newest(self, log: Log) -> tuple[int, str]:
        """Return size and note of the newest checkpoint."""
        return self._newest[log]

    async def refresh(self, log: Log) -> tuple[int, str]:
        """Sign what is committed now, if that is more than what was signed, and return the newest checkpoint."""
        async with self._locks[log]:
            state = await self._database.read(lambda connection: SqlLogs(connection).state(log))
            before = self._newest.get(log)
            if before is not None and before[0] == state.size:
                return before
            note = sign_checkpoint(Checkpoint(self._origins[log], state.size, state.root), self._keys)
            await self._database.write(_put(log, state, note))
            self._newest[log] = (state.size, note)
            self._grown[log].set()
            self._grown[log] = asyncio.Event()
            return self._newest[log]

    async def wait_for_more_than(self, log: Log, size: int) -> None:
        """Return when the newest checkpoint covers more than `size` entries, or at once."""
        while self._newest[log][0] <= size:
            await self._grown[log].wait()

    def _load(self, log: Log, connection: Connection) -> tuple[int, str] | None:
        logs = SqlLogs(connection)
        found = logs.checkpoint(log)
        if found is None:
            return None
        size, note = found
        signed = open_checkpoint(note, self._origins[log], self._keys.public)
        stored = logs.state(log)
        if signed.size != size or size > stored.size or signed.root != root_at(_reader(logs, log), size):
            raise ConfigurationError(
                f"the {log.name.lower()} log does not continue the checkpoint that this relay signed",
                hint="the store is damaged or an older copy: restore the newest backup, do not go on with this one",
            )
        return found


def _put(log: Log, state: LogState, note: str) -> Callable[[Connection], None]:
    return lambda connection: SqlLogs(connection).put_checkpoint(log, state.size, note)


def _reader(logs: SqlLogs, log: Log) -> Callable[[int, int], bytes]:
    return lambda level, number: logs.tile(log, level, number)
