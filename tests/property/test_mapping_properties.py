"""What must hold of every mapping (docs/spec/policy.md, "Mappings"): what leaves is never wider than the label.

Each scheme has its own meaning of "wider", written out here: what the mark would let its readers do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from exchange.errors import BadLabel, MarkNotCarried
from exchange.names import PartyId
from exchange.policy.combine import limits_of
from exchange.policy.label_yaml import label_to_mapping
from exchange.policy.mappings import cap, grading, iep, misp, pap, rel_to, siena, stanag4774, stix, tlp
from exchange.policy.mappings.together import Plain
from exchange.policy.model import (
    Duty,
    EvidenceUse,
    Grading,
    Handling,
    Label,
    NationalMarking,
    OnExpiry,
    OnwardRule,
    Release,
    Target,
    Tlp,
)
from exchange.policy.product import wider
from exchange.policy.text import ONWARD, label_from_mapping
from tests.support.policy_builders import NOW, XA, XB, XC
from tests.support.policy_worlds import labels, releases

refusing = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
"""Most labels cannot leave in another scheme: that is no fault of the strategy."""

CODES = {XB: "XBX", XC: "XCX"}
PARTNERS = {"XBX": [XB], "XCX": [XC], "ALLIES": [XB, XC]}


@st.composite
def written(draw: st.DrawFn) -> tuple[Label, Release]:
    """Labels as an author can write them, most of them without what no other system keeps."""
    label = draw(labels())
    simple = draw(st.integers(0, 3)) > 0
    if simple:
        label = replace(label, readers=None, orcon=False, national=None, approvals=0, retention_days=0)
        label = replace(label, not_before_ms=0, embargo_until_ms=0, on_expiry=label.on_expiry and OnExpiry.ASK)
        label = replace(label, personal_data=replace(label.personal_data, special=False))
    widest = max(ONWARD[label.tlp], OnwardRule.CONSENT)
    onward = min(label.onward, widest)
    national = st.sampled_from(
        [NationalMarking("NATO", "SECRET", ("PERMISSIVE Only: XBX",)), NationalMarking("NATO", "SECRET", ("odd",))]
    )
    label = replace(
        label,
        originators=(XA,),
        onward=onward,
        max_hops=0 if onward is OnwardRule.NONE else draw(st.sampled_from([1, 2, 255])),
        notify_affected=draw(st.sampled_from(Duty)),
        attribution=draw(st.sampled_from(Duty)),
        resale=draw(st.sampled_from([Duty.MUST_NOT, Duty.MAY])),
        handling=draw(st.sampled_from([(), (Handling("A", "a"),)])),
        grading=draw(st.sampled_from([None, Grading("admiralty", "B", "3"), Grading("siena4x4", "X", "4")])),
        national=label.national if simple else draw(national),
        expires_ms=NOW + 9 if label.expires_ms else 0,
        not_before_ms=min(label.not_before_ms, NOW + 1),
    )
    named = tuple(Target(partner=party) for party in draw(st.sampled_from([(), (XB,), (XB, XC)])))
    release = draw(releases())
    to = draw(st.sampled_from([named, named, tuple(each for each in release.to if each.partner != XA)]))
    shown = not simple and Target(partner=XB) in to
    return label, replace(release, to=to, display_only=(XB,) if shown else ())


@contextmanager
def refusals() -> Iterator[None]:
    """A refusal widens nothing."""
    try:
        yield
    except MarkNotCarried:
        reject()


def read_back(label: Label, release: Release, fields: Plain) -> tuple[Label, Release]:
    """Return the label that a gateway makes of `fields`, which says the rest as the original does."""
    base = label_to_mapping(label, release)
    if "onward" in fields:
        base.pop("max_hops")
    for name, join in (("handling", lambda a, b: [*a, *b]), ("time", lambda a, b: {**a, **b})):
        if name in fields and name in base:
            fields = {**fields, name: join(base[name], fields[name])}
    parsed = label_from_mapping({**base, **fields}, originator=XA, now_ms=NOW)
    return parsed.label, parsed.release


def assert_not_wider(label: Label, release: Release, fields: Plain) -> None:
    found, audience = read_back(label, release, fields)
    assert wider(found, audience, than=limits_of(label, release)) == ()


@refusing
@given(written())
def test_a_light_lets_nothing_pass_on_that_the_label_does_not(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. TLP: how far it may be passed on."""
    label, release = pair
    level = tlp.level_of(tlp.from_label(label))
    assert level >= label.tlp
    assert ONWARD[level] <= (OnwardRule.NONE if label.orcon else label.onward)
    assert_not_wider(label, release, tlp.to_label_fields([tlp.from_label(label)]))


