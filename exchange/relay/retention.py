"""Delete ciphertexts that every recipient has acknowledged, and those whose time has come.

A deletion is an entry of the traffic log in the same transaction. What was promised (hash, promise, decisions) stays.
"""

from collections.abc import Callable

from prometheus_client import Counter
from sqlalchemy import Connection

from exchange.limits import CLOCK_AHEAD_MS, CLOCK_BEHIND_MS
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from exchange.tlog.entry import EntryKind, TrafficEntry, encode_entry

BATCH = 500
"""Ciphertexts of one transaction: submissions wait no longer than that takes."""


class Retention:
    """Sweeps the store; called every few seconds."""

    def __init__(self, database: Database, sequencer: Sequencer, clock: Callable[[], int], counter: Counter) -> None:
        """`clock` gives milliseconds since 1970; `counter` counts what goes."""
        self._database = database
        self._sequencer = sequencer
        self._clock = clock
        self._counter = counter
        self._log = get_logger(__name__)

    async def sweep(self) -> int:
        """Delete all that may go now, in batches, and return how many ciphertexts went."""
        total = 0
        while True:
            done, expired = await self._database.write(self._batch)
            total += done + expired
            self._counter.inc(done + expired)
            if expired:
                self._log.info("expired envelopes deleted", count=expired)
            if max(done, expired) < BATCH:
                return total

    def _batch(self, connection: Connection) -> tuple[int, int]:
        mailboxes, now_ms = SqlMailboxes(connection), self._clock()
        done = mailboxes.delete_done(BATCH)
        expired = mailboxes.delete_expired(now_ms, BATCH)
        entries = [encode_entry(TrafficEntry(EntryKind.DELETION, hash_, now_ms)) for hash_ in (*done, *expired)]
        if entries:
            self._sequencer.append(SqlLogs(connection), Log.TRAFFIC, entries)
        # An envelope older than the clock window is refused anyway, so its refusal need not be remembered.
        mailboxes.forget_refusals(now_ms - CLOCK_BEHIND_MS - CLOCK_AHEAD_MS)
        return len(done), len(expired)
