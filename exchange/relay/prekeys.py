"""Which prekey a recipient has for a day, as the relay checks it: key ids only, read from the stored bundles once."""

import threading
from collections import OrderedDict

from exchange.crypto.codec import decode_signed
from exchange.directory.codec import decode_as
from exchange.directory.prekeys import choose, day_of
from exchange.directory.statements import PrekeyBundle
from exchange.limits import PARTIES, STATEMENT_BYTES
from exchange.names import PartyId
from exchange.relay.directory import Snapshot
from exchange.relay.store.registry import SqlRegistry
from exchange.runtime.database import Database


class PrekeyIds:
    """Answers from any thread; bundles were verified when they were stored."""

    def __init__(self, database: Database) -> None:
        """Read bundles from this store."""
        self._database = database
        self._days: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def prekey_id(self, snapshot: Snapshot, party: PartyId, at_ms: int) -> bytes | None:
        """Return the key id of a member's published prekey for the day of `at_ms`; None when there is none."""
        hash_ = snapshot.directory.bundle_of_day(party, day_of(at_ms))
        if hash_ is None:
            return None
        wanted = (hash_, day_of(at_ms))
        with self._lock:
            if wanted in self._days:
                return self._days[wanted]
        found = self._read(hash_, at_ms)
        if found is None:
            return None
        with self._lock:
            self._days[wanted] = found
            while len(self._days) > 4 * PARTIES:
                self._days.popitem(last=False)
        return found

    def _read(self, hash_: bytes, at_ms: int) -> bytes | None:
        stored = self._database.read_now(lambda connection: SqlRegistry(connection).bundles([hash_]))
        if hash_ not in stored:
            return None
        signed = decode_signed(stored[hash_], limit=STATEMENT_BYTES, what="a stored bundle of prekeys")
        key = choose(decode_as(PrekeyBundle, signed.payload), at_ms)
        return key.key_id if key is not None else None
