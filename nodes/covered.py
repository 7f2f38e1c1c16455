"""Whether a quorum of witnesses vouches for the traffic log as well, up to what this node was promised.

While something was promised that the newest cosigned checkpoint known here does not cover, a newer one is fetched, ten
minutes later and then again and again: where witnesses work it covers it, and nothing more is asked than that one note.
What stays uncovered for two hours by this node's clock is an alarm. Nothing stops: what was promised stands in a log
that this node audits, and the alarm says that nobody else vouches for it. A log without traffic is not waited for.
"""

from functools import partial

from exchange.directory.witnesses import vouched
from exchange.errors import ExchangeError, VerificationFailed
from exchange.runtime.logs import get_logger
from exchange.tlog.checkpoint import Checkpoint
from nodes import alarms
from nodes.core import Core
from nodes.forks import Forks
from nodes.relay_port import Log, Relay
from nodes.relay_word import UnknownKeys, opened_ever
from nodes.store import sending
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import Quorum
from nodes.traffic_note import live_traffic

UNCOVERED = "traffic"
"""Subject of the alarm."""

LOOK_AFTER_MS = 10 * 60 * 1000
"""A round of cosigning takes seven minutes at most (docs/decisions/0016-witnesses-pull.md)."""


class Covered:
    """Follows what a quorum has cosigned of the traffic log. For one event loop."""

    def __init__(self, core: Core, relay: Relay, forks: Forks) -> None:
        """Ask `relay`; what contradicts itself goes to `forks`."""
        self._core = core
        self._relay = relay
        self._forks = forks
        self._waiting: tuple[int, int] | None = None
        """The highest index that was promised and not covered, and since when that is known."""
        self._log = get_logger(__name__)

    async def look(self) -> None:
        """Fetch what was cosigned if something waits for it; raise or close the alarm."""
        core, snapshot = self._core, self._core.trust.now
        witnessed = snapshot.directory.witnesses(at_size=snapshot.size) is not None
        if witnessed and await self._uncovered_ms() >= LOOK_AFTER_MS:
            try:
                await self._fetch()
            except ExchangeError as error:
                self._log.info("traffic.cosigned", reason=error.reason, why=str(error))
        age_ms = await self._uncovered_ms() if witnessed else 0
        if age_ms < core.timing.stale_warn_s * 1000:
            await core.alarms.close(alarms.FRESHNESS, UNCOVERED)
            return
        text = f"no quorum of witnesses has vouched for {age_ms // 60_000:,} minutes for what stands in the traffic log"
        await core.alarms.raise_(alarms.FRESHNESS, UNCOVERED, text)

    async def _uncovered_ms(self) -> int:
        """Return for how long something is known to be promised and not covered; 0 when all is."""
        core = self._core
        highest, _ = await core.database.read(sending.highest_promise)
        quorum = await core.database.read(partial(store.quorum_of, log=Log.TRAFFIC))
        size = quorum.size if quorum else 0
        if highest < size:
            self._waiting = None
        elif self._waiting is None or self._waiting[0] < size:
            self._waiting = (highest, core.clock())
        return core.clock() - self._waiting[1] if self._waiting else 0

    async def _opened(self, note: str, since: int) -> Checkpoint:
        # From before the relay's keys changed, perhaps: what a quorum has cosigned may be.
        try:
            return opened_ever(note, Log.TRAFFIC, self._core.trust.now.directory)
        except UnknownKeys:
            return await live_traffic(self._core, note, since)

    async def _fetch(self) -> None:
        """Keep the newest checkpoint that a quorum has cosigned, if it continues what this node has seen.

        Raises:
            BadProof: it does not hold, or contradicts what was seen; an alarm is open.
            Unavailable, RateLimited: the relay cannot be asked now.
        """
        core, snapshot = self._core, self._core.trust.now
        witnesses = snapshot.directory.witnesses(at_size=snapshot.size)
        since, note = snapshot.size, (await self._relay.notes(Log.TRAFFIC)).cosigned
        if not note or witnesses is None:
            return
        try:
            checkpoint = await self._opened(note, since)
            found = vouched(note, checkpoint, witnesses, core.exchange, core.clock())
        except VerificationFailed as error:
            await core.alarms.raise_(alarms.RELAY, "cosigned traffic", f"a cosigned checkpoint does not hold: {error}")
            raise
        before = await core.database.read(partial(store.quorum_of, log=Log.TRAFFIC))
        if not found.quorum_ms or (before is not None and checkpoint.size <= before.size):
            return
        kept = await core.database.read(partial(trust_store.checkpoint_of, log=Log.TRAFFIC))
        if kept is not None:
            why = "a quorum has cosigned another traffic log than this node has seen"
            await self._forks.continues(Log.TRAFFIC, kept[1], note, why=why)
        quorum = Quorum(int(Log.TRAFFIC), checkpoint.size, note, found.quorum_ms, core.clock())
        await core.database.write(partial(store.set_quorum, quorum=quorum))
