"""Generated worlds for property tests: labels, releases, agreements and where partners stand.

WORLDS mixes worlds of any kind with easy ones, in which most reports reach somebody: a property that only ever sees
denials shows nothing.
"""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from exchange.names import PartyId
from exchange.policy.agreement import AgreementStatus, EnforcementView, NationalCeiling, PersonalDataRule, Term, ref_of
from exchange.policy.decide import AgreementInForce, Item, Membership, Rules, Standing, who_gets
from exchange.policy.model import (
    Actions,
    Category,
    CommunityTarget,
    EvidenceUse,
    Label,
    LegalBasis,
    NationalMarking,
    OnExpiry,
    OnwardRule,
    PersonalData,
    Purpose,
    ReaderRule,
    Release,
    Target,
    Tlp,
)
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, XC, XD

PARTIES = (XA, XB, XC, XD)
FEW_CATEGORIES = (Category.TERROR_ATTACK, Category.TRAVEL, Category.ALERT)
FEW_PURPOSES = (Purpose.PROTECT_LIFE, Purpose.CONSULAR, Purpose.TRAINING)
PLACES = ("ML", "PK")
TIMES = st.sampled_from([0, NOW - 1, NOW, NOW + 1])
UNKNOWN_AGREEMENT = bytes([7]) * 16


