"""The part of NodeService that is about communities: create, change, end, list, show."""

from collections.abc import Sequence
from typing import TypeVar

from exchange.directory.statements import AgreementStatus
from exchange.errors import BadInput, BadName, Conflict, MalformedInput, NotFound
from exchange.names import ID_BYTES, PartyId, party_id
from exchange.policy.communities.model import (
    CommunityMember,
    CommunityTerms,
    HeldEpoch,
    History,
    MemberRole,
    Visibility,
)
from exchange.policy.model import Category, Vocabulary
from nodes.communities import newest_of
from nodes.convening import Convening
from nodes.core import Core
from nodes.store import communities as store
from nodes.trust import Snapshot
from nodes.v1 import community_pb2 as pb

ID_LEAST = 6
"""So many digits of an id name a community."""

V = TypeVar("V", bound=Vocabulary)


class CommunityMethods:
    """Communities, as NodeService has them."""

    def __init__(self, core: Core, convening: Convening) -> None:
        """Call these use cases."""
        self._core = core
        self._convening = convening

    async def create(self, request: pb.CreateCommunityRequest) -> pb.CreateCommunityResponse:
        """Make a community."""
        roles = _roles(request.members, request.publishers)
        convened = await self._convening.create(_terms(request), roles)
        return pb.CreateCommunityResponse(community=await self._community(convened.held.head.community_id))

    async def change(self, request: pb.ChangeCommunityRequest) -> pb.ChangeCommunityResponse:
        """Make a new epoch."""
        community = self._find(request.id)
        add = _roles(request.members, request.publishers)
        remove = [party_id(name) for name in request.remove]
        both = sorted(add.keys() & set(remove))
        if both:
            raise BadInput(f"{', '.join(both)} cannot be added and removed at once")
        await self._convening.change(community, add=add, remove=remove)
        return pb.ChangeCommunityResponse(community=await self._community(community))

    async def end(self, request: pb.EndCommunityRequest) -> pb.EndCommunityResponse:
        """End a community."""
        community = self._find(request.id)
        await self._convening.end(community)
        return pb.EndCommunityResponse(community=await self._community(community))

    async def list_(self) -> pb.ListCommunitiesResponse:
        """List the communities of which this party is a member, by name."""
        found = [await self._community(community) for community in self._core.trust.now.communities]
        return pb.ListCommunitiesResponse(communities=sorted(found, key=lambda each: (each.name, each.id)))

    async def show(self, request: pb.ShowCommunityRequest) -> pb.ShowCommunityResponse:
        """Show one community."""
        return pb.ShowCommunityResponse(community=await self._community(self._find(request.id)))

    def _find(self, text: str) -> bytes:
        """Return the id that a name, an id or the beginning of one means."""
        begins = text.lower() if len(text) >= ID_LEAST else None
        found = [
            community
            for community, epochs in self._core.trust.now.communities.items()
            if newest_of(epochs).head.terms.name == text or (begins and community.hex().startswith(begins))
        ]
        if len(found) > 1:
            raise Conflict(f"{text[:80]!r} names several communities", hint="give more of the id")
        if not found:
            raise NotFound(f"no community {text[:80]!r}", hint="concord community list")
        return found[0]

    async def _community(self, community: bytes) -> pb.Community:
        core = self._core
        snapshot = core.trust.now
        epochs = snapshot.communities[community]
        held, status = _standing(snapshot, epochs, core.clock())
        newest = newest_of(epochs)
        head, mine = held.head, held.members[core.me]
        since = snapshot.directory.agreement_since(held.shown)
        return pb.Community(
            id=community.hex(),
            name=head.terms.name,
            owner=head.owner,
            status=status,
            epoch=head.epoch,
            newest_epoch=newest.head.epoch,
            shown_at=0 if since is None else since + 1,
            role=mine.role.word,
            members=len(held.members) if held.whole else head.members,
            roster=_roster(snapshot, held),
            publishers=head.publishers,
            visibility=head.terms.visibility.word,
            agreement=head.terms.agreement_id.hex(),
            categories=[category.word for category in head.terms.categories],
            about=head.terms.about,
            valid_until_ms=head.terms.valid_until_ms,
            history=head.terms.history.word,
            history_from_ms=head.terms.history_from_ms,
            warnings=await self._warnings(snapshot, newest, status),
        )

    async def _warnings(self, snapshot: Snapshot, newest: HeldEpoch, status: str) -> list[str]:
        """Return what an owner should look at; nothing at other members."""
        if newest.head.owner != self._core.me or status == "ended":
            return []
        warnings = [
            f"{each.party} is {each.status} and gets nothing: concord community remove takes it out"
            for each in _roster(snapshot, newest)
            if each.status != "admitted"
        ]
        if snapshot.directory.agreement_since(newest.shown) is None:
            moving = await self._core.database.read(lambda connection: store.on_the_way(connection, newest.shown))
            what = f"{moving} memberships are on their way" if moving else "the relay has not shown it"
            warnings.append(f"epoch {newest.head.epoch} is not in force yet: {what}")
        return warnings


