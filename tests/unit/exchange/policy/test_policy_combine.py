"""One case for every row of the table "Combination" in docs/spec/policy.md, and what no label can say."""

from dataclasses import fields, replace
from typing import Any

import pytest

from exchange.errors import BadLabel
from exchange.names import PartyId
from exchange.policy.combine import RULES, Combination, Source, combine
from exchange.policy.decide import Role, decide
from exchange.policy.decision import Item, Obligations, Slot
from exchange.policy.model import (
    Actions,
    Category,
    CommunityTarget,
    Duty,
    EquivalentMarking,
    EvidenceUse,
    Grading,
    Handling,
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
from exchange.policy.product import Wider, defaults_of, label_of, wider
from exchange.policy.text import label_from_mapping
from tests.support.policy_builders import (
    DAY,
    FULL_LABEL,
    FULL_RELEASE,
    NOW,
    XA,
    XB,
    XC,
    XD,
    a_label,
    a_release,
    a_term,
    an_agreement,
    rules,
    the_slot,
)

AGREEMENT = Target(agreement=bytes([1]) * 16)
COMMUNITY = Target(community=CommunityTarget(bytes([9]) * 16, 3))
EVERYONE = Target(everyone=True)


def both(one: dict[str, Any], other: dict[str, Any]) -> Combination:
    return combine([Source(a_label(**one), a_release()), Source(a_label(**other), a_release())])


ROWS: list[tuple[str, Any, Any, Any]] = [
    ("originators", (XA,), (XB,), (XA, XB)),
    ("tlp", Tlp.GREEN, Tlp.RED, Tlp.RED),
    ("orcon", False, True, True),
    ("onward", OnwardRule.CONSENT, OnwardRule.FREE, OnwardRule.CONSENT),
    ("max_hops", 3, 2, 2),
    ("categories", (Category.TRAVEL,), (Category.CRIME,), (Category.CRIME, Category.TRAVEL)),
    ("purposes", (Purpose.CONSULAR, Purpose.TRAINING), (Purpose.TRAINING,), (Purpose.TRAINING,)),
    ("evidence_use", EvidenceUse.YES, EvidenceUse.WITH_CONSENT, EvidenceUse.WITH_CONSENT),
    ("actions", Actions.EXTERNAL_ACTIVE, Actions.CONTACT_FIRST, Actions.CONTACT_FIRST),
    ("notify_affected", Duty.MAY, Duty.MUST, Duty.MUST),
    ("notify_affected", Duty.MUST_NOT, Duty.MAY, Duty.MUST_NOT),
    ("attribution", Duty.MUST_NOT, Duty.MAY, Duty.MUST_NOT),
    ("resale", Duty.MAY, Duty.MUST_NOT, Duty.MUST_NOT),
    ("about", ("PK",), ("ML",), ("ML", "PK")),
    ("about", ("PK",), (), ()),
    ("use_in", ("ML", "PK"), ("PK",), ("PK",)),
    ("use_in", ("PK",), (), ("PK",)),
    ("not_before_ms", NOW, NOW + 1, NOW + 1),
    ("embargo_until_ms", 0, NOW + 1, NOW + 1),
    ("review_on_ms", 0, NOW, NOW),
    ("review_on_ms", NOW, NOW + 1, NOW),
    ("retention_days", 0, 90, 90),
    ("retention_days", 30, 90, 30),
    ("handling", (Handling("B", "b"),), (Handling("A", "a"),), (Handling("A", "a"), Handling("B", "b"))),
    ("root_sources", (bytes(32),), (bytes([1]) * 32,), (bytes(32), bytes([1]) * 32)),
    ("derived_from", (bytes(32),), (), (bytes(32),)),
    ("approvals", 2, 1, 2),
    ("equivalents", (), (EquivalentMarking("x", "y", XB),), (EquivalentMarking("x", "y", XB),)),
    ("national", None, NationalMarking("n", "r", ("B", "A")), NationalMarking("n", "r", ("B", "A"))),
    (
        "national",
        NationalMarking("n", "r", ("B",)),
        NationalMarking("n", "r", ("A",)),
        NationalMarking("n", "r", ("A", "B")),
    ),
    ("grading", Grading("admiralty", "A", "1"), None, Grading("admiralty", "A", "1")),
    ("grading", Grading("admiralty", "A", "1"), Grading("admiralty", "B", "1"), None),
    ("readers", None, ReaderRule(all_of=("a",)), ReaderRule(all_of=("a",))),
    ("readers", ReaderRule(named=("x", "y")), ReaderRule(named=("y", "z")), ReaderRule(named=("y",))),
    (
        "readers",
        ReaderRule("s", "high", ("a",), (("b", "c"),)),
        ReaderRule("", "", ("d",), (("e",),), ("x",)),
        ReaderRule("s", "high", ("a", "d"), (("b", "c"), ("e",)), ("x",)),
    ),
    ("personal_data", PersonalData(False), PersonalData(True), PersonalData(True)),
    (
        "personal_data",
        PersonalData(True, pseudonymous=True),
        PersonalData(False),
        PersonalData(True, pseudonymous=True),
    ),
    (
        "personal_data",
        PersonalData(True, subjects=(Subject.VICTIM,), pseudonymous=True),
        PersonalData(True, special=True, subjects=(Subject.SUSPECT,)),
        PersonalData(True, special=True, subjects=(Subject.SUSPECT, Subject.VICTIM)),
    ),
]


@pytest.mark.parametrize("field, one, other, expected", ROWS, ids=[f"{row[0]}-{at}" for at, row in enumerate(ROWS)])
def test_each_field_combines_by_its_rule(field: str, one: Any, other: Any, expected: Any) -> None:
    for first, second in ((one, other), (other, one)):
        label, _ = label_of(both({field: first}, {field: second}))
        assert getattr(label, field) == expected


def test_every_field_of_a_combination_has_a_rule_and_every_field_of_label_and_release_is_in_it() -> None:
    names = {field.name for field in fields(Combination)}
    assert set(RULES) == names
    renamed = {"national": "nationals", "basis": "bases", "grading": "gradings"}
    fixed = {"policy", "release_sha256", "salt", "release_mode"}
    ours = {renamed.get(f.name, f.name) for f in (*fields(a_label()), *fields(a_release()))} - fixed
    assert ours == names - {"open_to"}


def test_the_earliest_expiry_and_purge_win() -> None:
    asking = {"expires_ms": NOW + 1, "on_expiry": OnExpiry.ASK}
    purging = {"expires_ms": NOW + 2, "on_expiry": OnExpiry.PURGE}
    for one, other in ((asking, purging), (purging, asking)):
        label, _ = label_of(both(one, other))
        assert (label.expires_ms, label.on_expiry) == (NOW + 1, OnExpiry.PURGE)
    for one, other in ((asking, {}), ({}, asking)):
        label, _ = label_of(both(one, other))
        assert (label.expires_ms, label.on_expiry) == (NOW + 1, OnExpiry.ASK)


def test_a_full_label_combined_with_itself_stays_as_it_is() -> None:
    source = Source(FULL_LABEL, FULL_RELEASE)
    label, release = label_of(combine([source, source]))
    assert replace(label, salt=FULL_LABEL.salt, release_sha256=FULL_LABEL.release_sha256) == FULL_LABEL
    assert replace(release, salt=FULL_RELEASE.salt) == FULL_RELEASE


# -- audience ----------------------------------------------------------------------------------------------------------


def audience(*of: Release) -> Release:
    return label_of(combine([Source(a_label(), release) for release in of]))[1]


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ([XB, XC], [XC, XD], [XC]),
        ([XB], [XC], []),
        ([XB], [EVERYONE], [XB]),
        ([EVERYONE], [EVERYONE], [EVERYONE]),
        ([AGREEMENT], [EVERYONE], [AGREEMENT]),
        ([COMMUNITY], [XB, EVERYONE], [COMMUNITY]),
        ([XC, EVERYONE], [XB, EVERYONE], [XB, XC, EVERYONE]),
        ([AGREEMENT], [AGREEMENT], [AGREEMENT]),
        ([AGREEMENT], [XB], []),
        ([COMMUNITY], [Target(community=CommunityTarget(bytes([9]) * 16, 4))], [COMMUNITY]),
        ([COMMUNITY], [Target(community=CommunityTarget(bytes([8]) * 16, 3))], []),
        ([COMMUNITY], [AGREEMENT], []),
    ],
)
def test_an_audience_is_whom_both_surely_reach(one: list[Any], other: list[Any], expected: list[Any]) -> None:
    def of(targets: list[Any]) -> Release:
        made = [Target(partner=PartyId(each)) if isinstance(each, str) else each for each in targets]
        return a_release(to=tuple(sorted(made, key=lambda target: target.sort_key)))

    assert set(audience(of(one), of(other)).to) == set(of(expected).to)


