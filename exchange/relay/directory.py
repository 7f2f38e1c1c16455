"""The directory, the agreements and the communities as the relay judges by them now.

`now` is one unchanging snapshot; a change replaces it. So whoever judges takes it once, from any thread, and everything
that it says belongs to one directory size. Entries are appended one call at a time: checked against the newest state,
made durable, and only then applied here. What is in memory never runs ahead of the store; whatever the store has more,
by another process or after a failure whose outcome stayed open, is read from there before the next append.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.directory.fold import Applied, Directory
from exchange.directory.state import Status
from exchange.errors import ConfigurationError, InternalError, Unavailable
from exchange.limits import STATEMENT_BYTES
from exchange.names import PartyId
from exchange.policy.agreement import AgreementRef, AgreementStatus
from exchange.policy.communities.model import EpochInForce
from exchange.policy.decision import AgreementInForce, Membership, Rules, Standing
from exchange.policy.model import Tlp
from exchange.relay.agreement_state import AgreementState
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.registry import ShownEpoch, SqlRegistry
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger

LOAD_ENTRIES = 1_000
"""Read at once when the directory is replayed."""

ATTEMPTS = 8
"""Times that a statement is made for its place because another process appends meanwhile."""

Also = Callable[[Connection, Sequence[int]], None]
"""What else is stored in the transaction that appends; it gets the statements' indexes."""

Charge = Callable[[Connection], None]
"""Counts in the transaction that appends, before it does, or raises and ends it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the relay judges by, as of one directory size."""

    directory: Directory
    """Nobody changes it."""
    rules: Rules
    agreements: AgreementState
    """Every agreement that was ever published."""
    communities: Mapping[bytes, tuple[ShownEpoch, ...]]
    """Every epoch that was ever announced, ascending, by the community's id."""

    @property
    def size(self) -> int:
        """Directory size."""
        return self.directory.size

    def status(self, party: PartyId) -> Status | None:
        """Return a party's standing now."""
        return self.directory.standing(party, at_size=self.directory.size)


