"""Readers inside a partner: who may read, and what rule a product carries."""

from itertools import permutations

import pytest

from exchange.errors import BadLabel, MalformedInput
from exchange.policy.model import ReaderRule, Tlp
from exchange.policy.readers import (
    Reader,
    ReaderReason,
    ReaderTerms,
    may_read,
    merge_readers,
    narrower,
    unknown_words,
)

SCALES = {"nato": ("restricted", "confidential", "secret"), "house": ("blue", "gold")}
TERMS = ReaderTerms(SCALES, frozenset({"eu-desk", "water", "road"}))
ADA = Reader("ada", {"nato": "confidential"}, frozenset({"eu-desk", "water"}))


def reasons(rule: ReaderRule | None, *, tlp: Tlp = Tlp.AMBER, reader: Reader = ADA) -> list[ReaderReason]:
    decision = may_read(rule, tlp=tlp, reader=reader, terms=TERMS)
    assert decision.permit is not bool(decision.findings)
    return [finding.reason for finding in decision.findings]


def test_without_a_rule_everybody_reads_all_but_red() -> None:
    for tlp in Tlp:
        assert reasons(None, tlp=tlp) == ([ReaderReason.RED_NAMES_NOBODY] if tlp is Tlp.RED else [])


def test_a_rule_without_a_condition_permits_nobody() -> None:
    assert reasons(ReaderRule()) == [ReaderReason.RULE_WITHOUT_CONDITION]


@pytest.mark.parametrize(
    "level, held, found",
    [
        ("confidential", "confidential", []),
        ("restricted", "secret", []),
        ("secret", "confidential", [ReaderReason.CLEARANCE_TOO_LOW]),
        ("secret", "", [ReaderReason.CLEARANCE_MISSING]),
        ("secret", "top", [ReaderReason.CLEARANCE_MISSING]),
        ("cosmic", "secret", [ReaderReason.LEVEL_UNKNOWN]),
    ],
)
def test_a_clearance_is_a_place_on_its_scale(level: str, held: str, found: list[ReaderReason]) -> None:
    reader = Reader("ada", {"nato": held} if held else {})
    assert reasons(ReaderRule("nato", level), reader=reader) == found


def test_a_clearance_on_one_scale_is_none_on_another() -> None:
    assert reasons(ReaderRule("house", "blue")) == [ReaderReason.CLEARANCE_MISSING]
    assert reasons(ReaderRule("ours", "blue"), reader=Reader("ada", {"ours": "blue"})) == [ReaderReason.SCALE_UNKNOWN]


def test_all_attributes_of_all_of_and_one_of_each_group_are_needed() -> None:
    assert reasons(ReaderRule(all_of=("eu-desk", "water"))) == []
    assert reasons(ReaderRule(all_of=("eu-desk", "road"))) == [ReaderReason.ATTRIBUTE_MISSING]
    assert reasons(ReaderRule(any_of=(("road", "water"), ("eu-desk",)))) == []
    assert reasons(ReaderRule(any_of=(("road",), ("eu-desk",)))) == [ReaderReason.ATTRIBUTE_MISSING]


def test_an_attribute_that_the_party_does_not_know_helps_nobody() -> None:
    holder = Reader("eve", attributes=frozenset({"retired", "water"}))
    assert reasons(ReaderRule(all_of=("retired",)), reader=holder) == [ReaderReason.ATTRIBUTE_UNKNOWN]
    assert reasons(ReaderRule(any_of=(("retired", "road"),)), reader=holder) == [ReaderReason.ATTRIBUTE_MISSING]
    assert reasons(ReaderRule(any_of=(("retired", "water"),)), reader=holder) == []


def test_whoever_is_not_named_does_not_read_and_a_name_alone_is_not_enough() -> None:
    assert reasons(ReaderRule(named=("ada", "bob")), tlp=Tlp.RED) == []
    assert reasons(ReaderRule(named=("bob",))) == [ReaderReason.NOT_NAMED]
    assert reasons(ReaderRule("nato", "secret", named=("ada",))) == [ReaderReason.CLEARANCE_TOO_LOW]


