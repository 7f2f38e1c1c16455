"""Formats in which a whole report may leave: STIX, CAP, MISP. What they do not keep is refused."""

from dataclasses import replace
from typing import Any

import pytest

from exchange.errors import BadLabel, MarkNotCarried
from exchange.policy.mappings import cap, misp, stix
from exchange.policy.mappings.cap import CapHandling
from exchange.policy.mappings.misp import MispHandling, SharingGroup
from exchange.policy.mappings.together import Hold
from exchange.policy.model import (
    Actions,
    Duty,
    Grading,
    Handling,
    NationalMarking,
    OnExpiry,
    OnwardRule,
    PersonalData,
    ReaderRule,
    Target,
    Tlp,
)
from exchange.policy.text import NO_NETWORK_USE
from tests.support.policy_builders import DAY, NOW, XB, XC, XD, a_label, a_release
from tests.support.shared import shared_json, shared_text

OPEN = {"tlp": Tlp.CLEAR, "onward": OnwardRule.FREE, "max_hops": 255}
COMMUNITY_WIDE = {"tlp": Tlp.GREEN, "onward": OnwardRule.COMMUNITY}
STATEMENT = "marking-definition--11111111-1111-4111-8111-111111111111"
OPENCTI = "marking-definition--22222222-2222-4222-8222-222222222222"

# -- STIX --------------------------------------------------------------------------------------------------------------


def test_the_tlp_objects_of_oasis_are_known() -> None:
    definitions = {each["id"]: each for each in shared_json("policy/tlp2-markings.json")["objects"]}
    found = {
        each["name"]: stix.to_label_fields([reference], {})["tlp"]
        for reference, each in definitions.items()
        if each["type"] == "marking-definition"
    }
    assert found == {f"TLP:{level.word.upper()}": level.word for level in Tlp}
    for reference, each in definitions.items():
        if each["type"] == "marking-definition":
            assert stix.of_definition(each) == stix.to_label_fields([reference], {})


def test_both_versions_in_one_bundle_and_the_strictest_counts() -> None:
    white, red = "613f2e26-407d-48c7-9eca-b8e91df99dc9", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
    green = "bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
    marks = [f"marking-definition--{each}" for each in (white, green, red)]
    assert stix.to_label_fields(marks[:2], {})["tlp"] == "green"
    assert stix.to_label_fields(marks, {}) == {"tlp": "red", "onward": "none"}
    assert stix.to_label_fields([], {}) == {"tlp": "red", "onward": "none"}


def test_statements_are_kept_verbatim_and_do_not_say_how_far_it_may_go() -> None:
    definitions = {STATEMENT: {"definition_type": "statement", "definition": {"statement": "Copyright 2026, XA"}}}
    assert stix.to_label_fields([STATEMENT], definitions) == {
        "handling": [{"code": "STIX:statement", "text": "Copyright 2026, XA"}],
        "tlp": "red",
        "onward": "none",
    }


def test_opencti_and_tlp_1_objects_are_read_by_what_they_say() -> None:
    of_opencti = {"definition_type": "TLP", "x_opencti_definition": "TLP:AMBER+STRICT"}
    assert stix.to_label_fields([OPENCTI], {OPENCTI: of_opencti})["tlp"] == "amber+strict"
    assert stix.of_definition({"definition_type": "tlp", "definition": {"tlp": "white"}}) == {
        "tlp": "clear",
        "onward": "free",
    }


def test_an_iep_marking_is_read() -> None:
    example = shared_json("policy/iep2-marking-example.json")
    fields = stix.to_label_fields([example["id"]], {example["id"]: example})
    assert (fields["tlp"], fields["actions"]) == ("amber", "external_active")


@pytest.mark.parametrize(
    "definition", [None, {}, {"definition_type": "other"}, {"definition_type": "tlp", "definition": {"tlp": "blue"}}]
)
def test_a_marking_that_is_not_understood_is_refused(definition: dict[str, Any] | None) -> None:
    with pytest.raises(BadLabel):
        stix.to_label_fields([OPENCTI], {} if definition is None else {OPENCTI: definition})