@refusing
@given(written())
def test_pap_permits_no_action_that_the_label_does_not(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. PAP: what may be done."""
    label, release = pair
    with refusals():
        mark = pap.from_label(label)
    assert mark != "PAP:CLEAR"
    assert_not_wider(label, release, pap.to_label_fields([mark]))


@refusing
@given(written())
def test_an_iep_policy_permits_no_more_than_the_label(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. IEP: actions, duties, resale, TLP, dates."""
    label, release = pair
    with refusals():
        policy = iep.from_label(label, policy_id="1", name="x")
    assert iep.ACTIONS[policy["permitted_actions"]] <= label.actions
    assert iep.DUTIES[policy["attribution"]] is label.attribution
    assert iep.DUTIES[policy["unmodified_resale"]] <= label.resale
    assert ONWARD[tlp.level_of(policy["tlp"])] <= label.onward
    assert bool(policy.get("end_date")) == bool(label.expires_ms)
    assert_not_wider(label, release, iep.to_label_fields(policy))


@refusing
@given(written())
def test_handling_codes_permit_no_more_than_the_label(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. SIENA: evidence, passing on, the rest in words."""
    label, release = pair
    with refusals():
        handled = siena.from_label(label, release, now_ms=NOW)
    assert ("H1" in handled.codes) == (label.evidence_use is not EvidenceUse.YES)
    assert ("H2" in handled.codes) == (label.onward is not OnwardRule.FREE)
    assert all(each.text in handled.words for each in label.handling)
    fields = siena.to_label_fields(handled.codes, handled.words)
    # What H3 says in words, the reader keeps as words: it binds people there as it does here.
    fields |= {"evidence_use": min(label.evidence_use, EvidenceUse.WITH_CONSENT).word} if "H1" in handled.codes else {}
    fields |= {"onward": min(label.onward, OnwardRule.CONSENT).word} if "H2" in handled.codes else {}
    assert_not_wider(label, release, fields)


@refusing
@given(written(), st.sampled_from(["admiralty", "siena4x4"]))
def test_a_grading_is_the_same_or_refused(pair: tuple[Label, Release], scheme: str) -> None:
    label, _ = pair
    with refusals():
        found = grading.from_label(label, scheme)
    assert found == label.grading
    if found is not None:
        fields = {"scheme": found.scheme, "source": found.source, "info": found.info}
        assert grading.to_label_fields(found.scheme, found.source, found.info) == {"grading": fields}


def lets_in(release: Release) -> set[PartyId]:
    return {each.partner for each in release.to if each.partner is not None} - set(release.except_)


@refusing
@given(written())
def test_dissemination_controls_reach_nobody_whom_the_release_does_not(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. REL TO: whom it reaches, and who may only look."""
    label, release = pair
    with refusals():
        found = rel_to.from_label(label, release, codes=CODES)
    full = {party for code in (*found.rel_to, *found.eyes_only) for party in PARTNERS[code]}
    shown = {party for code in found.display_only for party in PARTNERS[code]}
    assert full | shown == lets_in(release)
    assert not full & set(release.display_only)
    assert found.orcon == label.orcon
    assert rel_to.parse(f"S//{found.words}").controls == found
    fields = rel_to.to_label_fields(found, partners=PARTNERS)
    if label.onward is not OnwardRule.NONE:
        fields["onward"] = min(label.onward, OnwardRule.CONSENT).word
    fields["release"] = {**fields["release"], "except": [*release.except_]}
    assert_not_wider(label, release, fields)


ORIGINALS = st.sampled_from(
    [
        ("PERMISSIVE Only: XBX",),
        ("PERMISSIVE Releasable to: ALLIES", "RESTRICTIVE Sensitivity: CRYPTO"),
        ("PERMISSIVE Releasable to: ALLIES", "PERMISSIVE Only: XBX"),
        ("INFORMATIVE Administrative: STAFF",),
    ]
)


@refusing
@given(labels(), ORIGINALS, st.sampled_from([(XB,), (XB, XC), (XC,)]), st.sampled_from([(), (), (XC,)]))
def test_an_original_marking_is_written_only_within_the_release(
    label: Label, caveats: tuple[str, ...], to: tuple[PartyId, ...], excluded: tuple[PartyId, ...]
) -> None:
    """Invariant 11: gateway output is never wider than the label. STANAG 4774: whom the original releases it to."""
    label = replace(label, national=NationalMarking("NATO", "SECRET", caveats))
    release = Release(tuple(Target(partner=party) for party in to), excluded, salt=bytes(16))
    with refusals():
        found = stanag4774.from_label(label, release, partners=PARTNERS)
    levels = {(found.policy, found.classification): Tlp.RED}
    fields = stanag4774.to_label_fields(found, by=XA, levels=levels, partners=PARTNERS)
    assert set(fields["release"]["to"]) <= lets_in(release)
    assert label.national is not None
    assert tuple(fields["national"]["caveats"]) == label.national.caveats


LOST = ("national", "readers", "orcon", "retention_days", "approvals")


def kept_by_software(label: Label, release: Release) -> bool:
    return any(getattr(label, name) for name in LOST) or bool(release.display_only) or label.personal_data.special


@refusing
@given(written())
def test_stix_marks_permit_no_more_than_the_label(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. STIX: TLP and IEP, the rest in words or refused."""
    label, release = pair
    with refusals():
        marks = stix.from_label(label, release, now_ms=NOW, policy_id="1", name="x")
    assert not kept_by_software(label, release)
    assert release.to
    assert all(each.text in marks.statement for each in label.handling)
    assert all(purpose.word in marks.statement for purpose in label.purposes)
    assert all(place in marks.statement for place in label.use_in)
    definition = {"extensions": {stix.IEP_EXTENSION: dict(marks.iep)}}
    assert_not_wider(label, release, stix.to_label_fields([marks.tlp, "iep"], {"iep": definition}))


@refusing
@given(written())
def test_an_alert_reaches_no_more_than_the_label(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. CAP: scope, addresses, Public is CLEAR only."""
    label, release = pair
    addresses = {XB: "xb@example", XC: "xc@example"}
    with refusals():
        alert = cap.from_label(label, release, now_ms=NOW, addresses=addresses)
    assert not kept_by_software(label, release)
    if alert.scope == "Public":
        assert label.tlp is Tlp.CLEAR
        assert label.onward is OnwardRule.FREE
    if alert.scope != "Private":
        assert label.onward >= OnwardRule.COMMUNITY
        assert not release.except_
    assert {party for party, address in addresses.items() if address in alert.addresses} <= lets_in(release)
    assert all(each.text in alert.restriction + alert.note for each in label.handling)
    people = {address: party for party, address in addresses.items()}
    fields = cap.to_label_fields(alert, partners=people, community="XB")
    assert isinstance(fields, dict)
    if alert.scope == "Private":
        assert set(fields["release"]["to"]) <= lets_in(release)
    fields = {name: value for name, value in fields.items() if name != "release"}
    assert_not_wider(label, release, fields)


@refusing
@given(written())
def test_an_event_reaches_no_more_than_the_label(pair: tuple[Label, Release]) -> None:
    """Invariant 11: gateway output is never wider than the label. MISP: distribution, group and tags."""
    label, release = pair
    organisations = {XB: "org-b", XC: "org-c"}
    with refusals():
        event = misp.from_label(label, release, now_ms=NOW, organisations=organisations, group_uuid="g")
    assert not kept_by_software(label, release)
    assert not label.expires_ms or label.on_expiry is OnExpiry.ASK
    if event.distribution in (misp.COMMUNITY, misp.CONNECTED, misp.ALL):
        assert label.onward >= (OnwardRule.FREE if event.distribution == misp.ALL else OnwardRule.COMMUNITY)
        assert not release.except_
        assert release.to
    if event.group is not None:
        members = {party for party, organisation in organisations.items() if organisation in event.group.organisations}
        assert members == lets_in(release)
    assert all(each.text in event.words for each in label.handling)
    assert_not_wider(label, release, misp.of_tags(event.tags))


WORDS = st.text(alphabet='TLPAMBERGCOSWHIKNDU:+- /,"x', max_size=20)


@given(WORDS)
def test_a_mark_that_nobody_knows_is_refused_and_never_a_surprise(text: str) -> None:
    """Invariant 4: unknown enum, policy or purpose denies."""
    readers: list[Callable[[], Any]] = [
        lambda: tlp.to_label_fields([text]),
        lambda: pap.to_label_fields([text]),
        lambda: siena.to_label_fields([text]),
        lambda: grading.of_pair("admiralty", text),
        lambda: rel_to.of_banner(text, policy="p", partners=PARTNERS),
        lambda: iep.to_label_fields({"permitted_actions": text}),
        lambda: stix.to_label_fields([text], {}),
        lambda: cap.to_label_fields(cap.CapHandling(text), partners={}),
        lambda: misp.to_label_fields(misp.MispHandling(0, tags=(f"tlp:{text}",)), groups={}),
    ]
    for read in readers:
        try:
            found = read()
        except BadLabel:
            continue
        assert found is not None


def test_the_labels_above_are_written_and_refused() -> None:
    """The strategy must make both, or the properties hold of nothing."""
    outcomes: set[str] = set()

    @given(written())
    def collect(pair: tuple[Label, Release]) -> None:
        for scheme in (stix, siena):
            try:
                if scheme is stix:
                    stix.from_label(*pair, now_ms=NOW, policy_id="1", name="x")
                else:
                    siena.from_label(*pair, now_ms=NOW)
                outcomes.add(f"{scheme.__name__} written")
            except MarkNotCarried:
                outcomes.add(f"{scheme.__name__} refused")

    collect()
    assert len(outcomes) == 4
    with pytest.raises(BadLabel):
        tlp.to_label_fields(["x"])
