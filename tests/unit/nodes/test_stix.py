"""Reading a STIX bundle as a report: what is refused, where, and with which words."""

import contextlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import BadInput, BadReport, ExchangeError, MalformedInput, TooLarge
from exchange.limits import REPORT_BYTES
from exchange.policy.model import Tlp
from nodes.stix import EXTENSION, TITLE_CHARS, read_report, without_audience
from tests.support.reports import TLP_RED, a_bundle, a_report, with_handling


def test_a_good_report_is_understood() -> None:
    report = read_report(a_report())
    assert (report.kind, report.title) == ("incident-report", "Roadblock near the dam")
    assert report.stix_id == "report--22222222-2222-4222-8222-222222222222"
    assert (report.least_tlp, report.countries) == (Tlp.AMBER, frozenset({"PK"}))
    assert report.modified_ms == 1_626_240_600_000


def test_a_title_that_would_fill_a_list_is_cut() -> None:
    assert read_report(a_report(name="x" * 900_000)).title == "x" * TITLE_CHARS


@pytest.mark.parametrize("data", [b"", b"{", b"nonsense", b'{"a": NaN}', b"\xff\xfe", b"[" * 5_000])
def test_what_is_not_json_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(MalformedInput) as caught:
        read_report(data)
    assert caught.value.place.startswith("line ")


def test_a_key_that_stands_twice_is_refused_and_named() -> None:
    twice = a_report().replace(b'"name":', b'"name":"Other","name":', 1)
    with pytest.raises(MalformedInput, match="'name'"):
        read_report(twice)


def test_too_many_bytes_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(TooLarge):
        read_report(b" " * (REPORT_BYTES + 1))


def test_deep_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(64):
        deep = [deep]
    with pytest.raises(TooLarge, match="nested"):
        read_report(a_report(x_deep=deep))


def _no_bundle(bundle: dict[str, Any]) -> None:
    bundle["type"] = "report"


def _bad_bundle_id(bundle: dict[str, Any]) -> None:
    bundle["id"] = "bundle--1"


def _no_objects(bundle: dict[str, Any]) -> None:
    bundle["objects"] = []


def _object_is_text(bundle: dict[str, Any]) -> None:
    bundle["objects"][1] = "location"


def _wrong_type_in_id(bundle: dict[str, Any]) -> None:
    bundle["objects"][1]["type"] = "identity"


def _object_twice(bundle: dict[str, Any]) -> None:
    bundle["objects"].append(bundle["objects"][1])


def _no_root(bundle: dict[str, Any]) -> None:
    del bundle["objects"][0]["extensions"]


def _two_roots(bundle: dict[str, Any]) -> None:
    second = {**bundle["objects"][0], "id": "report--44444444-4444-4444-8444-444444444444"}
    bundle["objects"].append(second)


def _unknown_kind(bundle: dict[str, Any]) -> None:
    bundle["objects"][0]["extensions"][EXTENSION]["kind"] = "gossip"


def _no_title(bundle: dict[str, Any]) -> None:
    bundle["objects"][0]["name"] = "  "


def _no_such_day(bundle: dict[str, Any]) -> None:
    bundle["objects"][0]["modified"] = "2021-02-30T05:30:00.000Z"


def _country_in_words(bundle: dict[str, Any]) -> None:
    bundle["objects"][1]["country"] = "pakistan"


def _unknown_marking(bundle: dict[str, Any]) -> None:
    bundle["objects"][0]["object_marking_refs"] = ["marking-definition--613f2e26-0000-48c7-9eba-b8e91df99dc9"]


def _unknown_precedence(bundle: dict[str, Any]) -> None:
    bundle["objects"][0]["extensions"][EXTENSION]["precedence"] = "soon"


@pytest.mark.parametrize(
    "spoil, place",
    [
        (_no_bundle, "type"),
        (_bad_bundle_id, "id"),
        (_no_objects, "objects"),
        (_object_is_text, "objects[1]"),
        (_wrong_type_in_id, "objects[1].id"),
        (_object_twice, "objects[2].id"),
        (_no_root, "objects"),
        (_two_roots, "objects"),
        (_unknown_kind, f"objects[0].extensions.{EXTENSION}.kind"),
        (_no_title, "objects[0].name"),
        (_no_such_day, "objects[0].modified"),
        (_country_in_words, "objects[1].country"),
        (_unknown_marking, "objects[0].object_marking_refs"),
        (_unknown_precedence, f"objects[0].extensions.{EXTENSION}.precedence"),
    ],
)
def test_what_is_not_a_report_is_refused_at_its_place(spoil: Callable[[dict[str, Any]], None], place: str) -> None:
    bundle = a_bundle()
    spoil(bundle)
    with pytest.raises(BadReport) as caught:
        read_report(orjson.dumps(bundle))
    assert caught.value.place == place
    assert caught.value.hint


def test_a_marking_on_a_part_of_an_object_counts() -> None:
    report = read_report(a_report(granular_markings=[{"marking_ref": TLP_RED, "selectors": ["name"]}]))
    assert report.least_tlp is Tlp.RED
    assert report.strictest_place == "objects[0].granular_markings[0]"


def test_the_audience_leaves_the_content_and_nothing_else_changes() -> None:
    data = with_handling(tlp="amber", audience=["XV"], pap="green")
    cleaned = without_audience(read_report(data), data)
    assert b"audience" not in cleaned
    expected = orjson.loads(data)
    del expected["objects"][0]["extensions"][EXTENSION]["handling"]["audience"]
    assert orjson.loads(cleaned) == expected


def test_content_without_an_audience_keeps_its_exact_bytes() -> None:
    data = b" " + a_report() + b"\n"
    assert without_audience(read_report(data), data) == data


@given(st.binary(max_size=400))
def test_no_bytes_make_the_reader_fail_in_another_way(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        read_report(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(field=st.sampled_from(sorted(a_bundle()["objects"][0])), value=JSON)
def test_no_value_of_a_field_makes_the_reader_fail_in_another_way(field: str, value: Any) -> None:
    try:
        read_report(a_report(**{field: value}))
    except ExchangeError as error:
        assert isinstance(error, BadInput)
