"""Markings that say whom something is for: REL TO and its kin, STANAG 4774, ACS."""

from typing import Any

import pytest

from exchange.errors import BadLabel, MarkNotCarried
from exchange.policy.mappings import acs, rel_to, stanag4774
from exchange.policy.mappings.rel_to import Dissemination
from exchange.policy.mappings.stanag4774 import Category, ConfidentialityLabel, Kind
from exchange.policy.model import NationalMarking, OnwardRule, Target, Tlp
from exchange.policy.text import label_from_mapping
from tests.support.policy_builders import NOW, XA, XB, XC, XD, a_label, a_release
from tests.support.shared import shared_json

PARTNERS = {"XBX": [XB], "XCX": [XC], "ALLIES": [XB, XC, XD]}
CODES = {XB: "XBX", XC: "XCX"}

# -- REL TO ------------------------------------------------------------------------------------------------------------


def test_a_marking_line_is_read_and_kept_verbatim() -> None:
    fields = rel_to.of_banner("SECRET//SI//ORCON/REL TO XBX, XCX//DISPLAY ONLY ALLIES", policy="us", partners=PARTNERS)
    assert fields == {
        "release": {"to": ["XB", "XC", "XD"], "display_only": ["XD"]},
        "onward": "consent",
        "orcon": True,
        "national": {
            "policy": "us",
            "classification": "SECRET",
            "caveats": ["SI", "ORCON//REL TO XBX, XCX//DISPLAY ONLY ALLIES"],
        },
    }


@pytest.mark.parametrize(
    "banner, release, onward",
    [
        ("SECRET", [], "consent"),
        ("SECRET//NOFORN", [], "none"),
        ("SECRET//NF", [], "none"),
        ("SECRET//XBX/XCX EYES ONLY", ["XB", "XC"], "none"),
        ("SECRET//THIRD PARTY RULE//REL TO XBX", ["XB"], "consent"),
        ("SECRET//XYZZY", [], "consent"),
    ],
)
def test_without_a_list_nobody_is_meant(banner: str, release: list[str], onward: str) -> None:
    fields = rel_to.of_banner(banner, policy="us", partners=PARTNERS)
    assert (fields["release"]["to"], fields["onward"]) == (release, onward)


@pytest.mark.parametrize(
    "banner",
    ["SECRET//REL TO XYZ", "SECRET//NOFORN//REL TO XBX", "//REL TO XBX", "S//REL TO XBX//REL TO XCX", "S//, EYES ONLY"],
)
def test_unknown_codes_and_contradictions_are_refused(banner: str) -> None:
    with pytest.raises(BadLabel):
        rel_to.of_banner(banner, policy="us", partners=PARTNERS)


def test_controls_are_written() -> None:
    found = rel_to.from_label(a_label(orcon=True), a_release(XB, XC, display_only=(XC,)), codes=CODES)
    assert found == Dissemination(rel_to=("XBX",), display_only=("XCX",), orcon=True, third_party_rule=True)
    assert rel_to.parse(f"S//{found.words}").controls == found
    closed = rel_to.from_label(a_label(onward=OnwardRule.NONE, max_hops=0), a_release(XB), codes=CODES)
    assert closed.words == "XBX EYES ONLY"
    assert rel_to.from_label(a_label(), a_release(to=()), codes=CODES).noforn
    assert rel_to.from_label(a_label(), a_release(XB, XC, except_=(XC,)), codes=CODES).rel_to == ("XBX",)


@pytest.mark.parametrize(
    "release, codes",
    [
        (a_release(XD), CODES),
        (a_release(XB), {XB: "ALL", XC: "ALL"}),
        (a_release(to=(Target(everyone=True),)), CODES),
        (a_release(to=(Target(agreement=bytes(16)),)), CODES),
    ],
)
def test_controls_that_would_reach_more_are_refused(release: Any, codes: Any) -> None:
    with pytest.raises(MarkNotCarried):
        rel_to.from_label(a_label(), release, codes=codes)


# -- STANAG 4774 -------------------------------------------------------------------------------------------------------

LEVELS = {("NATO", "RESTRICTED"): Tlp.AMBER, ("NATO", "SECRET"): Tlp.RED}
ALLIED = ConfidentialityLabel(
    "NATO",
    "RESTRICTED",
    (
        Category(Kind.RESTRICTIVE, "Special Category Designators", ("ATOMAL",)),
        Category(Kind.PERMISSIVE, "Releasable to", ("ALLIES",)),
        Category(Kind.PERMISSIVE, "Only", ("XBX", "XCX")),
    ),
    (ConfidentialityLabel("XB", "DIFFUSION RESTREINTE"),),
)


def test_a_confidentiality_label_is_read_and_its_original_kept() -> None:
    fields = stanag4774.to_label_fields(ALLIED, by=XA, levels=LEVELS, partners=PARTNERS)
    assert fields == {
        "tlp": "amber",
        "onward": "dependants",
        "national": {
            "policy": "NATO",
            "classification": "RESTRICTED",
            "caveats": [
                "RESTRICTIVE Special Category Designators: ATOMAL",
                "PERMISSIVE Releasable to: ALLIES",
                "PERMISSIVE Only: XBX",
                "PERMISSIVE Only: XCX",
            ],
        },
        "equivalents": [{"policy": "XB", "classification": "DIFFUSION RESTREINTE", "by": "XA"}],
        "release": {"to": ["XB", "XC"]},
    }


