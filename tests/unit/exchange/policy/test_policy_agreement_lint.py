"""What a check warns of: terms that never count, parties that nothing names, dates, and who may come in."""

from dataclasses import replace

import pytest

from exchange.policy.agreement_lint import LintWarning, lint, shadows
from exchange.policy.agreement_text import AgreementTerms, parse_agreement_text
from exchange.policy.model import Actions, Category, EvidenceUse, OnwardRule, Purpose, Tlp
from exchange.policy.terms import NationalCeiling, PersonalDataRule, Term
from tests.support.policy_builders import XA, XB, XC, XD, a_term

JULY = 1_782_864_000_000  # 2026-07-01
TEXT = """\
agreement: Road
version: 1
parties: [XA, XB, XC]
legal_basis: {kind: mou, citation: letters}
valid: {from: 2026-01-01, until: 2028-01-01}
terms:
  - clause: "1"
    from: any
    to: any
    purposes: [protect_life, consular]
    categories: {allow: [travel, alert]}
    about: any
    ceiling: {tlp: amber}
  - clause: "2"
    from: [XA]
    to: [XB]
    purposes: [training]
    categories: {allow: [lesson]}
    about: [PK]
    ceiling: {tlp: green}
on_termination: {held_items: purge, within: 30d}
"""


def warned(old: str = "", new: str = "", now_ms: int = JULY) -> list[tuple[str, str, str]]:
    """Return code, place and clause of every warning after a change of the text."""
    assert old in TEXT
    found = lint(parse_agreement_text(TEXT.replace(old, new, 1).encode()), now_ms=now_ms)
    assert all(each.text for each in found)
    return [(each.code, each.place, each.clause) for each in found]


def test_a_text_of_which_every_clause_counts_gives_no_warning() -> None:
    assert warned() == []


SAME = "purposes: [consular]\n    categories: {allow: [alert]}"
KEPT = "about: any\n    personal_data: allowed\n    retention_max: unlimited\n"


@pytest.mark.parametrize(
    "old, new, code, place, clause",
    [
        ("purposes: [training]\n    categories: {allow: [lesson]}", SAME, "SHADOWED", "line 14", "2"),
        ("{allow: [lesson]}", "{allow: [lesson], deny: [lesson]}", "NEVER_MATCHES", "line 14", "2"),
        ("to: [XB]", "to: [XA]", "NEVER_MATCHES", "line 14", "2"),
        ('clause: "2"', 'clause: "1"', "CLAUSE_TWICE", "line 14", "1"),
        ("from: any\n    to: any", "from: [XA]\n    to: [XB]", "PARTY_WITHOUT_TERM", "line 3", ""),
        ("about: any\n", "about: any\n    pre_cleared: [XC, XQ]\n", "PRE_CLEARED_PARTY", "line 7", "1"),
        ("about: any\n", KEPT, "PERSONAL_DATA_UNLIMITED", "line 7", "1"),
        ("version: 1\n", "version: 1\naccession: any\n", "ANYONE_MAY_ACCEDE", "line 3", ""),
        ("until: 2028-01-01", "until: 2026-02-01", "LAPSED", "line 5", ""),
        ("until: 2028-01-01", "until: 2026-07-30", "LAPSES_SOON", "line 5", ""),
        ("citation: letters", "citation: letters, review_on: 2026-06-30", "REVIEW_DUE", "line 4", ""),
    ],
)
def test_what_deserves_a_second_look_is_named_with_its_line(
    old: str, new: str, code: str, place: str, clause: str
) -> None:
    assert (code, place, clause) in warned(old, new)


def test_a_party_that_may_accede_and_that_no_term_names_is_warned_of_at_its_line() -> None:
    text = TEXT.replace("version: 1\n", "version: 1\naccession: [XD]\n").replace("from: any", "from: [XA]")
    found = lint(parse_agreement_text(text.replace("to: any", "to: [XB, XC]").encode()), now_ms=JULY)
    assert found == (LintWarning("PARTY_WITHOUT_TERM", "line 3", "", "XD neither sends nor receives under any clause"),)


