"""keys.db in use: keys of reports, prekeys and later node keys, durable before they are used, destroyed for good.

A key is written here before the row in node.db that needs it, and destroyed here before the row says so: after a crash
there may be a key without a report (swept at the start), or a report without a key (it is purged), never a report that
is thought to be destroyed and is not. Keys that were made last are held in memory as well: whoever pushes or stores a
report asks for its key several times right after that.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection

from exchange.crypto.xwing import XWingKey
from exchange.errors import ExchangeError
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.logs import get_logger
from nodes.store import keys as store
from nodes.store.keys import Prekey, StoredNodeKey
from nodes.store.tables import keys_metadata

FILE = "keys.db"
SWEEP = 1_000
TRUNCATE_TRIES = 3

RECENT = 1_024
"""Keys of reports that are held in memory, those made last."""


class Keybox:
    """Keys of reports and prekeys of one node; open() before use, close() after."""

    def __init__(self, home: Path, master: bytes) -> None:
        """Use keys.db in `home`; `master` wraps every key in it."""
        self._database = Database(sqlite_url(home / FILE), secure_delete=True)
        self._master = master
        self._prekeys: dict[bytes, XWingKey] = {}
        self._recent: dict[bytes, bytes] = {}
        """Keys by item, oldest first."""
        self._log = get_logger(__name__)

    def open(self) -> None:
        """Open the file, make its tables if it is new, and read the prekeys."""
        self._database.open()
        self._database.write_now(keys_metadata.create_all)
        self._prekeys = self._database.read_now(self._read_prekeys)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
        self._prekeys, self._recent = {}, {}

    async def new_keys(
        self, items: Sequence[bytes], offered: Mapping[bytes, bytes] | None = None
    ) -> Mapping[bytes, bytes]:
        """Return a durable key for each item: the one that it has, else the one offered for it, else a new one."""
        made = [(item, (offered or {}).get(item) or store.new_report_key()) for item in items]

        def write(connection: Connection) -> Mapping[bytes, bytes]:
            return store.add_report_keys(connection, self._master, made)

        durable = await self._database.write(write)
        self._recent.update(durable)
        for item in list(islice(self._recent, max(0, len(self._recent) - RECENT))):
            del self._recent[item]
        return durable

    async def keys(self, items: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the keys of these items that are not destroyed."""
        recent, older = self._held(items)
        if not older:
            return recent
        return recent | await self._database.read(partial(store.report_keys, master=self._master, items=older))

    def keys_now(self, items: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Do as `keys`, here; from any thread."""
        recent, older = self._held(items)
        if not older:
            return recent
        return recent | self._database.read_now(partial(store.report_keys, master=self._master, items=older))

    def _held(self, items: Sequence[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Return the keys of these items that are in memory, and the other items; any of the keys may go meanwhile."""
        found = ((item, self._recent.get(item)) for item in items)
        held = {item: key for item, key in found if key is not None}
        return held, [item for item in items if item not in held]

    async def destroy(self, items: Sequence[bytes]) -> None:
        """Destroy the keys of these items: overwritten in the file, and gone from its log."""
        try:
            await self._database.write(lambda connection: store.destroy_report_keys(connection, items))
        finally:
            # Afterwards: a key of the same item that was made before is here by now.
            for item in items:
                self._recent.pop(item, None)
        await self._truncate()

    async def sweep(self, wanted: Callable[[Sequence[bytes]], Awaitable[set[bytes]]]) -> int:
        """Destroy keys whose item is not `wanted` and return how many; only at the start."""
        after, gone = b"", 0
        while found := await self._database.read(partial(store.items_of_keys, after=after, limit=SWEEP)):
            after = found[-1]
            stray = sorted(set(found) - await wanted(found))
            if stray:
                gone += await self._database.write(partial(store.destroy_report_keys, items=stray))
        if gone:
            await self._truncate()
        return gone

    async def without_key(self, items: Sequence[bytes]) -> set[bytes]:
        """Return those of these items whose key is destroyed."""
        return set(items) - await self._database.read(lambda connection: store.items_with_key(connection, items))

    def prekey(self, key_id: bytes) -> XWingKey | None:
        """Return the prekey of an id, if it is held; from any thread."""
        return self._prekeys.get(key_id)

    async def prekey_days(self) -> list[tuple[int, bytes]]:
        """Return (day, key id) of the prekeys held, by day."""
        return await self._database.read(store.prekey_days)

    async def add_prekeys(self, prekeys: Sequence[Prekey]) -> None:
        """Store prekeys; when this returns they are durable and their public halves may be shown."""
        await self._database.write(lambda connection: store.add_prekeys(connection, self._master, prekeys))
        self._prekeys = {**self._prekeys, **{each.key.public.key_id: each.key for each in prekeys}}

    async def destroy_prekeys_before(self, day: int) -> int:
        """Destroy the prekeys of days before `day` and return how many."""
        gone = await self._database.write(lambda connection: store.destroy_prekeys_before(connection, day))
        if gone:
            await self._truncate()
            self._prekeys = await self._database.read(self._read_prekeys)
        return gone

    def node_keys(self) -> list[StoredNodeKey]:
        """Return the node keys that follow those of node.keys, oldest first; only at the start."""
        return self._database.read_now(lambda connection: store.node_keys(connection, self._master))

    async def add_node_key(
        self, use: str, secret: bytes, *, made_ms: int, public: bytes = b"", statement: bytes = b""
    ) -> StoredNodeKey:
        """Store a node key; when this returns it is durable and its public half may be shown."""
        add = partial(
            store.add_node_key,
            master=self._master,
            use=use,
            made_ms=made_ms,
            secret=secret,
            public=public,
            statement=statement,
        )
        return await self._database.write(add)

    async def destroy_node_keys(self, numbers: Sequence[int]) -> None:
        """Destroy node keys: overwritten in the file, and gone from its log."""
        await self._database.write(lambda connection: store.destroy_node_keys(connection, numbers))
        await self._truncate()

    def _read_prekeys(self, connection: Connection) -> dict[bytes, XWingKey]:
        found = {
            key_id: store.prekey_of(connection, self._master, key_id) for _, key_id in store.prekey_days(connection)
        }
        return {key_id: key for key_id, key in found.items() if key is not None}

    async def _truncate(self) -> None:
        for attempt in range(1, TRUNCATE_TRIES + 1):
            try:
                await self._database.checkpoint_truncate()
            except ExchangeError as error:
                # A reader was in the way. The next destruction, or the next start, folds the log.
                if not error.retryable or attempt == TRUNCATE_TRIES:
                    self._log.warning("keys.truncate-later", reason=error.reason)
                    return
            else:
                return
