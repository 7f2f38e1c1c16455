"""Every reason, once for every role that can give it; tests/support/policy_cases.py holds the cases."""

from dataclasses import replace

import pytest

from exchange.policy.agreement import AgreementStatus
from exchange.policy.decide import (
    REQUIRED,
    Item,
    Membership,
    Outcome,
    Reason,
    Role,
    Slot,
    Step,
    decide,
    decide_slots,
    who_gets,
)
from exchange.policy.decision import WAITS
from exchange.policy.explain import duties, sentence
from exchange.policy.model import (
    Actions,
    EvidenceUse,
    Handling,
    OnExpiry,
    PersonalData,
    Purpose,
    ReaderRule,
    Target,
    Tlp,
)
from exchange.policy.terms import PersonalDataRule
from tests.support.policy_builders import (
    DAY,
    HOUR,
    NOW,
    XA,
    XB,
    XC,
    XD,
    a_label,
    a_release,
    a_term,
    an_agreement,
    at_relay,
    rules,
    standing,
    the_slot,
)
from tests.support.policy_case import Case
from tests.support.policy_cases import cases

CASES = list(cases())

STEP_1_2 = {reason for reason in Reason if list(Reason).index(reason) <= list(Reason).index(Reason.NO_TERM)}
ONLY_WHEN_CITED = {Reason.AGREEMENT_NOT_CITED, Reason.AGREEMENT_REPLACED, Reason.NOT_A_PARTY}
GIVEN_BY = {
    Role.SENDER: set(Reason) - ONLY_WHEN_CITED - {Reason.AUDIENCE_NOT_PROVEN, Reason.NOBODY_MAY_READ},
    Role.RELAY: (STEP_1_2 - {Reason.RETRACTED, Reason.NOT_YET, Reason.NO_AGREEMENT})
    | {
        Reason.CATEGORY_DENIED,
        Reason.CATEGORY_NOT_ALLOWED,
        Reason.PURPOSE_NOT_SHARED,
        Reason.TLP_ABOVE_AGREEMENT,
        Reason.TLP_ABOVE_PARTNER,
        Reason.PERSONAL_DATA_NOT_ALLOWED,
        Reason.SPECIAL_CATEGORIES_NOT_ALLOWED,
        Reason.SPECIAL_CATEGORIES_NOT_FOR_LIFE,
        Reason.CONSENT_MISSING,
        Reason.COMMUNITY_ENDED,
        Reason.COMMUNITY_SUSPENDED,
    },
    Role.RECIPIENT: set(Reason)
    - {
        Reason.NO_AGREEMENT,
        Reason.NO_RELEASE,
        Reason.PARTNER_NOT_VERIFIED,
        Reason.AUDIENCE_EMPTY,
        Reason.COMMUNITY_HISTORY,
        Reason.EXCLUDED,
        Reason.NOBODY_MAY_READ,
    },
}
"""Which reasons a role can have."""


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_decision_gives_exactly_these_reasons(case: Case) -> None:
    decision = decide(
        case.item,
        sender=case.sender,
        recipient=case.recipient,
        rules=case.rules,
        now_ms=case.now_ms,
        role=case.role,
    )
    assert decision.reasons == list(case.reasons)
    assert decision.permit == (not case.reasons)
    assert {finding.step for finding in decision.findings} == set(Step)
    assert [finding.step for finding in decision.findings] == sorted(finding.step for finding in decision.findings)
    for finding in decision.findings:
        assert sentence(finding)
        assert (
            finding.outcome is not Outcome.NOT_VISIBLE or finding.step not in REQUIRED[case.role] or not decision.permit
        )


@pytest.mark.parametrize("role", Role)
def test_every_reason_that_a_role_can_have_has_a_case(role: Role) -> None:
    assert {reason for case in CASES if case.role is role for reason in case.reasons} == GIVEN_BY[role]


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_denial_names_the_clause_and_the_value() -> None:
    decision = decide(
        Item.to_send(a_label(tlp=Tlp.RED), a_release()),
        sender=XA,
        recipient=XB,
        rules=rules(),
        now_ms=NOW,
        role=Role.SENDER,
    )
    (failure,) = (finding for finding in decision.findings if finding.outcome is Outcome.FAIL)
    assert (failure.agreement, failure.clause) == (bytes([1]) * 16, "4.1")
    assert failure.what == "TLP:RED > TLP:AMBER+STRICT"
    assert "clause 4.1" in sentence(failure)
    assert decision.obligations is None


