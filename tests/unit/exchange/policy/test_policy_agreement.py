"""Agreements as people write them, the view that software derives, and the commitment that the directory shows."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.errors import BadAgreement
from exchange.policy.agreement import (
    Agreement,
    HeldItems,
    NationalCeiling,
    PersonalDataRule,
    Term,
    commitment,
    make_agreement,
    payload_sha256,
    promises_of,
    purge_held_at_ms,
    ref_of,
    view_of,
)
from exchange.policy.codec import encode_agreement, encode_view
from exchange.policy.model import Actions, Category, EvidenceUse, OnwardRule, Purpose, Tlp
from exchange.policy.text import draft_agreement_text, parse_agreement_text
from tests.support.policy_builders import DAY, EXCHANGE, NOW, XA, XB, XC

TEXT = """\
agreement: Indus Corridor Security Memorandum
version: 1
parties: [XB, XA, XC]
legal_basis: {kind: mou, citation: "Exchange of letters", authority: "ministers", review_on: 2027-01-01}
valid: {from: 2020-01-01T00:00:00Z, until: 2030-01-01T00:00:00Z}
terms:
  - clause: "4.1"
    from: [XA]
    to: [XC, XB]
    purposes: [consular, protect_life]
    categories: {allow: [travel, crime], deny: [crime]}
    about: [PK, NO]
    use_in: any
    ceiling: {tlp: amber+strict, national: [{policy: b, classifications: [y, x]}, {policy: a, classifications: [z]}]}
    actions_max: external_passive
    personal_data: allowed
    special_categories: true
    evidence_use: no
    onward_default: consent
    pre_cleared: [XZ]
    retention_max: 90d
    approvals: 2
  - clause: "4.2"
    from: any
    to: any
    purposes: [training]
    categories: {allow: [lesson]}
    about: any
    use_in: [PK]
    ceiling: {tlp: green}
    retention_max: unlimited
promises:
  - "4.7: each party trains its staff yearly"