def test_a_report_leaves_as_stix_with_tlp_iep_and_words() -> None:
    label = a_label(
        handling=(NO_NETWORK_USE,), attribution=Duty.MUST_NOT, expires_ms=NOW + DAY, on_expiry=OnExpiry.PURGE
    )
    marks = stix.from_label(label, a_release(), now_ms=NOW, policy_id="1", name="x")
    assert marks.tlp == stix.TLP_MARKINGS[Tlp.AMBER_STRICT]
    assert marks.iep["provider_attribution"] == "must-not"
    assert marks.iep["end_date"]
    assert "PAP:RED" in marks.statement
    assert "Do not use it as evidence." in marks.statement


LOST: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"national": NationalMarking("n", "r")}, {}, "national"),
    ({"readers": ReaderRule(named=("a",))}, {}, "readers"),
    ({"orcon": True}, {}, "orcon"),
    ({"personal_data": PersonalData(True, special=True)}, {}, "personal_data.special"),
    ({"not_before_ms": NOW + 1}, {}, "time.not_before"),
    ({"embargo_until_ms": NOW + 1}, {}, "time.embargo_until"),
    ({"retention_days": 7}, {}, "retention"),
    ({"approvals": 1}, {}, "approvals"),
    ({}, {"display_only": (XB,)}, "release.display_only"),
]


@pytest.mark.parametrize("label, release, field", LOST, ids=[row[2] for row in LOST])
def test_what_no_other_system_keeps_is_refused_by_name(
    label: dict[str, Any], release: dict[str, Any], field: str
) -> None:
    given, audience = a_label(**label), a_release(**release)
    for leave in (
        lambda: stix.from_label(given, audience, now_ms=NOW, policy_id="1", name="x"),
        lambda: cap.from_label(given, audience, now_ms=NOW, addresses=ADDRESSES),
        lambda: misp.from_label(given, audience, now_ms=NOW, organisations=ORGANISATIONS, group_uuid="g"),
    ):
        with pytest.raises(MarkNotCarried, match=field) as caught:
            leave()
        assert caught.value.hint


def test_times_that_have_passed_hold_nothing_up() -> None:
    label = a_label(not_before_ms=NOW, embargo_until_ms=NOW)
    assert stix.from_label(label, a_release(), now_ms=NOW, policy_id="1", name="x").tlp


# -- CAP ---------------------------------------------------------------------------------------------------------------

ADDRESSES = {XB: "xb@example", XC: "xc@example"}
PEOPLE = {address: party for party, address in ADDRESSES.items()}


def test_a_public_alert_is_for_anybody_and_an_ended_one_asks() -> None:
    fields = cap.to_label_fields(CapHandling("Public", expires="2019-01-04T12:33:15-08:00"), partners={})
    assert fields == {
        "tlp": "clear",
        "onward": "free",
        "release": {"to": ["*"]},
        "time": {"expires_at": "2019-01-04T12:33:15-08:00", "on_expiry": "ask"},
    }


@pytest.mark.parametrize("hidden", [{"note": "tlp:red"}, {"codes": ("TLP AMBER",)}, {"restriction": "TLP:RED; XV"}])
def test_a_public_alert_with_a_mark_that_says_less_is_held(hidden: dict[str, Any]) -> None:
    found = cap.to_label_fields(CapHandling("Public", **hidden), partners={})
    assert isinstance(found, Hold)
    assert found.fields["tlp"] != "clear"