def subset(values: tuple[Any, ...], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    """Sets of at least `least` of these values, sorted."""
    return st.sets(st.sampled_from(values), min_size=least).map(lambda found: tuple(sorted(found)))


@st.composite
def labels(draw: st.DrawFn) -> Label:
    """Labels of XA, some of them of XB as well."""
    present = draw(st.booleans())
    expires = draw(TIMES)
    onward = draw(st.sampled_from(OnwardRule))
    readers = st.none() | st.just(ReaderRule(named=("duty-officer",)))
    return Label(
        originators=draw(st.sampled_from([(XA,), (XA, XB)])),
        tlp=draw(st.sampled_from(Tlp)),
        categories=draw(subset(FEW_CATEGORIES, 1)),
        purposes=draw(subset(FEW_PURPOSES, 1)),
        basis=LegalBasis("mou", "Memorandum"),
        personal_data=PersonalData(
            present, present and draw(st.booleans()), pseudonymous=present and draw(st.booleans())
        ),
        approvals=draw(st.sampled_from([0, 0, 0, 1])),
        onward=onward,
        max_hops=0 if onward is OnwardRule.NONE else 1,
        release_sha256=bytes(32),
        salt=bytes(16),
        national=draw(st.none() | st.builds(NationalMarking, st.sampled_from(["n", "m"]), st.sampled_from(["r", "s"]))),
        orcon=draw(st.booleans()),
        evidence_use=draw(st.sampled_from(EvidenceUse)),
        actions=draw(st.sampled_from(Actions)),
        about=draw(subset(PLACES)),
        use_in=draw(subset(PLACES)),
        not_before_ms=draw(TIMES),
        embargo_until_ms=draw(TIMES),
        expires_ms=expires,
        on_expiry=draw(st.sampled_from(OnExpiry)) if expires else None,
        retention_days=draw(st.sampled_from([0, 7])),
        readers=draw(readers),
    )


TARGETS = st.sampled_from(
    [
        *(Target(partner=party) for party in PARTIES),
        Target(everyone=True),
        Target(agreement=bytes([1]) * 16),
        Target(agreement=UNKNOWN_AGREEMENT),
        Target(community=CommunityTarget(bytes([9]) * 16, 1)),
    ]
)


@st.composite
def releases(draw: st.DrawFn) -> Release:
    """Audiences of every kind."""
    targets = sorted(draw(st.sets(TARGETS)), key=lambda target: target.sort_key)
    return Release(tuple(targets), draw(subset(PARTIES)), draw(subset(PARTIES)), draw(subset(PARTIES)), bytes(16))


@st.composite
def terms(draw: st.DrawFn) -> Term:
    """Terms of one clause."""
    anywhere = draw(st.booleans())
    data = draw(st.sampled_from(PersonalDataRule))
    national = draw(subset(("r", "s")))
    return Term(
        purposes=draw(subset(FEW_PURPOSES, 1)),
        categories=draw(subset(FEW_CATEGORIES, 1)),
        denied_categories=draw(st.just(()) | subset(FEW_CATEGORIES)),
        ceiling=draw(st.sampled_from(Tlp)),
        clause="1",
        senders=draw(st.just(()) | subset((XA, XB))),
        recipients=draw(st.just(()) | subset((XA, XB))),
        about_any=anywhere,
        about=() if anywhere else draw(subset(PLACES, 1)),
        use_in=draw(subset(PLACES)),
        national=(NationalCeiling("n", national),) if national else (),
        actions_max=draw(st.sampled_from(Actions)),
        personal_data=data,
        special_categories=data is PersonalDataRule.ALLOWED and draw(st.booleans()),
        evidence_use=draw(st.sampled_from(EvidenceUse)),
        retention_max_days=draw(st.sampled_from([0, 30])),
        approvals=draw(st.sampled_from([0, 0, 0, 1])),
    )


@st.composite
def agreements(draw: st.DrawFn, number: int) -> AgreementInForce:
    """Agreements of XA and XB, some with XC; `number` makes the id."""
    view = EnforcementView(
        exchange=EXCHANGE,
        agreement_id=bytes([number]) * 16,
        version=1,
        parties=draw(st.sampled_from([(XA, XB), (XA, XB, XC)])),
        terms=tuple(draw(st.lists(terms(), min_size=1, max_size=2))),
        valid_from_ms=draw(st.sampled_from([0, NOW, NOW + 1])),
        valid_until_ms=draw(st.sampled_from([0, 0, NOW + 2])),
        text_sha256=bytes(32),
        salt=bytes(16),
    )
    status = draw(st.sampled_from([AgreementStatus.ACTIVE, AgreementStatus.ACTIVE, AgreementStatus.SUSPENDED]))
    return AgreementInForce(ref_of(view), view, status)


@st.composite
def worlds(draw: st.DrawFn) -> Rules:
    """Rules in which any of the partners may be suspended."""
    membership = st.sampled_from([Membership.ADMITTED] * 4 + [Membership.SUSPENDED])
    ceiling = st.sampled_from([Tlp.RED, Tlp.RED, Tlp.AMBER])
    standings = {party: Standing(draw(membership), draw(ceiling)) for party in PARTIES}
    return Rules.of(EXCHANGE, [draw(agreements(number)) for number in (1, 2)], standings)


@st.composite
def easy(draw: st.DrawFn) -> tuple[Label, Release, Rules]:
    """A world in which most reports reach somebody, so that what follows has something to hold of."""
    label = replace(draw(labels()), not_before_ms=0, embargo_until_ms=draw(st.sampled_from([0, NOW + 1])))
    label = replace(
        label, approvals=0, expires_ms=0, on_expiry=None, national=None, tlp=draw(st.sampled_from([Tlp.GREEN, Tlp.RED]))
    )
    wide = replace(
        draw(terms()),
        senders=(),
        recipients=(),
        purposes=FEW_PURPOSES,
        categories=FEW_CATEGORIES,
        denied_categories=(),
        ceiling=Tlp.RED,
        about_any=True,
        about=(),
        use_in=(),
        personal_data=PersonalDataRule.ALLOWED,
        approvals=0,
    )
    view = replace(draw(agreements(1)).view, parties=(XA, XB, XC), terms=(wide,), valid_from_ms=0)
    standings = dict.fromkeys(PARTIES, Standing(Membership.ADMITTED, Tlp.RED))
    second = draw(agreements(2))
    rules = Rules.of(EXCHANGE, [AgreementInForce(ref_of(view), view, AgreementStatus.ACTIVE), second], standings)
    return label, replace(draw(releases()), except_=draw(st.sampled_from([(), (XC,)]))), rules


WORLDS = easy() | st.tuples(labels(), releases(), worlds())


def reached(label: Label, release: Release, rules: Rules) -> set[PartyId]:
    """Return whom XA may send it to."""
    found = who_gets(Item.to_send(label, release), sender=XA, rules=rules, now_ms=NOW)
    return {party for party, decision in found if decision.permit}
