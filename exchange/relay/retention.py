"""Delete ciphertexts that every recipient has acknowledged, and those whose time has come.

Copies of reports that wait for a party that is cut off are dropped: it was expelled, or the key is revoked under which
it published the keys that they are sealed to. A party that is suspended and keeps its keys is not cut off.
A deletion is an entry of the traffic log in the same transaction. What was promised (hash, promise, decisions) stays.
"""

from collections.abc import Callable, Sequence
from functools import partial

from prometheus_client import Counter
from sqlalchemy import Connection

from exchange.directory.fold import Directory
from exchange.directory.state import Status
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.limits import CLOCK_AHEAD_MS, CLOCK_BEHIND_MS
from exchange.names import PartyId
from exchange.relay.mailbox import Deleted
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

    def __init__(
        self,
        database: Database,
        sequencer: Sequencer,
        clock: Callable[[], int],
        counter: Counter,
        *,
        directory: Callable[[], Directory],
    ) -> None:
        """`clock` gives milliseconds since 1970; `counter` counts what goes; `directory` is the newest one."""
        self._database = database
        self._sequencer = sequencer
        self._directory = directory
        self._cut_off: tuple[int, frozenset[PartyId]] = (0, frozenset())
        self._clock = clock
        self._counter = counter
        self._log = get_logger(__name__)

    async def sweep(self) -> int:
        """Delete all that may go now, in batches, and return how many ciphertexts went."""
        await self._drop_copies()
        total = 0
        while True:
            done, expired = await self._database.write(self._batch)
            total += len(done) + len(expired)
            self._counter.inc(len(done) + len(expired))
            if expired:
                self._log.info("expired envelopes deleted", count=len(expired))
            if max(len(done), len(expired)) < BATCH:
                return total

    async def _drop_copies(self) -> None:
        """Drop what waits for parties that are cut off; a ciphertext that nobody else waits for is then done."""
        directory = self._directory()
        if directory.size != self._cut_off[0]:
            self._cut_off = directory.size, cut_off(directory)
        for party in sorted(self._cut_off[1]):
            if await self._database.read(partial(_waits, party=party)):
                count = await self._database.write(partial(_drop, party=party))
                self._log.warning("copies dropped", party=party, count=count)

    def _batch(self, connection: Connection) -> tuple[Sequence[Deleted], Sequence[Deleted]]:
        mailboxes, now_ms = SqlMailboxes(connection), self._clock()
        done = mailboxes.delete_done(BATCH)
        expired = mailboxes.delete_expired(now_ms, BATCH)
        entries = [encode_entry(TrafficEntry(EntryKind.DELETION, each.hash, now_ms)) for each in (*done, *expired)]
        if entries:
            self._sequencer.append(SqlLogs(connection), Log.TRAFFIC, entries)
        # An envelope older than the clock window is refused anyway, so its refusal need not be remembered.
        mailboxes.forget_refusals(now_ms - CLOCK_BEHIND_MS - CLOCK_AHEAD_MS)
        return done, expired


def _waits(connection: Connection, party: PartyId) -> bool:
    mailboxes = SqlMailboxes(connection)
    return any(mailboxes.waiting(party, lane, after=0, limit=1, kind=EnvelopeKind.REPORT) for lane in Lane)


def _drop(connection: Connection, party: PartyId) -> int:
    return SqlMailboxes(connection).drop(party, kind=EnvelopeKind.REPORT)


def cut_off(directory: Directory) -> frozenset[PartyId]:
    """Return the parties for which nothing that waits can be meant any more: expelled, or without a valid key."""
    return frozenset(
        record.party
        for record in directory.parties()
        if record.status is Status.EXPELLED
        or (record.status is not Status.JOINING and directory.current_statement_key(record.party) is None)
    )
