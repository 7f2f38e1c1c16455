"""Marks of one scheme each: TLP, PAP, IEP, SIENA, gradings; real words in, fields of a label out, and back."""

from typing import Any

import pytest

from exchange.errors import BadLabel, MarkNotCarried
from exchange.policy.mappings import grading, iep, pap, siena, tlp
from exchange.policy.mappings.together import together
from exchange.policy.model import Actions, Duty, EvidenceUse, Grading, Handling, NationalMarking, OnwardRule, Tlp
from exchange.policy.text import NO_NETWORK_USE
from tests.support.policy_builders import NOW, a_label, a_release
from tests.support.shared import shared_json

# -- TLP ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark, level, onward",
    [
        ("TLP:RED", "red", "none"),
        ("TLP:AMBER+STRICT", "amber+strict", "none"),
        ("tlp:amber", "amber", "dependants"),
        ("TLP GREEN", "green", "community"),
        ("CLEAR", "clear", "free"),
        ("tlp:white", "clear", "free"),
        ("TLP:White", "clear", "free"),
    ],
)
def test_old_and_new_names_of_a_light_are_read(mark: str, level: str, onward: str) -> None:
    assert tlp.to_label_fields([mark]) == {"tlp": level, "onward": onward}


def test_of_several_lights_the_strictest_counts_and_none_is_red() -> None:
    assert tlp.to_label_fields(["tlp:white", "tlp:amber", "tlp:green"])["tlp"] == "amber"
    assert tlp.to_label_fields([]) == {"tlp": "red", "onward": "none"}


def test_the_chatham_house_rule_hides_the_source_and_is_no_light() -> None:
    assert tlp.to_label_fields(["tlp:ex:chr"]) == {"tlp": "red", "onward": "none", "attribution": "must_not"}
    assert tlp.to_label_fields(["tlp:ex:chr", "tlp:clear"])["tlp"] == "clear"


@pytest.mark.parametrize("mark", ["TLP:UNCLEAR", "TLP:ORANGE", "", "TLP:", "amber strict"])
def test_a_light_that_is_not_known_is_refused(mark: str) -> None:
    with pytest.raises(BadLabel) as caught:
        tlp.to_label_fields(["tlp:red", mark])
    assert caught.value.hint


def test_every_light_of_the_misp_taxonomy_is_read_or_refused() -> None:
    words = [predicate["value"] for predicate in shared_json("taxonomies/tlp.json")["predicates"]]
    for word in words:
        if word == "unclear":
            with pytest.raises(BadLabel):
                tlp.to_label_fields([f"tlp:{word}"])
        else:
            assert tlp.to_label_fields([f"tlp:{word}"])["tlp"]


@pytest.mark.parametrize(
    "light, onward, orcon, mark",
    [
        (Tlp.GREEN, OnwardRule.COMMUNITY, False, "TLP:GREEN"),
        (Tlp.GREEN, OnwardRule.DEPENDANTS, False, "TLP:AMBER"),
        (Tlp.CLEAR, OnwardRule.CONSENT, False, "TLP:AMBER+STRICT"),
        (Tlp.CLEAR, OnwardRule.FREE, True, "TLP:AMBER+STRICT"),
        (Tlp.RED, OnwardRule.NONE, False, "TLP:RED"),
    ],
)
def test_a_light_is_written_that_permits_no_more_than_the_label(
    light: Tlp, onward: OnwardRule, orcon: bool, mark: str
) -> None:
    assert tlp.from_label(a_label(tlp=light, onward=onward, orcon=orcon)) == mark


# -- PAP ---------------------------------------------------------------------------------------------------------------


def test_permissible_actions_are_read_and_red_keeps_its_instruction() -> None:
    assert pap.to_label_fields(["PAP:GREEN", "PAP:WHITE"]) == {"actions": "external_active"}
    red = {"actions": "internal_only", "handling": [{"code": "PAP:RED", "text": NO_NETWORK_USE.text}]}
    assert pap.to_label_fields(["PAP:AMBER", "PAP:RED"]) == red
    assert pap.to_label_fields([]) == red


def test_every_word_of_the_pap_taxonomy_is_known() -> None:
    for predicate in shared_json("taxonomies/PAP.json")["predicates"]:
        assert pap.to_label_fields([f"PAP:{predicate['value']}"])["actions"]


def test_pap_is_written_where_it_can_say_it() -> None:
    assert pap.from_label(a_label(actions=Actions.EXTERNAL_ACTIVE)) == "PAP:GREEN"
    assert pap.from_label(a_label(actions=Actions.INTERNAL_ONLY)) == "PAP:RED"
    for stricter in (Actions.NONE, Actions.CONTACT_FIRST):
        with pytest.raises(MarkNotCarried, match=stricter.word):
            pap.from_label(a_label(actions=stricter))
    with pytest.raises(BadLabel):
        pap.to_label_fields(["PAP:BLUE"])


