"""Delete ciphertexts that every recipient has acknowledged, and those whose time has come.

Copies of reports that wait for a party that is cut off are dropped: it was expelled, or the key is revoked under which
it published the keys that they are sealed to. A party that is suspended and keeps its keys is not cut off.
A deletion is an entry of the traffic log in the same transaction. What was promised (hash, promise, decisions) stays.
Small transactions with a pause as long as each after it: the writer belongs to submissions at least half of the time.
An embedded database gives back space that it will not need again soon; a server sees to that by itself.
Several processes on one database may sweep at once: each transaction takes what is still there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from prometheus_client import Counter
from sqlalchemy import Connection

from exchange.directory.fold import Directory
from exchange.directory.state import Status
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.limits import CLOCK_AHEAD_MS, CLOCK_BEHIND_MS, MIB
from exchange.names import PartyId
from exchange.relay.mailbox import Deleted
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from exchange.tlog.entry import EntryKind, TrafficEntry, encode_entry

T = TypeVar("T")

BATCH = 256
"""Ciphertexts of one transaction at most."""

BATCH_BYTES = 8 * MIB
"""Bodies of one transaction."""

DROPPED = 1_000
"""Rows of a party that is cut off, dropped in one transaction."""

PAGES_KEPT = 4_096
"""Free pages that an embedded database keeps beside a quarter of its size: 16 MiB that the next envelopes fill."""

PAGES_BACK = 256
"""Pages that are given back at once."""


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
        self._may_shrink = True
        """Whether something was deleted since the file was as small as it becomes."""
        self.deleted = 0
        """Ciphertexts that this process has deleted."""
        self._log = get_logger(__name__)

    async def sweep(self) -> int:
        """Delete all that may go now, in batches, and return how many ciphertexts went."""
        await self._drop_copies()
        total = 0
        while await self._database.read(self._is_due):
            done, expired = await paced(self._database.write(self._batch))
            if not done and not expired:
                break
            self._may_shrink = True
            total += len(done) + len(expired)
            self.deleted += len(done) + len(expired)
            self._counter.inc(len(done) + len(expired))
            if expired:
                self._log.info("expired envelopes deleted", count=len(expired))
        if self._may_shrink:
            await self._give_back()
            self._may_shrink = False
        return total

    async def _give_back(self) -> None:
        while (free := await self._database.free_pages()) is not None:
            if free.free <= free.total // 4 + PAGES_KEPT:
                return
            await paced(self._database.give_back(PAGES_BACK))
            if await self._database.free_pages() == free:
                return  # a store of before, whose file does not shrink

    async def _drop_copies(self) -> None:
        """Drop what waits for parties that are cut off; a ciphertext that nobody else waits for is then done."""
        directory = self._directory()
        if directory.size != self._cut_off[0]:
            self._cut_off = directory.size, cut_off(directory)
        for party in sorted(self._cut_off[1]):
            if await self._database.read(partial(_waits, party=party)):
                count = 0
                while gone := await paced(self._database.write(partial(_drop, party=party))):
                    count += gone
                self._log.warning("copies dropped", party=party, count=count)

    def _is_due(self, connection: Connection) -> bool:
        now_ms = self._clock()
        return SqlMailboxes(connection).has_gone(now_ms, refusals_before_ms=_refusals_before(now_ms))

    def _batch(self, connection: Connection) -> tuple[Sequence[Deleted], Sequence[Deleted]]:
        mailboxes, now_ms = SqlMailboxes(connection), self._clock()
        done = mailboxes.delete_done(BATCH, BATCH_BYTES)
        expired = mailboxes.delete_expired(now_ms, BATCH, BATCH_BYTES)
        entries = [encode_entry(TrafficEntry(EntryKind.DELETION, each.hash, now_ms)) for each in (*done, *expired)]
        if entries:
            self._sequencer.append(SqlLogs(connection), Log.TRAFFIC, entries)
        mailboxes.forget_refusals(_refusals_before(now_ms))
        return done, expired


def _refusals_before(now_ms: int) -> int:
    """Return the time of refusals that need not be remembered: older envelopes are refused anyway."""
    return now_ms - CLOCK_BEHIND_MS - CLOCK_AHEAD_MS


async def paced(work: Awaitable[T]) -> T:
    """Return what `work` gives, and let the writer do other things for as long as it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = await work
    await asyncio.sleep(loop.time() - began)
    return found


def _waits(connection: Connection, party: PartyId) -> bool:
    mailboxes = SqlMailboxes(connection)
    return any(mailboxes.waiting(party, lane, after=0, limit=1, kind=EnvelopeKind.REPORT) for lane in Lane)


def _drop(connection: Connection, party: PartyId) -> int:
    return SqlMailboxes(connection).drop(party, kind=EnvelopeKind.REPORT, limit=DROPPED)


def cut_off(directory: Directory) -> frozenset[PartyId]:
    """Return the parties for which nothing that waits can be meant any more: expelled, or without a valid key."""
    return frozenset(
        record.party
        for record in directory.parties()
        if record.status is Status.EXPELLED
        or (record.status is not Status.JOINING and directory.current_statement_key(record.party) is None)
    )
