"""Labels, releases, agreements and rules for tests: each function gives one that permits, and takes what differs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from exchange.names import ExchangeName, PartyId
from exchange.policy.agreement import (
    AgreementStatus,
    EnforcementView,
    HeldItems,
    NationalCeiling,
    PersonalDataRule,
    Term,
    ref_of,
)
from exchange.policy.codec import encode_label, relay_label
from exchange.policy.communities.model import EpochInForce
from exchange.policy.consent import Consent
from exchange.policy.decide import AgreementInForce, Item, Membership, Obligations, Role, Rules, Slot, Standing, decide
from exchange.policy.holding import Holding
from exchange.policy.model import (
    Actions,
    Category,
    CommunityTarget,
    Duty,
    EquivalentMarking,
    Grading,
    Handling,
    Label,
    LegalBasis,
    NationalMarking,
    OnExpiry,
    OnwardRule,
    PersonalData,
    Purpose,
    ReaderRule,
    Release,
    Subject,
    Target,
    Tlp,
)

EXCHANGE = ExchangeName("test.concord.example")
XA, XB, XC, XD = (PartyId(name) for name in ("XA", "XB", "XC", "XD"))
NOW = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
PARTIES = (XA, XB, XC)
"""XD is admitted and party of no agreement."""


def a_label(**differs: Any) -> Label:
    """A label of XA that the usual term carries."""
    usual = Label(
        originators=(XA,),
        tlp=Tlp.AMBER,
        categories=(Category.TERROR_ATTACK, Category.TRAVEL),
        purposes=(Purpose.PROTECT_LIFE, Purpose.CONSULAR),
        basis=LegalBasis("mou", "Memorandum 2021, art. 4"),
        personal_data=PersonalData(present=False),
        onward=OnwardRule.CONSENT,
        max_hops=1,
        release_sha256=bytes(32),
        salt=bytes(16),
        about=("PK",),
        actions=Actions.EXTERNAL_PASSIVE,
    )
    return replace(usual, **differs)


def a_release(*to: PartyId, **differs: Any) -> Release:
    """A release to these partners; to XB when none is given."""
    targets = tuple(Target(partner=party) for party in sorted(to or (XB,)))
    return replace(Release(to=targets, salt=bytes(16)), **differs)


def a_term(**differs: Any) -> Term:
    """A term for any direction, about PK."""
    usual = Term(
        purposes=(Purpose.PROTECT_LIFE, Purpose.CONSULAR),
        categories=(Category.TERROR_ATTACK, Category.TRAVEL, Category.ALERT),
        ceiling=Tlp.AMBER_STRICT,
        clause="4.1",
        about=("PK",),
        actions_max=Actions.INTERNAL_ONLY,
        onward_default=OnwardRule.CONSENT,
        retention_max_days=365,
    )
    return replace(usual, **differs)


def an_agreement(
    *terms: Term, number: int = 1, status: AgreementStatus = AgreementStatus.ACTIVE, **differs: Any
) -> AgreementInForce:
    """An agreement of XA, XB and XC; `number` makes its id."""
    usual = EnforcementView(
        exchange=EXCHANGE,
        agreement_id=bytes([number]) * 16,
        version=1,
        parties=PARTIES,
        terms=terms or (a_term(),),
        valid_from_ms=NOW - DAY,
        valid_until_ms=NOW + DAY,
        text_sha256=bytes(32),
        salt=bytes(16),
    )
    view = replace(usual, **differs)
    return AgreementInForce(ref_of(view), view, status)


def standing(membership: Membership = Membership.ADMITTED, ceiling: Tlp = Tlp.RED) -> Standing:
    """A partner that may receive everything."""
    return Standing(membership, ceiling)


def rules(
    *agreements: AgreementInForce,
    as_of_ms: int | None = None,
    communities: Mapping[bytes, Iterable[EpochInForce]] | None = None,
    **standings: Standing,
) -> Rules:
    """Rules with these agreements (the usual one when none is given); `standings` by partner override the usual."""
    usual = dict.fromkeys((XA, XB, XC, XD), standing())
    differs = {PartyId(name): value for name, value in standings.items()}
    return Rules.of(
        EXCHANGE,
        agreements or (an_agreement(),),
        {**usual, **differs},
        as_of_ms=as_of_ms,
        communities=communities,
    )


def without(given: Rules, party: PartyId) -> Rules:
    """The same rules in a directory that does not know `party`."""
    standings = {name: value for name, value in given.standings.items() if name != party}
    return Rules.of(given.exchange, given.agreements.values(), standings, as_of_ms=given.as_of_ms)


def the_slot(given: Rules, **differs: Any) -> Slot:
    """A slot that cites the first agreement of the rules."""
    return replace(Slot(next(iter(given.agreements.values())).ref), **differs)


def the_obligations(**differs: Any) -> Obligations:
    """What XB must keep to of the usual report."""
    decision = decide(
        Item.to_send(a_label(), a_release()), sender=XA, recipient=XB, rules=rules(), now_ms=NOW, role=Role.SENDER
    )
    assert decision.obligations is not None
    return replace(decision.obligations, **differs)


def a_holding(**differs: Any) -> Holding:
    """Under what XB holds the usual report of XA."""
    usual = Holding(
        sender=XA,
        basis=an_agreement().ref,
        clause="4.1",
        item=Item(slot=Slot(an_agreement().ref), intact=True),
        directory_size=7,
        received_ms=NOW,
        decided_ms=NOW,
        obligations=the_obligations(),
    )
    return replace(usual, **differs)


def at_relay(label: Label, slot: Slot | None, *, sender: PartyId = XA, grant_hashes: int = 0) -> Item:
    """The item that the relay sees of a label that `sender` sends on."""
    seen = relay_label(label, encode_label(label), sender=sender, expires_ms=NOW + DAY)
    return Item.in_transit(seen, slot, grant_hashes=grant_hashes)


ITEM = bytes([5]) * 32
SOURCE = bytes([6]) * 32


def a_consent(**differs: Any) -> Consent:
    """XA's consent that XC passes ITEM on to XB."""
    usual = Consent(
        grant=bytes([8]) * 32,
        item=ITEM,
        originator=XA,
        holder=XC,
        recipient=XB,
        purposes=(Purpose.PROTECT_LIFE, Purpose.CONSULAR),
        until_ms=NOW + HOUR,
        hop=1,
    )
    return replace(usual, **differs)


