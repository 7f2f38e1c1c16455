"""The difference between two texts: which clause, which field, and whether more or less may flow."""

from dataclasses import fields

import pytest

from exchange.policy.agreement_diff import Difference, Kind, difference
from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.breadth import TERM_FIELDS, Effect
from exchange.policy.terms import Term

TEXT = """\
agreement: Road
version: 1
parties: [XA, XB, XC]
accession: [XD]
legal_basis: {kind: mou, citation: letters, review_on: 2027-01-01}
valid: {from: 2026-01-01, until: 2028-01-01}
terms:
  - clause: "1"
    from: [XA, XB]
    to: [XB, XC]
    purposes: [protect_life, consular]
    categories: {allow: [travel, alert, crime], deny: [crime]}
    about: [ML, PK]
    use_in: [ML, PK]
    ceiling: {tlp: amber, national: [{policy: n, classifications: [r, s]}]}
    actions_max: internal_only
    personal_data: pseudonymous
    evidence_use: with_consent
    onward_default: consent
    onward_hops: 2
    pre_cleared: [XQ]
    retention_max: 90d
    approvals: 1
  - clause: "2"
    from: any
    to: any
    purposes: [training]
    categories: {allow: [lesson]}
    about: any
    ceiling: {tlp: green}
promises: ["3: staff is trained"]
on_termination: {held_items: purge, within: 30d}
"""


def changed(old: str, new: str) -> list[tuple[str, str, str, Effect]]:
    """Return kind, clause, field and effect of every difference that a change of the text makes."""
    assert old in TEXT
    found = difference(parse_agreement_text(TEXT.encode()), parse_agreement_text(TEXT.replace(old, new, 1).encode()))
    return [(str(each.kind), each.clause, each.field, each.effect) for each in found]


def test_equal_texts_do_not_differ() -> None:
    assert changed("Road", "Road") == []


W, N, X = Effect.WIDER, Effect.NARROWER, Effect.OTHER


@pytest.mark.parametrize(
    "old, new, field, effect",
    [
        ("from: [XA, XB]", "from: any", "from", W),
        ("from: [XA, XB]", "from: [XA, XC]", "from", X),
        ("to: [XB, XC]", "to: [XB]", "to", N),
        ("[protect_life, consular]", "[protect_life]", "purposes", N),
        ("[travel, alert, crime]", "[travel, alert, crime, lesson]", "categories", W),
        ("deny: [crime]", "deny: []", "categories", W),
        ("deny: [crime]", "deny: [crime, alert]", "categories", N),
        ("about: [ML, PK]", "about: any", "about", W),
        ("about: [ML, PK]", "about: [NO]", "about", X),
        ("use_in: [ML, PK]", "use_in: any", "use_in", W),
        ("tlp: amber", "tlp: red", "ceiling", W),
        ("tlp: amber", "tlp: clear", "ceiling", N),
        ("classifications: [r, s]", "classifications: [r]", "national", N),
        ("policy: n", "policy: m", "national", X),
        ("actions_max: internal_only", "actions_max: none", "actions_max", N),
        ("pseudonymous", "allowed", "personal_data", W),
        ("evidence_use: with_consent", "evidence_use: no", "evidence_use", N),
        ("onward_default: consent", "onward_default: free", "onward_default", W),
        ("onward_hops: 2\n", "onward_hops: 1\n", "onward_hops", N),
        ("    onward_hops: 2\n", "", "onward_hops", W),
        ("pre_cleared: [XQ]", "pre_cleared: []", "pre_cleared", N),
        ("retention_max: 90d", "retention_max: unlimited", "retention_max", W),
        ("approvals: 1", "approvals: 2", "approvals", N),
    ],
)
def test_a_changed_field_says_whether_it_is_wider(old: str, new: str, field: str, effect: Effect) -> None:
    assert changed(old, new) == [("changed", "1", field, effect)]


@pytest.mark.parametrize(
    "old, new, field, effect",
    [
        ("agreement: Road", "agreement: Roads", "agreement", X),
        ("parties: [XA, XB, XC]", "parties: [XA, XB, XC, XE]", "parties", W),
        ("accession: [XD]", "accession: any", "accession", W),
        ("accession: [XD]", "accession: none", "accession", N),
        ("citation: letters", "citation: treaty", "legal_basis", X),
        ("from: 2026-01-01", "from: 2026-02-01", "valid.from", N),
        ("until: 2028-01-01", "until: none", "valid.until", W),
        ("within: 30d", "within: 7d", "on_termination", N),
        ("{held_items: purge, within: 30d}", "{held_items: keep_under_terms}", "on_termination", W),
    ],
)
def test_the_agreement_as_a_whole_is_compared_too(old: str, new: str, field: str, effect: Effect) -> None:
    assert changed(old, new) == [("changed", "", field, effect)]


def test_promises_are_words_and_neither_wider_nor_narrower() -> None:
    assert changed("staff is trained", "staff is fed") == [("removed", "", "promises", X), ("added", "", "promises", X)]


def test_clauses_are_added_removed_and_moved() -> None:
    head, _, rest = TEXT.partition("terms:\n")
    first, marker, second = rest.partition('  - clause: "2"')
    second, _, tail = second.partition("promises:")
    before = parse_agreement_text(TEXT.encode())
    without = parse_agreement_text(f"{head}terms:\n{first}promises:{tail}".encode())
    (removed,) = difference(before, without)
    assert (removed.kind, removed.clause, removed.effect) == (Kind.REMOVED, "2", N)
    assert "categories lesson" in removed.before
    (added,) = difference(without, before)
    assert (added.kind, added.clause, added.effect) == (Kind.ADDED, "2", W)
    turned = parse_agreement_text(f"{head}terms:\n{marker}{second}{first}promises:{tail}".encode())
    (moved,) = difference(before, turned)
    assert moved == Difference(Kind.MOVED, "1", "", "", "it stands later than before", X)


def test_every_field_of_a_term_but_its_clause_is_compared() -> None:
    compared = {attribute for field in TERM_FIELDS for attribute in field.attributes}
    assert compared == {field.name for field in fields(Term)} - {"clause"}
