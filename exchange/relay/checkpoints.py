"""Signed checkpoints of both logs, of committed states only.

A root hash is signed only after it was read back from what is committed, and handed out only after the note is
committed too: no failed transaction and no crash can make the relay sign two histories. Several processes on one
database hand out one note for each size, the one that was stored first, and never an older one than any of them did.
What a process handed out lies in its home as well: a store that does not continue it stops the relay (continuity.py).
"""

import asyncio
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from exchange.crypto.logkeys import LogKeys
from exchange.errors import ConfigurationError
from exchange.relay.continuity import Continuity, HandedOut
from exchange.relay.sequencer import Log, LogState
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.database import Database
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from exchange.tlog.tiles import root_at

Noted = tuple[int, str]
"""Size and note of a checkpoint."""


class Checkpoints:
    """The newest checkpoint of each log. For one event loop."""

    def __init__(
        self,
        database: Database,
        exchange: str,
        keys: LogKeys,
        *,
        continuity: Continuity | None = None,
        folder: Path | None = None,
    ) -> None:
        """Sign with the log's keys, for both logs of `exchange`; `folder` is where handed out notes are remembered."""
        self._database = database
        self._keys = keys
        self._continuity = continuity or Continuity()
        self._origins = {Log.DIRECTORY: directory_origin(exchange), Log.TRAFFIC: traffic_origin(exchange)}
        self._handed_out = HandedOut(folder, self._origins, keys.public) if folder is not None else None
        self._newest: dict[Log, Noted] = {}
        self._locks = {log: asyncio.Lock() for log in Log}
        self._grown = {log: asyncio.Event() for log in Log}

    async def load(self) -> None:
        """Take up the notes that were handed out last.

        Raises:
            ConfigurationError: the store does not continue what was signed.
        """
        if self._handed_out is not None:
            self._handed_out.tell(self._continuity)
        for log in Log:
            found = await self._database.read(partial(self._load, log))
            if found is not None:
                self._newest[log] = found
            await self.refresh(log)

    def newest(self, log: Log) -> Noted:
        """Return size and note of the newest checkpoint that this process knows of."""
        return self._newest[log]

    async def refresh(self, log: Log) -> Noted:
        """Sign what is committed now, if that is more than what was signed, and return the newest checkpoint.

        Raises:
            ConfigurationError: the store does not continue what was answered for; nothing is signed.
        """
        async with self._locks[log]:
            state, stored = await self._database.read(partial(self._look, log))
            self._continuity.seen(log, state)
            if stored is None or stored[0] < state.size:
                note = sign_checkpoint(Checkpoint(self._origins[log], state.size, state.root), self._keys)
                stored = await self._database.write(partial(_put, log, (state.size, note)))
            await self._hand_out(log, stored)
            return self._newest[log]

    async def take_up(self, log: Log) -> Noted:
        """Return the newest checkpoint that any process on this database has handed out."""
        async with self._locks[log]:
            stored = await self._database.read(lambda connection: SqlLogs(connection).checkpoint(log))
            if stored is not None:
                await self._hand_out(log, stored)
            return self._newest[log]

    async def wait_for_more_than(self, log: Log, size: int) -> None:
        """Return when the newest checkpoint covers more than `size` entries, or at once."""
        while self._newest[log][0] <= size:
            await self._grown[log].wait()

    async def _hand_out(self, log: Log, stored: Noted) -> None:
        before = self._newest.get(log)
        if before is not None and before[0] >= stored[0]:
            return
        if self._handed_out is not None:
            await asyncio.to_thread(self._handed_out.keep, log, stored[1])
        self._newest[log] = stored
        self._grown[log].set()
        self._grown[log] = asyncio.Event()

    def _look(self, log: Log, connection: Connection) -> tuple[LogState, Noted | None]:
        logs = SqlLogs(connection)
        self._continuity.check(logs, log)
        return logs.state(log), logs.checkpoint(log)

    def _load(self, log: Log, connection: Connection) -> Noted | None:
        logs = SqlLogs(connection)
        found = logs.checkpoint(log)
        if found is None:
            return None
        size, note = found
        signed = open_checkpoint(note, self._origins[log], self._keys.public)
        stored = logs.state(log)
        tiles = partial(logs.tile, log)
        if signed.size != size or size > stored.size or signed.root != root_at(tiles, size):
            raise ConfigurationError(
                f"the {log.name.lower()} log does not continue the checkpoint that this relay signed",
                hint="the store is damaged or an older copy: restore the newest backup, do not go on with this one",
            )
        self._continuity.seen(log, LogState(signed.size, signed.root))
        return found


def _put(log: Log, made: Noted, connection: Connection) -> Noted:
    """Store a note, unless another process has stored one of as many entries or more; return what stands."""
    logs = SqlLogs(connection)
    found = logs.checkpoint(log)
    if found is not None and found[0] >= made[0]:
        return found
    logs.put_checkpoint(log, *made)
    return made
