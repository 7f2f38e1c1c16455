"""Follow the directory: mirror the log, then fetch what it names: partners' prekeys and this party's agreements.

1. read the directory log from where the mirror ends, frame by frame (nodes/trust.py verifies each)
2. when it has grown: bundles of prekeys that it names and this node lacks, then views of agreements
3. wake whoever waits for one of these
The stream is opened anew, with jitter, whenever it ends.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.directory.prekeys import open_bundle
from exchange.directory.statements import PrekeyBundle
from exchange.errors import BadProof, ExchangeError
from exchange.limits import STATEMENT_BYTES
from exchange.names import PartyId
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.agreements import Agreements
from nodes.core import Core
from nodes.relay_port import Log, Relay
from nodes.store import reports
from nodes.store import trust as store
from nodes.trust import Snapshot
from nodes.watch import Watch

FETCH_HASHES = 256
PART = "directory"


class Sync:
    """Keeps a node's trust up to date. For one event loop."""

    def __init__(
        self, core: Core, relay: Relay, agreements: Agreements, watch: Watch, *, on_change: Callable[[], None]
    ) -> None:
        """`watch` keeps what contradicts itself, and how fresh the directory is.

        `on_change` is called after the snapshot has grown and what it names was fetched.
        """
        self._relay = relay
        self._database = core.database
        self._trust = core.trust
        self._agreements = agreements
        self._alarms = core.alarms
        self._link = core.link
        self._forks = watch.forks
        self._freshness = watch.freshness
        self._me = core.me
        self._clock = core.clock
        self._backoff = core.backoff()
        self._on_change = on_change
        self._log = get_logger(__name__)

    async def load(self) -> None:
        """Take up the bundles of prekeys that are stored."""
        stored = await self._database.read(store.bundles)
        self._trust.set_bundles(_opened(stored.values(), self._trust.now))

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except BadProof:
                # The alarm is open. Nothing newer is believed until an operator has looked, and restarted the node.
                self._log.error("directory.stopped", why=self._trust.broken)
                await self._keep_evidence()
                return
            except ExchangeError as error:
                self._link.lost(PART, error)
                self._log.info("directory.lost", reason=error.reason)
            await asyncio.sleep(next(self._backoff))

    async def _follow(self) -> None:
        self._trust.begin()
        first = True  # a crash may have come between the last entries and what they name
        async for frame in self._relay.follow_directory(self._trust.start):
            grown = await self._trust.take(frame)
            self._link.heard(PART)
            self._backoff.reset()
            if grown:
                await self._freshness.grown()
            if frame.cosigned:
                await self._vouched(frame.cosigned)
            if frame.checkpoint and (first or grown or self._incomplete()):
                first = False
                await self.fetch()

    async def _vouched(self, note: str) -> None:
        """Take in a cosigned checkpoint; one that does not hold only keeps the directory from being fresh."""
        try:
            await self._freshness.take(note)
        except BadProof as error:
            self._log.error("directory.cosigned", why=str(error))

    async def _keep_evidence(self) -> None:
        if self._trust.ended is not None:
            await self._forks.ended_log(self._trust.ended)
        kept = await self._database.read(partial(store.checkpoint_of, log=Log.DIRECTORY))
        if self._trust.against and kept is not None:
            why = "the relay showed a directory that contradicts the one before"
            await self._forks.contradicts(Log.DIRECTORY, kept[1], self._trust.against, why=why)

    def _incomplete(self) -> bool:
        snapshot = self._trust.now
        return any(digest not in snapshot.bundles for digest in self._named(snapshot))

    async def fetch(self) -> None:
        """Fetch what the directory names and this node lacks, and tell whoever waits."""
        await self._fetch_bundles()
        await self._agreements.fetch(self._relay)
        self._on_change()

    def _named(self, snapshot: Snapshot) -> dict[bytes, PartyId]:
        """Return the hashes of partners' bundles that reports may be sealed to."""
        return {
            record.statement.bundle_sha256: party.party
            for party in snapshot.directory.parties()
            if party.party != self._me
            for record in snapshot.directory.bundles(party.party)[:2]
        }

    async def _fetch_bundles(self) -> None:
        snapshot = self._trust.now
        named = self._named(snapshot)
        wanted = [digest for digest in named if digest not in snapshot.bundles]
        found: list[bytes] = []
        for at in range(0, len(wanted), FETCH_HASHES):
            found += await self._relay.fetch_prekeys(wanted[at : at + FETCH_HASHES])
        fresh: dict[bytes, tuple[PrekeyBundle, bytes]] = {}
        for data in found:
            digest, bundle = await self._open(data, named, snapshot)
            if bundle is not None:
                fresh[digest] = (bundle, data)
        kept = {digest: bundle for digest, bundle in snapshot.bundles.items() if digest in named}
        gone = [digest for digest in snapshot.bundles if digest not in named]
        if fresh or gone:
            await self._store(fresh, gone)
            self._trust.set_bundles({**kept, **{digest: bundle for digest, (bundle, _) in fresh.items()}})
            # Not before the snapshot has them: a round in between would find no prekey, and wait.
            parties = [bundle.party for bundle, _ in fresh.values()]
            await self._database.write(partial(reports.make_due, recipients=parties, now_ms=self._clock()))

    async def _open(
        self, data: bytes, named: dict[bytes, PartyId], snapshot: Snapshot
    ) -> tuple[bytes, PrekeyBundle | None]:
        try:
            digest = sha256(decode_signed(data, limit=STATEMENT_BYTES, what="a bundle").payload).digest()
            return digest, open_bundle(data, snapshot.directory, named[digest])
        except (ExchangeError, KeyError) as error:
            await self._alarms.raise_(alarms.RELAY, "prekeys", f"the relay sent a bundle that does not hold: {error}")
            return b"", None

    async def _store(self, fresh: dict[bytes, tuple[PrekeyBundle, bytes]], gone: Sequence[bytes]) -> None:
        def write(connection: Connection) -> None:
            for digest, (bundle, data) in fresh.items():
                store.add_bundle(connection, hash_=digest, party=bundle.party, first_day=bundle.first_day, bundle=data)
            store.drop_bundles(connection, gone)

        await self._database.write(write)


def _opened(stored: Iterable[bytes], snapshot: Snapshot) -> dict[bytes, PrekeyBundle]:
    """Return the stored bundles that the directory still names."""
    named = {
        record.statement.bundle_sha256: party.party
        for party in snapshot.directory.parties()
        for record in snapshot.directory.bundles(party.party)
    }
    opened = {}
    for data in stored:
        digest = sha256(decode_signed(data, limit=STATEMENT_BYTES, what="a stored bundle").payload).digest()
        if digest in named:
            opened[digest] = open_bundle(data, snapshot.directory, named[digest])
    return opened
