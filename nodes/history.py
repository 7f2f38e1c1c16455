"""Address own reports to members that came later, where the community's history rule lets them have what was there.

Each report that names a community is kept with the epoch for whose members it was last addressed. When a newer epoch is
in force, the reports behind it are addressed to whoever came since: a few at a time, each time in one transaction that
notes how far this is. Addressing decides nothing: sealing decides on each recipient as ever, exclusions included.
"""

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind
from exchange.names import PartyId
from exchange.policy.communities.model import HeldEpoch, History
from exchange.policy.communities.route import publishable
from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.rounds import Rounds
from nodes.store import communities as store
from nodes.store import reports
from nodes.store.rows import Addressee, Event, NamingItem, Reach

ITEMS_AT_ONCE = 64


class CommunityHistory:
    """Brings own reports to new members. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake
        self._log = get_logger(__name__)
        # At once when the directory has grown, or an epoch has come.
        failed = partial(self._log.error, "community.history-failed")
        self.rounds = Rounds(self.look_after, every_s=core.timing.obligations_s, failed=failed)

    async def look_after(self) -> int:
        """Address what new members may have; return how many recipients that brought."""
        core = self._core
        added = 0
        for community, held in publishable(core.trust.rules_now(), core.me, core.clock()).items():
            if held.head.terms.history is not History.NONE:
                added += await self._bring(community, held)
        if added:
            self._log.info("community.history", recipients=added)
            self._wake()
        return added

    async def _bring(self, community: bytes, held: HeldEpoch) -> int:
        core, added = self._core, 0
        behind = partial(store.items_before, community=community, epoch=held.head.epoch, limit=ITEMS_AT_ONCE)
        while found := await core.database.read(behind):
            more = [each for item in found for each in newcomers(item, held, core.me)]
            add = partial(_add, community=community, epoch=held.head.epoch, found=found, more=more, now_ms=core.clock())
            added += await core.database.write(add)
        return added


def newcomers(item: NamingItem, held: HeldEpoch, me: PartyId) -> list[Addressee]:
    """Return a report's rows for members who came since it was last addressed, if the rule lets them have it."""
    terms = held.head.terms
    if terms.history is History.FROM_DATE and item.authored_ms < terms.history_from_ms:
        return []
    return [
        Addressee(item.item, party, int(EnvelopeKind.REPORT), item.lane, Reach.WAITING)
        for party, member in sorted(held.members.items())
        if party != me and member.since_epoch > item.epoch
    ]


def _add(
    connection: Connection,
    *,
    community: bytes,
    epoch: int,
    found: Sequence[NamingItem],
    more: Sequence[Addressee],
    now_ms: int,
) -> int:
    fresh = store.address_anew(connection, community, epoch, [each.item for each in found], more)
    words = "joined a community that it names"
    reports.add_events(connection, [Event(each.item, now_ms, "addressed", each.recipient, words) for each in fresh])
    return len(fresh)
