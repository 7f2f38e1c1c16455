"""What this node believes of the exchange: its own replay of the directory log, and what follows from it.

The relay's directory log is mirrored entry by entry. A frame counts only once a checkpoint that the relay's log key
signed states exactly the size and root hash that this node's own replay comes to; then entries and checkpoint are
stored together. Anything else raises an alarm, and from there on the node believes no newer frame: it goes on with what
it has verified.
`now` is one unchanging snapshot, for any thread; a change replaces it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import overload

from sqlalchemy import Connection

from exchange.crypto.keys import PublicKey
from exchange.directory.fold import Directory
from exchange.directory.prekeys import choose, day_of
from exchange.directory.state import Ignored, Status
from exchange.directory.statements import PrekeyBundle
from exchange.envelope.model import Head
from exchange.errors import BadProof, ConfigurationError, MalformedInput, Unavailable, VerificationFailed
from exchange.limits import MIB
from exchange.names import PartyId
from exchange.policy.communities.model import EpochInForce, HeldEpoch
from exchange.policy.decision import AgreementInForce, Membership, Rules, Standing
from exchange.policy.model import Tlp
from exchange.policy.terms import AgreementRef, AgreementStatus, EnforcementView
from exchange.runtime.database import Database
from nodes import alarms
from nodes.alarms import Alarms
from nodes.relay_port import DirectoryFrame, Log
from nodes.relay_word import EndedLogKeys, opened_directory
from nodes.store import trust as store

DAY_MS = 24 * 60 * 60 * 1000
LOAD_ENTRIES = 1_000
FRAME_BYTES_MOST = 64 * MIB
"""Entries that the relay may send before it shows a checkpoint."""

RULES_KEPT = 16
"""Directory sizes whose rules are remembered."""


class Roots(Sequence[bytes]):
    """Root hashes by size. Those that continue each other share one list; each sees as much of it as is its own.

    One thread at a time makes longer ones; any may read.
    """

    def __init__(self, shared: list[bytes], size: int) -> None:
        """See the first `size` of a list to which others may add."""
        self._shared = shared
        self._size = size

    @classmethod
    def of(cls, roots: Sequence[bytes]) -> "Roots":
        """Return these root hashes."""
        return roots if isinstance(roots, cls) else cls(list(roots), len(roots))

    def with_one(self, root: bytes) -> "Roots":
        """Return these and one more; who sees fewer does not notice."""
        shared = self._shared if len(self._shared) == self._size else self._shared[: self._size]
        shared.append(root)
        return Roots(shared, self._size + 1)

    def __len__(self) -> int:
        """Count them."""
        return self._size

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...

    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        """Return one, or some."""
        if isinstance(at, slice):
            return self._shared[: self._size][at]
        return self._shared[range(self._size)[at]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that this node judges by, as of one directory size. Nobody changes it."""

    directory: Directory
    roots: Sequence[bytes] = field(repr=False)
    """Root hash of every size; `roots[0]` is of the empty log."""
    views: Mapping[bytes, EnforcementView]
    """Verified views of this party's agreements, by commitment."""
    bundles: Mapping[bytes, PrekeyBundle] = field(repr=False)
    """Verified bundles of prekeys, by payload hash."""
    communities: Mapping[bytes, tuple[HeldEpoch, ...]] = field(default_factory=dict)
    """Verified epochs of the communities of which this party is a member, by the community's id."""
    replaced: Mapping[bytes, int] = field(default_factory=dict)
    """Entries from which an accession or a notice has put another view in the place of one, by its commitment."""
    _rules: dict[int, Rules] = field(default_factory=dict, init=False, repr=False, compare=False)
    _prekeys: dict[tuple[PartyId, int], PublicKey | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def size(self) -> int:
        """Entries that are verified."""
        return self.directory.size

    @property
    def head(self) -> Head:
        """Size and root hash."""
        return Head(self.size, self.roots[self.size])

    def status(self, party: PartyId) -> Status | None:
        """Return a party's standing now."""
        return self.directory.standing(party, at_size=self.size)

    def prekey(self, party: PartyId, at_ms: int) -> PublicKey | None:
        """Return a partner's prekey of the day; None when none is published, or none is known here yet.

        A newer bundle keeps the keys of days that an earlier one covers: while it is being fetched, that one serves.
        Remembered: every report of a day is sealed for it.
        """
        key = (party, day_of(at_ms))
        if key not in self._prekeys:
            self._prekeys[key] = self._find_prekey(party, at_ms)
        return self._prekeys[key]

    def _find_prekey(self, party: PartyId, at_ms: int) -> PublicKey | None:
        for record in self.directory.bundles(party):
            bundle = self.bundles.get(record.statement.bundle_sha256)
            key = choose(bundle, at_ms) if bundle is not None else None
            if key is not None:
                return key
        return None

    def rules_at(self, at_size: int) -> Rules:
        """Return the signed inputs of decisions as of the first `at_size` entries, which must be replayed.

        Remembered: many items are judged under one size.
        """
        known = self._rules.get(at_size)
        if known is None:
            if len(self._rules) >= RULES_KEPT:
                self._rules.clear()
            known = self._rules[at_size] = self._make_rules(at_size)
        return known

    def _make_rules(self, at_size: int) -> Rules:
        agreements = []
        for commitment, view in self.views.items():
            shown = self.directory.agreement_status(commitment, at_size=at_size)
            if shown is not None:
                # Whatever the relay says of it: what a party has narrowed is over.
                over = self.replaced.get(commitment, at_size) < at_size
                status = AgreementStatus.TERMINATED if over else AgreementStatus(shown)
                ref = AgreementRef(view.agreement_id, view.version, commitment)
                since = self.directory.agreement_since(commitment) or 0
                agreements.append(AgreementInForce(ref, view, status, since))
        standings: dict[PartyId, Standing] = {}
        for record in self.directory.parties():
            status_then = record.status_at(at_size)
            if status_then is not None:
                standings[record.party] = Standing(Membership(status_then.value), Tlp(record.ceiling))
        return Rules.of(
            self.directory.exchange,
            agreements,
            standings,
            communities={
                name: [self._epoch(held, at_size) for held in epochs] for name, epochs in self.communities.items()
            },
        )

    def _epoch(self, held: HeldEpoch, at_size: int) -> EpochInForce:
        status = self.directory.agreement_status(held.shown, at_size=at_size)
        return EpochInForce(held.head.epoch, None if status is None else AgreementStatus(status), held.head.owner, held)


@dataclass(frozen=True, slots=True)
class Ended:
    """A checkpoint of the directory by keys that one of its own entries has ended."""

    directory: Directory = field(repr=False)
    """As of all its entries; nothing else is believed of it."""
    note: str
    entries: tuple[bytes, ...] = field(repr=False)
    """Those at its end that this node has not taken in."""


class Trust:
    """Holds the newest snapshot and extends it. For one event loop; snapshots are for any thread."""

    def __init__(
        self,
        database: Database,
        alarms_: Alarms,
        *,
        executor: Executor,
        clock: Callable[[], int],
    ) -> None:
        """Keep the mirror in `database`; signatures are checked in `executor`."""
        self._database = database
        self._alarms = alarms_
        self._executor = executor
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._pending: list[bytes] = []
        self._changed = asyncio.Event()
        self._broken = ""
        self._against = ""
        self._ended: Ended | None = None

    @property
    def now(self) -> Snapshot:
        """The newest snapshot; ConfigurationError before `load`."""
        if self._snapshot is None:
            raise ConfigurationError("the directory is not loaded")
        return self._snapshot

    @property
    def broken(self) -> str:
        """Why no newer frame is believed; empty while all is well."""
        return self._broken

    @property
    def against(self) -> str:
        """The relay's signed checkpoint that contradicts what this node has verified; empty when there is none."""
        return self._against

    @property
    def ended(self) -> "Ended | None":
        """What the relay signed with keys that the entries below it had ended; None when it did not."""
        return self._ended

    @property
    def start(self) -> int:
        """Index of the first entry that is wanted from the relay."""
        return self.now.size

    # -- loading -------------------------------------------------------------------------------------------------------

    async def load(self, genesis: bytes, genesis_hash: bytes) -> None:
        """Replay the stored log from the genesis on.

        Raises:
            BadStatement: the genesis is not the one that was learnt outside, or its council did not sign it.
            ConfigurationError: the store mirrors another exchange.
        """
        stored = await self._database.read(self._stored)
        if stored and stored[0] != genesis:
            raise ConfigurationError("the store mirrors another exchange", hint="restore the store, or join anew")
        if not stored:
            await self._database.write(lambda connection: store.add_entries(connection, 0, [genesis]))
        directory = Directory.found(genesis, expected_hash=genesis_hash)
        roots = [directory.root(), directory.root()]
        snapshot = Snapshot(directory, roots, {}, {})
        self._snapshot, _ = await self._in_thread(partial(extended, snapshot, stored[1:]))

    @staticmethod
    def _stored(connection: Connection) -> list[bytes]:
        entries: list[bytes] = []
        while more := store.directory_entries(connection, start=len(entries), limit=LOAD_ENTRIES):
            entries += more
        return entries

    # -- following -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forget entries that no checkpoint has covered: a stream begins anew at `start`."""
        self._pending = []

    async def take(self, frame: DirectoryFrame) -> bool:
        """Take in a frame; say whether the snapshot has grown.

        Raises:
            MalformedInput: the frame does not follow the one before.
            BadProof: the frame contradicts what this node has verified; an alarm is open, and nothing was taken in.
        """
        snapshot = self.now
        if self._broken:
            raise BadProof(self._broken)
        if frame.start != snapshot.size + len(self._pending):
            # No proof of anything: the stream is opened anew where the mirror ends.
            raise MalformedInput(f"entry {frame.start} came after {snapshot.size + len(self._pending)} entries")
        self._pending += frame.entries
        if not frame.checkpoint:
            if sum(map(len, self._pending)) > FRAME_BYTES_MOST:
                await self._break("the relay sends directory entries without a checkpoint")
            return False
        entries, self._pending = self._pending, []
        grown, ignored = await self._in_thread(partial(extended, snapshot, entries))
        try:
            checkpoint = opened_directory(frame.checkpoint, grown.directory)
        except VerificationFailed as error:
            if isinstance(error, EndedLogKeys):
                self._ended = Ended(grown.directory, frame.checkpoint, (*entries,))
            await self._break(f"the directory's checkpoint does not hold: {error}")
            return False
        if (checkpoint.size, checkpoint.root) != (grown.size, grown.roots[grown.size]):
            self._against = frame.checkpoint
            await self._break(
                f"the relay signed size {checkpoint.size}, root {checkpoint.root.hex()[:16]}; our replay has"
                f" {grown.size}, {grown.roots[grown.size].hex()[:16]}"
            )
        await self._store(snapshot.size, entries, grown.size, frame.checkpoint)
        for each in ignored:
            await self._alarms.raise_(
                alarms.DIRECTORY_ENTRY, str(each.index), f"directory entry {each.index} is ignored: {each.reason}"
            )
        # Views, bundles and epochs may have come while the entries were replayed.
        return self._replace(replace(self.now, directory=grown.directory, roots=grown.roots)) if entries else False

    async def _store(self, start: int, entries: Sequence[bytes], size: int, note: str) -> None:
        now_ms = self._clock()

        def write(connection: Connection) -> None:
            store.add_entries(connection, start, entries)
            store.set_checkpoint(connection, Log.DIRECTORY, size, note, now_ms)

        await self._database.write(write)

    async def _break(self, why: str) -> None:
        self._broken = why
        self._pending = []
        await self._alarms.raise_(alarms.DIRECTORY, self.now.directory.exchange, why)
        raise BadProof(why, hint="tell the council; this node believes no newer directory entry")

    # -- what else belongs to a snapshot -------------------------------------------------------------------------------

    def add_views(self, views: Mapping[bytes, EnforcementView], replaced: Mapping[bytes, int]) -> None:
        """Take in verified views of agreements, by commitment, and from which entry on others stand in their place."""
        now = self.now
        self._replace(replace(now, views={**now.views, **views}, replaced={**now.replaced, **replaced}))

    def add_epochs(self, epochs: Iterable[HeldEpoch]) -> None:
        """Take in verified epochs of communities; one that is there already changes nothing."""
        snapshot = self.now
        communities = dict(snapshot.communities)
        for held in epochs:
            name = held.head.community_id
            others = tuple(each for each in communities.get(name, ()) if each.shown != held.shown)
            communities[name] = (*others, held)
        self._replace(replace(snapshot, communities=communities))

    def set_bundles(self, bundles: Mapping[bytes, PrekeyBundle]) -> None:
        """Replace the verified bundles of prekeys, by payload hash."""
        snapshot = self.now
        self._replace(replace(snapshot, bundles=dict(bundles)))

    def rules_now(self) -> Rules:
        """Return the rules as of the newest size."""
        return self.now.rules_at(self.now.size)

    async def wait_for(self, size: int, timeout_s: float) -> None:
        """Return when the directory has `size` entries; Unavailable when that takes longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.now.size < size:
                    await self._changed.wait()
        except TimeoutError as error:
            raise Unavailable(f"the directory has {self.now.size} entries here, {size} are needed") from error

    async def changed(self) -> None:
        """Return after the next change of the snapshot."""
        await self._changed.wait()

    def _replace(self, snapshot: Snapshot) -> bool:
        self._snapshot = snapshot
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    async def _in_thread(self, work: Callable[[], tuple[Snapshot, list[Ignored]]]) -> tuple[Snapshot, list[Ignored]]:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def extended(snapshot: Snapshot, entries: Iterable[bytes]) -> tuple[Snapshot, list[Ignored]]:
    """Return a snapshot with more entries, and those of them that count for nothing."""
    directory = snapshot.directory.fork()
    roots = Roots.of(snapshot.roots)
    ignored = []
    for entry in entries:
        applied = directory.apply(entry, directory.size)
        if isinstance(applied, Ignored):
            ignored.append(applied)
        roots = roots.with_one(directory.root())
    return replace(snapshot, directory=directory, roots=roots), ignored
