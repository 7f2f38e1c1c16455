"""One case for every reason and every role that can give it, and some that permit: input and expected reasons.

Unit tests run them, and tests/vectors/policy/decisions.json holds them with the whole decision, for anybody else's
implementation. Write that file anew with `python -m tests.support.policy_vectors`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from exchange.names import ExchangeName
from exchange.policy.agreement import AgreementRef, AgreementStatus, NationalCeiling, PersonalDataRule
from exchange.policy.decide import AgreementInForce, Membership, Reason, Role, Rules, Slot
from exchange.policy.model import (
    Category,
    CommunityTarget,
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
from tests.support.community_cases import community_cases
from tests.support.consent_cases import consent_cases
from tests.support.policy_builders import (
    HOUR,
    ITEM,
    NOW,
    XA,
    XB,
    XC,
    XD,
    a_consent,
    a_label,
    a_release,
    a_term,
    an_agreement,
    rules,
    standing,
    the_slot,
    without,
)
from tests.support.policy_case import Case, case

SENDER, RELAY, RECIPIENT = Role.SENDER, Role.RELAY, Role.RECIPIENT
ALL = (SENDER, RELAY, RECIPIENT)
FULL = (SENDER, RECIPIENT)
R = Reason
COMMUNITY = Target(community=CommunityTarget(bytes([9]) * 16, 3))


def cases() -> Iterator[Case]:
    """Every case."""
    yield from _permitted()
    yield from _validity()
    yield from _partners()
    yield from _agreements()
    yield from _audience()
    yield from community_cases()
    yield from _content()
    yield from _ceilings()
    yield from _the_rest()
    yield from consent_cases()


def _permitted() -> Iterator[Case]:
    for role in ALL:
        yield case("the usual report is permitted", role)
        yield case("the stricter of label and agreement becomes the obligation", role, label=_strict())
    second = rules(an_agreement(a_term(ceiling=Tlp.GREEN)), an_agreement(a_term(clause="9"), number=2))
    yield case("the first agreement that permits is the basis", SENDER, given=second)
    yield case("everyone whom an agreement permits", SENDER, release=a_release(to=(Target(everyone=True),)))
    party = Target(agreement=bytes([1]) * 16)
    yield case("every party of an agreement", SENDER, release=a_release(to=(party,)))
    yield case("shown and not kept", SENDER, release=a_release(XB, display_only=(XB,)))
    for role in FULL:
        yield case("red without a reader rule is delivered and nobody may read it", role, label=_red(), given=_red_ok())
        named = ReaderRule(named=("duty-officer",))
        yield case("red with named readers", role, label=replace(_red(), readers=named), given=_red_ok())


def _strict() -> Label:
    return a_label(retention_days=30, use_in=("ML", "PK"), expires_ms=NOW + HOUR, on_expiry=OnExpiry.PURGE, orcon=True)


def _red() -> Label:
    return a_label(tlp=Tlp.RED)


def _red_ok() -> Rules:
    return rules(an_agreement(a_term(ceiling=Tlp.RED)))


def _validity() -> Iterator[Case]:
    for role in ALL:
        yield case("changed on the way", role, R.NOT_INTACT, intact=False)
        yield case("a rulebook that nobody knows", role, R.UNKNOWN_POLICY, label=a_label(policy="other/9"))
        yield case("no label", role, R.NO_LABEL, *_WITHOUT_LABEL[role], without_label=True)
    for name, empty in (("originators", ()), ("categories", ()), ("purposes", ())):
        also = {"originators": (R.CONSENT_MISSING,), "categories": (), "purposes": (R.PURPOSE_NOT_SHARED,)}[name]
        yield case(f"no {name}", SENDER, R.LABEL_INCOMPLETE, *also, label=a_label(**{name: empty}))
    yield case("no basis", SENDER, R.LABEL_INCOMPLETE, label=a_label(basis=LegalBasis("mou", "")))
    yield case("no categories", RECIPIENT, R.LABEL_INCOMPLETE, label=a_label(categories=()))
    usual = case("no categories", RELAY, R.LABEL_INCOMPLETE)
    yield _seen_by_relay(usual, categories=())
    yield _seen_by_relay(case("the time to delete has come", RELAY, R.EXPIRED), expires_ms=NOW)
    yield _seen_by_relay(case("no time to delete", RELAY, R.EXPIRED), expires_ms=0)
    for role in FULL:
        yield case("retracted", role, R.RETRACTED, retracted=True)
        yield case("expired", role, R.EXPIRED, label=a_label(expires_ms=NOW, on_expiry=OnExpiry.ASK))
        yield case("too early", role, R.NOT_YET, label=a_label(not_before_ms=NOW + 1))


_WITHOUT_LABEL = {SENDER: (), RELAY: (), RECIPIENT: (R.AUDIENCE_NOT_PROVEN,)}


def _seen_by_relay(usual: Case, **differs: Any) -> Case:
    assert usual.item.relay_label is not None
    return replace(usual, item=replace(usual.item, relay_label=replace(usual.item.relay_label, **differs)))


def _partners() -> Iterator[Case]:
    known = rules()
    steps = (
        (Membership.JOINING, R.SENDER_NOT_ADMITTED, R.RECIPIENT_NOT_ADMITTED),
        (Membership.SUSPENDED, R.SENDER_SUSPENDED, R.RECIPIENT_SUSPENDED),
        (Membership.EXPELLED, R.SENDER_EXPELLED, R.RECIPIENT_EXPELLED),
    )
    for role in ALL:
        yield case("sender unknown", role, R.SENDER_UNKNOWN, given=without(known, XA))
        yield case("recipient unknown", role, R.RECIPIENT_UNKNOWN, given=without(known, XB))
        for membership, sender, recipient in steps:
            yield case(f"sender {membership.value}", role, sender, given=rules(XA=standing(membership)))
            yield case(f"recipient {membership.value}", role, recipient, given=rules(XB=standing(membership)))
        yield case("to oneself", role, R.SAME_PARTY, recipient=XA, release=a_release(XA))


def _agreements() -> Iterator[Case]:
    states = (
        ("suspended", R.AGREEMENT_SUSPENDED, an_agreement(status=AgreementStatus.SUSPENDED)),
        ("terminated", R.AGREEMENT_TERMINATED, an_agreement(status=AgreementStatus.TERMINATED)),
        ("not in force yet", R.AGREEMENT_NOT_YET, an_agreement(valid_from_ms=NOW + 1)),
        ("lapsed this moment", R.AGREEMENT_LAPSED, an_agreement(valid_until_ms=NOW)),
        ("of another exchange", R.AGREEMENT_OF_ANOTHER_EXCHANGE, an_agreement(exchange=ExchangeName("other.example"))),
        ("without a term for the recipient", R.NO_TERM, an_agreement(a_term(recipients=(XC,)))),
        ("without a term for the sender", R.NO_TERM, an_agreement(a_term(senders=(XC,)))),
    )
    for role in ALL:
        for name, reason, agreement in states:
            yield case(f"agreement {name}", role, reason, given=rules(agreement))
        for name, reason, given in _changed():
            yield case(f"agreement {name}", role, reason, given=given)
        cited = R.AGREEMENT_REPLACED
        newer, later, others, left = _versions()
        yield case("a newer version of both", role, R.NO_TERM if role is SENDER else cited, given=newer)
        yield case("a newer version that has not begun", role, given=later)
        yield case("a newer version of others", role, given=others)
        gone = R.AGREEMENT_TERMINATED if role is SENDER else cited
        yield case("a newer version that one of both has left", role, gone, given=left)
        late = rules(an_agreement(valid_until_ms=NOW), as_of_ms=NOW - 1)
        yield case("agreement in force when the relay received it", role, given=late)
    yield case("no agreement with the recipient", SENDER, R.NO_AGREEMENT, recipient=XD, release=a_release(XD))
    lapsed = an_agreement(valid_until_ms=NOW)
    nearest = rules(an_agreement(a_term(ceiling=Tlp.GREEN, purposes=(Purpose.TRAINING,))), replace_number(lapsed, 2))
    yield case("the nearest agreement gives the reasons", SENDER, R.AGREEMENT_LAPSED, given=nearest)
    held = an_agreement(a_term(approvals=1), number=2, status=AgreementStatus.SUSPENDED)
    waits = rules(an_agreement(a_term(ceiling=Tlp.GREEN)), held)
    reasons = (R.AGREEMENT_SUSPENDED, R.APPROVALS_MISSING)
    yield case("an agreement that may yet permit is nearer than one that will not", SENDER, *reasons, given=waits)
    terms = an_agreement(a_term(ceiling=Tlp.GREEN), a_term(approvals=1, clause="5"))
    yield case("so is a term", SENDER, R.APPROVALS_MISSING, given=rules(terms))
    mislabelled = AgreementInForce(replace(an_agreement().ref, version=7), an_agreement().view, AgreementStatus.ACTIVE)
    yield case("a view that is not the one of its name", SENDER, R.AGREEMENT_UNKNOWN, given=rules(mislabelled))
    for role in (RELAY, RECIPIENT):
        unknown = Slot(AgreementRef(bytes([7]) * 16, 1, bytes([7]) * 32))
        other = Slot(replace(the_slot(rules()).basis or _NOWHERE, version=2))
        yield case("no agreement cited", role, R.AGREEMENT_NOT_CITED, slot=Slot(None))
        yield case("an agreement that nobody knows", role, R.AGREEMENT_UNKNOWN, slot=unknown)
        yield case("another version under the same commitment", role, R.AGREEMENT_UNKNOWN, slot=other)
        yield case("an agreement of others", role, R.NOT_A_PARTY, recipient=XD)
        second = rules(an_agreement(a_term(ceiling=Tlp.GREEN)), an_agreement(number=2))
        yield case("only the agreement that is cited counts", role, R.TLP_ABOVE_AGREEMENT, given=second)


def _changed() -> Iterator[tuple[str, Reason, Rules]]:
    """Agreements that notices have changed."""
    digest = bytes([7]) * 32
    for who, others in ((XA, (XB, XC)), (XB, (XA, XC))):
        suspended = an_agreement(parties=others, suspended=(who,), changes_sha256=digest)
        yield f"that {who} suspended", R.AGREEMENT_SUSPENDED, rules(suspended)
        left = an_agreement(parties=others, left=(who,), changes_sha256=digest)
        yield f"that {who} left", R.AGREEMENT_TERMINATED, rules(left)
    both = an_agreement(parties=(XC,), suspended=(XA,), left=(XB,), changes_sha256=digest)
    yield "that one suspended and the other left", R.AGREEMENT_TERMINATED, rules(both)


def _versions() -> tuple[Rules, Rules, Rules, Rules]:
    """Rules in which a second version is in force beside the first, which is the one that is cited."""

    def beside(**differs: Any) -> Rules:
        return rules(an_agreement(), an_agreement(a_term(senders=(XA,), recipients=(XA,)), version=2, **differs))

    both = (XA, XB)
    return (
        beside(parties=both),
        beside(parties=both, valid_from_ms=NOW + 1),
        beside(parties=(XA, XC)),
        beside(parties=(XA, XC), left=(XB,), changes_sha256=bytes([7]) * 32),
    )


_NOWHERE = AgreementRef(bytes(16), 1, bytes(32))


def replace_number(agreement: AgreementInForce, number: int) -> AgreementInForce:
    """The same agreement under another id."""
    view = agreement.view
    return an_agreement(*view.terms, number=number, valid_until_ms=view.valid_until_ms)


def _audience() -> Iterator[Case]:
    def sent(name: str, *reasons: Reason, release: Release) -> Case:
        return case(name, SENDER, *reasons, release=release)

    everyone = Target(everyone=True)
    yield case("no release", SENDER, R.NO_RELEASE, without_release=True)
    yield sent("an empty audience", R.AUDIENCE_EMPTY, release=a_release(to=()))
    yield sent("not in the audience", R.NOT_IN_AUDIENCE, release=a_release(XC))
    yield sent("excluded though named", R.EXCLUDED, release=a_release(XB, except_=(XB,)))
    yield sent("excluded though everyone", R.EXCLUDED, release=a_release(to=(everyone,), except_=(XB,)))
    yield sent("an unknown community", R.NOT_IN_AUDIENCE, R.COMMUNITY_UNKNOWN, release=a_release(to=(COMMUNITY,)))
    yield sent("named beside an unknown community", release=a_release(to=(Target(partner=XB), COMMUNITY)))
    unknown = Target(agreement=bytes([7]) * 16)
    yield sent("an unknown agreement as audience", R.NOT_IN_AUDIENCE, release=a_release(to=(unknown,)))
    yield sent("display only adds nobody", R.NOT_IN_AUDIENCE, release=a_release(XC, display_only=(XB,)))
    lapsed = rules(an_agreement(), replace_number(an_agreement(valid_until_ms=NOW), 2))
    party = a_release(to=(Target(agreement=bytes([2]) * 16),))
    yield case("the parties of a lapsed agreement", SENDER, R.NOT_IN_AUDIENCE, release=party, given=lapsed)
    held = rules(an_agreement(), an_agreement(number=2, status=AgreementStatus.SUSPENDED))
    own = rules(
        an_agreement(), an_agreement(number=2, parties=(XA, XC), suspended=(XB,), changes_sha256=bytes([7]) * 32)
    )
    yield case("a party that has suspended it", SENDER, R.AGREEMENT_SUSPENDED, release=party, given=own)
    gone = rules(an_agreement(), an_agreement(number=2, parties=(XA, XC), left=(XB,), changes_sha256=bytes([7]) * 32))
    yield case("a party that has left it", SENDER, R.NOT_IN_AUDIENCE, release=party, given=gone)
    yield case("the parties of a suspended agreement", SENDER, R.AGREEMENT_SUSPENDED, release=party, given=held)
    via = the_slot(rules(), via="aa" * 16)
    yield case("by way of a community that nobody knows", RECIPIENT, R.COMMUNITY_UNKNOWN, slot=via)
    no_proof = (R.AUDIENCE_NOT_PROVEN, R.CONSENT_MISSING)
    yield case("not from an originator", RECIPIENT, *no_proof, sender=XC)
    bare = case("no slot", RECIPIENT, R.AGREEMENT_NOT_CITED, R.AUDIENCE_NOT_PROVEN)
    yield replace(bare, item=replace(bare.item, slot=None))


def _content() -> Iterator[Case]:
    denied = rules(an_agreement(a_term(denied_categories=(Category.TRAVEL,))))
    alone = rules(an_agreement(a_term(categories=(Category.TRAVEL,))))
    trained = rules(an_agreement(a_term(purposes=(Purpose.TRAINING,))))
    for role in ALL:
        yield case("one category is denied", role, R.CATEGORY_DENIED, given=denied)
        yield case("one category is not allowed", role, R.CATEGORY_NOT_ALLOWED, given=alone)
        yield case("no purpose in common", role, R.PURPOSE_NOT_SHARED, given=trained)
        both = a_term(denied_categories=(Category.TRAVEL,), purposes=(Purpose.TRAINING,))
        two = (R.CATEGORY_DENIED, R.PURPOSE_NOT_SHARED)
        yield case("everything that is wrong is named", role, *two, given=rules(an_agreement(both)))
    used = rules(an_agreement(a_term(use_in=("ML",))))
    anywhere = rules(an_agreement(a_term(about=(), about_any=True)))
    for role in FULL:
        yield case("no place", role, R.PLACE_MISSING, label=a_label(about=()))
        yield case("no place where any will do", role, label=a_label(about=()), given=anywhere)
        yield case("one place is not covered", role, R.PLACE_NOT_ALLOWED, label=a_label(about=("ML", "PK")))
        yield case("no place of use in common", role, R.USE_IN_NOT_SHARED, label=a_label(use_in=("PK",)), given=used)
    yield case("places are not seen", RELAY, label=a_label(about=(), use_in=("PK",)), given=used)


def _ceilings() -> Iterator[Case]:
    for role in ALL:
        yield case("above the agreement", role, R.TLP_ABOVE_AGREEMENT, label=_red())
        yield case("above the partner", role, R.TLP_ABOVE_PARTNER, given=rules(XB=standing(ceiling=Tlp.GREEN)))
    yield case("not compared", SENDER, R.PARTNER_NOT_VERIFIED, uncompared=frozenset({XB, XC}))
    yield case("others are not compared", SENDER, uncompared=frozenset({XC}))
    marked = a_label(national=NationalMarking("asterin/2", "RESTRICTED", ("A",)))
    fits = rules(an_agreement(a_term(national=(NationalCeiling("asterin/2", ("RESTRICTED",)),))))
    lower = rules(an_agreement(a_term(national=(NationalCeiling("asterin/2", ("OPEN",)),))))
    for role in FULL:
        yield case("a national policy that the agreement does not know", role, R.NATIONAL_POLICY_UNKNOWN, label=marked)
        yield case("a national class above", role, R.NATIONAL_CLASS_NOT_ALLOWED, label=marked, given=lower)
        yield case("a national class within", role, label=marked, given=fits)


def _the_rest() -> Iterator[Case]:
    personal = a_label(personal_data=PersonalData(present=True))
    hidden = a_label(personal_data=PersonalData(present=True, pseudonymous=True))
    special = a_label(personal_data=PersonalData(present=True, special=True))
    not_life = replace(special, purposes=(Purpose.CONSULAR,))
    pseudonymous = rules(an_agreement(a_term(personal_data=PersonalDataRule.PSEUDONYMOUS)))
    allowed = rules(an_agreement(a_term(personal_data=PersonalDataRule.ALLOWED)))
    wide = rules(an_agreement(a_term(personal_data=PersonalDataRule.ALLOWED, special_categories=True)))
    for role in ALL:
        yield case("personal data", role, R.PERSONAL_DATA_NOT_ALLOWED, label=personal)
        yield case(
            "not shown to be pseudonymous", role, R.PERSONAL_DATA_NOT_ALLOWED, label=personal, given=pseudonymous
        )
        yield case("personal data where allowed", role, label=personal, given=allowed)
        yield case("pseudonymous data where it will do", role, label=hidden, given=pseudonymous)
        yield case("pseudonymous data where none may pass", role, R.PERSONAL_DATA_NOT_ALLOWED, label=hidden)
        yield case("special categories", role, R.SPECIAL_CATEGORIES_NOT_ALLOWED, label=special, given=allowed)
        yield case("special, not for life", role, R.SPECIAL_CATEGORIES_NOT_FOR_LIFE, label=not_life, given=wide)
        yield case("special categories to protect life", role, label=special, given=wide)
        for_consuls = replace(next(iter(wide.agreements.values())).view.terms[0], purposes=(Purpose.CONSULAR,))
        elsewhere = rules(an_agreement(for_consuls))
        yield case(
            "special, term not for life", role, R.SPECIAL_CATEGORIES_NOT_FOR_LIFE, label=special, given=elsewhere
        )
    held = a_label(embargo_until_ms=NOW + 1)
    everyone = a_release(to=(Target(everyone=True),))
    yield case("under embargo", SENDER, R.EMBARGOED, label=held, release=everyone)
    yield case("named under embargo", SENDER, label=held)
    both = replace(held, originators=(XA, XB))
    own = (a_consent(originator=XB, holder=XA),)
    yield case("an originator under embargo", SENDER, label=both, release=everyone, item_hash=ITEM, consents=own)
    yield case("the embargo has ended", SENDER, label=a_label(embargo_until_ms=NOW), release=everyone)
    via = the_slot(rules(), via="aa" * 16)
    yield case("under embargo", RECIPIENT, R.COMMUNITY_UNKNOWN, R.EMBARGOED, label=held, slot=via)
    yield case("named under embargo", RECIPIENT, label=held)
    two = rules(an_agreement(a_term(approvals=2)))
    for role in FULL:
        yield case("one approval of two", role, R.APPROVALS_MISSING, given=two, approvals=1)
        yield case("two approvals", role, given=two, approvals=2)
        asks = a_label(approvals=1)
        yield case("the label asks for an approval", role, R.APPROVALS_MISSING, label=asks)
        yield case("the label has its approval", role, label=asks, approvals=1)
        yield case(
            "the agreement asks for more than the label", role, R.APPROVALS_MISSING, label=asks, given=two, approvals=1
        )
    shown = Slot(the_slot(rules()).basis, display_only=True)
    yield case("shown and not kept", RECIPIENT, slot=shown)
    yield case("approvals are not seen", RELAY, label=a_label(approvals=1), given=two)
    narrow = rules(an_agreement(a_term(onward_hops=1)))
    for role in FULL:
        yield case("the agreement lets it go on less often", role, label=a_label(max_hops=3), given=narrow)
        wider = rules(an_agreement(a_term(onward_default=OnwardRule.COMMUNITY)))
        yield case("the label lets it go on less widely", role, given=wider)
        yield case("a date of review", role, label=a_label(review_on_ms=NOW + HOUR))
        clearance = ReaderRule("asterin", "secret", all_of=("region-south",))
        yield case("readers of some clearance", role, label=a_label(readers=clearance))
        kept = rules(an_agreement(a_term(onward_default=OnwardRule.NONE)))
        yield case("the agreement lets nothing go on", role, label=a_label(max_hops=3), given=kept)
