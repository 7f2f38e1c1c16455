"""What must hold of communities over rosters and releases that nobody thought of, and of whatever bytes arrive."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.errors import BadInput
from exchange.names import PartyId
from exchange.policy.communities import codec
from exchange.policy.communities.model import (
    CommunityNotice,
    EpochInForce,
    History,
    MemberRole,
    community_id,
    parse_via,
)
from exchange.policy.communities.roster import check_roster, check_seat, make_roster, tree_of
from exchange.policy.decide import Item, Role, Rules, Slot, decide, decide_slots, who_gets
from exchange.policy.model import CommunityTarget, Release, Target
from exchange.policy.terms import AgreementStatus
from tests.support.communities import ORIGIN, a_head, a_roster, an_epoch, at_the_relay, signed_membership
from tests.support.directory_builders import composite
from tests.support.policy_builders import (
    EXCHANGE,
    NOW,
    XA,
    XB,
    XC,
    XD,
    a_label,
    a_release,
    an_agreement,
    at_relay,
    rules,
)

COMMUNITY = community_id(ORIGIN, XA)
PARTIES = (XA, XB, XC, XD)
OTHERS = (XB, XC, XD)
ENDED = AgreementStatus.TERMINATED


def subset(values: tuple[Any, ...], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    found = st.sets(st.sampled_from(values), min_size=least) if values else st.just(set())
    return found.map(lambda chosen: tuple(sorted(chosen)))


@st.composite
def histories(draw: st.DrawFn) -> list[EpochInForce]:
    """A community's life: members come and go; the last epoch is in force, or awaited by the one before."""
    epochs: list[EpochInForce] = []
    since: dict[PartyId, int] = {}
    for epoch in range(1, draw(st.integers(1, 4)) + 1):
        members = {XA, *draw(subset(OTHERS))}
        since = {party: since.get(party, epoch) for party in members}
        history = draw(st.sampled_from(History))
        terms: dict[str, Any] = {"history": history, "history_from_ms": NOW if history is History.FROM_DATE else 0}
        publishers = (XA, *draw(subset(tuple(sorted(members - {XA})))))
        epochs.append(an_epoch(since, publishers=publishers, epoch=epoch, status=ENDED, **terms))
    active = len(epochs) - draw(st.sampled_from([0, 0, 1]))
    return [
        replace(each, status=AgreementStatus.ACTIVE if each.epoch == active else None if each.epoch > active else ENDED)
        for each in epochs
    ]


@st.composite
def releases(draw: st.DrawFn) -> Release:
    communities = [Target(community=CommunityTarget(COMMUNITY, epoch)) for epoch in (1, 2, 3)]
    unknown = [Target(community=CommunityTarget(COMMUNITY, 9)), Target(community=CommunityTarget(bytes(16), 1))]
    targets = draw(st.sets(st.sampled_from([*communities, *unknown, *(Target(partner=party) for party in OTHERS)])))
    return Release(tuple(sorted(targets, key=lambda each: each.sort_key)), draw(subset(PARTIES)), salt=bytes(16))


AGREED = an_agreement(parties=PARTIES)


def world(epochs: list[EpochInForce]) -> Rules:
    return rules(AGREED, communities={COMMUNITY: epochs})


def reached(release: Release, given: Rules, authored_ms: int = NOW) -> dict[PartyId, str]:
    """Return who gets it, and by way of what."""
    item = Item.to_send(a_label(), release, authored_ms=authored_ms)
    found = who_gets(item, sender=XA, rules=given, now_ms=NOW)
    return {party: decision.via for party, decision in found if decision.permit}


def seen_by(epochs: list[EpochInForce], party: PartyId) -> list[EpochInForce]:
    """Return what a plain member knows: the epochs of which it was one, and in them itself."""
    return [
        replace(each, held=replace(each.held, members={party: each.held.members[party]}))
        for each in epochs
        if each.held is not None and party in each.held.members
    ]