def test_it_is_read_back_and_written_as_it_was() -> None:
    fields = stanag4774.to_label_fields(ALLIED, by=XB, levels=LEVELS, partners=PARTNERS)
    rest = {
        "categories": ["travel"],
        "purposes": ["consular"],
        "basis": {"kind": "mou", "citation": "x"},
        "personal_data": "none",
    }
    parsed = label_from_mapping({**rest, **fields}, originator=XA, now_ms=NOW)
    assert stanag4774.from_label(parsed.label, parsed.release, partners=PARTNERS) == ALLIED


def test_without_a_label_nobody_gets_it_and_without_a_permissive_category_the_audience_is_left_open() -> None:
    unmarked = stanag4774.to_label_fields(None, by=XA, levels=LEVELS, partners=PARTNERS)
    assert unmarked == {"tlp": "red", "onward": "none", "release": {"to": []}}
    bare = ConfidentialityLabel("NATO", "SECRET")
    assert "release" not in stanag4774.to_label_fields(bare, by=XA, levels=LEVELS, partners=PARTNERS)


@pytest.mark.parametrize(
    "label",
    [
        ConfidentialityLabel("NATO", "COSMIC TOP SECRET"),
        ConfidentialityLabel("OTHER", "RESTRICTED"),
        ConfidentialityLabel("NATO", "SECRET", (Category(Kind.PERMISSIVE, "Releasable to", ("ELSEWHERE",)),)),
    ],
)
def test_an_unknown_policy_classification_or_releasability_is_refused(label: ConfidentialityLabel) -> None:
    with pytest.raises(BadLabel):
        stanag4774.to_label_fields(label, by=XA, levels=LEVELS, partners=PARTNERS)


@pytest.mark.parametrize(
    "national, release",
    [
        (None, a_release(XB)),
        (NationalMarking("NATO", "SECRET"), a_release(XB)),
        (NationalMarking("NATO", "SECRET", ("PERMISSIVE Only: ALLIES",)), a_release(XB)),
        (NationalMarking("NATO", "SECRET", ("odd",)), a_release(XB)),
    ],
)
def test_an_original_that_releases_to_more_is_not_written(national: NationalMarking | None, release: Any) -> None:
    with pytest.raises(MarkNotCarried):
        stanag4774.from_label(a_label(national=national), release, partners=PARTNERS)


# -- ACS ---------------------------------------------------------------------------------------------------------------


def tags(**values: str) -> list[str]:
    return [f'acs-marking:{name}="{value}"' for name, each in values.items() for value in each.split()]


SHARED = {"FOREIGNGOV": [XB, XC], "NCC": [XD]}


def test_acs_tags_are_read() -> None:
    given = tags(
        privilege_action="DSPLY NETDEF TENOT",
        classification="U",
        formal_determination="FOUO NO-PII-PRESENT",
        shareability="FOREIGNGOV",
    )
    assert acs.to_label_fields(given, partners=SHARED) == {
        "purposes": ["cyber_defence"],
        "actions": "internal_only",
        "evidence_use": "no",
        "notify_affected": "may",
        "attribution": "must_not",
        "personal_data": "none",
        "national": {
            "policy": "us-acs/3",
            "classification": "U",
            "caveats": [
                "formal_determination:FOUO",
                "formal_determination:NO-PII-PRESENT",
                "shareability:FOREIGNGOV",
            ],
        },
        "release": {"to": ["XB", "XC"]},
        "onward": "consent",
    }


def test_no_foreigners_is_nobody_and_personal_data_is_presumed() -> None:
    given = tags(privilege_action="NETDEF", classification="U", formal_determination="NF", shareability="FOREIGNGOV")
    fields = acs.to_label_fields(given, partners=SHARED)
    assert (fields["release"], fields["onward"]) == ({"to": []}, "none")
    assert fields["personal_data"] == {"present": True}
    unshared = acs.to_label_fields(tags(privilege_action="NETDEF", classification="U"), partners=SHARED)
    assert unshared["release"] == {"to": []}


@pytest.mark.parametrize(
    "given",
    [
        tags(privilege_action="NETDEF"),
        tags(privilege_action="NETDEF", classification="U S"),
        tags(privilege_action="ALL", classification="U"),
        tags(privilege_action="DSPLY", classification="U"),
        tags(classification="U"),
        tags(privilege_action="NETDEF", classification="U", shareability="LE"),
        ['acs-marking:other="x"'],
        ["tlp:red"],
    ],
)
def test_what_acs_does_not_permit_or_nobody_understands_is_refused(given: list[str]) -> None:
    with pytest.raises(BadLabel):
        acs.to_label_fields(given, partners=SHARED)


def test_every_privilege_of_the_misp_taxonomy_is_known() -> None:
    values = {part["predicate"]: part["entry"] for part in shared_json("taxonomies/acs-marking.json")["values"]}
    assert {entry["value"] for entry in values["privilege_action"]} == set(acs.PURPOSES)
    assert set(values) == set(acs.PREDICATES)
