"""A report that is made of others: its label says no more than they do, and what it leaves out they fill in."""

from typing import Any

import pytest

from exchange.errors import BadLabel
from exchange.policy.combine import Source
from exchange.policy.model import Actions, OnwardRule, Purpose, ReaderRule, Tlp
from nodes.author import AuthoredReport, Desk, Previous, author
from nodes.deriving import Origin
from tests.support.policy_builders import NOW, XA, XB, XC, XD, a_label, a_release
from tests.support.reports import a_report

DESK = Desk(me=XA, partners=frozenset({XA, XB, XC, XD}), defaults={"retention": "30d", "pap": "green"})
MINE, THEIRS = bytes([1]) * 32, bytes([2]) * 32
RELEASE = b"release: {to: [XC]}\n"


def mine(**differs: Any) -> Source:
    return Source(a_label(**differs), a_release(XB, XC))


def theirs(**differs: Any) -> Source:
    return Source(a_label(originators=(XB,), purposes=(Purpose.PROTECT_LIFE,), **differs))


def made(*sources: Source, label: bytes = RELEASE, desk: Desk = DESK, **more: Any) -> AuthoredReport:
    items = (MINE, THEIRS)[: len(sources)]
    return author(a_report(), label, desk=desk, now_ms=NOW, origin=Origin.of(items, sources, me=XA), **more)


def test_what_the_label_leaves_out_the_sources_say() -> None:
    label = made(mine(), theirs(orcon=True)).label
    assert (label.tlp, label.purposes, label.orcon) == (Tlp.AMBER, (Purpose.PROTECT_LIFE,), True)
    assert label.actions is Actions.EXTERNAL_PASSIVE
    assert label.retention_days == 30


def test_it_names_its_sources_and_every_originator_of_theirs() -> None:
    label = made(mine(root_sources=(bytes(32),)), theirs(derived_from=(bytes([9]) * 32,))).label
    assert label.originators == (XA, XB)
    assert label.derived_from == (MINE, THEIRS, bytes([9]) * 32)
    assert label.root_sources == (bytes(32),)


def test_without_any_label_own_sources_say_everything_and_received_ones_not_to_whom() -> None:
    report = made(mine(), label=b"")
    assert report.release.to == a_release(XB, XC).to
    with pytest.raises(BadLabel, match="release is missing"):
        made(theirs(), label=b"")


def test_every_field_that_is_wider_is_named_with_what_is_allowed() -> None:
    label = b"tlp: green\npurposes: [protect_life, training]\nonward: community\n" + b"release: {to: [XC, XD]}\n"
    with pytest.raises(BadLabel) as caught:
        made(mine(), theirs(), label=label)
    told = str(caught.value)
    for field in ("tlp: green, allowed is at least amber", "purposes:", "onward:", "release.to:"):
        assert field in told
    assert caught.value.place == "tlp"
    assert caught.value.hint


def test_a_narrower_label_is_the_authors_own_choice() -> None:
    label = made(mine(), label=RELEASE + b"tlp: red\nreaders: {named: [duty-officer]}\n").label
    assert (label.tlp, label.onward, label.max_hops) == (Tlp.RED, OnwardRule.CONSENT, 1)
    assert label.readers == ReaderRule(named=("duty-officer",))
    never = made(mine(onward=OnwardRule.NONE, max_hops=0)).label
    assert (never.onward, never.max_hops) == (OnwardRule.NONE, 0)
    with pytest.raises(BadLabel, match="onward"):
        made(mine(onward=OnwardRule.NONE, max_hops=0), label=RELEASE + b"onward: consent\n")


def test_under_the_embargo_of_another_nobody_gets_it_before_the_end() -> None:
    assert made(theirs(embargo_until_ms=NOW + 5)).label.not_before_ms == NOW + 5


def test_sources_that_cannot_go_into_one_report_are_refused() -> None:
    with pytest.raises(BadLabel, match="no purpose in common"):
        made(mine(purposes=(Purpose.TRAINING,)), theirs())


def test_the_higher_of_two_clearances_binds_on_the_scales_of_this_party() -> None:
    asked = [mine(readers=ReaderRule("s", level)) for level in ("low", "high")]
    origin = Origin.of((MINE, THEIRS), asked, me=XA, scales={"s": ("low", "high")})
    label = author(a_report(), RELEASE, desk=DESK, now_ms=NOW, origin=origin).label
    assert label.readers == ReaderRule("s", "high")
    lower = RELEASE + b"readers: {min_clearance: {scale: s, level: low}}\n"
    with pytest.raises(BadLabel, match="readers"):
        author(a_report(), lower, desk=DESK, now_ms=NOW, origin=origin)
    with pytest.raises(BadLabel, match="higher"):
        Origin.of((MINE, THEIRS), asked, me=XA)


def test_a_label_cannot_name_a_source_that_nobody_opened() -> None:
    named = b"provenance: {derived_from: [%s]}\n" % (b"ab" * 32)
    with pytest.raises(BadLabel, match="abababababab is no source") as caught:
        made(mine(), label=RELEASE + named)
    assert "--derived-from" in caught.value.hint
    full = b"tlp: amber\ncategories: [alert]\npurposes: [consular]\npersonal_data: none\nabout: [PK]\n"
    with pytest.raises(BadLabel, match="no source"):
        basis = b'basis: {kind: mou, citation: "x"}\n'
        author(a_report(), RELEASE + full + basis + named, desk=DESK, now_ms=NOW)


def test_a_report_without_sources_still_needs_a_label() -> None:
    with pytest.raises(BadLabel, match="no label"):
        author(a_report(), b"", desk=DESK, now_ms=NOW)


def test_what_a_version_was_made_of_binds_the_version_that_corrects_it() -> None:
    first = made(mine(), theirs())
    before = Source(first.label, first.release)
    previous = Previous(bytes([5]) * 32, bytes(16), first.stix_id, first.modified_ms - 1, before)
    again = author(
        a_report(), RELEASE, desk=DESK, now_ms=NOW, previous=previous, origin=Origin.of((), (before,), me=XA)
    )
    assert again.label.derived_from == first.label.derived_from
    assert again.label.originators == (XA, XB)
    with pytest.raises(BadLabel, match=r"release\.to"):
        author(
            a_report(),
            b"release: {to: [XC, XD]}\n",
            desk=DESK,
            now_ms=NOW,
            previous=previous,
            origin=Origin.of((), (before,), me=XA),
        )