@settings(max_examples=100)
@given(histories(), releases(), st.sampled_from([NOW - 1, NOW]))
def test_who_is_excluded_never_receives_whatever_communities_it_is_in(
    epochs: list[EpochInForce], release: Release, authored_ms: int
) -> None:
    """Invariant 5: a party in `except` never receives, whatever groups it is in."""
    assert not reached(release, world(epochs), authored_ms).keys() & set(release.except_)


@settings(max_examples=100)
@given(histories(), releases(), st.sampled_from(OTHERS), st.sampled_from([None, AgreementStatus.ACTIVE]))
def test_a_removal_never_adds_anybody_and_takes_away_whoever_was_not_addressed_itself(
    epochs: list[EpochInForce], release: Release, gone: PartyId, status: AgreementStatus | None
) -> None:
    """Invariant 6: a removed member cannot open any item wrapped after the epoch change, for it gets no slot."""
    last = epochs[-1]
    assert last.held is not None
    left = {party: member.since_epoch for party, member in last.held.members.items() if party != gone}
    publishers = [party for party in last.held.head.publishers if party != gone]
    terms: dict[str, Any] = {
        "history": last.held.head.terms.history,
        "history_from_ms": last.held.head.terms.history_from_ms,
    }
    removal = an_epoch(left, publishers=publishers, epoch=last.epoch + 1, status=status, **terms)
    before = [replace(each, status=ENDED) for each in epochs] if status else epochs
    # Naming an epoch before there is one reaches nobody, until there is.
    known = [each for each in release.to if each.community is None or each.community.epoch != removal.epoch]
    release = replace(release, to=tuple(known))
    # When the removal comes into force, so does what an epoch before it that was still awaited had changed.
    usual = reached(release, world(epochs if status is None else _in_force(epochs)))
    after = reached(release, world([*before, removal]))
    assert after.keys() <= usual.keys()
    named = {target.partner for target in release.to}
    assert gone not in after or gone in named


def _in_force(epochs: list[EpochInForce]) -> list[EpochInForce]:
    *before, last = epochs
    return [*(replace(each, status=ENDED) for each in before), replace(last, status=AgreementStatus.ACTIVE)]


@settings(max_examples=50)
@given(histories())
def test_an_epoch_that_is_not_known_or_not_in_force_reaches_nobody(epochs: list[EpochInForce]) -> None:
    for release in (
        a_release(to=(Target(community=CommunityTarget(COMMUNITY, 9)),)),
        a_release(to=(Target(community=CommunityTarget(bytes(16), 1)),)),
    ):
        assert not reached(release, world(epochs))
    over = [replace(each, status=ENDED) for each in epochs]
    assert not reached(a_release(to=(Target(community=CommunityTarget(COMMUNITY, 1)),)), world(over))


@settings(max_examples=100)
@given(histories(), releases(), st.sampled_from([NOW - 1, NOW]))
def test_what_goes_by_way_of_a_community_relay_and_recipient_permit(
    epochs: list[EpochInForce], release: Release, authored_ms: int
) -> None:
    for party, via in reached(release, world(epochs), authored_ms).items():
        slot = Slot(AGREED.ref, via)
        relay = rules(AGREED, communities={COMMUNITY: at_the_relay(*epochs)})
        (decided,) = decide_slots(at_relay(a_label(), None), [(party, slot)], sender=XA, rules=relay, now_ms=NOW)
        theirs = rules(AGREED, communities={COMMUNITY: seen_by(epochs, party)})
        item = Item.received(a_label(), slot, intact=True)
        there = decide(item, sender=XA, recipient=party, rules=theirs, now_ms=NOW, role=Role.RECIPIENT)
        assert decided.permit
        assert there.permit
        assert bool(via) == (party not in {target.partner for target in release.to})


