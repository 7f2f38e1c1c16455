"""Cases of step 8: what XC may pass on of the reports of XA, and what it may not (policy_cases.py takes them in)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from exchange.policy.consent import Consent
from exchange.policy.decide import Reason, Role, Rules
from exchange.policy.model import Label, OnwardRule, Purpose
from tests.support.policy_builders import (
    ITEM,
    NOW,
    SOURCE,
    XA,
    XC,
    XD,
    a_consent,
    a_label,
    a_term,
    an_agreement,
    at_relay,
    rules,
)
from tests.support.policy_case import Case, case

SENDER, RELAY, RECIPIENT = Role.SENDER, Role.RELAY, Role.RECIPIENT
FULL = (SENDER, RECIPIENT)
R = Reason


def _passed_on(
    name: str,
    role: Role,
    *reasons: Reason,
    consents: tuple[Consent, ...],
    label: Label | None = None,
    given: Rules | None = None,
    named: bool = True,
) -> Case:
    """XC passes XA's report on to XB; `named` says whether a grant names XB, which the recipient asks of step 3."""
    before = (R.AUDIENCE_NOT_PROVEN,) if role is RECIPIENT and not named else ()
    facts: dict[str, Any] = {"item_hash": ITEM, "consents": consents}
    return case(name, role, *before, *reasons, sender=XC, label=label, given=given, **facts)


def consent_cases() -> Iterator[Case]:
    """Every case."""
    alone = case("passed on without consent", RELAY, R.CONSENT_MISSING, sender=XC)
    yield alone
    with_hash = at_relay(a_label(), alone.item.slot, sender=XC, grant_hashes=1)
    yield replace(alone, name="relay: a grant hash is enough for the relay", item=with_hash, reasons=())
    shared = a_label(originators=(XA, XC))
    yield case("one of two originators sends", RELAY, R.CONSENT_MISSING, sender=XC, label=shared)
    for role in FULL:
        yield from _consented(role, shared)
        yield from _not_consented(role)


def _consented(role: Role, shared: Label) -> Iterator[Case]:
    one = (a_consent(),)
    yield _passed_on("passed on with consent", role, consents=one)
    for_life = (a_consent(purposes=(Purpose.PROTECT_LIFE,)),)
    yield _passed_on("consent narrows the purposes", role, consents=for_life)
    yield _passed_on("the wider of two grants is enough", role, consents=(*for_life, a_consent(grant=bytes(32))))
    for_consuls = a_consent(grant=bytes([9]) * 32, purposes=(Purpose.CONSULAR,))
    yield _passed_on("two grants add up", role, consents=(*for_life, for_consuls))
    yield _passed_on("as far as the label allows", role, consents=(a_consent(hop=2),), label=a_label(max_hops=2))
    derived = a_label(derived_from=(SOURCE,))
    yield _passed_on("consent to what it derives from", role, consents=(a_consent(item=SOURCE),), label=derived)
    yield _passed_on("one of two originators sends with the other's consent", role, consents=one, label=shared)
    both = a_label(originators=(XA, XD))
    two = (*one, a_consent(grant=bytes([9]) * 32, originator=XD, purposes=(Purpose.CONSULAR,)))
    yield _passed_on("both originators consent", role, consents=two, label=both)
    ended = (a_consent(until_ms=NOW),)
    yield _passed_on("consent stood when the relay received it", role, consents=ended, given=rules(as_of_ms=NOW - 1))


def _not_consented(role: Role) -> Iterator[Case]:
    def denied(name: str, reason: Reason, *consents: Consent, **differs: Any) -> Case:
        return _passed_on(name, role, reason, consents=consents, **differs)

    yield denied("passed on without consent", R.CONSENT_MISSING, named=False)
    others = {
        "to another holder": a_consent(holder=XD),
        "for another item": a_consent(item=SOURCE),
        "of who is no originator": a_consent(originator=XD),
    }
    for name, consent in others.items():
        yield denied(f"consent {name}", R.CONSENT_MISSING, consent, named=False)
    elsewhere = a_consent(recipient=XD)
    yield denied("consent for another recipient", R.CONSENT_NOT_FOR_RECIPIENT, elsewhere, named=False)
    yield denied("consent has ended this moment", R.CONSENT_EXPIRED, a_consent(until_ms=NOW))
    yield denied("the nearest grant tells why", R.CONSENT_EXPIRED, elsewhere, a_consent(until_ms=NOW))
    yield denied("one hop too many", R.TOO_MANY_HOPS, a_consent(hop=2))
    twice = a_label(max_hops=2)
    once = rules(an_agreement(a_term(onward_hops=1)))
    yield denied("one hop more than the term allows", R.TOO_MANY_HOPS, a_consent(hop=2), label=twice, given=once)
    yield denied("a hop that is none", R.TOO_MANY_HOPS, a_consent(hop=0))
    trained = a_consent(purposes=(Purpose.TRAINING,))
    yield denied("consent for no purpose of the label", R.CONSENT_PURPOSE_NOT_SHARED, trained)
    life = rules(an_agreement(a_term(purposes=(Purpose.PROTECT_LIFE,))))
    consular = a_consent(purposes=(Purpose.CONSULAR,))
    yield denied("consent for no purpose of the term", R.CONSENT_PURPOSE_NOT_SHARED, consular, given=life)
    none = a_label(onward=OnwardRule.NONE, max_hops=0)
    yield denied("consent to what nobody may pass on", R.ONWARD_FORBIDDEN, a_consent(), label=none)
    both = a_label(originators=(XA, XD))
    yield denied("one of two originators consents", R.CONSENT_MISSING, a_consent(), label=both)
    only = a_consent(grant=bytes([9]) * 32, originator=XD, purposes=(Purpose.CONSULAR,))
    apart = (a_consent(purposes=(Purpose.PROTECT_LIFE,)), only)
    yield denied("two consents without a purpose in common", R.CONSENT_PURPOSE_NOT_SHARED, *apart, label=both)
