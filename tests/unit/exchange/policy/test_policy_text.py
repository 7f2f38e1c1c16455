"""Labels as people write them: what they mean, what is filled in, and errors that say the line and what to write."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from exchange.errors import BadLabel
from exchange.policy.codec import encode_release, release_sha256
from exchange.policy.fields import instant_text
from exchange.policy.model import (
    Actions,
    Category,
    CommunityTarget,
    Duty,
    EvidenceUse,
    Grading,
    Handling,
    Label,
    LegalBasis,
    NationalMarking,
    OnExpiry,
    OnwardRule,
    PersonalData,
    Purpose,
    ReaderRule,
    Subject,
    Target,
    Tlp,
)
from exchange.policy.text import NO_NETWORK_USE, ParsedLabel, label_from_mapping, label_to_yaml, parse_label
from tests.support.policy_builders import DAY, FULL_LABEL, FULL_RELEASE, HOUR, NOW, XA, XB, XC

LEAST = """\
tlp: amber
categories: [travel]
purposes: [protect_life]
release: {to: [XB]}
basis: {kind: mou, citation: "Memorandum, art. 4"}
personal_data: none
"""

FULL = """\
tlp: amber+strict
categories: [terror_attack, travel]
purposes: [protect_life, infrastructure_protection]
about: [PK, NO]
use_in: [PK]
release:
  to:
    - XA
    - XB
    - {community: 03030303030303030303030303030303, epoch: 2}
    - agreement: "04040404040404040404040404040404"
    - "*"
  except: [XC]
  display_only: []
