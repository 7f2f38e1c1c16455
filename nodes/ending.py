"""When an agreement ends, its clause says what becomes of what is held under it: destroyed, kept, or given back.

It has ended between two partners when one of both has left it by a signed notice, and no version of it still binds
both. That the relay alone calls it ended is not enough: on its word nothing is destroyed. A newer version takes the
place of an older one and ends nothing; a lapse ends nothing either: what is held stays held under the terms that it
came under (docs/spec/policy.md, "When an agreement ends").
The days of the clause count from the directory's entry, so that a node that was cut off destroys as early as the
others. The same dates are set where this node waits for partners to destroy what it sent them.
"""

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.directory.codec import decode, statement_name
from exchange.limits import STATEMENT_BYTES
from exchange.names import PartyId
from exchange.policy.agreement import purge_held_at_ms
from exchange.policy.fields import instant_text
from exchange.policy.terms import AgreementStatus, HeldItems
from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.store import holding, trust
from nodes.store.holding import Under
from nodes.trust import Snapshot


@dataclass(frozen=True, slots=True)
class Ended:
    """An agreement that no longer binds this node and a partner, and what its clause asks for."""

    under: Under
    held: HeldItems
    since_ms: int
    by_ms: int
    """By when items must be destroyed; 0 for never."""


class Endings:
    """Keeps the clauses of agreements that have ended. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Look into the node's store and its replay of the directory."""
        self._core = core
        self._looked_at: Snapshot | None = None
        self._log = get_logger(__name__)

    async def look_after(self) -> int:
        """Set the dates of what is held, or was sent, under agreements that have ended; return how many agreements.

        Repeating it changes nothing; it looks again only when the directory has changed.
        """
        core, snapshot = self._core, self._core.trust.now
        if snapshot is self._looked_at or not any(view.left for view in snapshot.views.values()):
            return 0
        pairs = await core.database.read(holding.under_agreements)
        ended = [each for under in pairs if (each := await self._ended(under, snapshot)) is not None]
        for each in ended:
            changed = await core.database.write(partial(_store, ended=each, now_ms=core.clock()))
            if changed:
                self._log.info("agreement.ended", partner=each.under.partner, held=each.held.word, reports=changed)
        self._looked_at = snapshot
        return len(ended)

    async def _ended(self, under: Under, snapshot: Snapshot) -> Ended | None:
        index = ended_at(under, snapshot, self._core.me)
        if index is None:
            return None
        view = snapshot.views[under.commitment]
        since_ms = await self._core.database.read(partial(_time_of, index=index))
        return Ended(under, view.held_items, since_ms, purge_held_at_ms(view, ended_ms=since_ms))


def ended_at(under: Under, snapshot: Snapshot, me: PartyId) -> int | None:
    """Return the index of the directory entry that ended an agreement between this node and a partner; None if none.

    A view that is not known here says nothing about what becomes of items: they keep the dates that they have.
    """
    view = snapshot.views.get(under.commitment)
    if view is None:
        return None
    pair = {me, PartyId(under.partner)}
    ends = []
    for commitment, other in snapshot.views.items():
        if other.agreement_id != view.agreement_id:
            continue
        status = snapshot.directory.agreement_status(commitment, at_size=snapshot.size)
        since = snapshot.directory.agreement_since(commitment)
        if status is None or since is None:
            continue
        if AgreementStatus(status) is not AgreementStatus.TERMINATED and pair <= {*other.parties, *other.suspended}:
            return None
        if not pair.isdisjoint(other.left) and pair <= set(other.known):
            ends.append(since)
    return min(ends, default=None)


def _time_of(connection: Connection, index: int) -> int:
    """Return when a directory entry was signed."""
    (entry,) = trust.directory_entries(connection, start=index, limit=1)
    signed = decode_signed(entry, limit=STATEMENT_BYTES, what="a directory entry")
    return decode(statement_name(signed.payload_type), signed.payload).common.not_before_ms


def _store(connection: Connection, ended: Ended, now_ms: int) -> int:
    """Set what the clause asks for; return for how many reports here that was new."""
    if not ended.by_ms:
        return 0
    under, by = ended.under, instant_text(ended.by_ms)
    if ended.held is HeldItems.RETURN:
        detail = f"to be given back before {by}"
        holding.ask_from(connection, under, ask_at_ms=ended.since_ms, now_ms=now_ms, detail=detail)
    holding.sent_must_go(connection, under, by_ms=ended.by_ms)
    return holding.must_go(connection, under, by_ms=ended.by_ms, now_ms=now_ms, detail=f"to be destroyed by {by}")
