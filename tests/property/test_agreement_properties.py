"""What must hold of the comparison of terms: a warning that a term never counts is never wrong."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.names import PartyId
from exchange.policy.agreement import AgreementStatus, EnforcementView, Term, ref_of
from exchange.policy.agreement_lint import shadows
from exchange.policy.codec import encode_label, relay_label
from exchange.policy.decide import AgreementInForce, Item, Membership, Obligations, Role, Rules, Slot, Standing, decide
from exchange.policy.model import Label, Release, Target, Tlp
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, XC
from tests.support.policy_worlds import FEW_CATEGORIES, FEW_PURPOSES, PLACES, labels, subset, terms

PARTIES = (XA, XB, XC)
STANDINGS = dict.fromkeys(PARTIES, Standing(Membership.ADMITTED, Tlp.RED))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Term, Term]:
    """Two terms of which the second is often, but not always, within the first."""
    earlier, later = draw(terms()), draw(terms())
    taken = draw(st.sets(st.sampled_from([field for field in Term.__dataclass_fields__ if field != "clause"])))
    taken |= {"about", "about_any"} if taken & {"about", "about_any"} else set()
    taken |= {"personal_data", "special_categories"} if taken & {"personal_data", "special_categories"} else set()
    later = replace(later, clause="2", **{field: getattr(earlier, field) for field in taken})
    wide = replace(
        earlier,
        purposes=draw(st.sampled_from([earlier.purposes, FEW_PURPOSES])),
        categories=draw(st.sampled_from([earlier.categories, FEW_CATEGORIES])),
        denied_categories=draw(st.sampled_from([earlier.denied_categories, ()])),
        use_in=draw(st.sampled_from([earlier.use_in, (), PLACES])),
        senders=draw(st.sampled_from([earlier.senders, ()])),
        recipients=draw(st.just(()) | subset(PARTIES, 2)),
        approvals=0,
        ceiling=Tlp.RED,
    )
    return wide, later


def decisions(rules: Rules, label: Label, sender: PartyId) -> list[tuple[bool, str, Obligations | None]]:
    """Return what every role decides for every recipient."""
    (agreement,) = rules.agreements.values()
    slot = Slot(agreement.ref)
    seen = relay_label(label, encode_label(label), sender=sender, expires_ms=NOW + 10)
    found = []
    for recipient in PARTIES:
        release = Release((Target(partner=recipient),), salt=bytes(16))
        for role, item in (
            (Role.SENDER, Item.to_send(label, release, approvals=1)),
            (Role.RELAY, Item.in_transit(seen, slot)),
            (Role.RECIPIENT, Item.received(label, slot, intact=True, approvals=1)),
        ):
            made = decide(item, sender=sender, recipient=recipient, rules=rules, now_ms=NOW, role=role)
            found.append((made.permit, made.clause if made.permit else "", made.obligations))
    return found


def under(*of: Term) -> Rules:
    """Return rules with one agreement of these terms."""
    view = EnforcementView(EXCHANGE, bytes(16), 1, PARTIES, of, 0, 0, bytes(32), bytes(16))
    return Rules.of(EXCHANGE, [AgreementInForce(ref_of(view), view, AgreementStatus.ACTIVE)], STANDINGS)


@settings(max_examples=300, deadline=None)
@given(pairs(), terms(), labels(), st.sampled_from([XA, XB]))
def test_taking_away_a_shadowed_term_changes_no_decision(
    pair: tuple[Term, Term], between: Term, label: Label, sender: PartyId
) -> None:
    earlier, later = pair
    if not shadows(earlier, later, frozenset(PARTIES)):
        return
    label = replace(label, originators=(sender,), not_before_ms=0, expires_ms=0, on_expiry=None, embargo_until_ms=0)
    with_it = decisions(under(earlier, between, later), label, sender)
    assert with_it == decisions(under(earlier, between), label, sender)


def test_shadowed_terms_are_among_those_tried_and_among_them_some_that_would_permit() -> None:
    """The strategies above must make shadowed terms that permit something, or the property holds of nothing."""
    shadowed: list[bool] = []
    permitted: list[bool] = []

    @settings(max_examples=300, database=None, deadline=None)
    @given(pairs(), labels())
    def collect(pair: tuple[Term, Term], label: Label) -> None:
        found = shadows(*pair, frozenset(PARTIES))
        shadowed.append(found)
        if found:
            label = replace(label, originators=(XA,), not_before_ms=0, expires_ms=0, on_expiry=None)
            permitted.append(any(permit for permit, _, _ in decisions(under(pair[1]), label, XA)))

    collect()
    assert set(shadowed) == {True, False}
    assert set(permitted) == {True, False}