on_termination: {held_items: purge, within: 30d}
"""

FIRST = Term(
    clause="4.1",
    senders=(XA,),
    recipients=(XB, XC),
    purposes=(Purpose.PROTECT_LIFE, Purpose.CONSULAR),
    categories=(Category.CRIME, Category.TRAVEL),
    denied_categories=(Category.CRIME,),
    about=("NO", "PK"),
    ceiling=Tlp.AMBER_STRICT,
    national=(NationalCeiling("a", ("z",)), NationalCeiling("b", ("x", "y"))),
    actions_max=Actions.EXTERNAL_PASSIVE,
    personal_data=PersonalDataRule.ALLOWED,
    special_categories=True,
    evidence_use=EvidenceUse.NO,
    onward_default=OnwardRule.CONSENT,
    pre_cleared=("XZ",),  # type: ignore[arg-type]
    retention_max_days=90,
    approvals=2,
)
SECOND = Term(
    clause="4.2",
    purposes=(Purpose.TRAINING,),
    categories=(Category.LESSON,),
    about_any=True,
    use_in=("PK",),
    ceiling=Tlp.GREEN,
)


def made(text: str = TEXT, **given: Agreement | bytes) -> Agreement:
    return make_agreement(text.encode(), exchange=EXCHANGE, **given)  # type: ignore[arg-type]


def test_the_view_says_what_the_text_says() -> None:
    agreement = made()
    view = view_of(agreement)
    assert view.terms == (FIRST, SECOND)
    assert view.parties == (XA, XB, XC)
    assert (view.exchange, view.version, view.agreement_id) == (EXCHANGE, 1, agreement.agreement_id)
    assert (view.valid_from_ms, view.valid_until_ms) == (1_577_836_800_000, 1_893_456_000_000)
    assert view.salt == agreement.salt
    assert view.text_sha256 == hashlib.sha256(agreement.salt + encode_agreement(agreement)).digest()
    assert view_of(agreement) == view


def test_the_directory_learns_a_salted_hash_and_nothing_else() -> None:
    view = view_of(made())
    assert ref_of(view).commitment == commitment(encode_view(view), view.salt)
    assert commitment(b"view", b"salt") == hashlib.sha256(b"saltview").digest()
    assert ref_of(view_of(made())).commitment != ref_of(view).commitment


def test_a_new_version_keeps_the_id_and_names_the_one_before() -> None:
    first = made()
    second = made(TEXT.replace("version: 1", "version: 2"), previous=first)
    assert second.agreement_id == first.agreement_id
    assert second.previous_sha256 == hashlib.sha256(encode_agreement(first)).digest()
    assert second.salt != first.salt
    for text, previous in ((TEXT, first), (TEXT.replace("version: 1", "version: 2"), None)):
        with pytest.raises(BadAgreement, match="does not follow"):
            make_agreement(text.encode(), exchange=EXCHANGE, previous=previous)
    with pytest.raises(BadAgreement, match="keeps"):
        made(TEXT.replace("version: 1", "version: 2"), previous=first, agreement_id=bytes(16))


def test_a_counter_is_the_same_version_with_another_text_and_names_what_it_answers() -> None:
    first = made()
    second = made(TEXT.replace("version: 1", "version: 2"), previous=first)
    text = TEXT.replace("version: 1", "version: 2").replace("about: any", "about: [PK]")
    counter = made(text, counters=second)
    assert (counter.agreement_id, counter.version) == (first.agreement_id, 2)
    assert counter.previous_sha256 == second.previous_sha256
    assert counter.counters_sha256 == payload_sha256(second) != payload_sha256(counter)
    assert first.counters_sha256 == b""
    with pytest.raises(BadAgreement, match="does not answer version 2"):
        made(counters=second)
    with pytest.raises(BadAgreement, match="takes what it follows from the proposal"):
        made(text, counters=second, previous=first)
    with pytest.raises(BadAgreement, match="keeps the exchange and the id"):
        made(text, counters=second, agreement_id=bytes(16))


def test_an_id_that_is_given_is_kept() -> None:
    assert made(agreement_id=bytes(16)).agreement_id == bytes(16)


@pytest.mark.parametrize("differs", [{"parties": (XA, XB)}, {"version": 3, "previous_sha256": bytes(32)}])
def test_no_view_of_an_agreement_that_differs_from_its_text(differs: dict[str, object]) -> None:
    with pytest.raises(BadAgreement, match="differ"):
        view_of(replace(made(), **differs))  # type: ignore[arg-type]


def test_promises_are_shown_and_are_no_part_of_the_view() -> None:
    promises = promises_of(made())
    assert promises[0] == "4.7: each party trains its staff yearly"
    assert "destroyed within 30 days" in promises[1]
    other = TEXT.replace("trains its staff", "sends flowers")
    assert view_of(made(other)).terms == view_of(made()).terms


@pytest.mark.parametrize(
    "said, may_accede, anyone", [("none", (), False), ("any", (), True), ("[XE, XD]", ("XD", "XE"), False)]
)
def test_the_text_says_who_may_accede(said: str, may_accede: tuple[str, ...], anyone: bool) -> None:
    view = view_of(made(TEXT.replace("[XB, XA, XC]\n", f"[XB, XA, XC]\naccession: {said}\n")))
    assert (view.may_accede, view.anyone_may_accede, view.open) == (may_accede, anyone, said != "none")
    assert view.parties == (XA, XB, XC)
    assert not view_of(made()).open


def test_a_term_may_name_who_may_accede() -> None:
    text = TEXT.replace("[XB, XA, XC]\n", "[XB, XA, XC]\naccession: [XD]\n")
    assert view_of(made(text.replace("to: [XC, XB]", "to: [XD]"))).terms[0].recipients == ("XD",)


@pytest.mark.parametrize(
    "said, rule, days, purged",
    [
        ("{held_items: purge, within: 30d}", HeldItems.PURGE, 30, NOW + 30 * DAY),
        ("{held_items: return, within: 7d}", HeldItems.RETURN, 7, NOW + 7 * DAY),
        ("{held_items: keep_under_terms}", HeldItems.KEEP_UNDER_TERMS, 0, 0),
    ],
)
def test_the_view_says_what_becomes_of_held_items(said: str, rule: HeldItems, days: int, purged: int) -> None:
    view = view_of(made(TEXT.replace("{held_items: purge, within: 30d}", said)))
    assert (view.held_items, view.held_within_days) == (rule, days)
    assert purge_held_at_ms(view, ended_ms=NOW) == purged


def test_a_draft_parses_and_is_narrow() -> None:
    for until in (NOW + 1, 0):
        drafted = draft_agreement_text([XB, XA], 'The "new" one', valid_from_ms=NOW, valid_until_ms=until)
        terms = parse_agreement_text(drafted.encode())
        assert terms.title == 'The "new" one'
        assert (terms.parties, terms.valid_from_ms, terms.valid_until_ms) == ((XA, XB), NOW, until)
        assert terms.terms[0].personal_data is PersonalDataRule.NONE
        assert view_of(make_agreement(drafted.encode(), exchange=EXCHANGE)).terms == terms.terms


def test_the_agreements_of_the_demo_parse() -> None:
    texts = sorted((Path(__file__).resolve().parents[4] / "nodes/demo/agreements").glob("*.yaml"))
    assert texts
    for path in texts:
        view_of(make_agreement(path.read_bytes(), exchange=EXCHANGE))


@pytest.mark.parametrize(
    "old, new, said, line",
    [
        ("version: 1", "version: 0", "version: '0' is not a whole number", 2),
        ("[XB, XA, XC]", "[XA]", "parties: one party alone", 3),
        ("[XB, XA, XC]", "[XA, XB, XC]\naccession: all", "accession: 'all' is not known", 4),
        ("[XB, XA, XC]", "[XA, XB, XC]\naccession: []", "accession: the list is empty", 4),
        ("[XB, XA, XC]", "[XA, XB, XC]\naccession: [XC]", "accession: XC is a party already", 4),
        ("[XB, XA, XC]", "[XA, XA]", "parties[1]: 'XA' stands here twice", 3),
        ("[XB, XA, XC]", "[XA, xb]", "'xb' is not a partner id", 3),
        ("kind: mou", "kind: handshake", "legal_basis.kind: 'handshake' is not known", 4),
        ("until: 2030-01-01T00:00:00Z", "until: 2019-01-01", "valid.until: it ends before it begins", 5),
        (", until: 2030-01-01T00:00:00Z", "", "valid.until is missing", 5),
        ('clause: "4.1"', "claus: 4", "unknown field 'terms[0].claus'", 7),
        ("from: [XA]", "from: [XQ]", "terms[0].from: XQ is not a party", 8),
        ("from: [XA]", "from: []", "terms[0].from: the list is empty", 8),
        ("to: [XC, XB]", "to: all", "terms[0].to: a list is expected", 9),
        ("purposes: [consular, protect_life]", "purposes: [surveillance]", "'surveillance' is not known", 10),
        ("allow: [travel, crime]", "allow: []", "terms[0].categories.allow: the list is empty", 11),
        ("about: [PK, NO]", "about: []", "terms[0].about: the list is empty", 12),
        ("ceiling: {tlp: amber+strict,", "ceiling: {", "terms[0].ceiling.tlp is missing", 14),
        ("{policy: b,", "{policy: a,", "a policy stands here twice", 14),
        ("classifications: [z]", "classifications: []", "the list is empty", 14),
        ("personal_data: allowed", "personal_data: none", "special categories are personal data", 17),
        ("[consular, protect_life]", "[consular]", "only to protect life", 17),
        ("evidence_use: no", "evidence_use: false", "terms[0].evidence_use: 'false' is not known", 18),
        ("retention_max: 90d", "retention_max: 1y", "terms[0].retention_max: '1y' is not a number of days", 21),
        ("approvals: 2", "approvals: 17", "is not a whole number from 0 to 16", 22),
        ("held_items: purge", "held_items: forget", "on_termination.held_items: 'forget' is not known", 34),
        ("held_items: purge", "held_items: keep_under_terms", "what is kept has no day to go", 34),
        ("{held_items: purge, within: 30d}", "{held_items: return}", "on_termination.within is missing", 34),
        ("promises:", "oversight: [XQ]\npromises:", "unknown field 'oversight'", 32),
    ],
)
def test_an_error_in_an_agreement_says_the_line(old: str, new: str, said: str, line: int) -> None:
    assert old in TEXT
    with pytest.raises(BadAgreement) as error:
        parse_agreement_text(TEXT.replace(old, new, 1).encode())
    assert said in str(error.value)
    assert error.value.place == f"line {line}"


def test_no_terms_and_a_party_too_many_for_a_term_are_refused() -> None:
    head, _, rest = TEXT.partition("terms:\n")
    _, _, tail = rest.partition("promises:")
    for terms in ("terms: []\n", ""):
        with pytest.raises(BadAgreement):
            parse_agreement_text(f"{head}{terms}promises:{tail}".encode())
