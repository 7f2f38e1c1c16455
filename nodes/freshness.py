"""How long ago a quorum of witnesses last vouched for the directory that this node goes by.

The *quorum time* is the latest moment as of which a quorum says that nothing larger was shown to it, and by which it
covered all that this node had taken in. A relay that freezes the directory, or shows this node another one than the
witnesses see, cannot make it move. Two hours without are an alarm. After a day this node seals no report any more:
receiving goes on, and so do receipts and retractions; a flash report goes when two operators approve that.
An exchange for which the council has named no witnesses is *unwitnessed*: nothing stops, and everybody is told.
From the entry that names the first witnesses on, the time counts as if a quorum had vouched when it was taken in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from exchange.directory.witnesses import vouched
from exchange.errors import BadProof, VerificationFailed
from exchange.runtime.logs import get_logger
from exchange.tlog.checkpoint import Checkpoint
from nodes import alarms
from nodes.core import Core
from nodes.forks import Forks
from nodes.relay_port import Log
from nodes.relay_word import opened_directory
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import Quorum

STALE = "stale"
"""Subject of the alarm."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """How fresh the directory is."""

    witnessed: bool
    size: int
    """Entries that the newest quorum covers; 0 when there was none yet."""
    quorum_ms: int
    """0 in an unwitnessed exchange."""


class Freshness:
    """Follows the quorum time of the directory. For one event loop."""

    def __init__(self, core: Core, forks: Forks) -> None:
        """What contradicts itself goes to `forks`."""
        self._core = core
        self._forks = forks
        self.on_fresh: Callable[[], None] = lambda: None
        """Called when what was too old to send under is so no more."""
        self._quorum: Quorum | None = None
        self._taken: list[tuple[int, int]] = []
        self._log = get_logger(__name__)

    @property
    def now(self) -> Fresh:
        """How fresh the directory is now."""
        if not self._witnessed():
            return Fresh(False, 0, 0)
        found = self._quorum
        # The first witnesses are known a moment before that is stored: the time begins to count.
        return Fresh(True, found.size, found.quorum_ms) if found else Fresh(True, 0, self._core.clock())

    def stale_since(self) -> int:
        """Return since when the directory is too old to send under; 0 while it is not."""
        if not self._witnessed() or self._quorum is None:
            return 0
        since_ms = self._quorum.quorum_ms + int(self._core.timing.stale_stop_s * 1000)
        return since_ms if self._core.clock() >= since_ms else 0

    async def load(self) -> None:
        """Take up what was seen before."""
        self._quorum = await self._core.database.read(partial(store.quorum_of, log=Log.DIRECTORY))
        self._taken = [(self._core.trust.now.size, 0)]
        await self._begin()

    async def grown(self) -> None:
        """Note that entries were taken in just now."""
        self._taken.append((self._core.trust.now.size, self._core.clock()))
        await self._begin()

    async def take(self, note: str) -> None:
        """Take in a cosigned checkpoint of the directory.

        Raises:
            BadProof: it, or a cosignature on it, does not hold; an alarm is open.
        """
        core, snapshot = self._core, self._core.trust.now
        try:
            checkpoint = opened_directory(note, snapshot.directory)
            if checkpoint.size > snapshot.size:
                return  # its entries come first
            await self._check_replay(checkpoint, note)
            witnesses = snapshot.directory.witnesses(at_size=checkpoint.size)
            if witnesses is None:
                return
            found = vouched(note, checkpoint, witnesses, core.exchange, core.clock())
        except VerificationFailed as error:
            text = f"a cosigned checkpoint does not hold: {error}"
            await core.alarms.raise_(alarms.RELAY, "cosigned", text)
            raise
        as_of_ms = min(found.quorum_ms, self._covered_until(checkpoint.size))
        before = self._quorum
        if before is not None and checkpoint.size < before.size:
            return
        if before is None or as_of_ms > before.quorum_ms or checkpoint.size > before.size:
            await self._keep(checkpoint.size, note, as_of_ms)

    async def look(self) -> None:
        """Raise or close the alarm, by how old the quorum time is."""
        core, fresh = self._core, self.now
        age_ms = core.clock() - fresh.quorum_ms
        if not fresh.witnessed or age_ms < core.timing.stale_warn_s * 1000:
            await core.alarms.close(alarms.FRESHNESS, STALE)
            return
        text = f"no quorum of witnesses has vouched for the directory for {age_ms // 60_000:,} minutes"
        await core.alarms.raise_(alarms.FRESHNESS, STALE, text)

    def _witnessed(self) -> bool:
        snapshot = self._core.trust.now
        return snapshot.directory.witnesses(at_size=snapshot.size) is not None

    def _covered_until(self, size: int) -> int:
        """Return when the first entry was taken in that this size does not cover; now if there is none."""
        first_uncovered = next((at_ms for taken, at_ms in self._taken if taken > size), None)
        return self._core.clock() if first_uncovered is None else first_uncovered

    async def _begin(self) -> None:
        """Begin to count when the first witnesses are named."""
        if self._quorum is None and self._witnessed():
            await self._keep(0, "", self._core.clock())

    async def _keep(self, size: int, note: str, quorum_ms: int) -> None:
        core, before = self._core, self._quorum
        was_stale = self.stale_since() > 0
        newest_ms = max(quorum_ms, before.quorum_ms if before else 0)
        quorum = Quorum(int(Log.DIRECTORY), size, note, newest_ms, core.clock())
        await core.database.write(partial(store.set_quorum, quorum=quorum))
        self._quorum = quorum
        # What a quorum covers is never asked for again.
        covered = [each for each in self._taken if each[0] <= size]
        self._taken = [*covered[-1:], *(each for each in self._taken if each[0] > size)]
        await self.look()
        if was_stale and self.stale_since() == 0:
            self._log.info("directory.fresh", size=size)
            self.on_fresh()

    async def _check_replay(self, checkpoint: Checkpoint, note: str) -> None:
        core = self._core
        if core.trust.now.roots[checkpoint.size] == checkpoint.root:
            return
        why = "the relay handed out a cosigned directory that contradicts the one which it showed"
        kept = await core.database.read(partial(trust_store.checkpoint_of, log=Log.DIRECTORY))
        if kept is not None:
            await self._forks.contradicts(Log.DIRECTORY, kept[1], note, why=why)
        raise BadProof(why, hint="tell the council")
