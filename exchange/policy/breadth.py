"""Which of two terms permits more, field by field, and what each field says in words.

Pure. One table for whoever compares terms: the warnings of a check (agreement_lint.py) and the difference between two
texts (agreement_diff.py). A field is within another when it permits nothing that the other does not: for an empty
`senders` and its like that is the meaning of the field, any, and never the meaning of an empty list.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from exchange.policy.model import Category
from exchange.policy.terms import Term


class Effect(StrEnum):
    """What a change does to what may flow."""

    WIDER = "wider"
    NARROWER = "narrower"
    OTHER = "neither"
    """More of one thing and less of another, or a matter of words."""


@dataclass(frozen=True, slots=True)
class TermField:
    """One field of a term as people write it."""

    name: str
    words: Callable[[Term], str]
    within: Callable[[Term, Term], bool]
    """Whether the first term permits nothing in this field that the second does not."""
    attributes: tuple[str, ...]
    """Of Term, that it is about."""


def effect_of(field: TermField, before: Term, after: Term) -> Effect:
    """Return what the change of one field does."""
    more, less = field.within(before, after), field.within(after, before)
    if more is less:
        return Effect.OTHER
    return Effect.WIDER if more else Effect.NARROWER


def allowed(term: Term) -> frozenset[Category]:
    """Return the categories that may pass: deny wins."""
    return frozenset(term.categories).difference(term.denied_categories)


def _any_or_within(one: Collection[str], other: Collection[str]) -> bool:
    """Compare two fields in which empty means any."""
    return not other or (bool(one) and set(one) <= set(other))


def _unlimited_or_most(one: int, other: int) -> bool:
    """Compare two limits of which 0 means none."""
    return not other or 0 < one <= other


def _about(one: Term, other: Term) -> bool:
    return other.about_any or (not one.about_any and set(one.about) <= set(other.about))


def _national(one: Term, other: Term) -> bool:
    known = {ceiling.policy_id: set(ceiling.classifications) for ceiling in other.national}
    return all(set(ceiling.classifications) <= known.get(ceiling.policy_id, set()) for ceiling in one.national)


def _list(values: Collection[str], empty: str) -> str:
    return ", ".join(values) or empty


def _national_words(term: Term) -> str:
    return "; ".join(f"{each.policy_id}: {', '.join(each.classifications)}" for each in term.national) or "none"


TERM_FIELDS = (
    TermField(
        "from",
        lambda t: _list(t.senders, "any"),
        lambda a, b: _any_or_within(a.senders, b.senders),
        ("senders",),
    ),
    TermField(
        "to",
        lambda t: _list(t.recipients, "any"),
        lambda a, b: _any_or_within(a.recipients, b.recipients),
        ("recipients",),
    ),
    TermField(
        "purposes",
        lambda t: _list([p.word for p in t.purposes], "none"),
        lambda a, b: set(a.purposes) <= set(b.purposes),
        ("purposes",),
    ),
    TermField(
        "categories",
        lambda t: _list([c.word for c in sorted(allowed(t))], "none"),
        lambda a, b: allowed(a) <= allowed(b),
        ("categories", "denied_categories"),
    ),
    TermField("about", lambda t: "any" if t.about_any else _list(t.about, "none"), _about, ("about", "about_any")),
    TermField(
        "use_in",
        lambda t: _list(t.use_in, "any"),
        lambda a, b: _any_or_within(a.use_in, b.use_in),
        ("use_in",),
    ),
    TermField("ceiling", lambda t: t.ceiling.word, lambda a, b: a.ceiling <= b.ceiling, ("ceiling",)),
    TermField("national", _national_words, _national, ("national",)),
    TermField(
        "actions_max", lambda t: t.actions_max.word, lambda a, b: a.actions_max <= b.actions_max, ("actions_max",)
    ),
    TermField(
        "personal_data",
        lambda t: t.personal_data.word,
        lambda a, b: a.personal_data <= b.personal_data,
        ("personal_data",),
    ),
    TermField(
        "special_categories",
        lambda t: "yes" if t.special_categories else "no",
        lambda a, b: a.special_categories <= b.special_categories,
        ("special_categories",),
    ),
    TermField(
        "evidence_use",
        lambda t: t.evidence_use.word,
        lambda a, b: a.evidence_use <= b.evidence_use,
        ("evidence_use",),
    ),
    TermField(
        "onward_default",
        lambda t: t.onward_default.word,
        lambda a, b: a.onward_default <= b.onward_default,
        ("onward_default",),
    ),
    TermField(
        "onward_hops",
        lambda t: str(t.onward_hops) if t.onward_hops else "as the label says",
        lambda a, b: _unlimited_or_most(a.onward_hops, b.onward_hops),
        ("onward_hops",),
    ),
    TermField(
        "pre_cleared",
        lambda t: _list(t.pre_cleared, "none"),
        lambda a, b: set(a.pre_cleared) <= set(b.pre_cleared),
        ("pre_cleared",),
    ),
    TermField(
        "retention_max",
        lambda t: f"{t.retention_max_days} days" if t.retention_max_days else "unlimited",
        lambda a, b: _unlimited_or_most(a.retention_max_days, b.retention_max_days),
        ("retention_max_days",),
    ),
    TermField("approvals", lambda t: str(t.approvals), lambda a, b: a.approvals >= b.approvals, ("approvals",)),
)
"""Every field of a term but its clause."""

PARTY_FIELDS = frozenset({"from", "to"})
DUTY_FIELDS = frozenset({"actions_max", "evidence_use", "retention_max"})
"""Fields that only bound what a recipient may do; every other one can decide whether something may flow."""