# -- IEP ---------------------------------------------------------------------------------------------------------------

FIRST = {
    "id": "0224bfdf-ea3a-49c3-96f6-66d908bb1845",
    "iep_version": "2.0",
    "permitted_actions": "contact-for-instruction",
    "affected_party_notifications": "must-not",
    "tlp": "amber",
    "attribution": "must",
    "unmodified_resale": "may",
    "start_date": "2026-01-01T00:00:00Z",
    "end_date": "null",
}


def test_a_policy_of_first_is_read() -> None:
    fields = iep.to_label_fields(FIRST)
    assert fields == {
        "actions": "contact_first",
        "notify_affected": "must_not",
        "attribution": "must",
        "resale": "may",
        "tlp": "amber",
        "onward": "dependants",
        "time": {"not_before": "2026-01-01T00:00:00Z"},
        "handling": [{"code": "IEP:id", "text": FIRST["id"]}],
    }


def test_the_policy_of_the_stix_extension_is_read() -> None:
    extension = shared_json("policy/iep2-marking-example.json")["extensions"]
    fields = iep.to_label_fields(next(iter(extension.values())))
    assert (fields["actions"], fields["tlp"], fields["attribution"]) == ("external_active", "amber", "must_not")


def test_every_statement_of_both_misp_taxonomies_is_read() -> None:
    for name in ("iep", "iep2-policy"):
        for part in shared_json(f"taxonomies/{name}.json")["values"]:
            for entry in part["entry"]:
                value = "2026-01-01T00:00:00Z" if entry["value"] == "$text" else entry["value"]
                assert iep.to_label_fields({part["predicate"]: value})["actions"]


def test_what_a_policy_does_not_say_it_does_not_permit() -> None:
    assert iep.to_label_fields({}) == iep.UNMARKED
    assert iep.to_label_fields({"end_date": None}) == iep.UNMARKED


def test_a_policy_that_has_ended_permits_nothing_any_more_and_its_reference_may_be_the_basis() -> None:
    fields = iep.to_label_fields(
        {"end_date": "2027-01-01T00:00:00Z", "external_reference": "https://x.example/mou"}, basis_kind="mou"
    )
    assert fields["time"] == {"expires_at": "2027-01-01T00:00:00Z", "on_expiry": "purge"}
    assert fields["basis"] == {"kind": "mou", "citation": "https://x.example/mou"}
    assert iep.to_label_fields({"reference": "R"})["handling"] == [{"code": "IEP:reference", "text": "R"}]


@pytest.mark.parametrize(
    "policy",
    [
        {"permitted_actions": "everything"},
        {"affected_party_notifications": "must"},
        {"unmodified_resale": "must"},
        {"tlp": "orange"},
        {"encrypt": "must"},
        {"attribution": 3},
        {"attribution": "may", "provider_attribution": "must"},
    ],
)
def test_a_statement_or_value_that_is_not_known_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(BadLabel):
        iep.to_label_fields(policy)


def test_a_policy_never_widens_the_light_beside_it() -> None:
    light = tlp.to_label_fields(["TLP:RED"])
    assert together(light, iep.to_label_fields({"tlp": "white"}))["tlp"] == "red"


def test_a_policy_is_written() -> None:
    label = a_label(tlp=Tlp.AMBER_STRICT, onward=OnwardRule.NONE, max_hops=0, attribution=Duty.MUST_NOT)
    policy = iep.from_label(label, policy_id="1", name="x")
    assert (policy["tlp"], policy["attribution"], policy["encrypt_in_transit"]) == ("red", "must-not", "must")
    with pytest.raises(MarkNotCarried, match="notify"):
        iep.from_label(a_label(notify_affected=Duty.MUST), policy_id="1", name="x")


# -- SIENA -------------------------------------------------------------------------------------------------------------


def test_handling_codes_are_read() -> None:
    assert siena.to_label_fields(["H0"]) == {}
    assert siena.to_label_fields(["h1", "H2"]) == {"evidence_use": "with_consent", "onward": "consent"}
    words = "For the eyes of the unit only."
    assert siena.to_label_fields(["H3"], words) == {"handling": [{"code": "H3", "text": words}]}
    assert siena.to_label_fields([]) == {"evidence_use": "with_consent", "onward": "consent"}


@pytest.mark.parametrize("codes, words", [(["H4"], ""), (["H3"], ""), (["H1"], "words")])
def test_an_unknown_code_and_h3_without_words_are_refused(codes: list[str], words: str) -> None:
    with pytest.raises(BadLabel):
        siena.to_label_fields(codes, words)


