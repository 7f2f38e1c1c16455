"""What a draft would newly let flow, and what it would stop, over reports of before."""

from dataclasses import replace

from exchange.policy.decision import Reason
from exchange.policy.model import Category, Target, Tlp
from exchange.policy.simulate import Flow, changes, draft_view, with_draft
from tests.support.policy_builders import DAY, NOW, XA, XB, XC, XD, a_label, a_release, a_term, an_agreement, rules

EVERYONE = a_release(to=(Target(everyone=True),))


def flows(*terms: object, number: int = 1, label: object = None, **differs: object) -> list[tuple[str, bool]]:
    """Return whom a draft of these terms makes a difference to, and whether it would newly flow."""
    given = rules(an_agreement(), as_of_ms=NOW)
    draft = an_agreement(*terms, number=number, version=2, **differs).view  # type: ignore[arg-type]
    found = changes(
        label or a_label(),  # type: ignore[arg-type]
        EVERYONE,
        sender=XA,
        now=given,
        draft=with_draft(given, draft),
        authored_ms=NOW - 10 * DAY,
    )
    return [(each.recipient, each.newly) for each in found]


def test_the_same_text_changes_nothing() -> None:
    assert flows(a_term()) == []


def test_a_narrower_draft_stops_and_a_wider_one_lets_flow() -> None:
    assert flows(a_term(ceiling=Tlp.GREEN)) == [(XB, False), (XC, False)]
    assert flows(a_term(recipients=(XB,))) == [(XC, False)]
    crime = a_label(categories=(Category.CRIME,))
    wider = a_term(categories=tuple(sorted({*a_term().categories, Category.CRIME})))
    assert flows(wider, label=crime) == [(XB, True), (XC, True)]


def test_a_new_party_newly_gets_it_and_another_agreement_stays() -> None:
    assert flows(a_term(), parties=(XA, XB, XC, XD)) == [(XD, True)]
    assert flows(a_term(ceiling=Tlp.GREEN), number=2) == []


def test_dates_of_agreements_and_approvals_make_no_difference() -> None:
    assert flows(a_term(approvals=16), valid_from_ms=NOW + DAY, valid_until_ms=NOW + 2 * DAY) == []


def test_a_stop_says_why() -> None:
    given = rules(an_agreement(), as_of_ms=NOW)
    draft = an_agreement(a_term(ceiling=Tlp.GREEN), version=2).view
    (flow, _) = changes(a_label(), EVERYONE, sender=XA, now=given, draft=with_draft(given, draft), authored_ms=NOW)
    assert isinstance(flow, Flow)
    assert flow.after.reasons == [Reason.TLP_ABOVE_AGREEMENT]
    assert flow.before.clause == flow.after.clause == "4.1"


def test_who_joined_the_version_before_is_taken_to_join_the_draft_if_it_may() -> None:
    old = an_agreement(parties=(XA, XB, XC, XD)).view
    draft = an_agreement(parties=(XA, XB)).view
    assert draft_view(draft, [old]).parties == (XA, XB)
    assert draft_view(replace(draft, may_accede=(XC,)), [old]).parties == (XA, XB, XC)
    assert draft_view(replace(draft, anyone_may_accede=True), [old]).parties == (XA, XB, XC, XD)