def test_every_reason_is_given_at_once() -> None:
    rule = ReaderRule("nato", "secret", ("road",), (("unheard",),), ("bob",))
    assert reasons(rule) == [
        ReaderReason.CLEARANCE_TOO_LOW,
        ReaderReason.ATTRIBUTE_MISSING,
        ReaderReason.ATTRIBUTE_UNKNOWN,
        ReaderReason.NOT_NAMED,
    ]


def test_words_that_a_party_does_not_know_are_found_before_anything_is_sent() -> None:
    rule = ReaderRule("nato", "cosmic", ("unheard", "water"), (("road", "x"), ("x", "y")), ("bob",))
    found = [(each.reason, each.what) for each in unknown_words(rule, TERMS)]
    assert found == [
        (ReaderReason.LEVEL_UNKNOWN, "cosmic"),
        (ReaderReason.ATTRIBUTE_UNKNOWN, "unheard"),
        (ReaderReason.ATTRIBUTE_UNKNOWN, "x or y"),
    ]
    assert unknown_words(None, ReaderTerms()) == ()
    assert unknown_words(ReaderRule("nato", "secret"), ReaderTerms())[0].reason is ReaderReason.SCALE_UNKNOWN


@pytest.mark.parametrize(
    "scales, attributes",
    [
        ({"nato": ()}, ()),
        ({"nato": ("a", "b", "a")}, ()),
        ({"": ("a",)}, ()),
        ({"nato": (" a",)}, ()),
        ({}, ("",)),
        ({f"s{number}": ("a",) for number in range(17)}, ()),
    ],
)
def test_terms_that_say_nothing_clear_are_refused(scales: dict[str, tuple[str, ...]], attributes: tuple[str]) -> None:
    with pytest.raises(MalformedInput):
        ReaderTerms(scales, frozenset(attributes))


def test_a_product_asks_for_the_highest_clearance_all_attributes_every_group_and_the_common_names() -> None:
    one = ReaderRule("nato", "secret", ("water",), (("a", "b"),), ("ada", "bob"))
    other = ReaderRule("nato", "restricted", ("eu-desk",), (("c",),), ("bob", "eve"))
    merged = ReaderRule("nato", "secret", ("eu-desk", "water"), (("a", "b"), ("c",)), ("bob",))
    assert narrower(one, other, scales=SCALES) == merged
    for sources in permutations([(Tlp.RED, one), (Tlp.GREEN, other), (Tlp.CLEAR, None)]):
        assert merge_readers(sources, scales=SCALES) == merged


def test_a_red_source_without_a_rule_makes_a_product_that_nobody_reads() -> None:
    assert merge_readers([(Tlp.AMBER, ReaderRule(named=("ada",))), (Tlp.RED, None)], scales=SCALES) is None
    assert merge_readers([(Tlp.AMBER, None)], scales=SCALES) is None
    assert merge_readers([], scales=SCALES) is None


@pytest.mark.parametrize(
    "one, other",
    [
        (ReaderRule("nato", "secret"), ReaderRule("house", "gold")),
        (ReaderRule("nato", "secret"), ReaderRule("nato", "cosmic")),
        (ReaderRule("theirs", "high"), ReaderRule("theirs", "low")),
        (ReaderRule(named=("ada",)), ReaderRule(named=("bob",))),
        (ReaderRule(all_of=tuple(f"a{n:03}" for n in range(256))), ReaderRule(all_of=("b",))),
    ],
)
def test_what_no_single_rule_can_say_is_refused(one: ReaderRule, other: ReaderRule) -> None:
    with pytest.raises(BadLabel, match="no reader rule fits"):
        narrower(one, other, scales=SCALES)
    assert narrower(one, one, scales=SCALES) == one