@settings(max_examples=100)
@given(histories(), releases(), st.sampled_from([NOW - 1, NOW]), st.sampled_from(OTHERS))
def test_no_recipient_takes_by_way_of_an_epoch_that_is_not_in_force_or_not_its_own(
    epochs: list[EpochInForce], release: Release, authored_ms: int, party: PartyId
) -> None:
    """Invariant 6: a removed member cannot open any item wrapped after the epoch change, nor take by way of it."""
    for each in epochs:
        slot = Slot(AGREED.ref, f"{COMMUNITY.hex()}@{each.epoch}")
        theirs = rules(AGREED, communities={COMMUNITY: seen_by(epochs, party)})
        item = Item.received(a_label(), slot, intact=True)
        there = decide(item, sender=XA, recipient=party, rules=theirs, now_ms=NOW, role=Role.RECIPIENT)
        member = each.held is not None and party in each.held.members
        assert there.permit == (member and each.status is AgreementStatus.ACTIVE)


@settings(max_examples=25)
@given(st.dictionaries(st.integers(0, 400), st.sampled_from(MemberRole), min_size=1, max_size=256))
def test_every_seat_proves_itself_and_says_nothing_of_the_others(roles: dict[int, MemberRole]) -> None:
    members = {PartyId(f"XB.p{number}"): (role, 1) for number, role in roles.items()}
    members[XA] = (MemberRole.PUBLISHER, 1)
    publishers = sorted(party for party, (role, _) in members.items() if role is MemberRole.PUBLISHER)
    if len(members) > 256 or len(publishers) > 32:
        return
    roster = make_roster(members)
    head = a_head(roster)
    assert check_roster(head, roster).keys() == members.keys()
    tree, seen = tree_of(roster), {seat.member.party for seat in roster.seats}
    assert seen == members.keys()
    for seat in roster.seats:
        assert check_seat(head, seat, tree.path(seat.index)).party == seat.member.party
        assert len(tree.path(seat.index)) == 8


ROSTER = a_roster((XA,), dict.fromkeys((XA, XB, XC), 1))
OWNER = composite("XA/statement")
MEMBERSHIP = signed_membership(OWNER, a_head(ROSTER), ROSTER, XA).payload
PARSERS: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes], bytes]] = [
    (codec.decode_head, codec.encode_head, codec.encode_head(a_head(ROSTER))),
    (codec.decode_member, codec.encode_member, ROSTER.seats[0].data),
    (codec.decode_membership, codec.encode_membership, MEMBERSHIP),
    (
        codec.decode_notice,
        codec.encode_notice,
        codec.encode_notice(CommunityNotice(EXCHANGE, ORIGIN, XA, 1, bytes(32), NOW, bytes(16))),
    ),
]


@pytest.mark.parametrize("decode, encode, usual", PARSERS, ids=["head", "member", "membership", "notice"])
@given(data=st.data())
def test_whatever_bytes_arrive_are_one_value_or_refused(
    decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], usual: bytes, data: st.DataObject
) -> None:
    given_ = data.draw(st.binary(max_size=300) | _damaged(usual))
    try:
        value = decode(given_)
    except BadInput:
        return
    assert encode(value) == given_


def _damaged(usual: bytes) -> st.SearchStrategy[bytes]:
    places = st.integers(0, len(usual) - 1)
    return st.tuples(places, st.binary(max_size=4), st.integers(0, 4)).map(
        lambda found: usual[: found[0]] + found[1] + usual[found[0] + found[2] :]
    )


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{32}@[0-9]{1,20}", fullmatch=True))
def test_a_via_is_a_community_at_an_epoch_or_nothing(via: str) -> None:
    parsed = parse_via(via)
    assert parsed is None or f"{parsed[0].hex()}@{parsed[1]}" == via


def test_histories_reach_somebody_and_not_everybody() -> None:
    """The strategies above must make permits and denials, or the properties hold of nothing; always the same worlds."""
    outcomes: set[tuple[bool, bool]] = set()

    @settings(max_examples=200, derandomize=True)
    @given(histories(), releases())
    def collect(epochs: list[EpochInForce], release: Release) -> None:
        found = reached(release, world(epochs))
        outcomes.add((bool(found), any(found.values())))

    collect()
    assert {(True, True), (True, False), (False, False)} <= outcomes