basis: {kind: mou, citation: "Mutual Security Memorandum 2021, art. 4"}
pap: red
onward: consent
personal_data: {present: true, special: false, subjects: [victim]}
time: {not_before: +15m, embargo_until: +12h, expires_at: +30d, review_on: 2030-01-31T18:00:00.5+05:00, on_expiry: ask}
retention: 90d
grading: {scheme: admiralty, source: B, info: 3}
lane: flash
readers: {min_clearance: {scale: nato, level: secret}, all_of: [b, a], any_of: [[d, c]], named: [duty-officer]}
national: {policy: asterin/2, classification: RESTRICTED, caveats: [Z, A]}
orcon: true
evidence_use: no
notify_affected: must
attribution: must_not
resale: may
handling: [{code: H3, text: "Ask the desk first."}]
release_mode: delivered
"""


def parse(text: str, **defaults: Any) -> ParsedLabel:
    return parse_label(text.encode(), originator=XA, now_ms=NOW, defaults=defaults)


def refused(text: str, **defaults: Any) -> BadLabel:
    with pytest.raises(BadLabel) as error:
        parse(text, **defaults)
    return error.value


def unsalted(label: Label) -> Label:
    return replace(label, salt=b"", release_sha256=b"")


def test_every_field_means_what_it_says() -> None:
    parsed = parse(FULL)
    label, release = parsed.label, parsed.release
    assert parsed.lane == "flash"
    assert label.originators == (XA,)
    assert (label.tlp, label.onward, label.max_hops) == (Tlp.AMBER_STRICT, OnwardRule.CONSENT, 1)
    assert label.categories == (Category.TERROR_ATTACK, Category.TRAVEL)
    assert label.purposes == (Purpose.PROTECT_LIFE, Purpose.INFRASTRUCTURE_PROTECTION)
    assert (label.about, label.use_in) == (("NO", "PK"), ("PK",))
    assert label.basis == LegalBasis("mou", "Mutual Security Memorandum 2021, art. 4")
    assert label.actions is Actions.INTERNAL_ONLY
    assert label.handling == (Handling("H3", "Ask the desk first."), NO_NETWORK_USE)
    assert label.personal_data == PersonalData(present=True, subjects=(Subject.VICTIM,))
    assert (label.not_before_ms, label.embargo_until_ms) == (NOW + 15 * 60_000, NOW + 12 * HOUR)
    assert (label.expires_ms, label.on_expiry) == (NOW + 30 * DAY, OnExpiry.ASK)
    assert instant_text(label.review_on_ms) == "2030-01-31T13:00:00.500Z"
    assert label.retention_days == 90
    assert label.grading == Grading("admiralty", "B", "3")
    assert label.readers == ReaderRule("nato", "secret", ("a", "b"), (("c", "d"),), ("duty-officer",))
    assert label.national == NationalMarking("asterin/2", "RESTRICTED", ("Z", "A"))
    assert (label.orcon, label.evidence_use) == (True, EvidenceUse.NO)
    assert (label.notify_affected, label.attribution, label.resale) == (Duty.MUST, Duty.MUST_NOT, Duty.MAY)
    assert release.to == (
        Target(partner=XB),
        Target(community=CommunityTarget(bytes([3]) * 16, 2)),
        Target(agreement=bytes([4]) * 16),
        Target(everyone=True),
    )
    assert release.except_ == (XC,)
    assert label.release_sha256 == release_sha256(encode_release(release), release.salt)
    assert len({label.salt, release.salt, parse(FULL).label.salt}) == 3


def test_what_is_left_out_is_as_narrow_as_can_be() -> None:
    parsed = parse(LEAST)
    label = parsed.label
    assert parsed.lane is None
    assert (label.actions, label.evidence_use, label.resale) == (Actions.INTERNAL_ONLY, EvidenceUse.NO, Duty.MUST_NOT)
    assert (label.attribution, label.notify_affected, label.orcon) == (Duty.MAY, Duty.MAY, False)
    assert (label.about, label.use_in, label.readers, label.grading, label.national) == ((), (), None, None, None)
    assert (label.expires_ms, label.on_expiry, label.retention_days) == (0, None, 0)


@pytest.mark.parametrize(
    "tlp, onward",
    [("clear", "free"), ("green", "community"), ("amber", "dependants"), ("amber+strict", "none"), ("red", "none")],
)
def test_onward_follows_the_light(tlp: str, onward: str) -> None:
    label = parse(LEAST.replace("amber", tlp)).label
    assert label.onward.word == onward
    assert (label.max_hops == 0) == (onward == "none")


@pytest.mark.parametrize("tlp, onward", [("green", "free"), ("amber", "community"), ("red", "dependants")])
def test_onward_sharing_wider_than_the_light_is_refused(tlp: str, onward: str) -> None:
    error = refused(LEAST.replace("amber", tlp) + f"onward: {onward}\n")
    assert error.place == "line 7"
    assert "wider than TLP:" in str(error)
    assert parse(LEAST.replace("amber", tlp) + "onward: consent\n").label.onward is OnwardRule.CONSENT
    narrowed = parse(LEAST.replace("amber", tlp), onward=onward).label
    assert narrowed.onward < OnwardRule.FREE


@pytest.mark.parametrize("name", ["tlp", "categories", "purposes", "release", "basis", "personal_data"])
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    text = "\n".join(line for line in LEAST.splitlines() if not line.startswith(name))
    error = refused(text)
    assert f"{name} is missing" in str(error)
    assert name in error.hint


@pytest.mark.parametrize("pap, actions", [("red", 3), ("amber", 4), ("green", 5), ("clear", 5)])
def test_pap_maps_into_actions(pap: str, actions: int) -> None:
    label = parse(LEAST + f"pap: {pap}\n").label
    assert label.actions == Actions(actions)
    assert bool(label.handling) == (pap == "red")


def test_defaults_fill_missing_fields_and_change_no_other() -> None:
    usual = {"tlp": "red", "basis": {"kind": "statute", "citation": "Act 7"}, "lane": "routine", "actions": "none"}
    text = LEAST.replace('basis: {kind: mou, citation: "Memorandum, art. 4"}\n', "")
    parsed = parse(text + "pap: green\n", **usual)
    assert (parsed.label.tlp, parsed.label.basis.citation, parsed.lane) == (Tlp.AMBER, "Act 7", "routine")
    assert parsed.label.actions is Actions.EXTERNAL_ACTIVE
    error = refused(LEAST, tpl="red")
    assert error.place == "label defaults.tpl"


def test_plain_data_means_the_same_as_text() -> None:
    data = yaml.safe_load(LEAST + "orcon: true\nretention: 7d\n")
    parsed = label_from_mapping(data, originator=XA, now_ms=NOW, defaults=None)
    assert unsalted(parsed.label) == unsalted(parse(LEAST + "orcon: true\nretention: 7d\n").label)
    with pytest.raises(BadLabel) as error:
        label_from_mapping({**data, "release": {"to": ["XB", None]}}, originator=XA, now_ms=NOW)
    assert error.value.place == "release.to[1]"


def test_a_label_that_is_written_out_reads_back() -> None:
    label = replace(
        FULL_LABEL, originators=(XA,), expires_ms=NOW + DAY, embargo_until_ms=NOW + 2, not_before_ms=NOW + 1
    )
    release = replace(FULL_RELEASE, to=FULL_RELEASE.to[1:], display_only=())
    for given, audience in ((label, release), (parse(FULL).label, parse(FULL).release)):
        again = parse(label_to_yaml(given, audience))
        assert unsalted(again.label) == unsalted(given)
        assert replace(again.release, salt=b"") == replace(audience, salt=b"")
    alone = label_to_yaml(label, None)
    assert "originators: XA" in alone
    assert "release is missing" in str(refused(alone))


@pytest.mark.parametrize(
    "line, said, hint",
    [
        ("tlp: ambr", "tlp: 'ambr' is not known", "did you mean 'amber'?"),
        ("tlp:", "tlp: a value is missing", "leave the field out"),
        ("tlp: [red]", "tlp: one value is expected", ""),
        ("catgories: [travel]", "unknown field 'catgories'", "did you mean 'categories'?"),
        ("categories: [travl]", "categories[0]: 'travl' is not known", "did you mean 'travel'?"),
        ("categories: travel", "categories: a list is expected", "categories: [travel]"),
        ("categories: []", "categories: the list is empty", "at least 1"),
        ("categories: [travel, travel]", "categories[1]: 'travel' stands here twice", ""),
        ("purposes: [persecution]", "purposes[0]: 'persecution' is not known", "one of protect_life"),
        ("about: [Pakistan]", "about[0]: 'Pakistan' is not a country code", "PK"),
        ("use_in: []", "use_in: the list is empty", "leave the field out"),
        ("release: {}", "release.to is missing", "to:"),
        ("release: {to: XB}", "release.to: a list is expected", "to: [XB]"),
        ("release: {to: [xb]}", "release.to[0]: 'xb' is not a partner id", "two capital letters"),
        ("release: {to: [XB, XB]}", "release.to[1]: the same addressee stands here twice", ""),
        ("release: {to: [{community: 00, epoch: 1}]}", "is not 16 bytes in hexadecimal", "32 digits"),
        (
            "release: {to: [{community: 00000000000000000000000000000000}]}",
            "is no community to publish in now",
            "concord community list",
        ),
        ("release: {to: [{epoch: 1}]}", "an addressee is a partner, a community or an agreement", ""),
        ("release: {to: [XB], display_only: [XC]}", "release.display_only: it names a partner that", "adds nobody"),
        ("release: {to: [XB], exept: [XC]}", "unknown field 'release.exept'", "did you mean 'except'?"),
        ("basis: {kind: hearsay, citation: x}", "basis.kind: 'hearsay' is not known", "one of treaty"),
        ("basis: {kind: mou}", "basis.citation is missing", ""),
        ("personal_data: some", "personal_data: 'some' is not known", "none, or"),
        ("personal_data: {present: false, special: true}", "not present, and yet described", "present: true"),
        ("personal_data: {present: maybe}", "personal_data.present: 'maybe' is not known", "one of true, false"),
        ("orcon: yes", "orcon: 'yes' is not known", "one of true, false"),
        ("evidence_use: never", "evidence_use: 'never' is not known", ""),
        ("resale: must", "resale: 'must' is not known", "must_not"),
        ("max_hops: 0", "max_hops: 0 does not fit onward: dependants", ""),
        ("max_hops: many", "max_hops: 'many' is not a whole number from 0 to 255", ""),
        ("retention: 90", "retention: '90' is not a number of days", "90d"),
        ("retention: 0d", "retention: '0d' is not a number of days", "90d"),
        ("time: {expires_at: +30w}", "time.expires_at: '+30w' is not an offset", "+30d"),
        ("time: {expires_at: tomorrow}", "time.expires_at: 'tomorrow' is not a time", "2026-01-31T18:00:00Z"),
        ("time: {expires_at: 2026-02-30T00:00:00Z}", "is not a time", ""),
        ("time: {expires_at: 2020-01-01T00:00:00Z}", "it expires before anyone may have it", ""),
        ("time: {expires_at: +1h, embargo_until: +2h}", "it expires before anyone may have it", ""),
        ("time: {on_expiry: purge}", "time.on_expiry: nothing expires", "expires_at"),
        ("release: {to: [XB], roster: secret}", "release.roster: 'secret' is not known", "one of hidden, open"),
        ("time: {expires_at: +1h, on_expiry: downgrade}", "time.on_expiry: nothing becomes more open", "correct it"),
        (
            "time: {expires_at: +1h, on_expiry: downgrade(green)}",
            "time.on_expiry: nothing becomes more",
            "purge or ask",
        ),
        ("time: {expires_at: +1h, on_expiry: {downgrade: {tlp: green}}}", "time.on_expiry: nothing becomes", "eased"),
        ("time: {expires_at: +1h, on_expiry: [downgrade]}", "time.on_expiry", ""),
        ("time: {expires_at: +1h, on_expiry: burn}", "time.on_expiry: 'burn' is not known", "one of purge, ask"),
        ("grading: {scheme: admiralty, source: X, info: 3}", "grading.source: 'X' is not known", ""),
        ("grading: {scheme: stars, source: A, info: 3}", "grading.scheme: 'stars' is not known", ""),
        ("readers: {}", "readers: it sets no condition", "named"),
        ("readers: {min_clearance: {scale: nato}}", "readers.min_clearance.level is missing", ""),
        ("national: {policy: x}", "national.classification is missing", ""),
        ("lane: quick", "lane: 'quick' is not known", "one of flash, priority, routine"),
        ("release_mode: held", "release_mode: 'held' is not known", "delivered"),
        ("pap: amber\nactions: none", "pap and actions say the same thing twice", "keep one"),
        ('handling: [{code: "a\\nb", text: x}]', "handling[0].code: not a plain word", ""),
        ("tlp: *red", "aliases are not allowed", "quotes"),
        ("tlp: &red red", "anchors are not allowed", ""),
        ("tlp: !!str red", "tags are not allowed", ""),
        ("<<: {tlp: red}", "merge keys are not allowed", ""),
        ("orcon: true\norcon: false", "'orcon' stands here twice", "first on line 9"),
        ("tlp: [a", "not YAML", ""),
        ('tlp: "\\UFFFFFFFF"', "an escape or a directive that YAML does not allow", ""),
        ("readers: {any_of: [[[[[[[[[[a]]]]]]]]]]}", "nested too deep", "at most 8 levels"),
        ("[a]: b", "a field's name is a word", ""),
    ],
)
def test_an_error_says_the_line_what_is_wrong_and_what_to_write(line: str, said: str, hint: str) -> None:
    name = line.partition(":")[0]
    kept = "".join(f"{kept}\n" for kept in LEAST.splitlines() if not kept.startswith(f"{name}:"))
    text = "#\n" * (8 - kept.count("\n")) + kept + line + "\n"
    error = refused(text)
    assert said in str(error)
    assert hint in error.hint
    expected = {"release: {}": {"line 9"}, "orcon: true\norcon: false": {"line 10"}, "tlp: [a": {"line 10"}}
    assert error.place in expected.get(line, {"line 9", "line 1"} if "UFFFF" in line else {"line 9"})


@pytest.mark.parametrize(
    "data, said, place",
    [
        (b"", "nothing is in it", "line 1"),
        (b"- tlp\n", "not a map of fields", "line 1"),
        (b"tlp: red\n---\ntlp: red\n", "a second document starts", "line 2"),
        (b"tlp: red\n\xff\n", "not UTF-8", "line 2"),
        (b"tlp: red\nlane: \x07\n", "a character that YAML does not allow", "line 2"),
        (b"#" * 40_000, "40000 bytes; the limit is 32768", "line 1"),
    ],
)
def test_a_file_that_is_no_label_is_refused(data: bytes, said: str, place: str) -> None:
    with pytest.raises(BadLabel) as error:
        parse_label(data, originator=XA, now_ms=NOW, defaults=None)
    assert said in str(error.value)
    assert error.value.place == place


def test_a_flood_of_parts_is_refused() -> None:
    error = refused(LEAST + "about: [" + "A," * 15_000 + "]\n")
    assert "the limit" in str(error) or "too many parts" in str(error)


@pytest.mark.parametrize("name", ["Road watch", "01" * 16])
def test_a_community_without_an_epoch_means_the_one_in_force(name: str) -> None:
    road = CommunityTarget(bytes([1]) * 16, 3)
    text = LEAST.replace("[XB]", f"[{{community: {name}}}]").encode()
    known = {"Road watch": road, road.id.hex(): road}
    assert parse_label(text, originator=XA, now_ms=NOW, communities=known).release.to == (Target(community=road),)
    plain = {**yaml.safe_load(LEAST), "release": {"to": [{"community": name}]}}
    assert label_from_mapping(plain, originator=XA, now_ms=NOW, communities=known).release.to[0].community == road
    with pytest.raises(BadLabel, match="no community to publish in now"):
        parse_label(text, originator=XA, now_ms=NOW)
