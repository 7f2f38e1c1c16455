"""What differs between two texts of an agreement, clause by clause and field by field, and whether it is wider.

Pure. A clause keeps its identity by its number in the text that people signed: one that is renumbered is shown as taken
out and put in. Wider and narrower are said of what may flow or be done, never of whether that is good.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from exchange.policy.agreement import held_sentence
from exchange.policy.agreement_text import AgreementTerms
from exchange.policy.breadth import TERM_FIELDS, Effect, effect_of
from exchange.policy.fields import instant_text
from exchange.policy.terms import HeldItems, Term


class Kind(StrEnum):
    """What became of a clause or a field."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    """To another place in the order: the first term that permits is the one that counts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `clause` is empty where it is about the whole agreement, `field` where about a whole clause."""

    kind: Kind
    clause: str
    field: str
    before: str
    after: str
    effect: Effect


def difference(before: AgreementTerms, after: AgreementTerms) -> tuple[Difference, ...]:
    """Return what differs: the agreement as a whole first, then clauses in the order of the newer text."""
    return (*_whole(before, after), *_clauses(before, after))


def _whole(before: AgreementTerms, after: AgreementTerms) -> Iterator[Difference]:
    for name, words, effect in _WHOLE:
        was, now = words(before), words(after)
        if was != now:
            yield Difference(Kind.CHANGED, "", name, was, now, effect(before, after))
    for promise in before.promises:
        if promise not in after.promises:
            yield Difference(Kind.REMOVED, "", "promises", promise, "", Effect.OTHER)
    for promise in after.promises:
        if promise not in before.promises:
            yield Difference(Kind.ADDED, "", "promises", "", promise, Effect.OTHER)


def _clauses(before: AgreementTerms, after: AgreementTerms) -> Iterator[Difference]:
    old, new = _by_clause(before), _by_clause(after)
    kept = [key for key in old if key in new]
    order = {key: place for place, key in enumerate(kept)}
    highest = -1
    for key, term in new.items():
        if key not in old:
            yield Difference(Kind.ADDED, term.clause, "", "", _summary(term), Effect.WIDER)
            continue
        if order[key] < highest:
            yield Difference(Kind.MOVED, term.clause, "", "", "it stands later than before", Effect.OTHER)
        highest = max(highest, order[key])
        for field in TERM_FIELDS:
            was, now = field.words(old[key]), field.words(term)
            if was != now:
                effect = effect_of(field, old[key], term)
                yield Difference(Kind.CHANGED, term.clause, field.name, was, now, effect)
    for key, term in old.items():
        if key not in new:
            yield Difference(Kind.REMOVED, term.clause, "", _summary(term), "", Effect.NARROWER)


def _by_clause(terms: AgreementTerms) -> dict[tuple[str, int], Term]:
    """Return the terms by clause, and by which of several with one clause."""
    found: dict[tuple[str, int], Term] = {}
    for term in terms.terms:
        number = sum(1 for clause, _ in found if clause == term.clause)
        found[term.clause, number] = term
    return found


def _summary(term: Term) -> str:
    return "; ".join(f"{field.name} {field.words(term)}" for field in TERM_FIELDS[:5])


# -- the agreement as a whole ------------------------------------------------------------------------------------------

Words = Callable[[AgreementTerms], str]
Compare = Callable[[AgreementTerms, AgreementTerms], Effect]


def _by(rank: Callable[[AgreementTerms], float]) -> Compare:
    """Return the comparison of what has an order: a higher rank is wider."""

    def compare(before: AgreementTerms, after: AgreementTerms) -> Effect:
        was, now = rank(before), rank(after)
        return Effect.OTHER if was == now else Effect.WIDER if now > was else Effect.NARROWER

    return compare


def _in_sets(values: Callable[[AgreementTerms], frozenset[str]]) -> Compare:
    def compare(before: AgreementTerms, after: AgreementTerms) -> Effect:
        was, now = values(before), values(after)
        if was < now:
            return Effect.WIDER
        return Effect.NARROWER if now < was else Effect.OTHER

    return compare


def _accession(before: AgreementTerms, after: AgreementTerms) -> Effect:
    if before.anyone_may_accede is not after.anyone_may_accede:
        return Effect.WIDER if after.anyone_may_accede else Effect.NARROWER
    return _in_sets(lambda terms: frozenset(terms.may_accede))(before, after)


def accession_words(terms: AgreementTerms) -> str:
    """Say who may accede."""
    return "any party" if terms.anyone_may_accede else ", ".join(terms.may_accede) or "nobody"


def _basis_words(terms: AgreementTerms) -> str:
    basis = terms.legal_basis
    review = f", review on {instant_text(basis.review_on_ms)}" if basis.review_on_ms else ""
    return f"{basis.kind}: {basis.citation}{f', {basis.authority}' if basis.authority else ''}{review}"


_NO_END = float("inf")


def _held_days(terms: AgreementTerms) -> float:
    """Return how long what is held may stay: for ever where it is kept."""
    return _NO_END if terms.held_items is HeldItems.KEEP_UNDER_TERMS else terms.held_within_days


_other: Compare = lambda _before, _after: Effect.OTHER  # noqa: E731 - a row of the table below

_WHOLE: tuple[tuple[str, Words, Compare], ...] = (
    ("agreement", lambda t: t.title, _other),
    ("parties", lambda t: ", ".join(t.parties), _in_sets(lambda t: frozenset(t.parties))),
    ("accession", accession_words, _accession),
    ("legal_basis", _basis_words, _other),
    ("valid.from", lambda t: instant_text(t.valid_from_ms), _by(lambda t: -t.valid_from_ms)),
    (
        "valid.until",
        lambda t: instant_text(t.valid_until_ms) if t.valid_until_ms else "no end",
        _by(lambda t: t.valid_until_ms or _NO_END),
    ),
    ("on_termination", lambda t: held_sentence(t.held_items, t.held_within_days), _by(_held_days)),
)