def test_a_restricted_alert_is_for_the_community_that_an_operator_names() -> None:
    alert = CapHandling("Restricted", "TLP:GREEN; the region", expires="2026-01-01T00:00:00-00:00")
    held = cap.to_label_fields(alert, partners={})
    assert isinstance(held, Hold)
    community = {"community": "00" * 16, "epoch": 1}
    fields = cap.to_label_fields(alert, partners={}, community=community)
    assert isinstance(fields, dict)
    assert fields["release"] == {"to": [community]}
    assert fields["handling"] == [{"code": "CAP:restriction", "text": "TLP:GREEN; the region"}]
    assert fields["time"]["on_expiry"] == "purge"
    unmarked = cap.to_label_fields(CapHandling("Restricted", "the region"), partners={}, community=community)
    assert isinstance(unmarked, dict)
    assert unmarked["tlp"] == "red"


def test_a_private_alert_is_for_those_behind_its_addresses() -> None:
    alert = CapHandling("Private", addresses=("xb@example",), codes=("TLP:AMBER",))
    fields = cap.to_label_fields(alert, partners=PEOPLE)
    assert isinstance(fields, dict)
    assert (fields["tlp"], fields["release"]) == ("amber", {"to": ["XB"]})


@pytest.mark.parametrize(
    "alert",
    [
        CapHandling("public"),
        CapHandling(""),
        CapHandling("Restricted"),
        CapHandling("Private"),
        CapHandling("Private", addresses=("nobody@example",)),
        CapHandling("Restricted", "TLP:MAUVE"),
        CapHandling("Public", note="the TLP marking applies"),
    ],
)
def test_an_alert_that_is_not_understood_is_refused(alert: CapHandling) -> None:
    with pytest.raises(BadLabel):
        cap.to_label_fields(alert, partners=PEOPLE, community="XB")


def test_a_report_leaves_as_cap() -> None:
    public = cap.from_label(a_label(**OPEN), a_release(), now_ms=NOW, addresses={})
    assert (public.scope, public.codes, public.restriction) == ("Public", ("TLP:CLEAR",), "")
    restricted = cap.from_label(a_label(**COMMUNITY_WIDE), a_release(), now_ms=NOW, addresses={})
    assert (restricted.scope, restricted.restriction[:11]) == ("Restricted", "TLP:GREEN; ")
    private = cap.from_label(a_label(), a_release(XB, XC), now_ms=NOW, addresses=ADDRESSES)
    assert (private.scope, private.addresses) == ("Private", ("xb@example", "xc@example"))


def test_scope_is_public_only_when_nothing_is_to_be_destroyed() -> None:
    label = a_label(**OPEN, expires_ms=NOW + 1, on_expiry=OnExpiry.PURGE)
    assert cap.from_label(label, a_release(), now_ms=NOW, addresses={}).scope == "Restricted"


@pytest.mark.parametrize(
    "label, release",
    [
        (a_label(), a_release(XD)),
        (a_label(), a_release(to=())),
        (a_label(), a_release(to=(Target(everyone=True),))),
        (a_label(**OPEN), a_release(except_=(XC,))),
        (a_label(**OPEN), a_release(to=())),
    ],
)
def test_an_audience_that_cap_cannot_address_is_refused(label: Any, release: Any) -> None:
    with pytest.raises(MarkNotCarried):
        cap.from_label(label, release, now_ms=NOW, addresses=ADDRESSES)


def test_real_alerts_are_public() -> None:
    for name in ("google-canada.cap", "nws-5c2cf27b.xml", "ipaws-5e6dd9de.xml"):
        assert b"<scope>Public</scope>" in shared_text(f"cap/{name}")


# -- MISP --------------------------------------------------------------------------------------------------------------

ORGANISATIONS = {XB: "org-b", XC: "org-c"}


def test_your_organisation_only_is_nobody_else() -> None:
    fields = misp.to_label_fields(MispHandling(0, tags=("tlp:amber", "PAP:AMBER")), groups={})
    assert fields == {
        "tlp": "amber",
        "onward": "dependants",
        "actions": "external_passive",
        "release": {"to": []},
    }


