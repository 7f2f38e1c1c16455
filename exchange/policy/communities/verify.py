"""From signed bytes to an epoch that is known here, and to a notice that the relay may act on.

Opening a membership checks, in this order:
1. its signature, under a statement key of the partner that sent it (BadSignature)
2. its form: canonical, within its limits (BadInput)
3. the head inside: signed by the same partner, who is the owner, for this exchange
4. the seat: mine, under the head's root, and no other than the head says
5. the roster: there exactly when I may see it, and it makes the same root
"""

from collections.abc import Mapping
from hashlib import sha256

from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verify_signed
from exchange.errors import VerificationFailed
from exchange.names import ExchangeName, PartyId
from exchange.policy.communities.codec import decode_head, decode_membership, decode_notice
from exchange.policy.communities.model import (
    CommunityHead,
    CommunityMember,
    CommunityMembership,
    CommunityNotice,
    HeldEpoch,
    MemberRole,
    Visibility,
    head_commitment,
    shown_commitment,
)
from exchange.policy.communities.roster import check_roster, check_seat

HEAD = "community-head"
MEMBERSHIP = "community-membership"
NOTICE = "community-notice"


def open_membership(
    signed: Signed,
    lookup: KeyLookup,
    *,
    exchange: ExchangeName,
    from_party: PartyId,
    to_party: PartyId,
    seen: VerifiedRoots | None = None,
) -> HeldEpoch:
    """Return the epoch of which `from_party` made `to_party` a member; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: it does not hold; see above.
    """
    # 1
    payload = verify_signed(signed, lookup, expected_type=MEMBERSHIP, context=exchange, seen=seen)
    # 2
    membership = decode_membership(payload)
    # 3
    verify_signed(membership.head, lookup, expected_type=HEAD, context=exchange, seen=seen)
    # 3 to 5
    return held_of(membership, exchange=exchange, owner=from_party, me=to_party)


def held_of(membership: CommunityMembership, *, exchange: ExchangeName, owner: PartyId, me: PartyId) -> HeldEpoch:
    """Return the epoch of a membership whose signatures were verified, now or when it was stored.

    Raises:
        VerificationFailed, BadInput: another exchange's, another owner's, not mine, or it contradicts itself.
    """
    # 3
    head = decode_head(membership.head.payload)
    if head.exchange != exchange:
        raise VerificationFailed("the community is of another exchange")
    if head.owner != owner:
        raise VerificationFailed(f"a community of {head.owner} that {owner} speaks for")
    # 4
    mine = check_seat(head, membership.seat, membership.path)
    if mine.party != me:
        raise VerificationFailed("the seat is another partner's")
    # 5
    members = _members(head, membership, mine)
    return HeldEpoch(
        head=head,
        head_sha256=sha256(membership.head.payload).digest(),
        shown=shown_of(head, membership.head.payload),
        members=members,
        whole=membership.roster is not None,
    )


def _members(
    head: CommunityHead, membership: CommunityMembership, mine: CommunityMember
) -> Mapping[PartyId, CommunityMember]:
    sees = sees_roster(head, mine)
    if membership.roster is None:
        if sees:
            raise VerificationFailed("the roster is missing")
        return {mine.party: mine}
    if not sees:
        raise VerificationFailed("a roster that is not for this member")
    # It makes the root under which my seat stands, so my seat is in it.
    return check_roster(head, membership.roster)


def sees_roster(head: CommunityHead, member: CommunityMember) -> bool:
    """Say whether a member gets the roster: a publisher must, because it seals for each of them."""
    return head.terms.visibility is Visibility.MEMBERS or member.role is MemberRole.PUBLISHER


def shown_of(head: CommunityHead, head_bytes: bytes) -> bytes:
    """Return what the directory shows of a head."""
    return shown_commitment(head.community_id, head.epoch, head_commitment(head_bytes, head.salt))


def open_notice(signed: Signed, lookup: KeyLookup, *, exchange: ExchangeName, owner: PartyId) -> CommunityNotice:
    """Return the notice that `owner` signed; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: it does not hold.
    """
    notice = decode_notice(verify_signed(signed, lookup, expected_type=NOTICE, context=exchange))
    if notice.exchange != exchange:
        raise VerificationFailed("the notice is of another exchange")
    if notice.owner != owner:
        raise VerificationFailed(f"a notice of {notice.owner} that {owner} brings")
    return notice
