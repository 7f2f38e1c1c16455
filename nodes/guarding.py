"""Before consent is asked for, given or used: who then gets a report, and what a person should look at first.

Consent is a release like any other, so the guard (nodes/guard.py) asks the same of whoever lets a report be passed on
and of whoever passes it on. Who asks without `ask_only` has it passed on by the node once it is granted, and is
therefore asked at once, about every partner that the request names. What a node answers by itself was consented to
before (nodes/clearance.py), and is not asked about. Nothing is stored here: nodes/asking.py and nodes/consenting.py do
that.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.consent.model import ConsentGrant
from exchange.envelope.model import EnvelopeKind
from exchange.names import PartyId
from exchange.policy.decision import Decision
from nodes.asking import Asked, Asking, Passed, Wanted, may_change
from nodes.caller import Caller
from nodes.clearance import Ruling, Verdict
from nodes.config import ReleaseRules
from nodes.consenting import Consenting, Wish
from nodes.core import Core
from nodes.guard import PAST_REPORTS, Hint, History, Past, check_confirmed, look_onward
from nodes.store import consent, reports
from nodes.store import history as store
from nodes.store.rows import Reach
from nodes.waiting import failures, words


@dataclass(frozen=True, slots=True)
class Going:
    """One partner, whether it then gets the report, and what stands against it."""

    partner: PartyId
    gets_it: str
    """yes; not yet, while something that may still change stands against it; or no."""
    why: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a call would come to."""

    going: Sequence[Going]
    hints: Sequence[Hint]


class Guarding:
    """Consent, looked at before it counts. For one event loop."""

    def __init__(self, core: Core, asking: Asking, consenting: Consenting, rules: ReleaseRules) -> None:
        """Do these use cases under the rules of this node."""
        self._core = core
        self._asking = asking
        self._consenting = consenting
        self._rules = rules

    # -- the holder ----------------------------------------------------------------------------------------------------

    async def look_at_request(self, wanted: Wanted, *, caller: Caller) -> Rehearsal:
        """Return what asking for this would come to; raises as Asking.ask."""
        decisions = await self._asking.rehearse(wanted, caller=caller)
        hints = [] if wanted.ask_only else await self._hints([wanted.item], [party for party, _ in decisions])
        return Rehearsal([_going(*each) for each in decisions], hints)

    async def request(self, wanted: Wanted, *, confirmed: Collection[str], caller: Caller) -> Asked:
        """Ask every originator. Raises NeedsConfirmation, and as Asking.ask."""
        hints = (await self.look_at_request(wanted, caller=caller)).hints
        return await self._asking.ask(wanted, caller=caller, confirmed=_confirmed(hints, confirmed))

    async def look_at_passing_on(self, hash_: bytes, *, caller: Caller) -> Rehearsal:
        """Return what passing on would come to, for all whom the request names; raises as Asking.pass_on."""
        item, decisions = await self._asking.rehearse_passing_on(hash_, caller=caller)
        hints = await self._hints([item], [party for party, _ in decisions])
        return Rehearsal([_going(*each) for each in decisions], hints)

    async def pass_on(self, hash_: bytes, *, confirmed: Collection[str], caller: Caller) -> Passed:
        """Pass on what was granted. Raises NeedsConfirmation, and as Asking.pass_on."""
        hints = (await self.look_at_passing_on(hash_, caller=caller)).hints
        return await self._asking.pass_on(hash_, caller=caller, confirmed=_confirmed(hints, confirmed))

    # -- the originator ------------------------------------------------------------------------------------------------

    async def look_at_grant(self, hash_: bytes, wish: Wish, *, caller: Caller) -> Rehearsal:
        """Return what granting this would come to; raises as Consenting.grant, but names for whom nobody can."""
        items, rulings = await self._consenting.rehearse(hash_, wish, caller=caller)
        new = [party for party, ruling in rulings if ruling.verdict is not Verdict.REFUSE]
        return Rehearsal([_ruled(*each) for each in rulings], await self._hints(items, new))

    async def grant(
        self, hash_: bytes, wish: Wish, *, text: str, confirmed: Collection[str], caller: Caller
    ) -> list[ConsentGrant]:
        """Let the asker pass an item on. Raises NeedsConfirmation, and as Consenting.grant."""
        hints = (await self.look_at_grant(hash_, wish, caller=caller)).hints
        return await self._consenting.grant(
            hash_, wish, text=text, caller=caller, confirmed=_confirmed(hints, confirmed)
        )

    async def _hints(self, items: Sequence[bytes], partners: Sequence[PartyId]) -> list[Hint]:
        if not items or not partners:
            return []
        have, history = await self._core.database.read(partial(_past, items=items))
        audience = sorted(have.union(partners))
        return look_onward(partners, audience, history, wide_audience=self._rules.wide_audience)


def history_of(connection: Connection, kind: str) -> History:
    """Return what this node has sent before, and of this kind."""
    recent = store.recent_of_kind(connection, kind, limit=PAST_REPORTS)
    return History(store.partners_reached(connection), [Past(*each) for each in recent])


def _past(connection: Connection, items: Sequence[bytes]) -> tuple[set[PartyId], History]:
    """Return who has these items from here or may have them by our consent, and with what that is compared."""
    have: set[PartyId] = set()
    for item in items:
        for row in reports.addressees_of(connection, item):
            if row.kind == EnvelopeKind.REPORT and row.state is not Reach.DENIED:
                have.add(PartyId(row.recipient))
    report = reports.report_of(connection, items[0])
    history = history_of(connection, report.kind if report is not None else "")
    reached = {*history.reached, *consent.partners_onward(connection)}
    return have, History(reached, history.recent)


def _confirmed(hints: Sequence[Hint], confirmed: Collection[str]) -> list[str]:
    check_confirmed(hints, confirmed)
    return [hint.accept for hint in hints]


def _going(partner: PartyId, decision: Decision) -> Going:
    if decision.permit:
        return Going(partner, "yes", "")
    open_ = all(may_change(finding) for finding in failures(decision))
    return Going(partner, "not yet" if open_ else "no", words(decision))


def _ruled(partner: PartyId, ruling: Ruling) -> Going:
    return Going(partner, "no" if ruling.verdict is Verdict.REFUSE else "yes", ruling.why)
