"""Whom a release reaches by way of the community of one member, as far as that member may know (audience.py)."""

from typing import Any

import pytest

from exchange.names import PartyId
from exchange.policy.audience import Audience
from exchange.policy.communities.model import EpochInForce, History, Visibility, community_id
from exchange.policy.decision import Item, Membership
from exchange.policy.model import CommunityTarget, Release, Target
from tests.support.communities import ORIGIN, an_epoch
from tests.support.policy_builders import NOW, XA, XB, XC, XD, a_label, a_release, rules, standing

COMMUNITY = community_id(ORIGIN, XA)
OPEN: dict[str, Any] = {"visibility": Visibility.MEMBERS}


def to(*also: PartyId, epoch: int = 1, **differs: Any) -> Release:
    """A release to the community, and to these partners."""
    targets = [Target(community=CommunityTarget(COMMUNITY, epoch)), *(Target(partner=party) for party in also)]
    return a_release(to=tuple(sorted(targets, key=lambda target: target.sort_key)), **differs)


def fellows(member: PartyId, release: Release, *epochs: EpochInForce, **differs: Any) -> frozenset[PartyId]:
    item = Item.to_send(a_label(), release, authored_ms=NOW)
    return Audience(item, XA, rules(communities={COMMUNITY: epochs}, **differs), NOW).fellows(member)


def test_members_who_know_each_other_are_fellows() -> None:
    assert fellows(XB, to(), an_epoch(**OPEN)) == {XA, XC}


@pytest.mark.parametrize("visibility", [Visibility.OWNER_ONLY, Visibility.COUNT_ONLY])
def test_a_member_of_a_hidden_roster_has_no_fellows_and_a_publisher_has(visibility: Visibility) -> None:
    assert fellows(XB, to(), an_epoch(visibility=visibility)) == frozenset()
    assert fellows(XB, to(), an_epoch(visibility=visibility, publishers=(XA, XB))) == {XA, XC}


def test_who_is_no_member_or_is_addressed_otherwise_has_none() -> None:
    assert fellows(XD, to(), an_epoch(**OPEN)) == frozenset()
    assert fellows(XB, to(XB), an_epoch(**OPEN)) == frozenset()
    assert fellows(XB, a_release(XB), an_epoch(**OPEN)) == frozenset()


def test_exclusion_takes_away_both_a_fellow_and_who_asks() -> None:
    assert fellows(XB, to(except_=(XC,)), an_epoch(**OPEN)) == {XA}
    assert fellows(XB, to(except_=(XB,)), an_epoch(**OPEN)) == frozenset()


def test_members_are_those_of_the_epoch_in_force_and_of_no_newer_one_less() -> None:
    first = an_epoch(**OPEN)
    without = an_epoch({XA: 1, XB: 1}, epoch=2, status=None, **OPEN)
    assert fellows(XB, to(), first, without) == {XA}
    with_more = an_epoch({XA: 1, XB: 1, XC: 1, XD: 2}, epoch=2, status=None, **OPEN)
    assert fellows(XB, to(), first, with_more) == {XA, XC}


def test_who_came_later_is_a_fellow_only_where_the_history_rule_lets_it_in() -> None:
    later = {XA: 1, XB: 1, XC: 2}
    first = an_epoch({XA: 1, XB: 1}, **OPEN)
    assert fellows(XB, to(), first, an_epoch(later, epoch=2, **OPEN)) == {XA}
    from_start = an_epoch(later, epoch=2, history=History.FROM_START, **OPEN)
    assert fellows(XB, to(), first, from_start) == {XA, XC}


def test_a_community_of_a_suspended_owner_has_no_fellows() -> None:
    assert fellows(XB, to(), an_epoch(**OPEN), XA=standing(Membership.SUSPENDED)) == frozenset()
