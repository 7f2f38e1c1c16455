"""Answer partners who ask to pass on what this party originated, and remember whom that lets have it.

A request is stored in the transaction of the frame that brought it. Then, apart from that:
1. the node finds what of it is this party's own, and how the asker came to it: a request for what this node does not
   know and for what the asker was never sent are answered alike
2. it answers what it can by itself (nodes/clearance.py); the rest waits for an operator
3. answers are signed, one grant a partner, and stored in one transaction with whom they let have the item: depth, trace
   and retraction rest on that (the onward table)
Repeating a step changes nothing; what a crash interrupted is a request that nobody has looked at.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.consent.codec import encode_grant
from exchange.consent.model import ConsentAnswer, ConsentGrant, ConsentRequest
from exchange.consent.verify import CONSENT_GRANT
from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.directory.state import Status
from exchange.errors import BadInput, Conflict, ExchangeError, NotAllowed, NotFound
from exchange.names import ID_BYTES, PartyId
from exchange.policy.fields import instant_text
from exchange.policy.model import Purpose
from exchange.runtime.logs import get_logger
from nodes import alarms, vault
from nodes.caller import Caller, check_ceiling
from nodes.clearance import Own, Ruling, Verdict, rule
from nodes.core import Core
from nodes.guard import by_whom
from nodes.onward import Answer, is_own, own_of, request_of, sources_of, store_answers
from nodes.store import consent
from nodes.store.consent_rows import AnswerState, KeptAnswer, KeptRequest, RequestState

OPEN_TAKEN = 128
"""Requests of one asker that may wait here; a node asks for less at a time (nodes/asking.py)."""

LOOK_AT_ONCE = 100
KEPT_MS = 90 * 24 * 60 * 60 * 1000
"""Requests that came to nothing are kept so long."""

KEPT_MOST = 1_000
"""Of one asker: older ones that came to nothing make room."""


def hear_request(
    connection: Connection, request: ConsentRequest, signed: Signed, *, me: PartyId, now_ms: int
) -> list[tuple[str, str, str]]:
    """Keep a verified request for the node to look at; return alarms as (kind, subject, text)."""
    if consent.count_unsettled(connection, request.asker, now_ms) >= OPEN_TAKEN:
        text = f"{request.asker} asks for consent more than {OPEN_TAKEN} times at once; what is beyond is not looked at"
        return [(alarms.SENDER, f"{request.asker}/consent-requests", text)]
    consent.drop_beyond(connection, request.asker, most=KEPT_MOST)
    kept = KeptRequest(
        hash=sha256(signed.payload).digest(),
        ours=False,
        item=request.item_hash,
        asker=request.asker,
        at_ms=request.at_ms,
        until_ms=request.until_ms,
        stored_ms=now_ms,
        state=RequestState.NEW,
        pass_on=False,
        statement=encode_signed(signed),
    )
    consent.add_request(connection, kept, [KeptAnswer(kept.hash, me, partner) for partner in request.to])
    return []


@dataclass(frozen=True, slots=True)
class Wish:
    """How much of what was asked for an operator grants; what is left out is all of it."""

    to: Sequence[PartyId] = ()
    purposes: Sequence[Purpose] = ()
    until_ms: int = 0


ALL = Wish()


class Consenting:
    """The originator's half of consent at one node. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake
        self._work = asyncio.Event()
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Look at what has come."""
        self._work.set()

    async def run(self) -> None:
        """Look at requests when they come, until cancelled."""
        while True:
            self._work.clear()
            try:
                await self.look_after()
            except ExchangeError as error:
                self._log.error("consent.failed", reason=error.reason, detail=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._core.timing.obligations_s):
                    await self._work.wait()

    async def look_after(self) -> int:
        """Answer what the node can answer by itself; return how many requests it has looked at."""
        core = self._core
        looked = 0
        strange: Counter[str] = Counter()
        while new := await core.database.read(partial(consent.new_requests, limit=LOOK_AT_ONCE)):
            for kept in new:
                strange[kept.asker] += not await self._look_at_safely(kept)
            looked += len(new)
        for asker, count in (+strange).items():
            text = f"{asker} asks for consent to what it was never sent: {count} requests"
            await core.alarms.raise_(alarms.SENDER, f"{asker}/consent", text)
        before_ms = core.clock() - KEPT_MS
        await core.database.write(partial(consent.drop_settled, before_ms=before_ms))
        await self._show_waiting()
        return looked

    async def rehearse(
        self, hash_: bytes, wish: Wish, *, caller: Caller
    ) -> tuple[list[bytes], list[tuple[PartyId, Ruling]]]:
        """Return which items of this party a request is about, and the ruling on each partner; nothing is stored.

        Raises:
            NotFound, BadInput, PolicyDenied: as `grant`.
        """
        _, owns, rulings = await self._ruled(hash_, wish, caller)
        return [own.item for own in owns], rulings

    async def _ruled(
        self, hash_: bytes, wish: Wish, caller: Caller
    ) -> tuple[KeptRequest, Sequence[Own], list[tuple[PartyId, Ruling]]]:
        kept, request = await self._asked(hash_)
        chosen = _chosen(request, wish)
        owns = await self._owns(request)
        for own in owns:
            if own.label is not None:
                check_ceiling(caller, own.label.tlp)
        return kept, owns, [(partner, self._rule(request, partner, owns)) for partner in chosen]

    async def grant(
        self, hash_: bytes, wish: Wish = ALL, *, text: str = "", caller: Caller, confirmed: Sequence[str] = ()
    ) -> list[ConsentGrant]:
        """Let the asker pass the item on, within what it asked for. What was `confirmed` first stands in its story.

        Raises:
            NotFound: no such request of another partner.
            NotAllowed: nobody can consent to it; the reason is in the words.
            PolicyDenied: it is above the caller's ceiling.
            BadInput: more than was asked for.
            Conflict: something changed meanwhile.
        """
        kept, owns, rulings = await self._ruled(hash_, wish, caller)
        made = []
        for partner, ruling in rulings:
            if ruling.verdict is Verdict.REFUSE:
                raise NotAllowed(f"{partner}: {ruling.why}", hint="concord consent refuse")
            narrowed = tuple(each for each in ruling.purposes if not wish.purposes or each in wish.purposes)
            if not narrowed:
                raise BadInput("none of these purposes is left", hint=f"one of {_words(ruling.purposes)}")
            end_ms = min(ruling.until_ms, wish.until_ms or ruling.until_ms)
            within = replace(ruling, purposes=narrowed, until_ms=end_ms)
            made.append(self._grant(kept, owns[0].item, partner, within, text))
        await self._answer(kept, made, owns, by=by_whom(caller.name, confirmed), again=True)
        return made

    async def refuse(self, hash_: bytes, *, to: Sequence[PartyId] = (), text: str, caller: Caller) -> ConsentGrant:
        """Answer that the asker may not pass it on; without `to` to nobody of whom it has no answer yet.

        Raises:
            NotFound: no such request of another partner.
            NotAllowed: everybody it names was answered.
            BadInput: more than was asked for.
        """
        kept, request = await self._asked(hash_)
        stands = (await self._core.database.read(partial(consent.answers_of, requests=[hash_])))[hash_]
        waiting = {PartyId(each.recipient) for each in stands if each.state is AnswerState.WAITING}
        chosen = sorted(waiting.intersection(_chosen(request, Wish(to))))
        if not chosen:
            raise NotAllowed("that was answered", hint="concord consent list")
        made = self._refusal(kept, request.item_hash, chosen, text)
        await self._answer(kept, [made], await self._owns(request), by=caller.name, again=True)
        return made

    async def _asked(self, hash_: bytes) -> tuple[KeptRequest, ConsentRequest]:
        kept = await self._core.database.read(partial(consent.request_of, hash_=hash_))
        if kept is None or kept.ours:
            raise NotFound("no such request of a partner", hint="concord consent list")
        return kept, request_of(kept)

    # -- what the node answers by itself -------------------------------------------------------------------------------

    async def _look_at_safely(self, kept: KeptRequest) -> bool:
        """Look at one request; one that cannot be answered must not hold up the others, and waits for a person."""
        try:
            return await self._look_at(kept)
        except Conflict:
            return True  # an operator was quicker, or it was retracted: looked at again
        except ExchangeError as error:
            self._log.error("consent.left", request=kept.hash.hex(), reason=error.reason, detail=str(error))
            leave = partial(consent.set_state, hash_=kept.hash, state=RequestState.OPEN)
            await self._core.database.write(leave)
            return True

    async def _look_at(self, kept: KeptRequest) -> bool:
        """Answer one request, or leave it to a person; say whether it is for something that the asker was sent."""
        request = request_of(kept)
        owns = await self._owns(request)
        stands = (await self._core.database.read(partial(consent.answers_of, requests=[kept.hash])))[kept.hash]
        waiting = [PartyId(each.recipient) for each in stands if each.state is AnswerState.WAITING]
        rulings = {partner: self._rule(request, partner, owns) for partner in waiting}
        made = [
            self._grant(kept, owns[0].item, partner, ruling, "")
            for partner, ruling in rulings.items()
            if ruling.verdict is Verdict.GRANT
        ]
        refused: dict[str, list[PartyId]] = {}
        for partner, ruling in rulings.items():
            if ruling.verdict is Verdict.REFUSE:
                refused.setdefault(ruling.told, []).append(partner)
        made += [self._refusal(kept, request.item_hash, partners, told) for told, partners in refused.items()]
        await self._answer(kept, made, owns, by="the node", again=False)
        return bool(owns) and all(own.depth is not None for own in owns)

    def _rule(self, request: ConsentRequest, partner: PartyId, owns: Sequence[Own]) -> Ruling:
        core = self._core
        admitted = core.trust.now.status(partner) is Status.ADMITTED
        return rule(request, partner, owns, me=core.me, admitted=admitted, now_ms=core.clock())

    async def _owns(self, request: ConsentRequest) -> list[Own]:
        """Return what of a request is this party's own: the item itself, else what it derives from."""
        core = self._core
        sources = await core.database.read(partial(sources_of, request=request))
        keys = await core.keybox.keys([source.report.item for source in sources])
        rules, now_ms = core.trust.rules_now(), core.clock()
        owns = []
        for source in sources:
            item, record = source.report.item, source.report.record
            opened = vault.open_report(keys[item], item, record) if item in keys and record else None
            if is_own(source.report, opened, core.me):
                owns.append(own_of(source, opened, request.asker, rules, now_ms))
        itself = [own for own in owns if own.item == request.item_hash]
        return itself or owns

    # -- answering -----------------------------------------------------------------------------------------------------

    def _grant(self, kept: KeptRequest, item: bytes, partner: PartyId, ruling: Ruling, text: str) -> ConsentGrant:
        core = self._core
        return ConsentGrant(
            exchange=core.exchange,
            request_sha256=kept.hash,
            item_hash=item,
            originator=core.me,
            holder=PartyId(kept.asker),
            to=(partner,),
            answer=ConsentAnswer.GRANT,
            at_ms=core.clock(),
            salt=random_bytes(ID_BYTES),
            purposes=ruling.purposes,
            until_ms=ruling.until_ms,
            hop=ruling.hop,
            reason=text,
        )

    def _refusal(self, kept: KeptRequest, item: bytes, partners: Collection[PartyId], text: str) -> ConsentGrant:
        core = self._core
        return ConsentGrant(
            exchange=core.exchange,
            request_sha256=kept.hash,
            item_hash=item,
            originator=core.me,
            holder=PartyId(kept.asker),
            to=tuple(sorted(partners)),
            answer=ConsentAnswer.REFUSE,
            at_ms=core.clock(),
            salt=random_bytes(ID_BYTES),
            reason=text,
        )

    async def _answer(
        self, kept: KeptRequest, made: Sequence[ConsentGrant], owns: Sequence[Own], *, by: str, again: bool
    ) -> None:
        core = self._core
        signed = await core.signer.sign_each(CONSENT_GRANT, [encode_grant(each) for each in made])
        answers = [Answer(grant, each) for grant, each in zip(made, signed, strict=True)]
        store = partial(
            store_answers,
            request=kept.hash,
            answers=answers,
            items=[own.item for own in owns],
            by=by,
            now_ms=core.clock(),
            again=again,
        )
        await core.database.write(store)
        if answers:
            self._wake()
        await self._show_waiting()

    async def _show_waiting(self) -> None:
        """Keep an alarm open for each partner that waits for a person's answer."""
        core = self._core
        waiting = await core.database.read(partial(consent.askers_waiting, now_ms=core.clock()))
        for asker in sorted(waiting):
            text = f"{asker} asks for consent to pass something on: concord consent list"
            await core.alarms.raise_(alarms.CONSENT, asker, text)
        await core.alarms.close_others(alarms.CONSENT, waiting)


def _chosen(request: ConsentRequest, wish: Wish) -> Sequence[PartyId]:
    """Return whom an operator answers about; BadInput when that is more than was asked for."""
    beyond = [party for party in wish.to if party not in request.to]
    if beyond:
        raise BadInput(f"{', '.join(beyond)}: not asked for", hint=f"asked for: {', '.join(request.to)}")
    if any(purpose not in request.purposes for purpose in wish.purposes):
        raise BadInput("more purposes than asked for", hint=f"asked for: {_words(request.purposes)}")
    if wish.until_ms > request.until_ms:
        raise BadInput("longer than asked for", hint=f"asked for: until {instant_text(request.until_ms)}")
    return sorted(wish.to) or request.to


def _words(purposes: Sequence[Purpose]) -> str:
    return ", ".join(purpose.word for purpose in purposes)
