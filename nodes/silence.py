"""Notice partners that have fallen silent: whoever has ever sent tells a stream head every day.

Suspended and expelled partners are not waited for, and while this node itself was not listening nobody was silent: the
relay must have said since that nothing waits, or must have delivered for an hour without a break.
"""

from exchange.directory.state import Status
from exchange.names import PartyId
from exchange.policy.fields import instant_text
from nodes import alarms
from nodes.core import Core
from nodes.store import receiving

PART = "deliver"
"""The part of the node that hears partners (nodes/receiver.py)."""

SETTLED_MS = 60 * 60 * 1000


class Silence:
    """Silent partners of one node. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Look into the node's store."""
        self._core = core
        self.silent: dict[str, int] = {}
        """Partners that were silent at the last look, and since when."""

    async def look(self) -> None:
        """Raise an alarm for each partner that is silent, and close those of partners that speak again."""
        core = self._core
        self.silent = await silent_partners(core)
        for party, since_ms in self.silent.items():
            text = f"nothing has come of {party} since {instant_text(since_ms)}, not even its daily stream head"
            await core.alarms.raise_(alarms.SILENT, party, text)
        await core.alarms.close_others(alarms.SILENT, self.silent)


async def silent_partners(core: Core) -> dict[str, int]:
    """Return the partners of which nothing has come for too long, and when something last came."""
    if not _admitted(core, core.me):
        return {}
    silent_ms = int(core.timing.silent_s * 1000)
    heard = await core.database.read(receiving.last_heard)
    return {
        party: heard_ms
        for party, heard_ms in sorted(heard.items())
        if _admitted(core, party) and _listened(core, heard_ms + silent_ms)
    }


def _admitted(core: Core, party: str) -> bool:
    return core.trust.now.status(PartyId(party)) is Status.ADMITTED


def _listened(core: Core, until_ms: int) -> bool:
    """Say whether this node would have heard whatever was sent before a time that is past."""
    now_ms, up_ms = core.clock(), core.link.up_since_ms(PART)
    return now_ms > until_ms and (core.link.empty_ms > until_ms or 0 < up_ms <= now_ms - SETTLED_MS)
