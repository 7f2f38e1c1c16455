"""The tree over the members of one epoch: making it, proving a seat, checking all of it.

Members stand at random places of 256, under salts that are new in every epoch, and dummies fill the rest. So a member's
path says neither who else is there nor how many, nor where anybody stood in the epoch before.
"""

from collections.abc import Mapping, Sequence

from exchange.crypto.random import random_bytes, random_places
from exchange.errors import BadProof, TooLarge, VerificationFailed
from exchange.limits import SLOTS
from exchange.merkle import Tree, filled_tree, leaf_hash, verify_inclusion
from exchange.names import ID_BYTES, PartyId
from exchange.policy.communities.codec import encode_member
from exchange.policy.communities.model import (
    MEMBERS_MOST,
    SEED_BYTES,
    CommunityHead,
    CommunityMember,
    MemberRole,
    Roster,
    Seat,
    Visibility,
)

_DUMMY_LABEL = b"concord/v1/community-dummy\x00"


def make_roster(members: Mapping[PartyId, tuple[MemberRole, int]]) -> Roster:
    """Return a roster of these members, each with its role and the epoch since which it has been one.

    Raises:
        TooLarge: more than a community can have.
    """
    if len(members) > MEMBERS_MOST:
        raise TooLarge(f"a community has at most {MEMBERS_MOST} members, not {len(members)}")
    seats = []
    for index, (party, (role, since)) in zip(random_places(len(members)), sorted(members.items()), strict=True):
        member = CommunityMember(party, role, since, random_bytes(ID_BYTES))
        seats.append(Seat(index, encode_member(member), member))
    return Roster(random_bytes(SEED_BYTES), tuple(sorted(seats, key=lambda seat: seat.index)))


def tree_of(roster: Roster) -> Tree:
    """Return the tree over all 256 places."""
    return filled_tree({seat.index: leaf_hash(seat.data) for seat in roster.seats}, SLOTS, _DUMMY_LABEL + roster.seed)


def check_seat(head: CommunityHead, seat: Seat, path: Sequence[bytes]) -> CommunityMember:
    """Return the member that a seat proves under the head's root.

    Raises:
        VerificationFailed: it does not stand there, or says something else than the head.
    """
    try:
        verify_inclusion(leaf_hash(seat.data), seat.index, SLOTS, path, head.members_root)
    except BadProof as error:
        raise VerificationFailed("the seat does not stand in the roster of the head") from error
    member = seat.member
    if member.since_epoch > head.epoch:
        raise VerificationFailed(f"a member since epoch {member.since_epoch} in epoch {head.epoch}")
    if (member.role is MemberRole.PUBLISHER) != (member.party in head.publishers):
        raise VerificationFailed("the seat and the head differ in who may publish")
    return member


def check_roster(head: CommunityHead, roster: Roster) -> Mapping[PartyId, CommunityMember]:
    """Return all members, by id, of a roster that makes the head's root and agrees with the head.

    Raises:
        VerificationFailed: another root, another count, other publishers, or one who is a member only later.
    """
    if tree_of(roster).root != head.members_root:
        raise VerificationFailed("the roster makes another root than the head has")
    members = roster.by_party
    if any(member.since_epoch > head.epoch for member in members.values()):
        raise VerificationFailed("the roster has a member of a later epoch")
    publishers = tuple(sorted(m.party for m in members.values() if m.role is MemberRole.PUBLISHER))
    if publishers != head.publishers:
        raise VerificationFailed("the roster and the head differ in who may publish")
    if head.terms.visibility is not Visibility.OWNER_ONLY and head.members != len(members):
        raise VerificationFailed(f"the head counts {head.members} members, the roster has {len(members)}")
    return members
