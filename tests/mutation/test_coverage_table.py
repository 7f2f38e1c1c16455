"""The coverage tables of docs/spec/policy.md are whole: every field has a row, and what software keeps has a mutant.

A row that says who keeps a field says it of the code as it is: when that is software, tests/mutation/mutants.py removes
the check, or the row is among those whose check has no removable line, each with its reason.
"""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from exchange.policy.communities.model import CommunityHead, CommunityTerms
from exchange.policy.model import Label, Release
from exchange.policy.terms import Agreement, EnforcementView, Term
from tests.mutation.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("label", "community", "agreement")
SOFTWARE = re.compile(r"sender|relay|recipient|export|node|everyone|members|who opens|step \d")
BY_PERSON = re.compile(r"^(person|nobody|told)\b")

DECODED = "everybody refuses it while decoding: fuzzed, and flipped field by field"
CHAINED = "whoever derives or continues it computes the same hash: there is no check to leave out but the comparison"
ELSEWHERE = "kept by a node's service, whose test stands in the row"
EXEMPT = {
    "label.label_version": DECODED,
    "label.unknown fields": DECODED,
    "label.enum 0": DECODED,
    "label.release_mode": DECODED,
    "label.label salt": DECODED,
    "label.release salt": DECODED,
    "label.root_sources": ELSEWHERE,
    "community.origin": CHAINED,
    "community.previous_sha256": CHAINED,
    "agreement.previous_sha256": CHAINED,
    "agreement.changes_sha256": CHAINED,
    "agreement.text_sha256": CHAINED,
    "agreement.salt": CHAINED,
    "agreement.may_accede": ELSEWHERE,
    "agreement.anyone_may_accede": ELSEWHERE,
    "agreement.held_items": ELSEWHERE,
    "agreement.held_within_days": ELSEWHERE,
    "agreement.counters_sha256": CHAINED,
    "agreement.clause": "it is told, and refuses nothing",
}
"""Fields that software keeps and that no mutant removes, with the reason."""

ALSO = {
    "label.release_sha256": "label.release_sha256",
    "label.expires": "label.expires_ms",
    "label.not_before": "label.not_before_ms",
    "label.embargo_until": "label.embargo_until_ms",
    "label.review_on": "label.review_on_ms",
    "label.retention": "label.retention_days",
    "label.label salt": "label.salt",
    "label.release salt": "release.salt",
    "release.except": "release.except_",
    "release.roster": "release.open_roster",
    "community.valid_until": "community.valid_until_ms",
    "community.history": "community.history_from_ms",
    "community.about": "community.about_any",
    "agreement.valid": "agreement.valid_from_ms agreement.valid_until_ms",
    "agreement.retention_max": "agreement.retention_max_days",
    "agreement.about": "agreement.about_any",
    "agreement.text_sha256": "agreement.text",
}
"""What the tables call by another name than the code."""

NO_RULE = {"community.at_ms", "community.salt", "community.terms", "agreement.terms", "community.exchange"}
"""Fields that say nothing of who may have what: when, randomness, and what the other rows take apart."""


def rows() -> dict[str, tuple[str, str]]:
    """Return who keeps each field and which test shows it, by table and name."""
    section = (ROOT / "docs/spec/policy.md").read_text().split("\n## Coverage\n")[1].split("\n## ")[0]
    found: dict[str, tuple[str, str]] = {}
    table = ""
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 3 or set(cells[0]) <= {"-", " "}:
            continue
        if cells[1] == "kept by":
            table = cells[0].split(",")[0]
            continue
        for name in cells[0].split(", "):
            plain = name.removesuffix(" (directory)")
            found[plain if plain.startswith("release.") else f"{table}.{plain}"] = (cells[1], cells[2])
    return found


ROWS = rows()


def test_there_are_three_tables() -> None:
    assert {key.split(".")[0] for key in ROWS} == {*TABLES, "release"}


@pytest.mark.parametrize(
    "table, kind",
    [
        ("label", Label),
        ("release", Release),
        ("community", CommunityHead),
        ("community", CommunityTerms),
        ("agreement", Agreement),
        ("agreement", EnforcementView),
        ("agreement", Term),
    ],
)
def test_every_field_has_a_row(table: str, kind: type) -> None:
    named = {*ROWS, *(name for key in ROWS if key in ALSO for name in ALSO[key].split())}
    wanted = {f"{table}.{field.name}" for field in fields(kind)} - NO_RULE
    assert wanted <= named, sorted(wanted - named)


def test_what_software_keeps_has_a_mutant_or_a_reason() -> None:
    removed = {mutant.field for mutant in MUTANTS}
    kept = {key for key, (by, _) in ROWS.items() if SOFTWARE.search(by) and not BY_PERSON.match(by)}
    # A row may name several fields that one check keeps.
    beside = {key for key in kept if any(ROWS[key] == ROWS[other] for other in removed & ROWS.keys())}
    missing = kept - removed - beside - EXEMPT.keys()
    assert not missing, sorted(missing)


def test_nothing_is_exempt_that_has_no_row_or_has_a_mutant() -> None:
    assert EXEMPT.keys() <= ROWS.keys(), sorted(EXEMPT.keys() - ROWS.keys())
    assert not EXEMPT.keys() & {mutant.field for mutant in MUTANTS}


def test_nothing_is_left_for_later() -> None:
    assert not [key for key, cells in ROWS.items() if "next" in " ".join(cells).split()]
