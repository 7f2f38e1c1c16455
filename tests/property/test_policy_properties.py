"""What must hold of every decision, over worlds that nobody thought of (the invariants of docs/spec/policy.md)."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.names import PartyId
from exchange.policy.agreement import AgreementStatus, EnforcementView, NationalCeiling, PersonalDataRule, Term, ref_of
from exchange.policy.codec import (
    check_relay_label,
    decode_label,
    decode_release,
    decode_view,
    encode_label,
    encode_release,
    encode_view,
    relay_label,
)
from exchange.policy.decide import (
    REQUIRED,
    AgreementInForce,
    Decision,
    Item,
    Membership,
    Outcome,
    Reason,
    Role,
    Rules,
    Slot,
    Standing,
    Step,
    decide,
    decide_slots,
    who_gets,
)
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
    Vocabulary,
)
from exchange.policy.text import label_to_yaml, parse_label
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, XC, XD

PARTIES = (XA, XB, XC, XD)
FEW_CATEGORIES = (Category.TERROR_ATTACK, Category.TRAVEL, Category.ALERT)
FEW_PURPOSES = (Purpose.PROTECT_LIFE, Purpose.CONSULAR, Purpose.TRAINING)
PLACES = ("ML", "PK")
TIMES = st.sampled_from([0, NOW - 1, NOW, NOW + 1])
UNKNOWN_AGREEMENT = bytes([7]) * 16


def subset(values: tuple[Any, ...], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.sets(st.sampled_from(values), min_size=least).map(lambda found: tuple(sorted(found)))


@st.composite
def labels(draw: st.DrawFn) -> Label:
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
    targets = sorted(draw(st.sets(TARGETS)), key=lambda target: target.sort_key)
    return Release(tuple(targets), draw(subset(PARTIES)), draw(subset(PARTIES)), draw(subset(PARTIES)), bytes(16))


@st.composite
def terms(draw: st.DrawFn) -> Term:
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
    found = who_gets(Item.to_send(label, release), sender=XA, rules=rules, now_ms=NOW)
    return {party for party, decision in found if decision.permit}


def seen_by_relay(label: Label, slot: Slot) -> Item:
    seen = relay_label(label, encode_label(label), sender_is_originator=True, expires_ms=NOW + 10)
    return Item.in_transit(seen, slot)


@settings(max_examples=50)
@given(WORLDS)
def test_an_empty_audience_reaches_nobody(world: tuple[Label, Release, Rules]) -> None:
    label, release, rules = world
    assert reached(label, replace(release, to=()), rules) == set()


@settings(max_examples=50)
@given(WORLDS)
def test_who_is_excluded_never_receives(world: tuple[Label, Release, Rules]) -> None:
    label, release, rules = world
    assert not reached(label, release, rules) & set(release.except_)


NARROWER_LABEL = [
    lambda label: {"tlp": Tlp(min(label.tlp + 1, Tlp.RED))},
    lambda label: {"purposes": label.purposes[:1]},
    lambda _: {"categories": FEW_CATEGORIES},
    lambda label: {"use_in": label.use_in[:1] or ("PK",)},
    lambda label: {"about": PLACES} if label.about else {},
    lambda label: {"personal_data": PersonalData(present=True, special=label.personal_data.special)},
    lambda _: {"personal_data": PersonalData(present=True, special=True)},
    lambda label: {"national": label.national or NationalMarking("n", "r")},
    lambda _: {"embargo_until_ms": NOW + 1},
    lambda _: {"not_before_ms": NOW + 1},
    lambda _: {"expires_ms": NOW, "on_expiry": OnExpiry.PURGE},
    lambda label: {"approvals": label.approvals + 1},
    lambda _: {"originators": (XB,)},
]


@settings(max_examples=100)
@given(WORLDS, st.sampled_from(NARROWER_LABEL))
def test_a_restriction_in_the_label_never_adds_a_recipient(world: tuple[Label, Release, Rules], change: Any) -> None:
    label, release, rules = world
    assert reached(replace(label, **change(label)), release, rules) <= reached(label, release, rules) | (
        {XB} if "originators" in change(label) and label.embargo_until_ms > NOW else set()
    )


@settings(max_examples=50)
@given(WORLDS, subset(PARTIES), st.integers(0, 3))
def test_a_narrower_release_never_adds_a_recipient(
    world: tuple[Label, Release, Rules], excluded: tuple[PartyId, ...], dropped: int
) -> None:
    label, release, rules = world
    usual = reached(label, release, rules)
    assert reached(label, replace(release, except_=tuple({*release.except_, *excluded})), rules) <= usual
    assert reached(label, replace(release, display_only=excluded), rules) == usual
    assert reached(label, replace(release, to=release.to[:dropped] + release.to[dropped + 1 :]), rules) <= usual


def narrowed(rules: Rules, change: dict[str, Any]) -> Rules:
    agreements_left = []
    for found in rules.agreements.values():
        view = replace(found.view, terms=tuple(replace(term, **change) for term in found.view.terms))
        agreements_left.append(AgreementInForce(ref_of(view), view, found.status))
    return Rules.of(rules.exchange, agreements_left, rules.standings)


@settings(max_examples=50)
@given(
    WORLDS,
    st.sampled_from(
        [
            {"denied_categories": FEW_CATEGORIES},
            {"ceiling": Tlp.CLEAR},
            {"national": ()},
            {"personal_data": PersonalDataRule.NONE, "special_categories": False},
            {"special_categories": False},
            {"approvals": 9},
        ]
    ),
)
def test_a_narrower_agreement_never_adds_a_recipient(
    world: tuple[Label, Release, Rules], change: dict[str, Any]
) -> None:
    label, release, rules = world
    assert reached(label, release, narrowed(rules, change)) <= reached(label, release, rules)


@settings(max_examples=50)
@given(WORLDS, st.sampled_from(PARTIES))
def test_a_lesser_standing_never_adds_a_recipient(world: tuple[Label, Release, Rules], party: PartyId) -> None:
    label, release, rules = world
    for standing in (Standing(Membership.SUSPENDED, Tlp.RED), Standing(rules.standings[party].membership, Tlp.CLEAR)):
        standings = {**rules.standings, party: standing}
        assert reached(label, release, replace(rules, standings=standings)) <= reached(label, release, rules)
    assert reached(label, release, replace(rules, agreements={}, by_party={})) == set()


@settings(max_examples=50)
@given(WORLDS)
def test_what_is_unknown_denies(world: tuple[Label, Release, Rules]) -> None:
    label, release, rules = world
    assert reached(replace(label, policy="other/1"), release, rules) == set()
    assert reached(replace(label, national=NationalMarking("unheard-of", "x")), release, rules) == set()
    assert reached(label, replace(release, to=(Target(community=CommunityTarget(bytes(16), 1)),)), rules) == set()
    assert reached(label, replace(release, to=(Target(agreement=UNKNOWN_AGREEMENT),)), rules) == set()
    assert reached(label, release, replace(rules, standings={})) == set()


@settings(max_examples=50)
@given(
    WORLDS, st.sampled_from([{"purposes": ()}, {"basis": LegalBasis("", "")}, {"categories": ()}, {"originators": ()}])
)
def test_without_label_basis_purpose_category_or_originator_nothing_is_sent(
    world: tuple[Label, Release, Rules], missing: dict[str, Any]
) -> None:
    label, release, rules = world
    assert reached(replace(label, **missing), release, rules) == set()
    assert not any(
        d.permit for _, d in who_gets(Item(release=release, intact=True), sender=XA, rules=rules, now_ms=NOW)
    )


@settings(max_examples=50)
@given(WORLDS)
def test_equal_inputs_decide_equally(world: tuple[Label, Release, Rules]) -> None:
    label, release, rules = world
    again = Rules.of(
        EXCHANGE,
        [
            AgreementInForce(ref_of(view), view, found.status)
            for found in reversed(list(rules.agreements.values()))
            for view in [decode_view(encode_view(found.view))]
        ],
        dict(reversed(list(rules.standings.items()))),
    )
    item = Item.to_send(decode_label(encode_label(label)), decode_release(encode_release(release)))
    assert who_gets(Item.to_send(label, release), sender=XA, rules=rules, now_ms=NOW) == who_gets(
        item, sender=XA, rules=again, now_ms=NOW
    )


@settings(max_examples=50)
@given(WORLDS, st.booleans())
def test_what_the_sender_may_send_relay_and_recipient_permit(
    world: tuple[Label, Release, Rules], display_only: bool
) -> None:
    label, release, rules = world
    for party, decision in who_gets(Item.to_send(label, release), sender=XA, rules=rules, now_ms=NOW):
        if not decision.permit:
            continue
        slot = Slot(decision.basis, display_only=display_only)
        (relay,) = decide_slots(seen_by_relay(label, slot), [(party, slot)], sender=XA, rules=rules, now_ms=NOW)
        item = Item.received(label, slot, intact=True)
        recipient = decide(item, sender=XA, recipient=party, rules=rules, now_ms=NOW, role=Role.RECIPIENT)
        assert relay.permit
        assert recipient.permit
        assert recipient.clause == decision.clause


@settings(max_examples=100)
@given(WORLDS)
def test_no_role_permits_what_a_full_view_of_the_cited_agreement_denies(world: tuple[Label, Release, Rules]) -> None:
    """Each required step that the role passes also passes when only that agreement exists and all is seen."""
    label, release, rules = world
    for party in (XB, XC, XD):
        for found in rules.agreements.values():
            alone = Rules.of(EXCHANGE, [found], rules.standings)
            named = replace(release, to=(Target(partner=party),), except_=())
            full = decide(
                Item.to_send(label, named), sender=XA, recipient=party, rules=alone, now_ms=NOW, role=Role.SENDER
            )
            for role, item in (
                (Role.RELAY, seen_by_relay(label, Slot(found.ref))),
                (Role.RECIPIENT, Item.received(label, Slot(found.ref), intact=True)),
            ):
                mine = decide(item, sender=XA, recipient=party, rules=rules, now_ms=NOW, role=role)
                if full.permit:
                    assert mine.permit
                if role is Role.RECIPIENT:
                    assert mine.permit == full.permit
                elif mine.permit and len(found.view.terms) == 1:
                    failed = {f.step for f in full.findings if f.outcome is Outcome.FAIL and seen(f.reason)}
                    assert not failed & REQUIRED[role]


HIDDEN_FROM_RELAY = {
    Reason.NOT_YET,
    Reason.PLACE_MISSING,
    Reason.PLACE_NOT_ALLOWED,
    Reason.USE_IN_NOT_SHARED,
    Reason.NATIONAL_POLICY_UNKNOWN,
    Reason.NATIONAL_CLASS_NOT_ALLOWED,
}


def seen(reason: Reason | None) -> bool:
    return reason not in HIDDEN_FROM_RELAY


@settings(max_examples=50)
@given(WORLDS, st.sampled_from(Role), st.sampled_from(PARTIES), st.sampled_from(PARTIES), st.booleans())
def test_every_decision_is_total_and_tells_every_step(
    world: tuple[Label, Release, Rules], role: Role, sender: PartyId, recipient: PartyId, bare: bool
) -> None:
    label, release, rules = world
    item = Item(None if bare else label, None, release, None, intact=not bare)
    decision: Decision = decide(item, sender=sender, recipient=recipient, rules=rules, now_ms=NOW, role=role)
    assert {finding.step for finding in decision.findings} == set(Step)
    assert decision.permit <= (not decision.reasons)
    assert (decision.obligations is not None) == decision.permit


@settings(max_examples=50)
@given(WORLDS)
def test_obligations_are_never_wider_than_label_or_term(world: tuple[Label, Release, Rules]) -> None:
    label, release, rules = world
    for _, decision in who_gets(Item.to_send(label, release), sender=XA, rules=rules, now_ms=NOW):
        duty, ref = decision.obligations, decision.basis
        if duty is None or ref is None:
            continue
        fitting = [term for term in rules.agreements[ref.commitment].view.terms if term.clause == decision.clause]
        assert duty.purposes
        assert set(duty.purposes) <= set(label.purposes)
        assert duty.actions <= label.actions
        assert duty.evidence_use <= label.evidence_use
        assert any(
            set(duty.purposes) <= set(term.purposes)
            and duty.actions <= term.actions_max
            and duty.evidence_use <= term.evidence_use
            for term in fitting
        )
        assert not label.retention_days or 0 < duty.retention_days <= label.retention_days


@settings(max_examples=50)
@given(labels(), releases())
def test_bytes_and_text_say_the_same(label: Label, release: Release) -> None:
    data = encode_label(label)
    assert decode_label(data) == label
    assert decode_release(encode_release(release)) == release
    seen_part = relay_label(label, data, sender_is_originator=True, expires_ms=NOW)
    check_relay_label(label, data, seen_part, sender=XA)
    plain = replace(label, originators=(XA,), expires_ms=0, on_expiry=None)
    widest = replace(plain, tlp=Tlp.CLEAR)
    audience = replace(release, to=tuple(t for t in release.to if t.partner != XA), display_only=())
    parsed = parse_label(label_to_yaml(widest, audience).encode(), originator=XA, now_ms=NOW, defaults=None)
    assert replace(parsed.label, salt=bytes(16), release_sha256=bytes(32)) == widest
    assert replace(parsed.release, salt=bytes(16)) == audience


def test_worlds_reach_somebody_and_not_everybody() -> None:
    """The strategies above must make both permits and denials, or the properties hold of nothing."""
    outcomes: list[bool] = []

    @settings(max_examples=100, database=None)
    @given(WORLDS)
    def collect(world: tuple[Label, Release, Rules]) -> None:
        label, release, rules = world
        outcomes.append(bool(reached(label, release, rules)))

    collect()
    assert {True, False} == set(outcomes)


def test_every_word_has_a_form_for_people() -> None:
    for kind in (Tlp, Category, Purpose, Actions):
        words = [member.word for member in kind if isinstance(member, Vocabulary)]
        assert len(set(words)) == len(words)
