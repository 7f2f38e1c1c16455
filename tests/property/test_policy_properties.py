"""What must hold of every decision, over worlds that nobody thought of (the invariants of docs/spec/policy.md)."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.names import PartyId
from exchange.policy.agreement import PersonalDataRule, ref_of
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
    decide_for,
    decide_slots,
    who_gets,
)
from exchange.policy.model import (
    Actions,
    Category,
    CommunityTarget,
    Label,
    LegalBasis,
    NationalMarking,
    OnExpiry,
    PersonalData,
    Purpose,
    Release,
    Target,
    Tlp,
    Vocabulary,
)
from exchange.policy.text import label_to_yaml, parse_label
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, XC, XD
from tests.support.policy_worlds import (
    FEW_CATEGORIES,
    PARTIES,
    PLACES,
    UNKNOWN_AGREEMENT,
    WORLDS,
    labels,
    reached,
    releases,
    subset,
)


def seen_by_relay(label: Label, slot: Slot) -> Item:
    seen = relay_label(label, encode_label(label), sender=XA, expires_ms=NOW + 10)
    return Item.in_transit(seen, slot)


@settings(max_examples=50)
@given(WORLDS)
def test_an_empty_audience_reaches_nobody(world: tuple[Label, Release, Rules]) -> None:
    """Invariant 1: empty `release.to` reaches nobody."""
    label, release, rules = world
    assert reached(label, replace(release, to=()), rules) == set()


@settings(max_examples=50)
@given(WORLDS)
def test_who_is_excluded_never_receives(world: tuple[Label, Release, Rules]) -> None:
    """Invariant 5: a party in `except` never receives, whatever groups it is in."""
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
    """Invariant 2: adding a restriction never adds a recipient (monotonic)."""
    label, release, rules = world
    assert reached(replace(label, **change(label)), release, rules) <= reached(label, release, rules) | (
        {XB} if "originators" in change(label) and label.embargo_until_ms > NOW else set()
    )


@settings(max_examples=50)
@given(WORLDS, subset(PARTIES), st.integers(0, 3))
def test_a_narrower_release_never_adds_a_recipient(
    world: tuple[Label, Release, Rules], excluded: tuple[PartyId, ...], dropped: int
) -> None:
    """Invariant 2: adding a restriction never adds a recipient (monotonic)."""
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
    """Invariant 2: adding a restriction never adds a recipient (monotonic)."""
    label, release, rules = world
    assert reached(label, release, narrowed(rules, change)) <= reached(label, release, rules)


@settings(max_examples=50)
@given(WORLDS, st.sampled_from(PARTIES))
def test_a_lesser_standing_never_adds_a_recipient(world: tuple[Label, Release, Rules], party: PartyId) -> None:
    """Invariant 2: adding a restriction never adds a recipient (monotonic)."""
    label, release, rules = world
    for standing in (Standing(Membership.SUSPENDED, Tlp.RED), Standing(rules.standings[party].membership, Tlp.CLEAR)):
        standings = {**rules.standings, party: standing}
        assert reached(label, release, replace(rules, standings=standings)) <= reached(label, release, rules)
    assert reached(label, release, replace(rules, agreements={}, by_party={})) == set()


@settings(max_examples=50)
@given(WORLDS)
def test_what_is_unknown_denies(world: tuple[Label, Release, Rules]) -> None:
    """Invariant 4: unknown enum, policy or purpose denies."""
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
    """Invariant 9: an item without label, basis or purpose cannot be stored as sendable."""
    label, release, rules = world
    assert reached(replace(label, **missing), release, rules) == set()
    assert not any(
        d.permit for _, d in who_gets(Item(release=release, intact=True), sender=XA, rules=rules, now_ms=NOW)
    )


@settings(max_examples=50)
@given(WORLDS)
def test_equal_inputs_decide_equally(world: tuple[Label, Release, Rules]) -> None:
    """Invariant 10: two nodes given equal inputs decide equally (golden vectors)."""
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
@given(WORLDS)
def test_recipients_that_are_decided_on_together_are_decided_on_as_alone(world: tuple[Label, Release, Rules]) -> None:
    label, release, rules = world
    item = Item.to_send(label, release)
    recipients = [PartyId("ZZ"), *sorted(rules.standings, reverse=True)]
    together = decide_for(item, recipients, sender=XA, rules=rules, now_ms=NOW)
    assert together == [
        (party, decide(item, sender=XA, recipient=party, rules=rules, now_ms=NOW, role=Role.SENDER))
        for party in recipients
    ]


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
    seen_part = relay_label(label, data, sender=XA, expires_ms=NOW)
    check_relay_label(label, data, seen_part, sender=XA)
    plain = replace(label, originators=(XA,), expires_ms=0, on_expiry=None)
    widest = replace(plain, tlp=Tlp.CLEAR)
    audience = replace(release, to=tuple(t for t in release.to if t.partner != XA), display_only=())
    parsed = parse_label(label_to_yaml(widest, audience).encode(), originator=XA, now_ms=NOW, defaults=None)
    assert replace(parsed.label, salt=bytes(16), release_sha256=bytes(32)) == widest
    assert replace(parsed.release, salt=bytes(16)) == audience


def test_worlds_reach_somebody_and_not_everybody() -> None:
    """The strategies above must make permits and denials, or the properties hold of nothing; always the same worlds."""
    outcomes: list[bool] = []

    @settings(max_examples=100, derandomize=True)
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