def _standing(snapshot: Snapshot, epochs: Sequence[HeldEpoch], now_ms: int) -> tuple[HeldEpoch, str]:
    """Return the epoch that says what a community is, and how it stands."""
    statuses = {each.shown: snapshot.directory.agreement_status(each.shown, at_size=snapshot.size) for each in epochs}
    for held in sorted(epochs, key=lambda each: each.head.epoch, reverse=True):
        if statuses[held.shown] is AgreementStatus.ACTIVE:
            if 0 < held.head.terms.valid_until_ms <= now_ms:
                return held, "lapsed"
            return held, "active" if snapshot.status(held.head.owner) == "admitted" else "stopped"
    shown = [each for each in epochs if statuses[each.shown] is not None]
    return (newest_of(shown), "ended") if shown else (newest_of(epochs), "pending")


def _roster(snapshot: Snapshot, held: HeldEpoch) -> list[pb.CommunityMember]:
    """Return the members that this node may know, by id."""

    def shown(member: CommunityMember) -> pb.CommunityMember:
        status = snapshot.status(member.party)
        return pb.CommunityMember(
            party=member.party,
            role=member.role.word,
            since_epoch=member.since_epoch,
            status=status.value if status else "",
        )

    return [shown(member) for _, member in sorted(held.members.items())]


def _roles(members: Sequence[str], publishers: Sequence[str]) -> dict[PartyId, MemberRole]:
    roles: dict[PartyId, MemberRole] = {}
    for names, role in ((members, MemberRole.MEMBER), (publishers, MemberRole.PUBLISHER)):
        for name in names:
            if roles.get(party_id(name), role) is not role:
                raise BadInput(f"{name} cannot be member and publisher at once", hint="a publisher receives as well")
            roles[party_id(name)] = role
    return roles


def _terms(request: pb.CreateCommunityRequest) -> CommunityTerms:
    try:
        agreement = bytes.fromhex(request.agreement)
    except ValueError:
        agreement = b""
    if len(agreement) != ID_BYTES:
        raise BadName(f"{request.agreement[:80]!r} is no agreement's id", hint="concord agreement list")
    try:
        return CommunityTerms(
            name=request.name,
            agreement_id=agreement,
            visibility=_word(Visibility, request.visibility or Visibility.OWNER_ONLY.word, "--visibility"),
            categories=tuple(sorted({_word(Category, word, "--category") for word in request.categories})),
            about_any=not request.about,
            about=tuple(sorted(set(request.about))),
            valid_until_ms=request.valid_until_ms,
            history=_word(History, request.history or History.NONE.word, "--history"),
            history_from_ms=request.history_from_ms,
        )
    except MalformedInput as error:
        raise BadInput(str(error), hint="concord community create --help") from error


def _word(vocabulary: type[V], text: str, what: str) -> V:
    """Return the word of a vocabulary, or raise BadInput with the words that there are."""
    for member in vocabulary:
        if member.word == text:
            return member
    words = ", ".join(member.word for member in vocabulary)
    raise BadInput(f"{text[:80]!r} is not known", place=what, hint=f"one of {words}")
