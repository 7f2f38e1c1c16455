"""The cases of policy_cases.py for communities: whom one reaches, by way of which epoch, and who may say so."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from exchange.policy.communities.model import EpochInForce, History, community_id, via_text
from exchange.policy.decide import Membership, Reason, Role, Rules, Slot
from exchange.policy.model import Category, CommunityTarget, Release, Target
from exchange.policy.terms import AgreementStatus
from tests.support.communities import ORIGIN, an_epoch, at_the_relay
from tests.support.policy_builders import (
    HOUR,
    NOW,
    XA,
    XB,
    XC,
    a_label,
    a_release,
    a_term,
    an_agreement,
    rules,
    standing,
    the_slot,
)
from tests.support.policy_case import Case, case

SENDER, RELAY, RECIPIENT = Role.SENDER, Role.RELAY, Role.RECIPIENT
R = Reason
COMMUNITY = community_id(ORIGIN, XA)
OTHER = bytes([8]) * 16
ENDED, PENDING = AgreementStatus.TERMINATED, None
SINCE_2 = {XA: 1, XB: 2, XC: 1}


def to(epoch: int = 1, *also: Target, community: bytes = COMMUNITY, **differs: Any) -> Release:
    """A release to the community at an epoch."""
    targets = sorted([Target(community=CommunityTarget(community, epoch)), *also], key=lambda target: target.sort_key)
    return a_release(to=tuple(targets), **differs)


def knowing(*epochs: EpochInForce, **differs: Any) -> Rules:
    """Rules in which these epochs are known."""
    return rules(communities={COMMUNITY: epochs}, **differs)


def through(given: Rules, epoch: int = 1, **differs: Any) -> Slot:
    """A slot that goes by way of an epoch."""
    return the_slot(given, via=via_text(COMMUNITY, epoch), **differs)


def community_cases() -> Iterator[Case]:
    """Every case."""
    yield from _sent()
    yield from _epochs()
    yield from _history()
    yield from _received()
    yield from _relayed()


def _sent() -> Iterator[Case]:
    one = knowing(an_epoch())

    def sent(name: str, *reasons: Reason, given: Rules = one, release: Release | None = None, **more: Any) -> Case:
        return case(name, SENDER, *reasons, given=given, release=release or to(), **more)

    yield sent("a member of a community")
    yield sent("named beside its community", release=to(1, Target(partner=XB)))
    yield sent("a member that is excluded", R.EXCLUDED, release=to(except_=(XB,)))
    yield sent("a member of one of two communities", release=to(1, _target(OTHER)))
    both = (R.NOT_IN_AUDIENCE, R.COMMUNITY_UNKNOWN)
    yield sent("an unknown community beside one without it", *both, given=_without_xb(), release=to(1, _target(OTHER)))
    yield sent("no member", R.NOT_IN_AUDIENCE, given=_without_xb())
    outside = (R.NOT_IN_AUDIENCE, R.NOT_A_PUBLISHER)
    yield sent("by a member that may not publish", *outside, R.CONSENT_MISSING, sender=XC)
    mine = a_label(originators=(XC,))
    yield sent("by a publisher that is not the owner", given=_published_by_xc(), sender=XC, label=mine)
    yield sent("a roster that is not known", R.NOT_IN_AUDIENCE, given=knowing(an_epoch(seen_by=XA)))
    few = knowing(an_epoch(categories=(Category.TRAVEL,)))
    scope = (R.NOT_IN_AUDIENCE, R.COMMUNITY_SCOPE)
    yield sent("a category outside the community", *scope, given=few)
    there = knowing(an_epoch(about_any=False, about=("ML",)))
    yield sent("a place outside the community", *scope, given=there)
    anywhere = an_agreement(a_term(about=(), about_any=True))
    nowhere = rules(anywhere, communities={COMMUNITY: [an_epoch(about_any=False, about=("PK",))]})
    yield sent("no place, in a community for some", *scope, given=nowhere, label=a_label(about=()))
    second = rules(an_agreement(a_term(clause="9"), number=2), communities={COMMUNITY: [an_epoch()]})
    yield sent("no agreement but another", R.COMMUNITY_AGREEMENT, given=second)
    two = rules(
        an_agreement(), an_agreement(number=2), communities={COMMUNITY: [an_epoch(agreement_id=bytes([2]) * 16)]}
    )
    yield sent("the agreement that the community rests on, not the first", given=two)
    yield sent("addressed itself, the first agreement", given=two, release=to(1, Target(partner=XB)))
    yield sent("a community under embargo", R.EMBARGOED, label=a_label(embargo_until_ms=NOW + 1))


def _target(community: bytes, epoch: int = 1) -> Target:
    return Target(community=CommunityTarget(community, epoch))


def _without_xb() -> Rules:
    return knowing(an_epoch({XA: 1, XC: 1}))


def _published_by_xc() -> Rules:
    return knowing(an_epoch(publishers=(XA, XC)))


def _epochs() -> Iterator[Case]:
    first, second = an_epoch(status=ENDED), an_epoch(SINCE_2, epoch=2)

    def sent(name: str, *reasons: Reason, epochs: Iterable[EpochInForce], named: int = 1, **more: Any) -> Case:
        given = knowing(*epochs, **more)
        outside = (R.NOT_IN_AUDIENCE,) if reasons else ()
        return case(name, SENDER, *outside, *reasons, given=given, release=to(named))

    yield sent("an epoch that nobody knows", R.COMMUNITY_UNKNOWN, epochs=[first, second], named=3)
    yield sent("the epoch in force", epochs=[first, second], named=2)
    yield sent("no epoch in force any more", R.COMMUNITY_ENDED, epochs=[first])
    yield sent("the first epoch is not shown yet", R.COMMUNITY_NOT_YET, epochs=[an_epoch(status=PENDING)])
    coming = an_epoch(epoch=2, status=PENDING)
    yield sent("the next epoch is not shown yet", R.COMMUNITY_NOT_YET, epochs=[an_epoch(), coming], named=2)
    yield sent("the epoch in force while the next is awaited", epochs=[an_epoch(), coming])
    leaving = an_epoch({XA: 1, XC: 1}, epoch=2, status=PENDING)
    removed = case("removed in an epoch that is not shown yet", SENDER, R.NOT_IN_AUDIENCE, release=to())
    yield replace(removed, rules=knowing(an_epoch(), leaving))
    joining = replace(removed, name="sender: added in an epoch that is not shown yet")
    yield replace(joining, rules=knowing(an_epoch({XA: 1, XC: 1}), an_epoch(SINCE_2, epoch=2, status=PENDING)))
    demoted = an_epoch(publishers=(XC,), owner=XC, epoch=2, status=PENDING)
    yield sent(
        "no publisher any more, in an epoch that is not shown yet", R.NOT_A_PUBLISHER, epochs=[an_epoch(), demoted]
    )
    yield sent("past its date", R.COMMUNITY_ENDED, epochs=[an_epoch(valid_until_ms=NOW)])
    yield sent("before its date", epochs=[an_epoch(valid_until_ms=NOW + 1)])
    theirs = an_epoch(publishers=(XA, XC), owner=XC)
    gone = knowing(theirs, XC=standing(Membership.EXPELLED))
    yield case("its owner is expelled", SENDER, R.NOT_IN_AUDIENCE, R.COMMUNITY_ENDED, given=gone, release=to())
    held = knowing(theirs, XC=standing(Membership.SUSPENDED))
    yield case("its owner is suspended", SENDER, R.COMMUNITY_SUSPENDED, given=held, release=to())
    outside = knowing(an_epoch({XA: 1, XC: 1}, publishers=(XA, XC), owner=XC), XC=standing(Membership.SUSPENDED))
    yield case("no member, and its owner is suspended", SENDER, R.NOT_IN_AUDIENCE, given=outside, release=to())
    named = to(1, Target(partner=XB))
    yield case("addressed itself, and the community's owner is suspended", SENDER, given=held, release=named)


def _history() -> Iterator[Case]:
    def sent(name: str, *reasons: Reason, authored_ms: int = NOW, named: int = 1, **terms: Any) -> Case:
        epochs = (an_epoch(status=ENDED), an_epoch(SINCE_2, epoch=2, **terms))
        outside = (R.NOT_IN_AUDIENCE,) if reasons else ()
        given = knowing(*epochs)
        return case(name, SENDER, *outside, *reasons, given=given, release=to(named), authored_ms=authored_ms)

    from_now = {"history": History.FROM_DATE, "history_from_ms": NOW}
    yield sent("who came later, no history", R.COMMUNITY_HISTORY)
    yield sent("who came later, written since", named=2)
    yield sent("who came later, all history", history=History.FROM_START)
    yield sent("who came later, history from that moment", **from_now)
    yield sent("who came later, older than the history", R.COMMUNITY_HISTORY, authored_ms=NOW - 1, **from_now)
    yield sent("who came later, nobody says when it was written", R.COMMUNITY_HISTORY, authored_ms=0, **from_now)


def _received() -> Iterator[Case]:
    def received(name: str, *reasons: Reason, given: Rules, epoch: int = 1, **more: Any) -> Case:
        return case(name, RECIPIENT, *reasons, given=given, slot=through(given, epoch), **more)

    mine = an_epoch(seen_by=XB)
    yield received("by way of my community", given=knowing(mine))
    yield received(
        "a community under embargo", R.EMBARGOED, given=knowing(mine), label=a_label(embargo_until_ms=NOW + 1)
    )
    yield received("by way of an epoch that is not known", R.COMMUNITY_UNKNOWN, given=knowing(mine), epoch=2)
    yield received("by way of an epoch that ended", R.COMMUNITY_ENDED, given=knowing(replace(mine, status=ENDED)))
    yield received(
        "by way of an epoch not shown yet", R.COMMUNITY_NOT_YET, given=knowing(replace(mine, status=PENDING))
    )
    yield received("by way of an epoch of others", R.NOT_IN_AUDIENCE, given=knowing(an_epoch(seen_by=XC)))
    lying = (R.NOT_A_PUBLISHER,)
    yield received("by a member that may not publish", *lying, given=knowing(an_epoch(owner=XC, publishers=(XC,))))
    few = knowing(an_epoch(seen_by=XB, categories=(Category.TRAVEL,)))
    yield received("a category outside the community", R.COMMUNITY_SCOPE, given=few)
    other = knowing(an_epoch(seen_by=XB, agreement_id=bytes([2]) * 16))
    yield received("under another agreement", R.COMMUNITY_AGREEMENT, given=other)
    theirs = an_epoch(seen_by=XB, owner=XC, publishers=(XA, XC))
    for membership, why in ((Membership.SUSPENDED, R.COMMUNITY_SUSPENDED), (Membership.EXPELLED, R.COMMUNITY_ENDED)):
        gone = knowing(theirs, XC=standing(membership))
        yield received(f"its owner is {membership.value}", why, given=gone)
    past = an_epoch(seen_by=XB, valid_until_ms=NOW)
    yield received("past its date", R.COMMUNITY_ENDED, given=knowing(past))
    yield received("before its date when the relay received it", given=knowing(past, as_of_ms=NOW - HOUR))
    for via in ("aa" * 16, f"{COMMUNITY.hex()}@0", f"{COMMUNITY.hex()}@01", f"{COMMUNITY.hex()}@{1 << 63}"):
        slot = the_slot(knowing(mine), via=via)
        yield case(f"by way of {via[-20:]}", RECIPIENT, R.COMMUNITY_UNKNOWN, given=knowing(mine), slot=slot)


def _relayed() -> Iterator[Case]:
    first, second = at_the_relay(an_epoch(status=ENDED), an_epoch(epoch=2))
    given = knowing(first, second)
    yield case("by way of the epoch in force", RELAY, given=given, slot=through(given, 2))
    yield case("by way of an epoch that ended", RELAY, R.COMMUNITY_ENDED, given=given, slot=through(given, 1))
    yield case(
        "by way of an epoch that nobody published", RELAY, R.COMMUNITY_ENDED, given=given, slot=through(given, 3)
    )
    theirs = at_the_relay(an_epoch(owner=XC, publishers=(XA, XC)))
    for membership, why in ((Membership.SUSPENDED, R.COMMUNITY_SUSPENDED), (Membership.EXPELLED, R.COMMUNITY_ENDED)):
        gone = knowing(*theirs, XC=standing(membership))
        yield case(f"its owner is {membership.value}", RELAY, why, given=gone, slot=through(gone))
    yield case("by way of nothing", RELAY, R.COMMUNITY_ENDED, given=given, slot=the_slot(given, via="community"))