def test_what_is_denied_for_nothing_but_what_may_change_waits() -> None:
    held = rules(an_agreement(a_term(approvals=1)), XB=standing(Membership.SUSPENDED))
    early = a_label(not_before_ms=NOW + 1)
    (first, *_) = who_gets(Item.to_send(early, a_release()), sender=XA, rules=held, now_ms=NOW)
    assert first[1].waits and set(first[1].reasons) < WAITS
    for label, given in ((a_label(tlp=Tlp.RED), held), (a_label(), rules(XB=standing(Membership.EXPELLED)))):
        (other, *_) = who_gets(Item.to_send(label, a_release()), sender=XA, rules=given, now_ms=NOW)
        assert not other[1].permit and not other[1].waits
    (usual, *_) = who_gets(Item.to_send(a_label(), a_release()), sender=XA, rules=rules(), now_ms=NOW)
    assert usual[1].permit and not usual[1].waits


def test_a_permit_names_its_agreement_and_clause() -> None:
    given = rules(an_agreement(a_term(ceiling=Tlp.GREEN)), an_agreement(a_term(clause="9"), number=2))
    ((_, decision), *_) = who_gets(Item.to_send(a_label(), a_release()), sender=XA, rules=given, now_ms=NOW)
    assert decision.permit
    assert decision.basis is not None
    assert (decision.basis.id, decision.clause) == (bytes([2]) * 16, "9")


def test_obligations_take_the_stricter_of_label_and_agreement() -> None:
    label = a_label(
        actions=Actions.EXTERNAL_ACTIVE,
        evidence_use=EvidenceUse.YES,
        retention_days=400,
        use_in=("ML", "PK"),
        review_on_ms=NOW + HOUR,
        handling=(Handling("PAP:RED", "No network."),),
    )
    term = a_term(
        actions_max=Actions.EXTERNAL_PASSIVE,
        evidence_use=EvidenceUse.WITH_CONSENT,
        retention_max_days=30,
        use_in=("NE", "PK"),
        purposes=(Purpose.CONSULAR, Purpose.TRAINING),
    )
    item = Item.to_send(label, a_release(XB, display_only=(XB,)))
    found = decide(item, sender=XA, recipient=XB, rules=rules(an_agreement(term)), now_ms=NOW, role=Role.SENDER)
    duty = found.obligations
    assert duty is not None
    assert (duty.actions, duty.evidence_use) == (Actions.EXTERNAL_PASSIVE, EvidenceUse.WITH_CONSENT)
    assert (duty.purposes, duty.use_in) == ((Purpose.CONSULAR,), ("PK",))
    assert (duty.retention_days, duty.purge_at_ms) == (30, NOW + 30 * DAY)
    assert duty.display_only
    told = " ".join(duties(duty))
    assert "consular" in told
    assert "Destroy it by" in told
    assert "PAP:RED" in told
    assert "do not hand it out" in told


def test_obligations_are_the_labels_where_it_is_stricter() -> None:
    label = a_label(actions=Actions.NONE, evidence_use=EvidenceUse.NO, retention_days=7, use_in=("PK",))
    term = a_term(actions_max=Actions.EXTERNAL_ACTIVE, evidence_use=EvidenceUse.YES, retention_max_days=30)
    item = Item.to_send(label, a_release())
    duty = decide(
        item, sender=XA, recipient=XB, rules=rules(an_agreement(term)), now_ms=NOW, role=Role.SENDER
    ).obligations
    assert duty is not None
    assert (duty.actions, duty.evidence_use) == (Actions.NONE, EvidenceUse.NO)
    assert (duty.retention_days, duty.purge_at_ms, duty.use_in) == (7, NOW + 7 * DAY, ("PK",))


