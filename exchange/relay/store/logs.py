"""Both logs on SQL: states, tiles, entries, checkpoints."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select

from exchange.errors import NotFound
from exchange.merkle import HASH_BYTES, empty_root
from exchange.relay.sequencer import Log, LogState
from exchange.relay.store import tables
from exchange.runtime.prepared import fetch, insert_rows
from exchange.runtime.upsert import insert_or_replace

_STATE = select(tables.log_state.c.size, tables.log_state.c.root).where(tables.log_state.c.log == bindparam("which"))
_MARK = select(tables.directory_mark.c.size)
_CHECKPOINT = select(tables.checkpoint.c.size, tables.checkpoint.c.note).where(
    tables.checkpoint.c.log == bindparam("which")
)
_ENTRIES = {Log.DIRECTORY: tables.directory_entry, Log.TRAFFIC: tables.traffic_entry}


class SqlLogs:
    """LogStore, and what is read of the logs, within one open transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on `connection`; its transaction is the caller's."""
        self._connection = connection

    def state(self, log: Log) -> LogState:
        """Return size and root hash."""
        found = fetch(self._connection, _STATE, which=int(log))
        return LogState(*found[0]) if found else LogState(0, empty_root())

    def set_state(self, log: Log, state: LogState) -> None:
        """Replace size and root hash."""
        row = {"log": int(log), "size": state.size, "root": state.root}
        insert_or_replace(self._connection, tables.log_state, [row])

    def tile(self, log: Log, level: int, number: int) -> bytes:
        """Return the hashes of a tile; nothing when it is not stored."""
        tile = tables.log_tile.c
        found = self._connection.execute(
            select(tile.hashes).where(tile.log == log, tile.level == level, tile.number == number)
        ).scalar_one_or_none()
        return found or b""

    def put_tiles(self, log: Log, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles by (level, number)."""
        rows = [
            {"log": int(log), "level": level, "number": number, "width": len(hashes) // HASH_BYTES, "hashes": hashes}
            for (level, number), hashes in tiles.items()
        ]
        insert_or_replace(self._connection, tables.log_tile, rows)

    def append(self, log: Log, first: int, entries: Sequence[bytes]) -> None:
        """Store entries from index `first` on."""
        insert_rows(self._connection, _ENTRIES[log], list(enumerate(entries, first)))

    def entries(self, log: Log, start: int, count: int) -> list[bytes]:
        """Return at most `count` entries from index `start` on; fewer at the end."""
        entry = _ENTRIES[log].c
        wanted = select(entry.entry).where(entry.number >= start, entry.number < start + count).order_by(entry.number)
        return list(self._connection.execute(wanted).scalars())

    def entry(self, log: Log, index: int) -> bytes:
        """Return one entry; NotFound when there is none."""
        found = self.entries(log, index, 1)
        if not found:
            raise NotFound(f"the {log.name.lower()} log has no entry {index}")
        return found[0]

    def directory_mark(self) -> int:
        """Return the directory size of the newest head in the traffic log."""
        found = fetch(self._connection, _MARK)
        return int(found[0][0]) if found else 0

    def set_directory_mark(self, size: int) -> None:
        """Remember the directory size that was logged."""
        insert_or_replace(self._connection, tables.directory_mark, [{"one": 1, "size": size}])

    def checkpoint(self, log: Log) -> tuple[int, str] | None:
        """Return size and note of the newest checkpoint that was handed out."""
        found = fetch(self._connection, _CHECKPOINT, which=int(log))
        return (found[0][0], found[0][1]) if found else None

    def put_checkpoint(self, log: Log, size: int, note: str) -> None:
        """Replace the newest checkpoint."""
        insert_or_replace(self._connection, tables.checkpoint, [{"log": int(log), "size": size, "note": note}])
