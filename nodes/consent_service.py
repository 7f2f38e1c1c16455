"""The part of NodeService that is about consent: ask, list, grant, refuse, pass on."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count

from sqlalchemy import Connection

from exchange.consent.codec import decode_grant
from exchange.consent.model import ConsentGrant
from exchange.crypto.codec import decode_signed
from exchange.errors import BadInput, BadName, Conflict, NotFound
from exchange.limits import STATEMENT_BYTES
from exchange.names import HASH_BYTES, PartyId, party_id
from exchange.policy.model import Purpose
from nodes.asking import Wanted
from nodes.caller import Caller
from nodes.consenting import Consenting, Wish
from nodes.core import Core
from nodes.guarding import Guarding
from nodes.onward import request_of
from nodes.shelf import CANDIDATES, Shelf
from nodes.store import consent
from nodes.store.consent_rows import AnswerState, KeptAnswer, KeptGrant, KeptRequest, RequestState
from nodes.v1 import consent_pb2 as pb
from nodes.v1.approval_pb2 import Hint

LIST_DEFAULT = 50
LIST_MOST = 1_000

_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_PURPOSES = {purpose.word: purpose for purpose in Purpose}


class ConsentMethods:
    """Consent, as NodeService has it."""

    def __init__(self, core: Core, guarding: Guarding, consenting: Consenting, shelf: Shelf) -> None:
        """Call these use cases."""
        self._core = core
        self._guarding = guarding
        self._consenting = consenting
        self._shelf = shelf

    async def ask(self, request: pb.RequestConsentRequest, *, caller: Caller) -> pb.RequestConsentResponse:
        """Ask every originator."""
        wanted = await self._wanted(request, caller)
        asked = await self._guarding.request(wanted, confirmed=request.confirmed, caller=caller)
        return pb.RequestConsentResponse(
            request=asked.hash.hex(), item=wanted.item.hex(), originators=asked.originators
        )

    async def _wanted(self, request: pb.RequestConsentRequest, caller: Caller) -> Wanted:
        return Wanted(
            item=await self._shelf.cleared(caller, request.id),
            to=_parties(request.to),
            purposes=_purposes(request.purposes),
            until_ms=request.until_ms,
            reason=request.reason,
            ask_only=request.ask_only,
        )

    async def rehearse(self, request: pb.RehearseConsentRequest, *, caller: Caller) -> pb.RehearseConsentResponse:
        """Show what a call would come to."""
        match request.WhichOneof("call"):
            case "ask":
                wanted = await self._wanted(request.ask, caller)
                looked = await self._guarding.look_at_request(wanted, caller=caller)
            case "grant":
                hash_ = await self._find(request.grant.request, caller)
                looked = await self._guarding.look_at_grant(hash_, _wish(request.grant), caller=caller)
            case "pass_on":
                hash_ = await self._find(request.pass_on.request, caller)
                looked = await self._guarding.look_at_passing_on(hash_, caller=caller)
            case _:
                raise BadInput("a rehearsal of nothing", hint="name a call")
        return pb.RehearseConsentResponse(
            going=[pb.ConsentRehearsal(partner=e.partner, gets_it=e.gets_it, why=e.why) for e in looked.going],
            hints=[Hint(code=hint.code, text=hint.text, accept=hint.accept) for hint in looked.hints],
        )

    async def list_(self, request: pb.ListConsentsRequest, *, caller: Caller) -> pb.ListConsentsResponse:
        """List requests about what the caller may read, newest first."""
        limit, now_ms = min(request.limit or LIST_DEFAULT, LIST_MOST), self._core.clock()
        read = partial(_read, limit=limit, unsettled_only=request.unsettled_only)
        shown: list[_Found] = []
        after: KeptRequest | None = None
        while len(shown) < limit:
            found = await self._core.database.read(partial(read, after=after))
            readable = await self._shelf.among(caller, {kept.item for kept, _, _ in found})
            shown += [each for each in found if each[0].item in readable]
            if len(found) < limit:
                break
            after = found[-1][0]
        return pb.ListConsentsResponse(consents=[_consent(*each, now_ms=now_ms) for each in shown[:limit]])

    async def grant(self, request: pb.GrantConsentRequest, *, caller: Caller) -> pb.GrantConsentResponse:
        """Let the asker pass an item on."""
        hash_ = await self._find(request.request, caller)
        granted = await self._guarding.grant(
            hash_, _wish(request), text=request.text, confirmed=request.confirmed, caller=caller
        )
        return pb.GrantConsentResponse(
            request=hash_.hex(), asker=granted[0].holder, granted=[_granted(grant) for grant in granted]
        )

    async def refuse(self, request: pb.RefuseConsentRequest, *, caller: Caller) -> pb.RefuseConsentResponse:
        """Let the asker pass an item on to nobody."""
        hash_ = await self._find(request.request, caller)
        refusal = await self._consenting.refuse(hash_, to=_parties(request.to), text=request.reason, caller=caller)
        return pb.RefuseConsentResponse(request=hash_.hex(), asker=refusal.holder, to=refusal.to)

    async def pass_on(self, request: pb.PassOnRequest, *, caller: Caller) -> pb.PassOnResponse:
        """Pass on what was granted."""
        hash_ = await self._find(request.request, caller)
        passed = await self._guarding.pass_on(hash_, confirmed=request.confirmed, caller=caller)
        return pb.PassOnResponse(request=hash_.hex(), item=passed.item.hex(), partners=passed.partners)

    async def _find(self, name: str, caller: Caller) -> bytes:
        """Return the request that `name` means, if the caller may read its item: its hash, or a prefix of it."""
        if not _PREFIX.fullmatch(name):
            raise BadName(f"{name[:80]!r} names no request", hint="6 or more of its digits: concord consent list")
        found: list[bytes] = []
        for skip in count(step=CANDIDATES):
            look = partial(consent.requests_with_prefix, prefix=name, limit=CANDIDATES, skip=skip)
            asked = await self._core.database.read(look)
            found += await self._shelf.about(caller, asked)
            if len(asked) < CANDIDATES or len(found) > 1:
                break
        if not found:
            raise NotFound(f"no request {name[:80]}", hint="concord consent list")
        if len(found) > 1:
            raise Conflict(f"{name} begins several requests", hint=f"give more of the {2 * HASH_BYTES} digits")
        return found[0]


_Found = tuple[KeptRequest, Sequence[KeptAnswer], Mapping[bytes, KeptGrant]]


def _read(connection: Connection, *, limit: int, unsettled_only: bool, after: KeptRequest | None) -> list[_Found]:
    found = consent.list_requests(connection, limit=limit, unsettled_only=unsettled_only, after=after)
    answers = consent.answers_of(connection, [each.hash for each in found])
    hashes = {answer.grant for each in answers.values() for answer in each if answer.grant}
    grants = consent.grants_with(connection, sorted(hashes))
    return [(each, answers[each.hash], grants) for each in found]


def _consent(
    kept: KeptRequest, answers: Sequence[KeptAnswer], grants: Mapping[bytes, KeptGrant], *, now_ms: int
) -> pb.Consent:
    request = request_of(kept)
    ended = kept.state is RequestState.OPEN and kept.until_ms <= now_ms
    return pb.Consent(
        request=kept.hash.hex(),
        direction="asked" if kept.ours else "received",
        item=kept.item.hex(),
        asker=kept.asker,
        to=request.to,
        purposes=[purpose.word for purpose in request.purposes],
        until_ms=request.until_ms,
        reason=request.reason,
        at_ms=request.at_ms,
        state="ended" if ended else kept.state,
        pass_on=kept.pass_on,
        answers=[_standing(answer, grants.get(answer.grant)) for answer in answers],
    )


def _standing(answer: KeptAnswer, kept: KeptGrant | None) -> pb.ConsentStanding:
    made = pb.ConsentStanding(originator=answer.originator, partner=answer.recipient, state=answer.state)
    if kept is None:
        return made
    signed = decode_signed(kept.statement, limit=STATEMENT_BYTES, what="a stored grant")
    told = _granted(decode_grant(signed.payload))
    told.partner, told.state, told.answered_ms = answer.recipient, answer.state, answer.answered_ms
    told.grant = kept.hash.hex()
    return told


def _granted(grant: ConsentGrant) -> pb.ConsentStanding:
    return pb.ConsentStanding(
        originator=grant.originator,
        partner=grant.to[0],
        state=AnswerState.GRANTED,
        reason=grant.reason,
        purposes=[purpose.word for purpose in grant.purposes],
        until_ms=grant.until_ms,
        hop=grant.hop,
    )


def _wish(request: pb.GrantConsentRequest) -> Wish:
    return Wish(_parties(request.to), _purposes(request.purposes), request.until_ms)


def _parties(names: Sequence[str]) -> list[PartyId]:
    return [party_id(name) for name in names]


def _purposes(words: Sequence[str]) -> list[Purpose]:
    unknown = [word for word in words if word not in _PURPOSES]
    if unknown:
        raise BadInput(f"{unknown[0][:80]!r} is no purpose", place="--purpose", hint=f"one of {', '.join(_PURPOSES)}")
    return [_PURPOSES[word] for word in words]