class LiveDirectory:
    """Holds the newest snapshot and appends to the directory log. For one event loop."""

    def __init__(
        self,
        database: Database,
        sequencer: Sequencer,
        clock: Callable[[], int],
        *,
        tell: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        """Read and append by `database`; `tell` tells other processes, with the commit, that the log has grown."""
        self._tell = tell
        self._database = database
        self._sequencer = sequencer
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._log = get_logger(__name__)

    @property
    def now(self) -> Snapshot:
        """The newest snapshot; InternalError before `load`."""
        if self._snapshot is None:
            raise InternalError("the directory is not loaded")
        return self._snapshot

    async def changed(self) -> None:
        """Return after the next change of the snapshot."""
        await self._changed.wait()

    async def load(self, genesis_entry: bytes) -> None:
        """Replay the stored log; found it with the genesis when it is empty.

        Raises:
            BadStatement: the genesis does not hold.
            ConfigurationError: the store was founded with another genesis.
        """
        directory = Directory.found(genesis_entry, expected_hash=None)
        stored = await self._entries(0, 1)
        if not stored:
            await self._database.write(partial(self._found, genesis_entry))
            stored = await self._entries(0, 1)
        if stored[0] != genesis_entry:
            raise ConfigurationError("the store was founded with another genesis", hint="put back genesis.signed")
        self._snapshot = _snapshot(directory, AgreementState(), {})
        await self.catch_up()

    def _found(self, genesis_entry: bytes, connection: Connection) -> None:
        logs = SqlLogs(connection)
        # Another process may found it at the same moment.
        if logs.state(Log.DIRECTORY).size == 0:
            self._sequencer.append(logs, Log.DIRECTORY, [genesis_entry])

    async def catch_up(self) -> None:
        """Take in what the store has and this does not."""
        async with self._lock:
            await self._catch_up()

    async def entries(self) -> list[bytes]:
        """Return the whole log, as far as it is applied here."""
        found: list[bytes] = []
        size = self.now.size
        while len(found) < size:
            found += await self._entries(len(found), min(LOAD_ENTRIES, size - len(found)))
        return found

    async def append(
        self, entries: Sequence[bytes], *, also: Also | None = None, charge: Charge | None = None
    ) -> list[int]:
        """Append statements that follow each other, all or nothing, and return their indexes when they are durable.

        A statement that stands in the log already is not appended again; its index is returned. `also` runs in the same
        transaction, in any case, and `charge` when there is something to append.

        Raises:
            BadStatement: one of them would be ignored by everybody.
            RateLimited: by `charge`.
        """
        return await self.append_made(lambda _: entries, also=also, charge=charge)

    async def append_made(
        self,
        make: Callable[[Snapshot], Sequence[bytes]],
        *,
        also: Also | None = None,
        charge: Charge | None = None,
    ) -> list[int]:
        """Append statements that are made for their place: `make` gets the state that they follow; as `append`.

        Made again when another process has appended meanwhile.
        """
        # A caller that goes away must not leave the log longer than what is applied here.
        return await asyncio.shield(asyncio.ensure_future(self._append(make, also, charge)))

    async def _append(
        self, make: Callable[[Snapshot], Sequence[bytes]], also: Also | None, charge: Charge | None
    ) -> list[int]:
        async with self._lock:
            for _ in range(ATTEMPTS):
                await self._catch_up()
                indexes = await self._append_here(make(self.now), also, charge)
                if indexes is not None:
                    return indexes
        raise Unavailable("the directory changes faster than a statement is made for its place")

    async def _append_here(
        self, entries: Sequence[bytes], also: Also | None, charge: Charge | None
    ) -> list[int] | None:
        """Append behind the snapshot; None when the log has grown beyond it."""
        directory = self.now.directory
        standing = [directory.index_of(_payload_hash(entry)) for entry in entries]
        new = [entry for entry, index in zip(entries, standing, strict=True) if index is None]
        directory.check_all(new, self._clock())
        after = iter(range(directory.size, directory.size + len(new)))
        indexes = [next(after) if index is None else index for index in standing]

        def write(connection: Connection) -> bool:
            logs = SqlLogs(connection)
            if logs.state(Log.DIRECTORY).size != directory.size:
                return False
            if new:
                if charge is not None:
                    charge(connection)
                self._sequencer.append(logs, Log.DIRECTORY, new)
                self._tell(connection)
            if also is not None:
                also(connection, indexes)
            return True

        if not await self._database.write(write):
            return None
        await self._catch_up()
        return indexes

    async def _catch_up(self) -> None:
        """Apply the stored entries that are not applied yet, with the views and changes that they show."""
        before = self.now
        directory = before.directory.fork()
        while entries := await self._entries(directory.size, LOAD_ENTRIES):
            for entry in entries:
                applied = directory.apply(entry, directory.size)
                if not isinstance(applied, Applied):
                    self._log.error("a directory entry is ignored", index=applied.index, why=applied.reason)
        if directory.size == before.size:
            return

        def shown(connection: Connection) -> tuple[AgreementState, list[ShownEpoch]]:
            registry = SqlRegistry(connection)
            agreements = before.agreements.grown(registry.views_since(before.size), registry.changes_since(before.size))
            return agreements, registry.epochs(start=before.size)

        agreements, epochs = await self._database.read(shown)
        communities = dict(before.communities)
        for each in epochs:
            communities[each.community] = (*communities.get(each.community, ()), each)
        self._snapshot = _snapshot(directory, agreements, communities)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _entries(self, start: int, count: int) -> list[bytes]:
        return await self._database.read(lambda connection: SqlLogs(connection).entries(Log.DIRECTORY, start, count))


def _snapshot(
    directory: Directory, agreements: AgreementState, communities: Mapping[bytes, tuple[ShownEpoch, ...]]
) -> Snapshot:
    return Snapshot(directory, rules_of(directory, agreements, communities), agreements, communities)


def rules_of(directory: Directory, state: AgreementState, communities: Mapping[bytes, tuple[ShownEpoch, ...]]) -> Rules:
    """Return the signed inputs of decisions, as of the directory's size."""
    agreements = []
    for commitment, view in state.views.items():
        status = directory.agreement_status(commitment, at_size=directory.size)
        if status is not None:
            ref = AgreementRef(view.agreement_id, view.version, commitment)
            since = directory.agreement_since(commitment) or 0
            agreements.append(AgreementInForce(ref, view, AgreementStatus(status), since))
    standings = {
        record.party: Standing(Membership(record.status.value), Tlp(record.ceiling)) for record in directory.parties()
    }
    in_force = {name: [_in_force(each, directory) for each in epochs] for name, epochs in communities.items()}
    return Rules.of(directory.exchange, agreements, standings, communities=in_force)


def _in_force(epoch: ShownEpoch, directory: Directory) -> EpochInForce:
    status = directory.agreement_status(epoch.shown, at_size=directory.size)
    return EpochInForce(epoch.epoch, None if status is None else AgreementStatus(status), epoch.owner)


def _payload_hash(entry: bytes) -> bytes:
    return sha256(decode_signed(entry, limit=STATEMENT_BYTES, what="a directory statement").payload).digest()