def test_who_is_excluded_or_shown_only_by_one_stays_so_and_pre_authorised_are_those_of_both() -> None:
    one = a_release(XB, XC, except_=(XD,), display_only=(XC,), pre_authorised=(XC, XD))
    other = a_release(XB, XC, except_=(XA,), display_only=(XB,), pre_authorised=(XD,))
    for found in (audience(one, other), audience(other, one)):
        assert (found.except_, found.display_only, found.pre_authorised) == ((XA, XD), (XB, XC), (XD,))
    assert audience(one, a_release(XB)).display_only == ()


def test_a_received_source_leaves_the_audience_to_the_author_and_pre_authorises_nobody() -> None:
    mine = Source(a_label(), a_release(XB, pre_authorised=(XC,)))
    theirs = Source(a_label(originators=(XB,)))
    label, release = label_of(combine([mine, theirs]))
    assert label.originators == (XA, XB)
    assert (release.to, release.pre_authorised) == (a_release(XB).to, ())
    with pytest.raises(BadLabel, match="the audience of no source is known here"):
        label_of(combine([theirs]))


def test_nobody_gets_a_product_before_the_embargo_of_a_source_that_keeps_them_out_ends() -> None:
    under_embargo = Source(a_label(embargo_until_ms=NOW + 1), a_release(to=(EVERYONE,)))
    free = Source(a_label(), a_release(XB))
    for sources in ([under_embargo, free], [free, under_embargo]):
        label, release = label_of(combine(sources))
        assert (label.not_before_ms, release.to) == (NOW + 1, a_release(XB).to)
    named = Source(a_label(embargo_until_ms=NOW + 1), a_release(XB))
    assert label_of(combine([named, Source(a_label(), a_release(XB))]))[0].not_before_ms == 0


