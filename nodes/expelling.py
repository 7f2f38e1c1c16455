"""Before a partner is expelled: see what it holds of ours and under which duties, and ask for it while it still hears.

An expelled partner gets nothing any more, not even a retraction. So what the agreements say must go when they end is
asked for before the council's statement is published; a suspended partner still gets retractions and confirms them.
Afterwards this node takes it out of the communities that this party owns: a new epoch of each. What was queued for it
at the relay is dropped there (exchange/relay/retention.py). What it holds and has not confirmed stays listed: nobody
can get it back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.directory.state import MEMBERS, Status
from exchange.errors import Conflict, ExchangeError, NotFound
from exchange.names import PartyId
from exchange.policy.terms import HeldItems
from exchange.receipts.model import RetractionAction
from exchange.runtime.logs import get_logger
from nodes.convening import Convening
from nodes.core import Core
from nodes.narrowing import REACHED, ask, sign_retractions
from nodes.store import holding, recalls
from nodes.store.holding import There
from nodes.store.rows import Reach, Recall

REASON = "legal"
THERE = REACHED | {Reach.RETRACTED, Reach.PURGED}
"""What is listed: what a partner holds or may hold, and what it has said to have hidden or destroyed."""

WORDS = "You are leaving the exchange; the agreement asks that it is destroyed."


@dataclass(frozen=True, slots=True)
class HeldThere:
    """A report of ours at a partner."""

    there: There
    clause_says: HeldItems | None
    """What the agreement that it went under says of its end; None when that is not known here."""
    recall: Recall | None

    @property
    def must_go(self) -> bool:
        """Whether the agreement asks for it, and the partner was not asked to destroy it."""
        asked = self.recall is not None and self.recall.action == int(RetractionAction.PURGE)
        return self.clause_says in (HeldItems.PURGE, HeldItems.RETURN) and not asked


@dataclass(frozen=True, slots=True)
class Farewell:
    """What there is to know of a partner that leaves."""

    status: Status
    held: Sequence[HeldThere]
    communities: Sequence[str]
    """Names of own communities that it is in."""
    waiting: int


class Expelling:
    """What an expulsion means for this node. For one event loop."""

    def __init__(self, core: Core, convening: Convening, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._convening = convening
        self._wake = wake
        self._log = get_logger(__name__)

    async def look(self, party: PartyId) -> Farewell:
        """Return what a partner holds of ours, and where it is a member; NotFound when there is no such partner."""
        core, snapshot = self._core, self._core.trust.now
        status = snapshot.status(party)
        if status is None or party == core.me:
            raise NotFound(f"no partner {party[:80]!r}", hint="concord partner list")
        rows, asked, waiting = await core.database.read(partial(_read, party=party))
        views = {commitment: view.held_items for commitment, view in snapshot.views.items()}
        held = [HeldThere(row, views.get(row.basis), asked.get(row.item)) for row in rows]
        return Farewell(status, held, [name for _, name in self._own_with(party)], waiting)

    async def recall(self, party: PartyId) -> int:
        """Ask a partner to destroy what the agreements say must go; return for how many reports that is new.

        Raises:
            NotFound: no such partner.
            Conflict: it is expelled: nothing reaches it any more.
        """
        core, found = self._core, await self.look(party)
        if found.status not in MEMBERS:
            raise Conflict(f"{party} is {found.status}: nothing reaches it", hint="ask its people by another way")
        items = [each.there.item for each in found.held if each.must_go]
        signed = await sign_retractions(core, items, RetractionAction.PURGE, reason=REASON, text=WORDS)

        def store(connection: Connection) -> None:
            for retraction, statement in signed.values():
                ask(connection, retraction, statement, [party], core.clock(), words="it leaves the exchange")

        if items:
            await core.database.write(store)
            self._wake()
        return len(items)

    async def look_after(self) -> int:
        """Take expelled partners out of own communities; return how many epochs that made."""
        directory, made = self._core.trust.now.directory, 0
        for record in directory.parties():
            if record.status is not Status.EXPELLED:
                continue
            for community, name in self._own_with(record.party):
                try:
                    await self._convening.change(community, remove=[record.party])
                except ExchangeError as error:
                    self._log.warning("community.cannot-remove", party=record.party, reason=error.reason)
                    continue
                made += 1
                self._log.info("community.removed", party=record.party, community=name)
        return made

    def _own_with(self, party: PartyId) -> list[tuple[bytes, str]]:
        """Return own communities that have not ended and of whose newest epoch a partner is a member."""
        own = [each.head for each in self._convening.own() if party in each.members]
        return sorted(((head.community_id, head.terms.name) for head in own), key=lambda each: each[1])


def _read(connection: Connection, party: str) -> tuple[list[There], dict[bytes, Recall], int]:
    rows = holding.held_by(connection, party, THERE)
    known = recalls.of_items(connection, [row.item for row in rows])
    asked = {each.item: each for each in known if each.partner == party}
    return rows, asked, len(holding.held_by(connection, party, {Reach.WAITING}))
