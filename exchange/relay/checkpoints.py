"""Signed checkpoints of both logs, of committed states only.

Each is signed by the keys in force as of the directory size that it states, or now, of the traffic log. When the keys
change, the traffic log's is signed anew before anybody is shown the entry that changed them: who has replayed that
entry is never shown a note by the keys before.
A root hash is signed only after it was read back from what is committed, and handed out only after the note is
committed too: no failed transaction and no crash can make the relay sign two histories. Several processes on one
database hand out one note for each size, the one that was stored first, and never an older one than any of them did.
What a process handed out lies in its home as well: a store that does not continue it stops the relay (continuity.py).
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from exchange.crypto.logkeys import LogKeys, LogPublicKeys
from exchange.errors import BadProof, ConfigurationError, Unavailable
from exchange.relay.continuity import Continuity, HandedOut
from exchange.relay.sequencer import Log, LogState
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.database import Database
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from exchange.tlog.tiles import root_at

Noted = tuple[int, str]
"""Size and note of a checkpoint."""

ASKED_S = 1.0
"""Whoever asks is shown all that was committed so long ago: promises are provable then, at most 60 s by crypto.md 5."""

SIGNED_S = 5.0
"""A log that grows is signed so often though nobody asks: a restart remembers what was handed out, and no more."""

ATTEMPTS = 8
"""Times that a note is signed anew because another process has changed the keys meanwhile."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One log as it is committed, and the checkpoint of it that is stored."""

    state: LogState
    stored: Noted | None


class SigningKeys(Protocol):
    """Which keys sign checkpoints."""

    async def log_keys(self, log: Log, size: int) -> LogKeys:
        """Return the keys that sign a checkpoint of so many entries now."""
        ...

    def still_sign(self, keys: LogPublicKeys, directory_size: int) -> bool:
        """Say whether these sign the traffic log under a directory of so many entries; False when it is not known."""
        ...

    def log_keys_ever(self) -> Sequence[LogPublicKeys]:
        """Return all with which a checkpoint in the store may be signed, the newest last."""
        ...


class Checkpoints:
    """The newest checkpoint of each log. For one event loop."""

    def __init__(
        self,
        database: Database,
        exchange: str,
        keys: SigningKeys,
        *,
        continuity: Continuity | None = None,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sign by `keys`, for both logs of `exchange`; `folder` is where handed out notes are remembered."""
        self._monotonic = monotonic
        self._handed_out_at: dict[Log, float] = {}
        self._database = database
        self._keys = keys
        self._continuity = continuity or Continuity()
        self._origins = {Log.DIRECTORY: directory_origin(exchange), Log.TRAFFIC: traffic_origin(exchange)}
        self._handed_out = HandedOut(folder, self._opened) if folder is not None else None
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
        for log in Log:
            await self.refresh(log)

    def newest(self, log: Log) -> Noted:
        """Return size and note of the newest checkpoint that this process knows of."""
        return self._newest[log]

    async def look(self) -> Mapping[Log, Standing]:
        """Read both logs as they are committed.

        Raises:
            ConfigurationError: one does not continue what was answered for.
        """
        # A view for each: what is answered for while one log is looked at is not in that view of the other.
        found = {log: await self._database.read(partial(self._look, log)) for log in Log}
        for log, each in found.items():
            self._continuity.seen(log, each.state)
        return found

    def is_behind(self, log: Log, now: Standing) -> bool:
        """Say whether `refresh` has something to hand out: another process's note, or one of what has grown."""
        return now.stored is None or now.stored != self._newest.get(log) or now.stored[0] < now.state.size

    def is_due(self, log: Log, after_s: float) -> bool:
        """Say whether nothing of a log was handed out for so long."""
        return self._monotonic() - self._handed_out_at.get(log, -math.inf) >= after_s

    async def refresh(self, log: Log) -> Noted:
        """Sign what is committed now, if more was signed never or by other keys; return the newest checkpoint.

        Raises:
            ConfigurationError: the store does not continue what was answered for; nothing is signed.
            Unavailable: the keys change again and again.
        """
        async with self._locks[log]:
            for _ in range(ATTEMPTS):
                now = await self._database.read(partial(self._look, log))
                state, stored = now.state, now.stored
                self._continuity.seen(log, state)
                keys = await self._keys.log_keys(log, state.size)
                if stored is None or stored[0] < state.size or not self._is_by(keys.public, log, stored[1]):
                    if log is Log.DIRECTORY and not self._known_by(keys.public, Log.TRAFFIC):
                        await self.refresh(Log.TRAFFIC)
                    note = sign_checkpoint(Checkpoint(self._origins[log], state.size, state.root), keys)
                    put = partial(self._put, log, (state.size, note), keys.public)
                    stored = await self._database.write(put)
                if stored is not None:
                    await self._hand_out(log, stored)
                    return self._newest[log]
            raise Unavailable("the relay's keys change while a checkpoint is signed")

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
        if before is not None and (before[0] > stored[0] or before == stored):
            return
        if self._handed_out is not None:
            await asyncio.to_thread(self._handed_out.keep, log, stored[1])
        self._newest[log], self._handed_out_at[log] = stored, self._monotonic()
        self._grown[log].set()
        self._grown[log] = asyncio.Event()

    def _look(self, log: Log, connection: Connection) -> Standing:
        logs = SqlLogs(connection)
        self._continuity.check(logs, log)
        return Standing(logs.state(log), logs.checkpoint(log))

    def _load(self, log: Log, connection: Connection) -> Noted | None:
        logs = SqlLogs(connection)
        found = logs.checkpoint(log)
        if found is None:
            return None
        size, note = found
        signed = self._opened(log, note)
        stored = logs.state(log)
        tiles = partial(logs.tile, log)
        if signed.size != size or size > stored.size or signed.root != root_at(tiles, size):
            raise ConfigurationError(
                f"the {log.name.lower()} log does not continue the checkpoint that this relay signed",
                hint="the store is damaged or an older copy: restore the newest backup, do not go on with this one",
            )
        self._continuity.seen(log, LogState(signed.size, signed.root))
        return found

    def _put(self, log: Log, made: Noted, keys: LogPublicKeys, connection: Connection) -> Noted | None:
        """Store a note, unless another process has stored one of as many entries or more; return what stands.

        None when the keys are not those that sign now: then nothing was stored.
        """
        logs = SqlLogs(connection)
        if log is Log.TRAFFIC and not self._keys.still_sign(keys, logs.state(Log.DIRECTORY).size):
            return None
        found = logs.checkpoint(log)
        if found is not None and (found[0] > made[0] or (found[0] == made[0] and self._is_by(keys, log, found[1]))):
            return found
        logs.put_checkpoint(log, *made)
        return made

    def _known_by(self, keys: LogPublicKeys, log: Log) -> bool:
        """Say whether the newest checkpoint of a log is by these keys; True while there is none."""
        return log not in self._newest or self._is_by(keys, log, self._newest[log][1])

    def _is_by(self, keys: LogPublicKeys, log: Log, note: str) -> bool:
        try:
            open_checkpoint(note, self._origins[log], keys)
        except BadProof:
            return False
        return True

    def _opened(self, log: Log, note: str) -> Checkpoint:
        """Return the checkpoint that some keys of this relay signed; BadProof otherwise."""
        *others, newest = self._keys.log_keys_ever()
        by = next((keys for keys in others if self._is_by(keys, log, note)), newest)
        return open_checkpoint(note, self._origins[log], by)