FULL_LABEL = a_label(
    originators=(XA, XB),
    national=NationalMarking("asterin/2", "RESTRICTED", ("B", "A")),
    equivalents=(EquivalentMarking("velkar/1", "CONFIDENTIAL", XB),),
    orcon=True,
    notify_affected=Duty.MUST,
    personal_data=PersonalData(present=True, special=True, subjects=(Subject.VICTIM, Subject.OTHER), pseudonymous=True),
    use_in=("ML", "PK"),
    not_before_ms=NOW,
    embargo_until_ms=NOW + 1,
    review_on_ms=NOW + 2,
    expires_ms=NOW + 3,
    on_expiry=OnExpiry.ASK,
    retention_days=90,
    handling=(Handling("PAP:RED", "Kein Netz.\nمحتاط"),),
    grading=Grading("siena4x4", "X", "4"),
    root_sources=(bytes(32), bytes([1]) * 32),
    derived_from=(bytes([2]) * 32,),
    readers=ReaderRule("scale", "high", ("a", "b"), (("a",), ("b", "c")), ("duty-officer",)),
    approvals=2,
)
FULL_RELEASE = a_release(
    to=(
        Target(partner=XB),
        Target(partner=XC),
        Target(community=CommunityTarget(bytes([3]) * 16, 2)),
        Target(agreement=bytes([4]) * 16),
        Target(everyone=True),
    ),
    except_=(XA, XB),
    display_only=(XC,),
    pre_authorised=(XB,),
)
FULL_VIEW = an_agreement(
    a_term(
        senders=(XA,),
        recipients=(XB, XC),
        denied_categories=(Category.CRIME,),
        national=(NationalCeiling("asterin/2", ("OPEN", "RESTRICTED")),),
        personal_data=PersonalDataRule.ALLOWED,
        special_categories=True,
        pre_cleared=(XB,),
        approvals=2,
        onward_hops=3,
    ),
    a_term(about=(), about_any=True, use_in=("PK",)),
    may_accede=(XD,),
    held_items=HeldItems.RETURN,
    held_within_days=30,
).view
"""Values in which every field is set that can be."""

CHANGED_VIEW = replace(FULL_VIEW, parties=(XA, XD), suspended=(XB,), left=(XC,), changes_sha256=bytes([7]) * 32)
"""What an accession and two notices make of it."""