@pytest.mark.parametrize("distribution", [1, 2, 3])
def test_a_community_of_misp_is_held_for_an_operator(distribution: int) -> None:
    held = misp.to_label_fields(MispHandling(distribution, tags=("tlp:clear",)), groups={})
    assert isinstance(held, Hold)
    assert "release" not in held.fields


def test_a_sharing_group_is_what_an_operator_mapped_it_to() -> None:
    group = SharingGroup("g", ("org-b",))
    target = {"community": "00" * 16, "epoch": 1}
    fields = misp.to_label_fields(MispHandling(4, group), groups={"g": target})
    assert isinstance(fields, dict)
    assert fields["release"] == {"to": [target]}
    assert fields["tlp"] == "red"
    assert isinstance(misp.to_label_fields(MispHandling(4, group), groups={}), Hold)


@pytest.mark.parametrize(
    "event",
    [
        MispHandling(4),
        MispHandling(5),
        MispHandling(-1),
        MispHandling(0, tags=("tlp:unclear",)),
        MispHandling(0, tags=("PAP:BLUE",)),
        MispHandling(0, tags=('acs-marking:classification="U"',)),
        MispHandling(0, tags=('nato:classification="NR"',)),
    ],
)
def test_an_event_that_is_not_understood_is_refused(event: MispHandling) -> None:
    with pytest.raises(BadLabel):
        misp.to_label_fields(event, groups={})


def test_a_report_leaves_as_misp() -> None:
    label = a_label(grading=Grading("admiralty", "B", "3"))
    found = misp.from_label(label, a_release(XB, XC), now_ms=NOW, organisations=ORGANISATIONS, group_uuid="g")
    assert (found.distribution, found.group) == (4, SharingGroup("g", ("org-b", "org-c")))
    assert found.tags == (
        "tlp:amber+strict",
        "PAP:AMBER",
        'admiralty-scale:source-reliability="b"',
        'admiralty-scale:information-credibility="3"',
    )
    for fields, distribution in ((OPEN, 3), (COMMUNITY_WIDE, 1)):
        wide = misp.from_label(a_label(**fields), a_release(), now_ms=NOW, organisations={}, group_uuid="g")
        assert (wide.distribution, wide.group) == (distribution, None)
    assert misp.from_label(label, a_release(to=()), now_ms=NOW, organisations={}, group_uuid="g").distribution == 0


@pytest.mark.parametrize(
    "label, release",
    [
        (a_label(), a_release(XD)),
        (a_label(), a_release(to=(Target(everyone=True),))),
        (a_label(**COMMUNITY_WIDE), a_release(except_=(XC,))),
        (a_label(actions=Actions.NONE), a_release()),
        (a_label(grading=Grading("siena4x4", "A", "1")), a_release()),
        (a_label(expires_ms=NOW + 1, on_expiry=OnExpiry.PURGE), a_release()),
    ],
)
def test_what_misp_does_not_keep_is_refused(label: Any, release: Any) -> None:
    with pytest.raises(MarkNotCarried):
        misp.from_label(label, release, now_ms=NOW, organisations=ORGANISATIONS, group_uuid="g")


def test_the_sharing_groups_of_misp_carry_their_body() -> None:
    for each in shared_json("misp/events/sharing_groups.json"):
        organisations = tuple(org["Organisation"]["uuid"] for org in each["SharingGroupOrg"])
        group = SharingGroup(each["SharingGroup"].get("uuid", each["SharingGroup"]["name"]), organisations)
        assert isinstance(misp.to_label_fields(MispHandling(4, group), groups={}), Hold)


def test_every_word_of_handling_travels_as_words() -> None:
    label = replace(a_label(), handling=(Handling("X", "quietly"),), use_in=("PK",))
    found = misp.from_label(label, a_release(), now_ms=NOW, organisations=ORGANISATIONS, group_uuid="g")
    assert "X: quietly" in found.words
    assert "Use it only in: PK." in found.words
