"""Consent over worlds that nobody thought of: only the right grant passes, none widens; parsers refuse or agree."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.consent.codec import decode_grant, decode_request, encode_grant, encode_request
from exchange.errors import BadInput
from exchange.names import PartyId
from exchange.policy.consent import Consent
from exchange.policy.decide import Decision, Item, Reason, Role, decide
from exchange.policy.model import Label, OnwardRule, Purpose
from tests.support.consent import a_grant, a_refusal, a_request
from tests.support.policy_builders import (
    DAY,
    HOUR,
    ITEM,
    NOW,
    SOURCE,
    XA,
    XB,
    XC,
    XD,
    a_consent,
    a_label,
    a_release,
    a_term,
    an_agreement,
    at_relay,
    rules,
    the_slot,
)

PURPOSES = (Purpose.PROTECT_LIFE, Purpose.CONSULAR, Purpose.TRAINING)


def some(values: tuple[Any, ...], least: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.sets(st.sampled_from(values), min_size=least).map(lambda found: tuple(sorted(found)))


CONSENTS = st.builds(
    Consent,
    grant=st.binary(min_size=32, max_size=32),
    item=st.sampled_from([ITEM, ITEM, SOURCE, bytes(32)]),
    originator=st.sampled_from([XA, XA, XD]),
    holder=st.sampled_from([XC, XC, XB]),
    recipient=st.sampled_from([XB, XB, XD]),
    purposes=some(PURPOSES),
    until_ms=st.sampled_from([NOW, NOW + 1, NOW + DAY]),
    hop=st.sampled_from([0, 1, 2]),
)
SEVERAL = st.lists(CONSENTS, max_size=4, unique_by=lambda consent: consent.grant).map(tuple)
LABELS = st.builds(
    a_label,
    originators=st.sampled_from([(XA,), (XA, XC), (XA, XD)]),
    purposes=some(PURPOSES),
    onward=st.sampled_from([*OnwardRule, OnwardRule.CONSENT]),
    max_hops=st.sampled_from([1, 1, 2]),
    orcon=st.booleans(),
    derived_from=st.sampled_from([(), (SOURCE,)]),
).map(lambda label: replace(label, max_hops=0) if label.onward is OnwardRule.NONE else label)


def decided(label: Label, consents: tuple[Consent, ...], role: Role, recipient: PartyId = XB) -> Decision:
    """XC passes ITEM on; only step 8, and the recipient's step 3, can be against it."""
    given_ = rules(an_agreement(a_term(purposes=PURPOSES), parties=(XA, XB, XC, XD)))
    if role is Role.SENDER:
        item = Item.to_send(label, a_release(recipient), item_hash=ITEM, consents=consents)
    elif role is Role.RELAY:
        item = at_relay(label, the_slot(given_), sender=XC, grant_hashes=len(consents))
    else:
        item = Item.received(label, the_slot(given_), intact=True, item_hash=ITEM, consents=consents)
    return decide(item, sender=XC, recipient=recipient, rules=given_, now_ms=NOW, role=role)


def applies(consent: Consent, label: Label, party: PartyId) -> bool:
    """What the specification says of one grant, written down once more."""
    return (
        consent.originator == party
        and consent.holder == XC
        and consent.recipient == XB
        and consent.item in {ITEM, *label.derived_from}
        and consent.until_ms > NOW
        and 1 <= consent.hop <= label.max_hops
        and bool(set(consent.purposes) & set(label.purposes))
    )


@settings(max_examples=300)
@given(LABELS, SEVERAL)
def test_only_a_grant_of_every_other_originator_that_applies_permits(
    label: Label, consents: tuple[Consent, ...]
) -> None:
    decision = decided(label, consents, Role.SENDER)
    others = [party for party in label.originators if party != XC]
    may = label.onward is not OnwardRule.NONE and all(
        any(applies(consent, label, party) for consent in consents) for party in others
    )
    apart = decision.reasons == [Reason.CONSENT_PURPOSE_NOT_SHARED] and len(others) > 1
    assert decision.permit == (may and not apart)
    if decision.permit:
        assert decision.obligations is not None
        used = [consent for consent in consents if consent.grant in decision.grants]
        assert {consent.originator for consent in used} == set(others)
        for party in others:
            allowed = {purpose for consent in used if consent.originator == party for purpose in consent.purposes}
            assert set(decision.obligations.purposes) <= allowed & set(label.purposes)