def test_a_shadowed_term_says_by_which_and_what_stays_stricter() -> None:
    text = TEXT.replace("[training]", "[consular]").replace("[lesson]", "[alert]")
    text += "promises: []\n"
    first = lint(parse_agreement_text(text.encode()), now_ms=JULY)[0].text
    assert "clause 1 comes first" in first
    assert "stricter" not in first
    wider = text.replace("ceiling: {tlp: green}", "ceiling: {tlp: green}\n    actions_max: external_active")
    assert "its own actions_max, which stay stricter" in lint(parse_agreement_text(wider.encode()), now_ms=JULY)[0].text


EVERYBODY = frozenset({XA, XB, XC})
WIDE = a_term(
    senders=(XA, XB),
    recipients=(XB, XC),
    use_in=("ML", "PK"),
    national=(NationalCeiling("n", ("r", "s")),),
    personal_data=PersonalDataRule.PSEUDONYMOUS,
    pre_cleared=(XD,),
    approvals=1,
    onward_default=OnwardRule.CONSENT,
    onward_hops=2,
)


@pytest.mark.parametrize(
    "wider",
    [
        {"senders": ()},
        {"senders": (XA, XB, XC)},
        {"recipients": ()},
        {"purposes": (Purpose.PROTECT_LIFE, Purpose.CONSULAR, Purpose.TRAINING)},
        {"categories": (*WIDE.categories, Category.CRIME)},
        {"about": ("ML", "PK")},
        {"about": (), "about_any": True},
        {"use_in": ()},
        {"use_in": ("ML", "NO", "PK")},
        {"ceiling": Tlp.RED},
        {"national": (NationalCeiling("n", ("r", "s", "t")),)},
        {"national": (*WIDE.national, NationalCeiling("o", ("r",)))},
        {"personal_data": PersonalDataRule.ALLOWED},
        {"personal_data": PersonalDataRule.ALLOWED, "special_categories": True},
        {"pre_cleared": (XC, XD)},
        {"approvals": 0},
        {"onward_default": OnwardRule.FREE},
        {"onward_hops": 0},
        {"onward_hops": 3},
    ],
)
def test_a_term_that_is_wider_in_one_field_is_not_shadowed_and_shadows(wider: dict[str, object]) -> None:
    other = replace(WIDE, **wider)  # type: ignore[arg-type]  # the cases name fields
    assert not shadows(WIDE, other, EVERYBODY)
    assert shadows(other, WIDE, EVERYBODY)


@pytest.mark.parametrize(
    "duty", [{"actions_max": Actions.EXTERNAL_ACTIVE}, {"evidence_use": EvidenceUse.YES}, {"retention_max_days": 0}]
)
def test_bounds_on_the_recipient_do_not_keep_a_term_from_being_shadowed(duty: dict[str, object]) -> None:
    assert shadows(WIDE, replace(WIDE, **duty), EVERYBODY)  # type: ignore[arg-type]  # as above


def test_any_means_everybody_who_can_be_a_party() -> None:
    listed = a_term(senders=(XA, XB, XC), recipients=(XA, XB, XC))
    assert shadows(listed, a_term(), EVERYBODY)
    assert not shadows(listed, a_term(), None)
    assert shadows(a_term(recipients=(XB, XC)), a_term(senders=(XA,)), EVERYBODY)
    assert not shadows(a_term(recipients=(XB, XC)), a_term(senders=(XB,)), EVERYBODY)


def test_a_denied_category_is_not_permitted_by_an_earlier_term() -> None:
    earlier = replace(WIDE, denied_categories=(Category.ALERT,))
    assert not shadows(earlier, WIDE, EVERYBODY)
    assert shadows(earlier, replace(WIDE, categories=(Category.TRAVEL,)), EVERYBODY)


def test_what_no_earlier_term_permits_is_not_shadowed() -> None:
    terms: AgreementTerms = parse_agreement_text(TEXT.encode())
    first, second = terms.terms
    assert isinstance(first, Term)
    assert not shadows(first, second, EVERYBODY)
    assert not shadows(second, first, EVERYBODY)