# -- what no label can say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "one, other, words",
    [
        ({"purposes": (Purpose.CONSULAR,)}, {"purposes": (Purpose.TRAINING,)}, "no purpose in common"),
        ({"use_in": ("PK",)}, {"use_in": ("ML",)}, "no place in common"),
        ({"national": NationalMarking("n", "r")}, {"national": NationalMarking("n", "s")}, "national markings"),
        ({"national": NationalMarking("n", "r")}, {"national": NationalMarking("m", "r")}, "national markings"),
        ({"notify_affected": Duty.MUST}, {"notify_affected": Duty.MUST_NOT}, "must and another must_not"),
        ({"attribution": Duty.MUST}, {"attribution": Duty.MUST_NOT}, "must and another must_not"),
        ({"readers": ReaderRule("s", "a")}, {"readers": ReaderRule("s", "b")}, "which of . and . is higher"),
        ({"readers": ReaderRule(named=("a",))}, {"readers": ReaderRule(named=("b",))}, "no reader is named by all"),
    ],
)
def test_what_no_label_can_say_is_refused_by_name(one: dict[str, Any], other: dict[str, Any], words: str) -> None:
    combination = both(one, other)
    for use in (label_of, defaults_of):
        with pytest.raises(BadLabel, match=words) as caught:
            use(combination)
        assert caught.value.hint


def test_red_without_a_rule_makes_a_product_that_nobody_may_read() -> None:
    unnamed = both({"tlp": Tlp.RED}, {"readers": ReaderRule(named=("b",))})
    label, _ = label_of(unnamed)
    assert (label.tlp, label.readers) == (Tlp.RED, None)


