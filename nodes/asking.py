"""Ask originators to let an item be passed on: the request is checked, signed and placed in the outbox.

It goes to every originator of the item but this party. What they answer, and what follows: nodes/passing.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.consent.codec import encode_request
from exchange.consent.model import CONSENT_SOURCES, ConsentRequest
from exchange.consent.verify import CONSENT_REQUEST
from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.directory.state import MEMBERS
from exchange.errors import BadInput, NotAllowed, NotFound, PolicyDenied, RateLimited
from exchange.names import ID_BYTES, PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.consent import Consent
from exchange.policy.decide import decide
from exchange.policy.decision import WAITS, Decision, Finding, Item, Role, Step
from exchange.policy.explain import sentence
from exchange.policy.fields import instant_text
from exchange.policy.model import Label, OnwardRule, Purpose, Tlp
from nodes import vault
from nodes.caller import Caller, check_ceiling
from nodes.core import Core
from nodes.guard import by_whom
from nodes.onward import LANE, request_of
from nodes.passing import grants_for, not_yet_there, pass_on_now, release_to, to_pass_on
from nodes.receipts import add_control
from nodes.shelf import Shelf
from nodes.store import consent, reports
from nodes.store.consent_rows import KeptAnswer, KeptRequest, RequestState
from nodes.store.rows import Event, ItemState
from nodes.waiting import failures

OPEN_ASKED = 64
"""Requests that this node lets wait for an answer; others take no more than twice as many (nodes/consenting.py)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants to pass on."""

    item: bytes
    to: Sequence[PartyId]
    purposes: Sequence[Purpose]
    until_ms: int
    reason: str
    ask_only: bool = False
    """Leave it at the answer; `pass_on` does the rest."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is durable in the outbox, and who has to answer it."""

    hash: bytes
    originators: Sequence[PartyId]


@dataclass(frozen=True, slots=True)
class Passed:
    """An item that waits to be sealed for those it is passed on to."""

    item: bytes
    partners: Sequence[str]


