"""Heads, members, memberships and notices of communities as bytes (protos/exchange/v1/community.proto).

Only the one canonical encoding is accepted, under a named limit; the values check themselves (model.py).
All raise BadInput: MalformedInput or TooLarge.
"""

from exchange.crypto.codec import signed_from_proto, signed_to_proto
from exchange.errors import BadName, MalformedInput
from exchange.limits import KIB
from exchange.names import ExchangeName, exchange_name
from exchange.policy import shape
from exchange.policy.communities.model import (
    CommunityHead,
    CommunityMember,
    CommunityMembership,
    CommunityNotice,
    CommunityTerms,
    History,
    MemberRole,
    Roster,
    Seat,
    Visibility,
)
from exchange.policy.model import Category
from exchange.v1 import community_pb2 as pb
from exchange.v1 import policy_pb2
from exchange.wire import serialise, strict_parse

HEAD_BYTES = 8 * KIB
MEMBER_BYTES = 128
MEMBERSHIP_BYTES = 56 * KIB
"""256 members with the longest ids; with its signature still a control envelope of 64 KiB."""

NOTICE_BYTES = 512


def encode_head(head: CommunityHead) -> bytes:
    """Return the payload of a `community-head`."""
    terms = head.terms
    return serialise(
        pb.CommunityHead(
            exchange=head.exchange,
            origin=head.origin,
            owner=head.owner,
            epoch=head.epoch,
            previous_sha256=head.previous_sha256,
            terms=pb.CommunityTerms(
                name=terms.name,
                agreement_id=terms.agreement_id,
                visibility=pb.CommunityVisibility.ValueType(terms.visibility),
                categories=[policy_pb2.Category.ValueType(category) for category in terms.categories],
                about_any=terms.about_any,
                about=terms.about,
                valid_until_ms=terms.valid_until_ms,
                history=pb.CommunityHistory.ValueType(terms.history),
                history_from_ms=terms.history_from_ms,
            ),
            publishers=head.publishers,
            members_root=head.members_root,
            members=head.members,
            at_ms=head.at_ms,
            salt=head.salt,
        )
    )


def decode_head(data: bytes) -> CommunityHead:
    """Return the head of a payload."""
    m = strict_parse(pb.CommunityHead, data, limit=HEAD_BYTES, what="a community's head")
    if not m.HasField("terms"):
        raise MalformedInput("community: terms are missing")
    return CommunityHead(
        exchange=_exchange(m.exchange),
        origin=m.origin,
        owner=shape.party(m.owner, "community: owner"),
        epoch=m.epoch,
        previous_sha256=m.previous_sha256,
        terms=_terms(m.terms),
        publishers=tuple(shape.party(party, "community: publisher") for party in m.publishers),
        members_root=m.members_root,
        members=m.members,
        at_ms=m.at_ms,
        salt=m.salt,
    )


def _terms(m: pb.CommunityTerms) -> CommunityTerms:
    return CommunityTerms(
        name=m.name,
        agreement_id=m.agreement_id,
        visibility=shape.member(Visibility, m.visibility, "community: visibility"),
        categories=shape.members(Category, m.categories, "community: categories"),
        about_any=m.about_any,
        about=tuple(m.about),
        valid_until_ms=m.valid_until_ms,
        history=shape.member(History, m.history, "community: history"),
        history_from_ms=m.history_from_ms,
    )


def encode_member(member: CommunityMember) -> bytes:
    """Return the bytes of a member that are hashed."""
    return serialise(
        pb.CommunityMember(
            party=member.party,
            role=pb.CommunityRole.ValueType(member.role),
            since_epoch=member.since_epoch,
            salt=member.salt,
        )
    )


def decode_member(data: bytes) -> CommunityMember:
    """Return the member of these bytes."""
    m = strict_parse(pb.CommunityMember, data, limit=MEMBER_BYTES, what="a community's member")
    role = shape.member(MemberRole, m.role, "member: role")
    return CommunityMember(shape.party(m.party, "member: party"), role, m.since_epoch, m.salt)


def encode_membership(membership: CommunityMembership) -> bytes:
    """Return the payload of a `community-membership`."""
    roster = membership.roster
    message = pb.CommunityMembership(
        head=signed_to_proto(membership.head), seat=_seat_to_proto(membership.seat), path=membership.path
    )
    if roster is not None:
        seats = [_seat_to_proto(seat) for seat in roster.seats]
        message.roster.CopyFrom(pb.CommunityRoster(seed=roster.seed, seats=seats))
    return serialise(message)


def decode_membership(data: bytes) -> CommunityMembership:
    """Return the membership of a payload."""
    m = strict_parse(pb.CommunityMembership, data, limit=MEMBERSHIP_BYTES, what="a membership")
    return CommunityMembership(
        head=signed_from_proto(m.head, what="a community's head"),
        seat=_seat(m.seat),
        path=tuple(m.path),
        roster=Roster(m.roster.seed, tuple(_seat(seat) for seat in m.roster.seats)) if m.HasField("roster") else None,
    )


def _seat_to_proto(seat: Seat) -> pb.CommunitySeat:
    return pb.CommunitySeat(index=seat.index, member=seat.data)


def _seat(m: pb.CommunitySeat) -> Seat:
    return Seat(m.index, m.member, decode_member(m.member))


def encode_notice(notice: CommunityNotice) -> bytes:
    """Return the payload of a `community-notice`."""
    return serialise(
        pb.CommunityNotice(
            exchange=notice.exchange,
            origin=notice.origin,
            owner=notice.owner,
            epoch=notice.epoch,
            commitment=notice.commitment,
            at_ms=notice.at_ms,
            salt=notice.salt,
        )
    )


def decode_notice(data: bytes) -> CommunityNotice:
    """Return the notice of a payload."""
    m = strict_parse(pb.CommunityNotice, data, limit=NOTICE_BYTES, what="a community's notice")
    return CommunityNotice(
        exchange=_exchange(m.exchange),
        origin=m.origin,
        owner=shape.party(m.owner, "notice: owner"),
        epoch=m.epoch,
        commitment=m.commitment,
        at_ms=m.at_ms,
        salt=m.salt,
    )


def _exchange(name: str) -> ExchangeName:
    try:
        return exchange_name(name)
    except BadName as error:
        raise MalformedInput("not an exchange name") from error
