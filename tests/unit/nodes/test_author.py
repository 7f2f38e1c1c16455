"""The author's step: a report and its label become what is signed, or are refused with a place and a hint."""

from pathlib import Path

import orjson
import pytest

from exchange.envelope.model import Lane
from exchange.errors import BadInput, BadLabel, BadReport
from exchange.names import PartyId
from exchange.policy.model import Category, OnwardRule, Tlp
from nodes.author import AuthoredReport, Desk, Previous, author
from nodes.stix import EXTENSION
from tests.support.reports import LABEL, TLP_RED, a_report, with_handling

NOW = 1_700_000_000_000
PARTNERS = frozenset(PartyId(party) for party in ("XA", "XV", "XO", "XH", "XM", "XN", "XQ", "XT"))
DESK = Desk(me=PartyId("XA"), partners=PARTNERS, defaults={})
SCENARIOS = Path(__file__).resolve().parents[3] / "nodes/demo/scenarios"


def written(content: bytes, label: bytes = LABEL, **more: object) -> AuthoredReport:
    return author(content, label, desk=DESK, now_ms=NOW, **more)  # type: ignore[arg-type]  # keywords of author


def test_a_report_with_its_label_file_is_ready_to_sign() -> None:
    report = written(a_report())
    assert report.content == a_report()
    assert (report.kind, report.lane, report.supersedes) == ("incident-report", Lane.ROUTINE, b"")
    assert report.label.tlp is Tlp.AMBER
    assert [target.partner for target in report.release.to] == ["XO", "XV"]
    assert report.warnings == ()


def test_two_reports_never_share_a_thread() -> None:
    assert written(a_report()).thread_id != written(a_report()).thread_id


def test_the_bundles_own_handling_serves_when_no_label_is_given() -> None:
    content = with_handling(
        tlp="amber",
        pap="green",
        audience=["XA", "XV"],
        onward="own-organisations",
        purposes=["protect_life"],
        categories=["unrest"],
        personal_data="none",
        basis={"kind": "mou", "citation": "art. 4"},
    )
    report = written(content, b"")
    assert [target.partner for target in report.release.to] == ["XV"]
    assert report.label.onward is OnwardRule.DEPENDANTS
    assert report.label.about == ("PK",)
    assert b"audience" not in report.content


def test_what_handling_leaves_out_the_nodes_defaults_fill_in() -> None:
    defaults = {
        "purposes": ["protect_life"],
        "categories": ["unrest"],
        "personal_data": "none",
        "basis": {"kind": "mou", "citation": "art. 4"},
    }
    content = with_handling(tlp="amber", audience=["XV"])
    desk = Desk(me=DESK.me, partners=DESK.partners, defaults=defaults)
    report = author(content, b"", desk=desk, now_ms=NOW)
    assert report.label.categories == (Category.UNREST,)


def test_a_report_without_any_label_is_refused() -> None:
    with pytest.raises(BadLabel, match="no label"):
        written(a_report(), b"")


def test_a_sensors_default_serves_when_the_bundle_brings_nothing() -> None:
    assert written(a_report(), b"", sensor_label=LABEL).label.tlp is Tlp.AMBER


@pytest.mark.parametrize(
    "handling",
    [
        {"tlp": "amber", "audience": ["XV"], "onwards": "none"},
        {"tlp": "amber", "audience": ["XV"], "onward": "friends"},
        {"tlp": "amber", "audience": ["XV"], "caveats": "ORCON"},
        {"tlp": "amber", "audience": ["XV"], "release_after": "2021-07-19T08:00:00.000Z"},
        {"tlp": "pink", "audience": ["XV"]},
    ],
)
def test_handling_that_cannot_be_kept_is_refused(handling: dict[str, object]) -> None:
    with pytest.raises(BadLabel):
        written(with_handling(**handling), b"")


def test_a_label_weaker_than_a_marking_in_the_content_is_refused_at_the_marking() -> None:
    content = a_report(granular_markings=[{"marking_ref": TLP_RED, "selectors": ["name"]}])
    with pytest.raises(BadLabel, match="TLP:RED") as caught:
        written(content)
    assert caught.value.place == "objects[0].granular_markings[0]"


def test_a_label_that_hides_a_place_of_the_content_is_refused() -> None:
    with pytest.raises(BadLabel, match="PK"):
        written(a_report(), LABEL.replace(b"about: [PK]", b"about: [ML]"))


def test_an_unknown_partner_in_the_audience_is_refused_and_named() -> None:
    with pytest.raises(BadLabel, match="XZ is not a partner"):
        written(a_report(), LABEL.replace(b"[XV, XO]", b"[XV, XZ]"))


def test_an_empty_audience_is_allowed_and_said() -> None:
    report = written(a_report(), LABEL.replace(b"[XV, XO]", b"[]"))
    assert report.release.to == ()
    assert "reaches nobody" in report.warnings[0]


def test_the_label_says_which_lane_else_the_precedence() -> None:
    assert written(a_report(), LABEL + b"lane: flash\n").lane is Lane.FLASH
    root = orjson.loads(a_report())["objects"][0]["extensions"]
    root[EXTENSION]["precedence"] = "immediate"
    assert written(a_report(extensions=root)).lane is Lane.PRIORITY


def previous(report: AuthoredReport) -> Previous:
    return Previous(b"i" * 32, report.thread_id, report.stix_id, report.modified_ms)


def test_a_correction_keeps_the_thread_and_names_what_it_replaces() -> None:
    first = written(a_report())
    second = written(a_report(modified="2021-07-15T05:30:00.000Z"), previous=previous(first))
    assert (second.thread_id, second.supersedes) == (first.thread_id, b"i" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"modified": "2021-07-14T05:30:00Z"},
        {"modified": "2021-07-13T05:30:00.000Z"},
        {"id": "report--99999999-2222-4222-8222-222222222222", "modified": "2021-07-15T05:30:00.000Z"},
    ],
)
def test_a_correction_of_another_report_or_an_older_time_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadReport):
        written(a_report(**change), previous=previous(written(a_report())))


@pytest.mark.parametrize("label", sorted(SCENARIOS.glob("*.label.yaml")), ids=lambda path: path.name)
def test_every_scenario_of_the_demo_is_ready_to_sign(label: Path) -> None:
    content = label.with_name(label.name.replace(".label.yaml", ".stix.json")).read_bytes()
    assert written(content, label.read_bytes()).title


def test_the_scenario_that_mixes_three_reports_is_refused() -> None:
    with pytest.raises(BadReport, match="3 reports in one bundle"):
        written((SCENARIOS / "s03-dasu-ack-rfi.stix.json").read_bytes())


@pytest.mark.parametrize("label", [b"", b"{", b"\xff", b"a: &x [*x]", b"tlp: amber\ntlp: red\n", b"- 1", b"x" * 40_000])
def test_bad_labels_are_refused_as_bad_input(label: bytes) -> None:
    with pytest.raises(BadInput):
        written(a_report(), label)
