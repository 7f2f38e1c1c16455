"""What a later version changed: every field that differs is named once, as it was and as it is, and nothing else."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from nodes import revision as module
from nodes.revision import LABEL, FieldChange, Version, revision
from nodes.stix import EXTENSION
from tests.support.reports import a_bundle, a_report

ROOT = "report--22222222-2222-4222-8222-222222222222"
PLACE = "location--33333333-3333-4333-8333-333333333333"


def changed(before: bytes, after: bytes) -> list[tuple[str, str, str, str]]:
    found = revision(Version(before, {}), Version(after, {}))
    return [(each.where, each.field, each.before, each.after) for each in found]


def test_fields_are_named_as_they_were_and_as_they_are() -> None:
    old = a_report(description="The cause is not known.", confidence=50)
    new = a_report(description="Traces of explosives.", modified="2021-07-15T05:30:00.000Z", labels=["attack"])
    assert changed(old, new) == [
        (ROOT, "modified", "2021-07-14T05:30:00.000Z", "2021-07-15T05:30:00.000Z"),
        (ROOT, "description", "The cause is not known.", "Traces of explosives."),
        (ROOT, "labels", "", '["attack"]'),
        (ROOT, "confidence", "50", ""),
    ]


def test_fields_within_objects_have_dots_and_objects_that_come_or_go_are_told_whole() -> None:
    old, new = a_bundle(), a_bundle()
    extension = new["objects"][0]["extensions"][EXTENSION]
    extension["precedence"] = "flash"
    place = new["objects"].pop()
    new["objects"].append({**place, "id": place["id"].replace("3333-3333", "3333-4444")})
    where, *others = changed(orjson.dumps(old), orjson.dumps(new))
    assert where == (ROOT, f"extensions.{EXTENSION}.precedence", "routine", "flash")
    (came, gone) = others
    assert came[1:3] == ("", "") and orjson.loads(came[3])["country"] == "PK"
    assert gone[0] == PLACE and gone[3] == "" and orjson.loads(gone[2])["id"] == PLACE


def test_the_order_of_objects_and_fields_and_spaces_are_no_difference() -> None:
    turned = {**a_bundle(), "objects": list(reversed(a_bundle()["objects"]))}
    spaced = orjson.dumps(turned, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    assert changed(a_report(), spaced) == []


def test_a_number_is_no_truth_value() -> None:
    assert changed(a_report(lang=1), a_report(lang=True)) == [(ROOT, "lang", "1", "true")]


def test_the_label_is_compared_too() -> None:
    old, new = ({"tlp": tlp, "basis": {"kind": "mou", "citation": "4"}} for tlp in ("amber", "green"))
    assert revision(Version(b"", old), Version(b"", new)) == [FieldChange(LABEL, "tlp", "amber", "green")]


def test_what_is_no_report_differs_as_a_whole() -> None:
    assert changed(a_report(), b"not a report") == [("content", "", f"{len(a_report())} bytes", "12 bytes")]


def test_a_long_value_is_cut() -> None:
    (_, _, _, after) = changed(a_report(), a_report(description="x" * 9_000))[0]
    assert len(after) == module.VALUE_CHARS + 1 and after.endswith("…")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("pq", min_size=1, max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)
LABELS = st.dictionaries(st.sampled_from(["tlp", "about", "release"]), VALUES, max_size=3)


@given(old=LABELS, new=LABELS)
def test_nothing_is_told_of_what_is_the_same_and_something_of_whatever_differs(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    there, back = (revision(Version(b"", a), Version(b"", b)) for a, b in ((old, new), (new, old)))
    assert revision(Version(b"", old), Version(b"", old)) == []
    assert bool(there) or orjson.dumps(old, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        new, option=orjson.OPT_SORT_KEYS
    )
    assert {(each.field, each.after, each.before) for each in there} == {
        (each.field, each.before, each.after) for each in back
    }
