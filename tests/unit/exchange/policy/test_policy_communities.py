"""Communities: what their values refuse, what a membership proves, and what it tells nobody."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.crypto.signed import Signed, sign
from exchange.errors import BadInput, BadSignature, ExchangeError, MalformedInput, TooLarge, VerificationFailed
from exchange.names import ExchangeName, PartyId
from exchange.policy.communities.codec import (
    MEMBERSHIP_BYTES,
    decode_head,
    decode_member,
    decode_membership,
    decode_notice,
    encode_head,
    encode_member,
    encode_membership,
    encode_notice,
)
from exchange.policy.communities.model import (
    MEMBERS_MOST,
    CommunityMembership,
    CommunityNotice,
    CommunityTerms,
    HeldEpoch,
    History,
    MemberRole,
    Roster,
    Seat,
    Visibility,
    community_id,
    head_commitment,
    parse_via,
    shown_commitment,
    via_text,
)
from exchange.policy.communities.roster import check_roster, make_roster, tree_of
from exchange.policy.communities.verify import HEAD, MEMBERSHIP, NOTICE, open_membership, open_notice, shown_of
from exchange.policy.model import Category
from tests.support.communities import AGREEMENT, ORIGIN, a_head, a_roster, membership_of, signed_membership
from tests.support.directory_builders import composite
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, XC, XD

OWNER, STRANGER = composite("XA/statement"), composite("XB/statement")
ROSTER = a_roster((XA,), {XA: 1, XB: 1, XC: 1})
OPEN: dict[str, Any] = {"visibility": Visibility.MEMBERS}


def lookup(key_id: bytes) -> Any:
    """Give the owner's key, and no other."""
    return OWNER.public if key_id == OWNER.public.key_id else None


def opened(signed: Signed, *, me: PartyId = XB, owner: PartyId = XA) -> HeldEpoch:
    return open_membership(signed, lookup, exchange=EXCHANGE, from_party=owner, to_party=me)