@pytest.mark.parametrize("on_expiry, purge, ask", [(OnExpiry.PURGE, NOW + HOUR, 0), (OnExpiry.ASK, 0, NOW + HOUR)])
def test_what_happens_at_expiry_is_what_the_label_says(on_expiry: OnExpiry, purge: int, ask: int) -> None:
    label = a_label(expires_ms=NOW + HOUR, on_expiry=on_expiry)
    given = rules(an_agreement(a_term(retention_max_days=0)))
    item = Item.received(label, the_slot(given), intact=True)
    duty = decide(item, sender=XA, recipient=XB, rules=given, now_ms=NOW, role=Role.RECIPIENT).obligations
    assert duty is not None
    assert (duty.purge_at_ms, duty.ask_at_ms) == (purge, ask)


def test_special_categories_narrow_the_purposes_to_protecting_life() -> None:
    label = a_label(personal_data=PersonalData(present=True, special=True))
    given = rules(an_agreement(a_term(personal_data=PersonalDataRule.ALLOWED, special_categories=True)))
    item = Item.received(label, the_slot(given), intact=True)
    duty = decide(item, sender=XA, recipient=XB, rules=given, now_ms=NOW, role=Role.RECIPIENT).obligations
    assert duty is not None
    assert duty.purposes == (Purpose.PROTECT_LIFE,)


def test_red_without_named_readers_is_delivered_with_a_warning() -> None:
    given = rules(an_agreement(a_term(ceiling=Tlp.RED)))
    for readers, nobody in ((None, True), (ReaderRule(), True), (ReaderRule(named=("duty-officer",)), False)):
        item = Item.to_send(a_label(tlp=Tlp.RED, readers=readers), a_release())
        decision = decide(item, sender=XA, recipient=XB, rules=given, now_ms=NOW, role=Role.SENDER)
        assert decision.permit
        assert decision.obligations is not None
        assert decision.obligations.nobody_may_read is nobody
        assert [finding.reason for finding in decision.warnings] == [Reason.NOBODY_MAY_READ] * nobody


def test_who_gets_says_the_same_as_decide_for_each_partner() -> None:
    given = rules(an_agreement(a_term(recipients=(XB,)), a_term(ceiling=Tlp.GREEN)), XD=standing(Membership.SUSPENDED))
    item = Item.to_send(a_label(), a_release(XB, XC, XD, display_only=(XC,)))
    found = who_gets(item, sender=XA, rules=given, now_ms=NOW)
    assert [party for party, _ in found] == [XB, XC, XD]
    assert [decision.permit for _, decision in found] == [True, False, False]
    for party, decision in found:
        assert decision == decide(item, sender=XA, recipient=party, rules=given, now_ms=NOW, role=Role.SENDER)


def test_deciding_slots_together_says_the_same_as_one_by_one() -> None:
    given = rules(an_agreement(), an_agreement(number=2, status=AgreementStatus.SUSPENDED))
    refs = [found.ref for found in given.agreements.values()]
    slots = [(XB, Slot(refs[0])), (XB, Slot(refs[1])), (XC, Slot(refs[0])), (XD, Slot(None))]
    together = decide_slots(at_relay(a_label(), None), slots, sender=XA, rules=given, now_ms=NOW)
    one_by_one = [
        decide(at_relay(a_label(), slot), sender=XA, recipient=party, rules=given, now_ms=NOW, role=Role.RELAY)
        for party, slot in slots
    ]
    assert together == one_by_one
    assert [decision.permit for decision in together] == [True, False, True, False]


def test_a_missing_view_of_everything_denies_and_does_not_raise() -> None:
    empty = rules()
    for role in Role:
        decision = decide(Item(), sender=XA, recipient=XB, rules=replace(empty, standings={}), now_ms=0, role=role)
        assert not decision.permit
        assert Reason.NO_LABEL in decision.reasons


def test_everyone_means_whom_an_agreement_permits() -> None:
    item = Item.to_send(a_label(), a_release(to=(Target(everyone=True),)))
    found = who_gets(item, sender=XA, rules=rules(), now_ms=NOW)
    assert [party for party, decision in found if decision.permit] == [XB, XC]