def test_clearances_are_compared_on_the_scales_of_this_party() -> None:
    asked = both({"readers": ReaderRule("s", "low")}, {"readers": ReaderRule("s", "high")})
    scales = {"s": ("low", "high")}
    assert label_of(asked, scales=scales)[0].readers == ReaderRule("s", "high")
    low = a_label(readers=ReaderRule("s", "low"))
    assert [each.field for each in wider(low, a_release(), than=asked, scales=scales)] == ["readers"]
    assert "readers" in {each.field for each in wider(low, a_release(), than=asked)}


def test_two_legal_bases_leave_the_choice_to_the_author() -> None:
    other = LegalBasis("statute", "Act 7")
    combination = both({}, {"basis": other})
    with pytest.raises(BadLabel, match="different legal bases"):
        label_of(combination)
    assert label_of(combination, basis=other)[0].basis == other
    assert "basis" not in defaults_of(combination)


def test_a_foreign_rulebook_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(BadLabel, match="rulebook other/1"):
        both({"policy": "other/1"}, {})
    with pytest.raises(BadLabel, match="nothing to combine"):
        combine([])


def test_what_does_not_fit_into_one_label_is_refused() -> None:
    many = [(Handling(f"{half}{at}", "x"),) for half in "ab" for at in range(200)]
    with pytest.raises(BadLabel, match="do not fit"):
        label_of(combine(Source(a_label(handling=handling), a_release()) for handling in many))


# -- duties ------------------------------------------------------------------------------------------------------------


def duties_of(**differs: Any) -> Obligations:
    """What XB must do with XA's report under a strict term."""
    term = a_term(purposes=(Purpose.CONSULAR,), use_in=("PK",), retention_max_days=7, actions_max=Actions.NONE)
    given = rules(an_agreement(term))
    decision = decide(
        Item.received(a_label(), the_slot(given, **differs), intact=True),
        sender=XA,
        recipient=XB,
        rules=given,
        now_ms=NOW,
        role=Role.RECIPIENT,
    )
    assert decision.obligations is not None
    return decision.obligations


def test_what_a_source_is_held_under_binds_its_product() -> None:
    found = combine([Source(a_label(), duties=duties_of())])
    assert found.purposes == {Purpose.CONSULAR}
    assert found.use_in == frozenset({"PK"})
    assert found.actions is Actions.NONE
    assert (found.retention_days, found.expires_ms, found.on_expiry) == (7, NOW + 7 * DAY, OnExpiry.PURGE)


def test_nothing_is_made_of_what_is_held_for_display_only() -> None:
    assert isinstance(the_slot(rules()), Slot)
    with pytest.raises(BadLabel, match="display only"):
        combine([Source(a_label(), duties=duties_of(display_only=True))])


# -- what an author writes ---------------------------------------------------------------------------------------------


def found_wider(label: dict[str, Any], release: Release, *sources: Source) -> dict[str, Wider]:
    return {each.field: each for each in wider(a_label(**label), release, than=combine(sources))}


