"""This node as a witness: it vouches, by its own key, that the relay's logs only grow.

1. take the checkpoint of a log that the relay asks for; the relay has signed it
2. it continues what was cosigned last: the directory by this node's own replay, the traffic log by a consistency proof
3. compare and store: size and root become what was cosigned last, durably, before anything leaves
4. cosign, with the time
5. hand the line to the relay
A crash after 3 costs nothing: the same checkpoint is cosigned again. What fails at 2 is refused, and kept as evidence.
The directory is looked at whenever it has grown; both logs every few minutes, and cosigned again now and then although
nothing grew, so that everybody sees that no newer checkpoint is kept back.
docs/decisions/0016-witnesses-pull.md; what the council named is asked anew each time.
"""

import asyncio
from functools import partial

from exchange.errors import BadProof, Conflict, ExchangeError, VerificationFailed
from exchange.limits import CLOCK_AHEAD_MS
from exchange.runtime.logs import get_logger
from exchange.tlog.checkpoint import Checkpoint, witness_name
from exchange.tlog.cosignature import Cosigner, cosign, cosignatures
from nodes import alarms
from nodes.core import Core
from nodes.forks import Forks
from nodes.relay_port import Log, Relay
from nodes.relay_word import opened_directory, opened_ever, stated
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import CosignedHead
from nodes.traffic_note import live_traffic

SETTLE_S = 1.0
"""Several entries of the directory in a row are cosigned once."""


