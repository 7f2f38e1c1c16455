"""Communities that this party owns: make, change and end them; their members first, the relay then.

A change is a new epoch:
1. the roster, the head and a membership for each member are made and signed. Each membership is signed alone: in a
   batch its path would tell how many there are
2. one transaction stores the epoch and places the memberships in the outbox, in the flash lane
3. when the relay has promised them, it is told of the epoch, and shows it. Who cannot get its membership now (no
   prekey, suspended) is not waited for: else one partner that is away would keep another one in
After a crash each step goes on from the store; repeating it changes nothing. From step 2 on, this node sends nothing
more to whom the new epoch leaves out.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey
from exchange.directory.state import Status
from exchange.directory.statements import AgreementStatus
from exchange.envelope.binding import item_hash
from exchange.envelope.model import Lane
from exchange.errors import BadInput, Conflict, NotFound
from exchange.names import ID_BYTES, PartyId
from exchange.policy.communities.codec import encode_head, encode_membership
from exchange.policy.communities.model import (
    PUBLISHERS_MOST,
    CommunityHead,
    CommunityMembership,
    CommunityTerms,
    HeldEpoch,
    MemberRole,
    Roster,
    Visibility,
)
from exchange.policy.communities.roster import make_roster, tree_of
from exchange.policy.communities.verify import HEAD, MEMBERSHIP, held_of, sees_roster
from exchange.policy.terms import AgreementStatus as TermsStatus
from nodes.communities import Communities, kept_epoch, newest_of
from nodes.core import Core
from nodes.receipts import add_control
from nodes.store import communities as store
from nodes.store.rows import EpochState, KeptEpoch

Roles = Mapping[PartyId, MemberRole]


@dataclass(frozen=True, slots=True)
class Convened:
    """A new epoch of an own community, durable and on its way."""

    held: HeldEpoch
    index: int | None
    """The directory entry that shows it; None while it is not shown."""


@dataclass(frozen=True, slots=True)
class _Signed:
    """An epoch with all that its members get."""

    held: HeldEpoch
    mine: Signed = field(repr=False)
    others: Mapping[PartyId, Signed] = field(repr=False)


class Convening:
    """Own communities of one node. For one event loop."""

    def __init__(self, core: Core, communities: Communities, *, on_change: Callable[[], None]) -> None:
        """What is new is kept in `communities`; `on_change` is called when memberships or an end wait to go out."""
        self._core = core
        self._communities = communities
        self._on_change = on_change
        self._lock = asyncio.Lock()

    # -- commands ------------------------------------------------------------------------------------------------------

    async def create(self, terms: CommunityTerms, roles: Roles) -> Convened:
        """Make a community of these members; this party is a publisher of it in any case.

        Raises:
            BadInput, NotFound: the terms or a member do not do; it says which.
            Conflict: a community of this name is there.
        """
        async with self._lock:
            if 0 < terms.valid_until_ms <= self._core.clock():
                raise BadInput("the community would end before it begins", place="--until")
            if terms.name in self._names():
                raise Conflict(f"a community {terms.name!r} of yours is there", hint="choose another name")
            members = {party: (role, 1) for party, role in self._with_me(roles).items()}
            self._check(terms, members)
            return await self._store(await self._make(terms, members, None))

    async def change(self, community: bytes, *, add: Roles | None = None, remove: Collection[PartyId] = ()) -> Convened:
        """Make a new epoch with further members, or other roles, and without those to remove.

        Raises:
            NotFound: no own community has this id.
            Conflict: it has ended, or nothing would change.
            BadInput: a member does not do; it says which.
        """
        async with self._lock:
            before = await self._newest(community)
            known = {party: (member.role, member.since_epoch) for party, member in before.members.items()}
            members = {party: found for party, found in known.items() if party not in remove}
            for party, role in (add or {}).items():
                since = known[party][1] if party in known else before.head.epoch + 1
                members[party] = (role, since)
            _check_change(self._core.me, known, members, remove)
            self._check(before.head.terms, members, fresh=set(add or {}))
            return await self._store(await self._make(before.head.terms, members, before))

    async def end(self, community: bytes) -> int | None:
        """End a community; return the directory entry that shows it, None while none does.

        Raises:
            NotFound: no own community has this id.
            Conflict: it has ended.
        """
        async with self._lock:
            held = await self._newest(community)
            was = [EpochState.PENDING, EpochState.ANNOUNCED]
            await self._core.database.write(
                partial(store.set_state, shown=held.shown, state=EpochState.ENDING, was=was)
            )
        self._on_change()
        return await self._wait(held, AgreementStatus.TERMINATED)

    # -- what is there -------------------------------------------------------------------------------------------------

    def own(self) -> list[HeldEpoch]:
        """Return the newest epoch of each own community that has not ended."""
        snapshot = self._core.trust.now
        own = [newest_of(epochs) for epochs in snapshot.communities.values() if epochs[0].head.owner == self._core.me]
        status = snapshot.directory.agreement_status
        return [each for each in own if status(each.shown, at_size=snapshot.size) is not AgreementStatus.TERMINATED]

    def _names(self) -> set[str]:
        return {each.head.terms.name for each in self.own()}

    async def _newest(self, community: bytes) -> HeldEpoch:
        epochs = self._core.trust.now.communities.get(community, ())
        if not epochs or epochs[0].head.owner != self._core.me:
            raise NotFound("no community of yours has this id", hint="concord community list")
        newest = newest_of(epochs)
        kept = await self._core.database.read(partial(store.epoch_of, shown=newest.shown))
        if kept is None or kept.state in {EpochState.ENDING, EpochState.ENDED}:
            raise Conflict("the community has ended", hint="make a new one: concord community create")
        return newest

    def _with_me(self, roles: Roles) -> dict[PartyId, MemberRole]:
        return {**roles, self._core.me: MemberRole.PUBLISHER}

    def _check(
        self,
        terms: CommunityTerms,
        members: Mapping[PartyId, tuple[MemberRole, int]],
        *,
        fresh: Collection[PartyId] | None = None,
    ) -> None:
        """Check members against the agreement and the directory; of an epoch that follows, only who is `fresh`.

        Whom nobody may add any more can still be removed: nothing is asked of those who stay.
        """
        if fresh is not None and not fresh:
            return
        snapshot, now_ms = self._core.trust.now, self._core.clock()
        parties: set[PartyId] = set()
        for found in snapshot.rules_at(snapshot.size).agreements.values():
            until = found.view.valid_until_ms
            over = found.status is not TermsStatus.ACTIVE or 0 < until <= now_ms
            if found.ref.id == terms.agreement_id and not over:
                parties.update(found.view.parties)
        if self._core.me not in parties:
            raise NotFound("no agreement of this id is in force here", hint="concord agreement list")
        for party in sorted(members if fresh is None else fresh):
            if party not in parties:
                raise BadInput(f"{party} is no party of the agreement", hint="concord agreement show ID")
            if snapshot.status(party) is not Status.ADMITTED:
                raise BadInput(f"{party} is not admitted", hint="concord partner list")
        publishers = sum(role is MemberRole.PUBLISHER for role, _ in members.values())
        if publishers > PUBLISHERS_MOST:
            raise BadInput(f"a community has at most {PUBLISHERS_MOST} publishers, not {publishers}")

    # -- a new epoch ---------------------------------------------------------------------------------------------------

    async def _make(
        self,
        terms: CommunityTerms,
        members: Mapping[PartyId, tuple[MemberRole, int]],
        before: HeldEpoch | None,
    ) -> _Signed:
        # 1
        core, roster = self._core, make_roster(members)
        head = CommunityHead(
            exchange=core.exchange,
            origin=before.head.origin if before else random_bytes(ID_BYTES),
            owner=core.me,
            epoch=before.head.epoch + 1 if before else 1,
            previous_sha256=before.head_sha256 if before else b"",
            terms=terms,
            publishers=tuple(sorted(party for party, (role, _) in members.items() if role is MemberRole.PUBLISHER)),
            members_root=tree_of(roster).root,
            members=0 if terms.visibility is Visibility.OWNER_ONLY else len(members),
            at_ms=core.clock(),
            salt=random_bytes(ID_BYTES),
        )
        work = partial(_sign_all, head, roster, core.keys.statement, core.me)
        return await asyncio.get_running_loop().run_in_executor(core.executor, work)

    async def _store(self, made: _Signed) -> Convened:
        # 2
        core, now_ms = self._core, self._core.clock()
        kept = kept_epoch(made.held, made.mine, EpochState.PENDING, now_ms)
        await core.database.write(partial(_place, kept=kept, others=made.others, now_ms=now_ms))
        self._communities.believe(made.held)
        self._on_change()
        return Convened(made.held, await self._wait(made.held, AgreementStatus.ACTIVE))

    async def _wait(self, held: HeldEpoch, status: AgreementStatus) -> int | None:
        """Wait a while until the directory gives an epoch this status, and return the entry that does."""
        trust = self._core.trust
        with suppress(TimeoutError):
            async with asyncio.timeout(self._core.timing.directory_wait_s):
                while True:
                    snapshot = trust.now
                    if snapshot.directory.agreement_status(held.shown, at_size=snapshot.size) is status:
                        return snapshot.directory.agreement_changed(held.shown)
                    await trust.changed()
        return None


def _check_change(
    me: PartyId,
    before: Mapping[PartyId, tuple[MemberRole, int]],
    after: Mapping[PartyId, tuple[MemberRole, int]],
    remove: Collection[PartyId],
) -> None:
    if me in remove or after.get(me, (None,))[0] is not MemberRole.PUBLISHER:
        raise BadInput("the owner is always a publisher of its community", hint="concord community end ID ends it")
    strangers = sorted(set(remove) - before.keys())
    if strangers:
        raise NotFound(f"{', '.join(strangers)} is no member", hint="concord community show ID")
    if before == after:
        raise Conflict("nothing would change", hint="concord community show ID")


def _sign_all(head: CommunityHead, roster: Roster, key: CompositeKey, me: PartyId) -> _Signed:
    """Sign a head and each membership, every one alone; some milliseconds each: run in a thread."""
    signed_head = sign(key, HEAD, encode_head(head), context=head.exchange)
    tree = tree_of(roster)
    memberships = {
        seat.member.party: CommunityMembership(
            signed_head, seat, tree.path(seat.index), roster if sees_roster(head, seat.member) else None
        )
        for seat in roster.seats
    }
    held = held_of(memberships[me], exchange=head.exchange, owner=me, me=me)
    signed = {
        party: sign(key, MEMBERSHIP, encode_membership(membership), context=head.exchange)
        for party, membership in memberships.items()
    }
    return _Signed(held, signed[me], {party: each for party, each in signed.items() if party != me})


def _place(connection: Connection, kept: KeptEpoch, others: Mapping[PartyId, Signed], now_ms: int) -> None:
    store.add_epoch(connection, kept)
    for party, signed in others.items():
        add_control(connection, signed, [party], lane=Lane.FLASH, now_ms=now_ms)
    items = [item_hash(signed.payload) for signed in others.values()]
    store.add_deliveries(connection, kept.shown, items)