WIDER: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"tlp": Tlp.GREEN}, {"tlp": Tlp.RED, "readers": ReaderRule(named=("a",))}, "tlp"),
    ({}, {"originators": (XB,)}, "originators"),
    ({}, {"national": NationalMarking("n", "r")}, "national"),
    ({"national": NationalMarking("n", "r")}, {"national": NationalMarking("n", "r", ("A",))}, "national"),
    ({}, {"orcon": True}, "orcon"),
    ({"onward": OnwardRule.FREE}, {}, "onward"),
    ({"max_hops": 9}, {}, "max_hops"),
    ({"categories": (Category.TRAVEL,)}, {}, "categories"),
    ({"purposes": (Purpose.TRAINING,)}, {}, "purposes"),
    ({"evidence_use": EvidenceUse.YES}, {}, "evidence_use"),
    ({"actions": Actions.EXTERNAL_ACTIVE}, {}, "actions"),
    ({}, {"notify_affected": Duty.MUST}, "notify_affected"),
    ({}, {"attribution": Duty.MUST_NOT}, "attribution"),
    ({"resale": Duty.MAY}, {}, "resale"),
    ({}, {"personal_data": PersonalData(True)}, "personal_data"),
    ({"personal_data": PersonalData(True, pseudonymous=True)}, {"personal_data": PersonalData(True)}, "personal_data"),
    ({"about": ("ML",)}, {"about": ("PK",)}, "about"),
    ({"about": ("PK",)}, {"about": ()}, "about"),
    ({}, {"use_in": ("PK",)}, "use_in"),
    ({}, {"not_before_ms": NOW}, "time.not_before"),
    ({}, {"embargo_until_ms": NOW}, "time.embargo_until"),
    ({}, {"review_on_ms": NOW}, "time.review_on"),
    ({}, {"expires_ms": NOW, "on_expiry": OnExpiry.ASK}, "time.expires_at"),
    ({"retention_days": 9}, {"retention_days": 7}, "retention"),
    ({}, {"handling": (Handling("A", "a"),)}, "handling"),
    ({}, {"root_sources": (bytes(32),)}, "provenance.root_sources"),
    ({}, {"derived_from": (bytes(32),)}, "provenance.derived_from"),
    ({}, {"readers": ReaderRule(all_of=("a",))}, "readers"),
    ({}, {"approvals": 1}, "approvals"),
]


@pytest.mark.parametrize("label, source, field", WIDER, ids=[row[2] for row in WIDER])
def test_each_field_in_which_a_label_is_wider_is_named(
    label: dict[str, Any], source: dict[str, Any], field: str
) -> None:
    found = found_wider(label, a_release(), Source(a_label(**source), a_release()))
    assert field in found
    assert found[field].found
    assert found[field].allowed.split()[-1]


@pytest.mark.parametrize(
    "release, source, field",
    [
        (a_release(XB, XC), a_release(XB), "release.to"),
        (a_release(to=(EVERYONE,)), a_release(XB), "release.to"),
        (a_release(XB, pre_authorised=(XC,)), a_release(XB), "release.pre_authorised"),
        (a_release(XB), a_release(XB, except_=(XB,)), "release.except"),
        (a_release(to=(EVERYONE,)), a_release(to=(EVERYONE,), except_=(XD,)), "release.except"),
        (a_release(XB), a_release(XB, display_only=(XB,)), "release.display_only"),
        (a_release(XB, open_roster=True), a_release(XB), "release.roster"),
    ],
)
def test_a_wider_audience_is_named(release: Release, source: Release, field: str) -> None:
    assert field in found_wider({}, release, Source(a_label(), source))


def test_the_roster_is_open_only_where_every_known_source_opens_it() -> None:
    is_open, hidden = Source(a_label(), a_release(XB, open_roster=True)), Source(a_label(), a_release(XB))
    assert combine([is_open, is_open]).open_roster
    for sources in ([is_open, hidden], [hidden, is_open]):
        assert not combine(sources).open_roster


def test_an_exclusion_need_not_be_repeated_where_nobody_else_is_reached() -> None:
    source = Source(a_label(), a_release(XB, XC, except_=(XD,), display_only=(XC,)))
    assert found_wider({}, a_release(XB), source) == {}


def test_an_embargo_holds_as_well_when_nobody_gets_it_before() -> None:
    source = Source(a_label(embargo_until_ms=NOW + 1), a_release(to=(EVERYONE,)))
    early = found_wider({"embargo_until_ms": NOW + 1}, a_release(XB), source)
    assert list(early) == ["time.not_before"]
    assert found_wider({"not_before_ms": NOW + 1}, a_release(XB), source) == {}


def test_the_defaults_of_a_product_are_read_back_as_the_label_that_says_the_same() -> None:
    sources = combine([Source(replace(FULL_LABEL, originators=(XA,)), FULL_RELEASE), Source(a_label(), FULL_RELEASE)])
    basis = {"basis": {"kind": "mou", "citation": "x"}}
    parsed = label_from_mapping({}, originator=XA, now_ms=NOW - 1, defaults={**basis, **defaults_of(sources)})
    assert wider(parsed.label, parsed.release, than=sources) == ()