class Witness:
    """Cosigns for one node. For one event loop."""

    def __init__(self, core: Core, relay: Relay, forks: Forks) -> None:
        """Fetch from `relay`, and keep what fails in `forks`."""
        self._core = core
        self._relay = relay
        self._forks = forks
        self._log = get_logger(__name__)

    @property
    def named(self) -> bool:
        """Whether the council has named this node's key, and its party is a member."""
        snapshot = self._core.trust.now
        found = snapshot.directory.witnesses(at_size=snapshot.size)
        own = self._core.keys.witness.public
        return found is not None and any((each.party, each.key) == (self._core.me, own) for each in found.members)

    async def run(self) -> None:
        """Cosign until cancelled."""
        due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            logs = (Log.DIRECTORY, Log.TRAFFIC) if loop.time() >= due else (Log.DIRECTORY,)
            if len(logs) > 1:
                due = loop.time() + self._core.timing.witness_s
            for log in logs:
                try:
                    await self.attend(log)
                except ExchangeError as error:
                    self._log.info("witness.waits", log=log.name.lower(), reason=error.reason, why=str(error))
            await self._next(due - loop.time())

    async def _next(self, wait_s: float) -> None:
        size = self._core.trust.now.size
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                while self._core.trust.now.size == size:
                    await self._core.trust.changed()
                await asyncio.sleep(SETTLE_S)
        except TimeoutError:
            return

    async def attend(self, log: Log) -> bool:
        """Cosign the checkpoint that is asked for, if this node is a witness; say whether a line went out.

        Raises:
            BadProof: the relay contradicts itself; evidence and alarm are kept, nothing was cosigned.
            Conflict: the checkpoint is no longer the one to cosign: look again later.
            Unavailable, RateLimited: the relay cannot be asked now.
        """
        core = self._core
        if not self.named or core.trust.broken:
            return False
        # 1
        since = core.trust.now.size
        note = (await self._relay.notes(log)).asked
        asked = await self._opened(log, note, since)
        last = await core.database.read(partial(store.cosigned_head, log=log))
        if last is not None and self._fresh(last, asked, note):
            return False
        # 2
        await self._prove(log, asked, note, last)
        # 3
        now_ms = self._not_before(last)
        head = CosignedHead(int(log), asked.size, asked.root, note, now_ms)
        await core.database.write(partial(store.advance_cosigned, before=last, after=head))
        # 4
        name = witness_name(core.exchange, core.me)
        sign = partial(cosign, asked, name, core.keys.witness, now_ms // 1000)
        line = await asyncio.get_running_loop().run_in_executor(core.executor, sign)
        # 5
        await self._relay.cosign(log, asked.size, line)
        return True

    async def _opened(self, log: Log, note: str, since: int) -> Checkpoint:
        core = self._core
        try:
            if log is Log.TRAFFIC:
                return await live_traffic(core, note, since)
            # Which keys sign a larger directory, its entries say: they come first.
            await core.trust.wait_for(stated(note, log, core.exchange).size, core.timing.directory_wait_s)
            return opened_directory(note, core.trust.now.directory)
        except VerificationFailed as error:
            text = f"the {log.name.lower()} log's checkpoint does not hold: {error}"
            await core.alarms.raise_(alarms.RELAY, f"{log.name.lower()} checkpoint", text)
            raise

    def _not_before(self, last: CosignedHead | None) -> int:
        """Return the time of the next line: the relay takes none that is before the one which it has."""
        now_ms = self._core.clock()
        return now_ms if last is None or self._ahead(last) else max(now_ms, last.at_ms)

    def _ahead(self, last: CosignedHead) -> bool:
        """Say whether what was cosigned last bears a time that counts for nobody: this clock was wrong then."""
        return last.at_ms > self._core.clock() + CLOCK_AHEAD_MS

    def _fresh(self, last: CosignedHead, asked: Checkpoint, note: str) -> bool:
        """Say whether the relay has this node's line for what it asks, and that line is not old."""
        core = self._core
        if (last.size, last.root) != (asked.size, asked.root):
            return False
        if self._ahead(last) or core.clock() - last.at_ms >= core.timing.witness_again_s * 1000:
            return False
        own = Cosigner(witness_name(core.exchange, core.me), core.keys.witness.public)
        return bool(cosignatures(note, asked, (own,)))

    async def _prove(self, log: Log, asked: Checkpoint, note: str, last: CosignedHead | None) -> None:
        if log is Log.DIRECTORY:
            await self._prove_directory(asked, note)
        for size, root, known in await self._before(log, last):
            why = f"the {log.name.lower()} log forks"
            if log is Log.TRAFFIC:
                await self._forks.continues(log, known, note, why=why)
                continue
            try:
                self._in_own_replay((size, root), asked)
            except VerificationFailed as error:
                await self._forks.contradicts(log, known, note, why=f"{why}: {error}")
                raise

    async def _before(self, log: Log, last: CosignedHead | None) -> list[tuple[int, bytes, str]]:
        """Return what the checkpoint must agree with: what was cosigned last, and what this node's audit has seen."""
        found = [(last.size, last.root, last.note)] if last is not None else []
        kept = await self._core.database.read(partial(trust_store.checkpoint_of, log=log))
        if log is Log.TRAFFIC and kept is not None:
            seen = opened_ever(kept[1], log, self._core.trust.now.directory)
            found.append((seen.size, seen.root, kept[1]))
        return found

    async def _prove_directory(self, asked: Checkpoint, note: str) -> None:
        core = self._core
        snapshot = core.trust.now
        if snapshot.roots[asked.size] != asked.root:
            kept = await core.database.read(partial(trust_store.checkpoint_of, log=Log.DIRECTORY))
            why = "the relay asks for a directory that is not the one which it showed"
            if kept is not None:
                await self._forks.contradicts(Log.DIRECTORY, kept[1], note, why=why)
            raise BadProof(why, hint="tell the council; this node does not cosign it")
        if asked.size < snapshot.size:
            raise Conflict(f"{asked.size} entries are asked for, and {snapshot.size} were shown already")

    def _in_own_replay(self, before: tuple[int, bytes], asked: Checkpoint) -> None:
        """Check that what was cosigned of the directory is the beginning of what is asked for now."""
        size, root = before
        if size > asked.size:
            raise BadProof(f"it has shrunk from {size} to {asked.size} entries")
        if self._core.trust.now.roots[size] != root:
            raise BadProof(f"another root hash for size {size} than was cosigned")