def a_notice(**differs: Any) -> CommunityNotice:
    return replace(CommunityNotice(EXCHANGE, ORIGIN, XA, 1, bytes(32), NOW, bytes(16)), **differs)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "differs",
    [
        {"name": ""},
        {"name": " blank "},
        {"name": "line\nend"},
        {"agreement_id": bytes(15)},
        {"categories": (Category.TRAVEL, Category.CRIME)},
        {"about_any": False},
        {"about": ("PK",)},
        {"about_any": False, "about": ("PK", "ML")},
        {"about_any": False, "about": ("pk",)},
        {"history_from_ms": NOW},
        {"history": History.FROM_DATE},
        {"valid_until_ms": -1},
    ],
    ids=str,
)
def test_terms_that_contradict_themselves_cannot_exist(differs: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        CommunityTerms(**{"name": "Road watch", "agreement_id": AGREEMENT} | differs)


@pytest.mark.parametrize(
    "differs",
    [
        {"epoch": 0},
        {"epoch": 1 << 63},
        {"epoch": 2},
        {"previous_sha256": bytes(32)},
        {"epoch": 2, "previous_sha256": bytes(31)},
        {"publishers": ()},
        {"publishers": (XB,)},
        {"publishers": (XB, XA)},
        {"publishers": (XA, XA)},
        {"origin": b""},
        {"members_root": bytes(31)},
        {"members": 3},
        {"salt": bytes(8)},
        {"at_ms": 0},
    ],
    ids=str,
)
def test_heads_that_contradict_themselves_cannot_exist(differs: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_head(ROSTER), **differs)


def test_a_count_stands_there_exactly_when_others_may_know_it() -> None:
    assert a_head(ROSTER).members == 0
    assert a_head(ROSTER, visibility=Visibility.COUNT_ONLY).members == 3
    with pytest.raises(MalformedInput):
        replace(a_head(ROSTER, visibility=Visibility.COUNT_ONLY), members=0)


@pytest.mark.parametrize("differs", [{"epoch": 0}, {"commitment": bytes(31)}, {"origin": b""}, {"at_ms": 0}], ids=str)
def test_notices_that_contradict_themselves_cannot_exist(differs: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        a_notice(**differs)


def test_nobody_has_two_seats_and_no_seat_has_two_members() -> None:
    first, second, _ = ROSTER.seats
    for seats in ((first, replace(second, index=first.index)), (first, replace(first, index=9)), (second, first), ()):
        with pytest.raises(MalformedInput):
            Roster(ROSTER.seed, seats)


def test_bytes_and_values_say_the_same() -> None:
    head = a_head(
        ROSTER,
        epoch=2,
        visibility=Visibility.COUNT_ONLY,
        categories=(Category.CRIME, Category.TRAVEL),
        about_any=False,
        about=("ML", "PK"),
        valid_until_ms=NOW,
        history=History.FROM_DATE,
        history_from_ms=NOW - 1,
    )
    assert decode_head(encode_head(head)) == head
    for seat in ROSTER.seats:
        assert decode_member(seat.data) == seat.member
    signed = sign(OWNER, HEAD, encode_head(head), context=EXCHANGE)
    for whole in (True, False):
        membership = membership_of(signed, ROSTER, XB, whole=whole)
        assert decode_membership(encode_membership(membership)) == membership
    for notice in (a_notice(), a_notice(commitment=b"")):
        assert decode_notice(encode_notice(notice)) == notice


def test_the_largest_membership_fits_into_a_control_envelope() -> None:
    longest = [PartyId(f"X{chr(65 + n % 26)}." + f"{n:03d}".rjust(61, "x")) for n in range(MEMBERS_MOST)]
    roles = [MemberRole.PUBLISHER] * 32 + [MemberRole.MEMBER] * (MEMBERS_MOST - 32)
    roster = make_roster({party: (role, 1 << 62) for party, role in zip(longest, roles, strict=True)})
    places = tuple(sorted(f"{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(256)))
    publishers = tuple(sorted(longest[:32]))
    head = replace(
        a_head(ROSTER, name="n" * 128, about_any=False, about=places),
        epoch=1 << 62,
        previous_sha256=bytes(32),
        publishers=publishers,
        owner=publishers[0],
    )
    signed = sign(OWNER, HEAD, encode_head(head), context=EXCHANGE)
    data = encode_membership(membership_of(signed, roster, longest[0], whole=True))
    assert decode_membership(data).roster == roster
    assert len(data) < MEMBERSHIP_BYTES
    with pytest.raises(TooLarge):
        make_roster({PartyId(f"XA.{n}"): (MemberRole.MEMBER, 1) for n in range(MEMBERS_MOST + 1)})


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_communitys_id_belongs_to_its_owner_alone() -> None:
    assert community_id(ORIGIN, XA) != community_id(ORIGIN, XB)
    assert a_notice().community_id == a_head(ROSTER).community_id == community_id(ORIGIN, XA)


def test_what_the_directory_shows_of_two_epochs_of_one_head_or_of_two_communities_differs() -> None:
    one, other = community_id(ORIGIN, XA), community_id(ORIGIN, XB)
    shown = {shown_commitment(who, epoch, bytes(32)) for who in (one, other) for epoch in (1, 2)}
    assert len(shown) == 4
    head = a_head(ROSTER)
    data = encode_head(head)
    assert shown_of(head, data) == shown_commitment(one, 1, head_commitment(data, head.salt))


HEX = "aa" * 16
NO_VIA = ("", "@", "aa@1", f"{HEX}", f"{HEX}@0", f"{HEX}@01", f"{HEX}@1 ", f"{HEX}@{1 << 63}", f"{HEX}@\u0661")


@pytest.mark.parametrize("via", [*NO_VIA, f"{HEX.upper()}@1"])
def test_what_is_no_community_at_an_epoch_is_not_read_as_one(via: str) -> None:
    assert parse_via(via) is None


def test_a_via_says_community_and_epoch() -> None:
    assert parse_via(via_text(bytes([10]) * 16, 7)) == (bytes([10]) * 16, 7)
    assert parse_via(via_text(bytes(16), (1 << 63) - 1)) == (bytes(16), (1 << 63) - 1)


# -- memberships -------------------------------------------------------------------------------------------------------


def test_a_hidden_roster_shows_a_member_nothing_but_its_own_seat() -> None:
    held = opened(signed_membership(OWNER, a_head(ROSTER), ROSTER, XB))
    assert set(held.members) == {XB}
    assert not held.whole
    assert held.head.members == 0


def test_members_of_an_open_roster_and_publishers_see_all() -> None:
    held = opened(signed_membership(OWNER, a_head(ROSTER, **OPEN), ROSTER, XB))
    assert held.whole
    assert set(held.members) == {XA, XB, XC}
    publisher = opened(signed_membership(OWNER, a_head(ROSTER), ROSTER, XA), me=XA)
    assert publisher.whole


@pytest.mark.parametrize("count", [1, 2, 100, 255, 256])
def test_a_proof_tells_nothing_of_how_many_members_there_are(count: int) -> None:
    members = {PartyId(f"XA.m{n}"): (MemberRole.MEMBER, 1) for n in range(count)}
    roster = make_roster(members)
    tree = tree_of(roster)
    assert {len(tree.path(seat.index)) for seat in roster.seats} == {8}
    sizes = set()
    for seat in roster.seats[:1]:
        signed = sign(OWNER, HEAD, encode_head(a_head(ROSTER)), context=EXCHANGE)
        membership = CommunityMembership(signed, replace(seat, index=200), tree.path(seat.index), None)
        sizes.add(len(encode_membership(membership)) - len(seat.data))
    assert len(sizes) == 1


def test_two_rosters_of_the_same_members_have_nothing_in_common() -> None:
    members = dict.fromkeys((XA, XB, XC), (MemberRole.MEMBER, 1))
    one, other = make_roster(members), make_roster(members)
    assert not {seat.data for seat in one.seats} & {seat.data for seat in other.seats}
    assert tree_of(one).root != tree_of(other).root


def _other_roster() -> Signed:
    return signed_membership(OWNER, a_head(ROSTER), a_roster((XA,), {XA: 1, XB: 1}), XB)


def _hiding_somebody() -> Signed:
    whole = signed_membership(OWNER, a_head(ROSTER, **OPEN), ROSTER, XB)
    membership = decode_membership(whole.payload)
    fewer = replace(ROSTER, seats=tuple(seat for seat in ROSTER.seats if seat.member.party != XC))
    return sign(OWNER, MEMBERSHIP, encode_membership(replace(membership, roster=fewer)), context=EXCHANGE)


def _head_by_another() -> Signed:
    signed = sign(STRANGER, HEAD, encode_head(a_head(ROSTER)), context=EXCHANGE)
    return sign(OWNER, MEMBERSHIP, encode_membership(membership_of(signed, ROSTER, XB, whole=False)), context=EXCHANGE)


def _of_another_owner() -> Signed:
    roster = a_roster((XA, XB), dict.fromkeys((XA, XB, XC), 1))
    return signed_membership(OWNER, a_head(roster, owner=XB), roster, XB)


def _of_another_exchange_under_our_name() -> Signed:
    head = sign(OWNER, HEAD, encode_head(a_head(ROSTER, exchange=ExchangeName("other.example"))), context=EXCHANGE)
    return sign(OWNER, MEMBERSHIP, encode_membership(membership_of(head, ROSTER, XB, whole=False)), context=EXCHANGE)


def _hiding_somebody_from_a_publisher() -> Signed:
    roster = a_roster((XA, XB), {XA: 1, XB: 1, XC: 1})
    membership = decode_membership(signed_membership(OWNER, a_head(roster), roster, XB).payload)
    fewer = replace(roster, seats=tuple(seat for seat in roster.seats if seat.member.party != XC))
    return sign(OWNER, MEMBERSHIP, encode_membership(replace(membership, roster=fewer)), context=EXCHANGE)


def _publisher_in_the_head_only() -> Signed:
    head = replace(a_head(ROSTER), publishers=(XA, XB))
    return signed_membership(OWNER, head, ROSTER, XB, whole=False)


def _wrong_count() -> Signed:
    return signed_membership(OWNER, replace(a_head(ROSTER, **OPEN), members=4), ROSTER, XB)


def _sits_elsewhere() -> Signed:
    membership = decode_membership(signed_membership(OWNER, a_head(ROSTER), ROSTER, XB).payload)
    moved = replace(membership, seat=replace(membership.seat, index=membership.seat.index ^ 1))
    return sign(OWNER, MEMBERSHIP, encode_membership(moved), context=EXCHANGE)


def _from_the_future() -> Signed:
    roster = a_roster((XA,), {XA: 1, XB: 9})
    return signed_membership(OWNER, a_head(roster, epoch=2), roster, XB)


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: signed_membership(STRANGER, a_head(ROSTER), ROSTER, XB), BadSignature),
        (_head_by_another, BadSignature),
        (
            lambda: signed_membership(OWNER, a_head(ROSTER, exchange=ExchangeName("other.example")), ROSTER, XB),
            BadSignature,
        ),
        (_of_another_owner, VerificationFailed),
        (_of_another_exchange_under_our_name, VerificationFailed),
        (lambda: signed_membership(OWNER, a_head(ROSTER), ROSTER, XC), VerificationFailed),
        (lambda: signed_membership(OWNER, a_head(ROSTER), ROSTER, XB, whole=True), VerificationFailed),
        (lambda: signed_membership(OWNER, a_head(ROSTER, **OPEN), ROSTER, XB, whole=False), VerificationFailed),
        (_other_roster, VerificationFailed),
        (_hiding_somebody, VerificationFailed),
        (_hiding_somebody_from_a_publisher, VerificationFailed),
        (_publisher_in_the_head_only, VerificationFailed),
        (_wrong_count, VerificationFailed),
        (_sits_elsewhere, VerificationFailed),
        (_from_the_future, VerificationFailed),
    ],
    ids=[
        "signed by another",
        "head signed by another",
        "another exchange",
        "another owner",
        "another exchange, signed for ours",
        "another's seat",
        "a roster that it may not see",
        "no roster",
        "another roster",
        "somebody is hidden",
        "somebody is hidden from a publisher",
        "publishers differ",
        "count differs",
        "another place",
        "a later epoch",
    ],
)
def test_a_membership_that_does_not_hold_is_refused(make: Callable[[], Signed], error: type[ExchangeError]) -> None:
    with pytest.raises(error):
        opened(make())


def test_a_roster_with_a_member_of_a_later_epoch_is_refused() -> None:
    later = a_roster((XA,), {XA: 1, XB: 1, XC: 5})
    with pytest.raises(VerificationFailed):
        check_roster(a_head(later), later)
    both = a_roster((XA, XC), {XA: 1, XB: 1, XC: 1})
    with pytest.raises(VerificationFailed):
        check_roster(replace(a_head(both), publishers=(XA,)), both)


def test_a_notice_holds_for_its_owner_alone() -> None:
    signed = sign(OWNER, NOTICE, encode_notice(a_notice()), context=EXCHANGE)
    assert open_notice(signed, lookup, exchange=EXCHANGE, owner=XA) == a_notice()
    with pytest.raises(VerificationFailed):
        open_notice(signed, lookup, exchange=EXCHANGE, owner=XB)
    with pytest.raises(BadSignature):
        open_notice(
            sign(STRANGER, NOTICE, encode_notice(a_notice()), context=EXCHANGE), lookup, exchange=EXCHANGE, owner=XA
        )
    elsewhere = encode_notice(a_notice(exchange=ExchangeName("other.example")))
    with pytest.raises(VerificationFailed):
        open_notice(sign(OWNER, NOTICE, elsewhere, context=EXCHANGE), lookup, exchange=EXCHANGE, owner=XA)


def test_seats_lie_below_256() -> None:
    with pytest.raises(MalformedInput):
        Seat(256, encode_member(ROSTER.seats[0].member), ROSTER.seats[0].member)
    assert XD not in ROSTER.by_party