@settings(max_examples=150)
@given(LABELS, SEVERAL.filter(bool), st.integers(0, 3), st.sampled_from(Role))
def test_removing_a_grant_never_adds_a_recipient(
    label: Label, consents: tuple[Consent, ...], gone: int, role: Role
) -> None:
    fewer = consents[:gone] + consents[gone + 1 :]
    for recipient in (XB, XD):
        if decided(label, fewer, role, recipient).permit:
            assert decided(label, consents, role, recipient).permit


@settings(max_examples=150)
@given(LABELS, SEVERAL)
def test_what_a_holder_may_pass_on_relay_and_recipient_permit(label: Label, consents: tuple[Consent, ...]) -> None:
    decision = decided(label, consents, Role.SENDER)
    carried = tuple(consent for consent in consents if consent.grant in decision.grants)
    if decision.permit:
        assert decided(label, carried, Role.RELAY).permit
        at_recipient = decided(label, carried, Role.RECIPIENT)
        assert at_recipient.permit
        assert at_recipient.obligations == decision.obligations
    assert decided(label, consents, Role.RECIPIENT).permit == decision.permit or XC not in label.originators


@settings(max_examples=50)
@given(LABELS)
def test_without_grants_nothing_is_passed_on(label: Label) -> None:
    for role in Role:
        assert not decided(label, (), role).permit


NARROWER: list[Callable[[Label], dict[str, Any]]] = [
    lambda _: {"onward": OnwardRule.NONE, "max_hops": 0},
    lambda label: {"max_hops": 1 if label.onward is not OnwardRule.NONE else 0},
    lambda label: {"originators": tuple(sorted({*label.originators, XD}))},
    lambda _: {"derived_from": ()},
]


@settings(max_examples=150)
@given(LABELS, SEVERAL, st.sampled_from(NARROWER))
def test_a_stricter_label_never_adds_a_recipient(
    label: Label, consents: tuple[Consent, ...], change: Callable[[Label], dict[str, Any]]
) -> None:
    if decided(replace(label, **change(label)), consents, Role.SENDER).permit:
        assert decided(label, consents, Role.SENDER).permit


@given(st.sampled_from([{"until_ms": NOW}, {"hop": 2}, {"holder": XB}, {"item": bytes(32)}, {"recipient": XD}]))
def test_the_usual_grant_with_one_thing_wrong_denies(wrong: dict[str, Any]) -> None:
    assert decided(a_label(), (a_consent(until_ms=NOW + HOUR),), Role.SENDER).permit
    for role in (Role.SENDER, Role.RECIPIENT):
        assert not decided(a_label(), (a_consent(**wrong),), role).permit


# -- parsers -----------------------------------------------------------------------------------------------------------

CODECS: list[tuple[Callable[[Any], bytes], Callable[[bytes], Any], Any]] = [
    (encode_request, decode_request, a_request(derived_from=(bytes(32),))),
    (encode_grant, decode_grant, a_grant()),
    (encode_grant, decode_grant, a_refusal()),
]


@pytest.mark.parametrize(("encode", "decode", "value"), CODECS, ids=["request", "grant", "refusal"])
@given(data=st.data())
def test_altered_bytes_are_refused_or_are_the_one_encoding_of_another_value(
    encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], value: object, data: st.DataObject
) -> None:
    bad = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(bad) - 1))
        bad[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        other = decode(bytes(bad))
    except BadInput:
        return
    assert encode(other) == bytes(bad)


@pytest.mark.parametrize("decode", [decode_request, decode_grant])
@given(junk=st.binary(max_size=300))
def test_any_bytes_are_a_value_or_refused(decode: Callable[[bytes], Any], junk: bytes) -> None:
    with pytest.raises(BadInput):
        decode(junk)
