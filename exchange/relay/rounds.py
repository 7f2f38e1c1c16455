"""What the relay does every second: follow other processes, sign what has grown, ask witnesses.

One look at the store says what there is to do; on most seconds that is nothing. The directory is signed as it grows.
The traffic log is signed for whoever asks (services/relay.py), and now and then while it grows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from exchange.relay.checkpoints import SIGNED_S, Checkpoints
from exchange.relay.continuity import Continuity
from exchange.relay.counters import Counters
from exchange.relay.directory import LiveDirectory
from exchange.relay.enrol import Enrolment
from exchange.relay.limits import Limits
from exchange.relay.sequencer import Log
from exchange.relay.witnesses import Witnessing
from exchange.runtime.lifecycle import Drain
from exchange.runtime.logs import get_logger

ROUND_S = 1.0
"""From one round to the next: what a word of another process that was lost costs at most."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """Goes through them. For one event loop."""

    directory: LiveDirectory
    checkpoints: Checkpoints
    witnessing: Witnessing
    enrolment: Enrolment
    limits: Limits
    continuity: Continuity
    counters: Counters
    write_info: Callable[[], Awaitable[None]]
    drain: Drain

    async def follow(self) -> None:
        """Take in what the directory has more, and sign it."""
        await self.directory.catch_up()
        await self.checkpoints.refresh(Log.DIRECTORY)

    async def once(self) -> None:
        """Go through one; a store that has lost entries ends the relay."""
        try:
            await self._sign()
        finally:
            if self.continuity.broken and not self.drain.begun:
                get_logger(__name__).error("ALARM: the store has lost entries", why=self.continuity.broken)
                self.drain.begin()
        self.limits.apply(self.directory.now.directory.limits)
        for log in Log:
            if self.witnessing.witnessed:
                await self.witnessing.advance(log)
            self.counters.cosigned_size.labels(log.name.lower()).set(self.witnessing.cosigned_size(log))
            self.counters.log_size.labels(log.name.lower()).set(self.checkpoints.newest(log)[0])
        await self.write_info()
        await self.enrolment.write_requests()

    async def _sign(self) -> None:
        found = await self.checkpoints.look()
        directory, traffic = found[Log.DIRECTORY], found[Log.TRAFFIC]
        if directory.state.size > self.directory.now.size or self.checkpoints.is_behind(Log.DIRECTORY, directory):
            await self.follow()
        if self.checkpoints.is_behind(Log.TRAFFIC, traffic) and self.checkpoints.is_due(Log.TRAFFIC, SIGNED_S):
            await self.checkpoints.refresh(Log.TRAFFIC)