def test_handling_codes_are_written_and_h3_says_the_rest() -> None:
    label = a_label(evidence_use=EvidenceUse.WITH_CONSENT, handling=(Handling("X", "quietly"),))
    handled = siena.from_label(label, a_release(), now_ms=NOW)
    assert handled.codes == ("H0", "H1", "H2", "H3")
    assert "X: quietly" in handled.words
    assert "Use it only for: protect_life, consular." in handled.words
    assert "consent" not in handled.words
    never = siena.from_label(a_label(), a_release(), now_ms=NOW)
    assert "Do not use it as evidence." in never.words


def test_what_siena_does_not_keep_is_refused_by_name() -> None:
    label = a_label(national=NationalMarking("n", "r"), retention_days=9)
    with pytest.raises(MarkNotCarried, match="national, retention"):
        siena.from_label(label, a_release(), now_ms=NOW)


# -- gradings ----------------------------------------------------------------------------------------------------------


def test_gradings_are_kept_as_given() -> None:
    assert grading.of_pair("admiralty", "b3") == {"grading": {"scheme": "admiralty", "source": "B", "info": "3"}}
    assert grading.of_pair("siena4x4", "X-4") == {"grading": {"scheme": "siena4x4", "source": "X", "info": "4"}}
    tags = ['admiralty-scale:source-reliability="c"', 'admiralty-scale:information-credibility="2"', "tlp:red"]
    assert grading.of_misp_tags(tags)["grading"]["source"] == "C"
    assert grading.of_misp_tags(["tlp:red"]) == {}


@pytest.mark.parametrize(
    "scheme, text",
    [("admiralty", "X1"), ("siena4x4", "A5"), ("nato", "A1"), ("admiralty", "g1"), ("admiralty", "high")],
)
def test_a_grading_that_its_scheme_does_not_have_is_refused(scheme: str, text: str) -> None:
    with pytest.raises(BadLabel):
        grading.of_pair(scheme, text)


def test_half_a_grading_is_refused() -> None:
    for tags in (
        ['admiralty-scale:source-reliability="c"'],
        ['admiralty-scale:source-reliability="c"', 'admiralty-scale:source-reliability="a"'],
    ):
        with pytest.raises(BadLabel):
            grading.of_misp_tags(tags)


def test_the_admiralty_letters_of_misp_are_known_but_for_its_own() -> None:
    for part in shared_json("taxonomies/admiralty-scale.json")["values"]:
        for entry in part["entry"]:
            pair = (entry["value"], "1") if part["predicate"] == "source-reliability" else ("a", entry["value"])
            if entry["value"] == "g":
                with pytest.raises(BadLabel):
                    grading.to_label_fields("admiralty", *pair)
            else:
                assert grading.to_label_fields("admiralty", *pair)


def test_a_grading_is_never_converted() -> None:
    label = a_label(grading=Grading("siena4x4", "X", "4"))
    assert grading.from_label(label, "siena4x4") == label.grading
    with pytest.raises(MarkNotCarried):
        grading.from_label(label, "admiralty")


# -- together ----------------------------------------------------------------------------------------------------------


def test_the_strictest_of_every_marking_wins() -> None:
    found = together(
        {"tlp": "green", "purposes": ["consular", "training"], "time": {"expires_at": "+2d", "on_expiry": "ask"}},
        {
            "tlp": "amber",
            "purposes": ["training"],
            "time": {"expires_at": "+1d", "on_expiry": "purge", "not_before": "+1h"},
        },
        {"notify_affected": "must", "orcon": False, "handling": [{"code": "A", "text": "a"}]},
        {"notify_affected": "may", "orcon": True, "handling": [{"code": "B", "text": "b"}]},
    )
    assert found == {
        "tlp": "amber",
        "purposes": ["training"],
        "time": {"expires_at": "+1d", "on_expiry": "purge", "not_before": "+1h"},
        "notify_affected": "must",
        "orcon": True,
        "handling": [{"code": "A", "text": "a"}, {"code": "B", "text": "b"}],
    }


@pytest.mark.parametrize(
    "one, other",
    [
        ({"release": {"to": ["XA"]}}, {"release": {"to": ["XB"]}}),
        ({"attribution": "must"}, {"attribution": "must_not"}),
        ({"purposes": ["training"]}, {"purposes": ["consular"]}),
        ({"national": {"policy": "a"}}, {"national": {"policy": "b"}}),
    ],
)
def test_markings_that_contradict_each_other_are_refused(one: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(BadLabel):
        together(one, other)