class Asking:
    """The holder's half of consent at one node. For one event loop."""

    def __init__(self, core: Core, shelf: Shelf, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._shelf = shelf
        self._wake = wake

    async def ask(self, wanted: Wanted, *, caller: Caller, confirmed: Sequence[str] = ()) -> Asked:
        """Ask every originator; return once the request is durable. What was `confirmed` first stands in its story.

        Raises:
            NotFound: no such report, or its content is hidden or destroyed.
            NotAllowed: a later version took its place.
            BadInput: partners, purposes or end cannot be asked for.
            PolicyDenied: nobody can consent to it, this node may not pass it on even with consent, or it is above the
                caller's ceiling.
            RateLimited: too many requests wait.
        """
        core = self._core
        request, opened = await self._checked(wanted, caller)
        originators = [party for party in opened.label.originators if party != core.me]
        signed = await core.signer.sign(CONSENT_REQUEST, encode_request(request))
        store = partial(
            _store_request,
            request=request,
            signed=signed,
            originators=originators,
            pass_on=not wanted.ask_only,
            who=by_whom(caller.name, confirmed),
            now_ms=core.clock(),
        )
        await core.database.write(store)
        self._wake()
        return Asked(sha256(signed.payload).digest(), originators)

    async def rehearse(self, wanted: Wanted, *, caller: Caller) -> list[tuple[PartyId, Decision]]:
        """Return what is decided now of each partner that a request would name; raises as `ask`, nothing is stored."""
        request, opened = await self._checked(wanted, caller)
        return await self._decided(wanted.item, opened, request.to)

    async def _checked(self, wanted: Wanted, caller: Caller) -> tuple[ConsentRequest, vault.Opened]:
        opened = await self._held(wanted.item)
        check_ceiling(caller, opened.label.tlp)
        request = self._request(wanted, opened.label)
        self._check(request, opened)
        return request, opened

    async def pass_on(self, hash_: bytes, *, caller: Caller, confirmed: Sequence[str] = ()) -> Passed:
        """Pass an item on to everybody whom every originator has granted it for.

        Raises:
            NotFound: no such request of this node.
            NotAllowed: nobody is granted yet, or the report is withdrawn, destroyed or replaced.
            PolicyDenied: it is above the caller's ceiling.
        """
        core = self._core
        kept = await core.database.read(partial(consent.request_of, hash_=hash_))
        report = await core.database.read(partial(reports.report_of, item=kept.item)) if kept is not None else None
        if report is not None:
            check_ceiling(caller, Tlp(report.tlp))
        partners = await core.database.write(
            partial(pass_on_now, hash_=hash_, by=by_whom(caller.name, confirmed), now_ms=core.clock())
        )
        self._wake()
        return Passed(kept.item if kept is not None else b"", partners)

    async def rehearse_passing_on(
        self, hash_: bytes, *, caller: Caller
    ) -> tuple[bytes, list[tuple[PartyId, Decision]]]:
        """Return the item, and what is decided now of each partner that the request names and that did not get it yet.

        Also of those who are not granted yet: what is granted later is passed on by itself. Raises as `pass_on`.
        """
        kept = await self._core.database.read(partial(to_pass_on, hash_=hash_))
        opened = await self._held(kept.item)
        check_ceiling(caller, opened.label.tlp)
        named = partial(not_yet_there, item=kept.item, partners=request_of(kept).to)
        return kept.item, await self._decided(kept.item, opened, await self._core.database.read(named))

    async def _decided(
        self, item: bytes, opened: vault.Opened, partners: Sequence[PartyId]
    ) -> list[tuple[PartyId, Decision]]:
        core = self._core
        held = partial(grants_for, me=core.me, item=item, label=opened.label, now_ms=core.clock())
        consents, _ = await core.database.read(held)
        return [(partner, self._decide(opened, partner, item, consents)) for partner in partners]

    async def _held(self, item: bytes) -> vault.Opened:
        report = await self._core.database.read(partial(reports.report_of, item=item))
        if report is None:
            raise NotFound("no such report", hint="concord report list")
        if report.state in (ItemState.WITHDRAWN, ItemState.PURGED):
            raise NotFound(f"the content is {report.state}", hint="concord report trace")
        if report.state is ItemState.REPLACED:
            raise NotAllowed("a later version took its place", hint="concord report show")
        opened = await self._shelf.opened(item)
        if opened is None:
            raise NotFound("the content is destroyed", hint="concord report trace")
        return opened

    def _request(self, wanted: Wanted, label: Label) -> ConsentRequest:
        core = self._core
        return ConsentRequest(
            exchange=core.exchange,
            item_hash=wanted.item,
            asker=core.me,
            to=tuple(sorted(set(wanted.to))),
            purposes=tuple(sorted(set(wanted.purposes))),
            until_ms=wanted.until_ms,
            reason=wanted.reason,
            at_ms=core.clock(),
            salt=random_bytes(ID_BYTES),
            derived_from=label.derived_from[:CONSENT_SOURCES],
        )

    def _check(self, request: ConsentRequest, opened: vault.Opened) -> None:
        """Refuse what no answer could permit: an originator's time is not asked for in vain."""
        core, label = self._core, opened.label
        if not consent_needed(label, core.me):
            raise BadInput("this party is its only originator", hint="correct it with a wider release, or send it anew")
        if label.onward is OnwardRule.NONE:
            raise PolicyDenied("its label lets nobody pass it on", hint="ask the originator to send it itself")
        gone = [party for party in label.originators if core.trust.now.status(party) not in MEMBERS]
        if gone:
            raise PolicyDenied(f"{', '.join(gone)} left the exchange and cannot consent")
        if opened.holding is not None and opened.holding.obligations.display_only:
            raise PolicyDenied("it may be shown here, and neither kept nor passed on")
        beyond = [purpose.word for purpose in request.purposes if purpose not in label.purposes]
        if beyond:
            words = ", ".join(purpose.word for purpose in label.purposes)
            raise BadInput(f"the label does not name {', '.join(beyond)}", place="--purpose", hint=f"one of {words}")
        if 0 < label.expires_ms < request.until_ms:
            raise BadInput("it expires before", place="--until", hint=f"at most {instant_text(label.expires_ms)}")
        for partner in request.to:
            self._reachable(opened, partner)

    def _reachable(self, opened: vault.Opened, partner: PartyId) -> None:
        core = self._core
        if core.trust.now.directory.party(partner) is None:
            raise BadInput(f"{partner} is not a partner", place="--to", hint="concord partner list")
        decision = self._decide(opened, partner)
        final = [finding for finding in failures(decision) if not may_change(finding)]
        if final:
            words = " ".join(sentence(finding) for finding in final)
            raise PolicyDenied(f"{partner} cannot have it from here, whoever consents: {words}")

    def _decide(
        self, opened: vault.Opened, partner: PartyId, item: bytes = b"", consents: tuple[Consent, ...] = ()
    ) -> Decision:
        core = self._core
        release = opened.release or release_to([partner])
        return decide(
            Item(
                label=opened.label,
                release=release,
                intact=True,
                item_hash=item,
                consents=consents,
                uncompared=core.comparisons.at(opened.label.tlp),
            ),
            sender=core.me,
            recipient=partner,
            rules=core.trust.rules_now(),
            now_ms=core.clock(),
            role=Role.SENDER,
        )


def may_change(finding: Finding) -> bool:
    """Say whether consent or time can remove what stands against a partner."""
    return finding.step is Step.ONWARD or finding.reason in WAITS


def _store_request(
    connection: Connection,
    *,
    request: ConsentRequest,
    signed: Signed,
    originators: Sequence[PartyId],
    pass_on: bool,
    who: str,
    now_ms: int,
) -> None:
    if consent.count_unsettled(connection, request.asker, now_ms) >= OPEN_ASKED:
        raise RateLimited(f"{OPEN_ASKED} requests wait for an answer", hint="concord consent list")
    kept = KeptRequest(
        hash=sha256(signed.payload).digest(),
        ours=True,
        item=request.item_hash,
        asker=request.asker,
        at_ms=request.at_ms,
        until_ms=request.until_ms,
        stored_ms=now_ms,
        state=RequestState.OPEN,
        pass_on=pass_on,
        statement=encode_signed(signed),
    )
    answers = [KeptAnswer(kept.hash, party, partner) for party in originators for partner in request.to]
    consent.add_request(connection, kept, answers)
    add_control(connection, signed, originators, lane=LANE, now_ms=now_ms)
    detail = f"may it go to {', '.join(request.to)}; asked by {who}"
    reports.add_events(
        connection, [Event(request.item_hash, now_ms, "consent-asked", party, detail) for party in originators]
    )
