"""Communities for tests: heads, rosters and epochs, each with something to differ in."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey
from exchange.names import ExchangeName, PartyId
from exchange.policy.communities.codec import encode_head, encode_member, encode_membership
from exchange.policy.communities.model import (
    CommunityHead,
    CommunityMember,
    CommunityMembership,
    CommunityTerms,
    EpochInForce,
    HeldEpoch,
    MemberRole,
    Roster,
    Seat,
    Visibility,
)
from exchange.policy.communities.roster import tree_of
from exchange.policy.communities.verify import HEAD, MEMBERSHIP, sees_roster, shown_of
from exchange.policy.terms import AgreementStatus
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, XC

ORIGIN = bytes([9]) * 16
AGREEMENT = bytes([1]) * 16
"""Of the usual agreement of policy_builders."""


def a_roster(publishers: Iterable[PartyId], members: Mapping[PartyId, int]) -> Roster:
    """A roster of `members`, each with the epoch since which it is one; the same in every run, unlike a real one."""
    chosen, seats = set(publishers), []
    for place, (party, since) in enumerate(sorted(members.items())):
        role = MemberRole.PUBLISHER if party in chosen else MemberRole.MEMBER
        member = CommunityMember(party, role, since, bytes([place]) * 16)
        seats.append(Seat(7 * place, encode_member(member), member))
    return Roster(bytes(32), tuple(seats))


def a_head(
    roster: Roster,
    *,
    owner: PartyId = XA,
    epoch: int = 1,
    previous: bytes = b"",
    exchange: ExchangeName = EXCHANGE,
    salt: bytes = bytes(16),
    **terms: Any,
) -> CommunityHead:
    """The head of an epoch with this roster."""
    made = CommunityTerms(**{"name": "Road watch", "agreement_id": AGREEMENT} | terms)
    hidden = made.visibility is Visibility.OWNER_ONLY
    return CommunityHead(
        exchange=exchange,
        origin=ORIGIN,
        owner=owner,
        epoch=epoch,
        previous_sha256=previous or (b"" if epoch == 1 else bytes(32)),
        terms=made,
        publishers=tuple(sorted(m.party for m in roster.by_party.values() if m.role is MemberRole.PUBLISHER)),
        members_root=tree_of(roster).root,
        members=0 if hidden else len(roster.seats),
        at_ms=NOW,
        salt=salt,
    )


def an_epoch(
    members: Mapping[PartyId, int] | None = None,
    *,
    publishers: Iterable[PartyId] = (XA,),
    seen_by: PartyId | None = None,
    epoch: int = 1,
    status: AgreementStatus | None = AgreementStatus.ACTIVE,
    **differs: Any,
) -> EpochInForce:
    """An epoch of a community of XA with XB and XC; `seen_by` one member, or whole."""
    roster = a_roster(publishers, members or dict.fromkeys((XA, XB, XC), 1))
    head = a_head(roster, epoch=epoch, **differs)
    data = encode_head(head)
    all_ = roster.by_party
    seen = all_ if seen_by is None else {party: member for party, member in all_.items() if party == seen_by}
    held = HeldEpoch(head, sha256(data).digest(), shown_of(head, data), seen, seen_by is None)
    return EpochInForce(epoch, status, head.owner, held)


def at_the_relay(*epochs: EpochInForce) -> list[EpochInForce]:
    """What the relay knows of these epochs."""
    return [EpochInForce(each.epoch, each.status, each.owner) for each in epochs]


def membership_of(head: Signed, roster: Roster, party: PartyId, *, whole: bool) -> CommunityMembership:
    """The membership of one party in a roster."""
    seat = next(seat for seat in roster.seats if seat.member.party == party)
    return CommunityMembership(head, seat, tree_of(roster).path(seat.index), roster if whole else None)


def signed_membership(
    key: CompositeKey, head: CommunityHead, roster: Roster, party: PartyId, *, whole: bool | None = None
) -> Signed:
    """What an owner sends to one member; with its roster exactly when the rules say so, or as `whole` says."""
    signed = sign(key, HEAD, encode_head(head), context=head.exchange)
    sees = sees_roster(head, roster.by_party[party])
    made = membership_of(signed, roster, party, whole=sees if whole is None else whole)
    return sign(key, MEMBERSHIP, encode_membership(made), context=head.exchange)
