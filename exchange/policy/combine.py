"""Combine the labels of several sources: what a report that was made of them may say at most. Pure.

    combine([Source(label, release), Source(other_label)])  ->  Combination
    product.label_of(combination)                            ->  the label that says exactly that
    product.wider(label, release, than=combination)          ->  where another label says more

A Combination holds for each field the strictest value that all sources bear. Combining is commutative, associative and
idempotent, and total: what no label can say (no purpose in common, two national markings) stays as it is, an empty set
or two values, until product.py refuses it by name. None stands for "no limit", and an empty set never does.

A received source brings no release: its audience is not known here, so it limits nothing. Its originator becomes an
originator of the product and is asked for consent instead; nobody is pre-authorised on its behalf.

Specification: docs/spec/policy.md, "Combination".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_
from typing import Any, TypeVar

from exchange.errors import BadLabel
from exchange.names import PartyId
from exchange.policy.decision import Obligations
from exchange.policy.model import (
    POLICY,
    Actions,
    Category,
    Duty,
    EquivalentMarking,
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
    Release,
    Target,
    Tlp,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """What a product is made of: one report as it is held here."""

    label: Label
    release: Release | None = None
    """None when it was received: the audience stayed with its originator."""
    duties: Obligations | None = None
    """Under which it is held, when it was received: the stricter of its label and the agreement that it came under."""


Rule = tuple[Tlp, ReaderRule | None]
"""A source's light and reader rule, as readers.merge_readers takes them."""


@dataclass(frozen=True, slots=True)
class Combination:
    """The strictest of every field. Sets of values that a label can have only one of are refused later."""

    originators: frozenset[PartyId]
    tlp: Tlp
    nationals: frozenset[NationalMarking]
    equivalents: frozenset[EquivalentMarking]
    orcon: bool
    onward: OnwardRule
    max_hops: int
    categories: frozenset[Category]
    purposes: frozenset[Purpose]
    """Empty: the sources have none in common, and nothing may be sent."""
    evidence_use: EvidenceUse
    actions: Actions
    notify_affected: frozenset[Duty]
    """MAY is left out; both others together contradict each other."""
    attribution: frozenset[Duty]
    resale: Duty
    personal_data: PersonalData
    about: frozenset[str] | None
    """None: a source does not say what it is about, so nobody can say it of the whole."""
    use_in: frozenset[str] | None
    """None: no limit. Empty: nowhere."""
    not_before_ms: int
    embargo_until_ms: int
    open_to: frozenset[PartyId] | None
    """Whom every source lets in before its embargo ends; None when none has an embargo."""
    review_on_ms: int
    expires_ms: int
    on_expiry: OnExpiry | None
    retention_days: int
    handling: frozenset[Handling]
    bases: frozenset[LegalBasis]
    gradings: frozenset[Grading]
    root_sources: frozenset[bytes]
    derived_from: frozenset[bytes]
    readers: frozenset[Rule]
    """Every rule that a source sets, and RED without one; readers.py merges them."""
    approvals: int
    to: frozenset[Target] | None
    """None: no source's audience is known here. Empty: nobody."""
    except_: frozenset[PartyId]
    display_only: frozenset[PartyId]
    pre_authorised: frozenset[PartyId]
    open_roster: bool


def combine(sources: Iterable[Source]) -> Combination:
    """Return what all sources together allow.

    Raises:
        BadLabel: no source at all, a label of another rulebook, or one that is held for display only.
    """
    held = [_limits(source) for source in sources]
    if not held:
        raise BadLabel("nothing to combine")
    return reduce(meet, held)


def meet(one: Combination, other: Combination) -> Combination:
    """Return the stricter of both, field by field."""
    return Combination(**{name: rule(getattr(one, name), getattr(other, name)) for name, rule in RULES.items()})


def limits_of(label: Label, release: Release | None) -> Combination:
    """Return what one label and its release allow."""
    if label.policy != POLICY:
        raise BadLabel(f"a label of the rulebook {label.policy} cannot be combined", hint=f"only {POLICY} is known")
    named = named_in(release.to) if release else frozenset()
    originators = frozenset(label.originators)
    return Combination(
        originators=originators,
        tlp=label.tlp,
        nationals=_optional(label.national),
        equivalents=frozenset(label.equivalents),
        orcon=label.orcon,
        onward=label.onward,
        max_hops=label.max_hops,
        categories=frozenset(label.categories),
        purposes=frozenset(label.purposes),
        evidence_use=label.evidence_use,
        actions=label.actions,
        notify_affected=_duties(label.notify_affected),
        attribution=_duties(label.attribution),
        resale=label.resale,
        personal_data=label.personal_data,
        about=frozenset(label.about) or None,
        use_in=frozenset(label.use_in) or None,
        not_before_ms=label.not_before_ms,
        embargo_until_ms=label.embargo_until_ms,
        open_to=named | originators if label.embargo_until_ms else None,
        review_on_ms=label.review_on_ms,
        expires_ms=label.expires_ms,
        on_expiry=label.on_expiry,
        retention_days=label.retention_days,
        handling=frozenset(label.handling),
        bases=frozenset({label.basis}),
        gradings=_optional(label.grading),
        root_sources=frozenset(label.root_sources),
        derived_from=frozenset(label.derived_from),
        readers=_rules(label.tlp, label.readers),
        approvals=label.approvals,
        to=frozenset(release.to) if release else None,
        except_=frozenset(release.except_ if release else ()),
        display_only=frozenset(release.display_only if release else ()),
        pre_authorised=frozenset(release.pre_authorised if release else ()),
        open_roster=release is None or release.open_roster,
    )


def named_in(targets: Iterable[Target]) -> frozenset[PartyId]:
    """Return the partners that are named one by one."""
    return frozenset(target.partner for target in targets if target.partner is not None)


def _limits(source: Source) -> Combination:
    label, duties = source.label, source.duties
    if duties is None:
        return limits_of(label, source.release)
    if duties.display_only:
        raise BadLabel("a source is held for display only", hint="nothing may be made of it; ask its originator")
    held = limits_of(_held(label, duties), source.release)
    return replace(held, readers=held.readers | _rules(label.tlp, duties.readers))


def _held(label: Label, duties: Obligations) -> Label:
    """Return the label as it binds this party: with what the agreement adds."""
    purged = OnExpiry.PURGE if duties.purge_at_ms else label.on_expiry
    return replace(
        label,
        purposes=_sorted(set(label.purposes).intersection(duties.purposes)),
        use_in=duties.use_in or label.use_in,
        actions=min(label.actions, duties.actions),
        evidence_use=min(label.evidence_use, duties.evidence_use),
        onward=min(label.onward, duties.onward),
        max_hops=min(label.max_hops, duties.max_hops),
        orcon=label.orcon or duties.orcon,
        retention_days=_earliest(label.retention_days, duties.retention_days),
        expires_ms=_earliest(label.expires_ms, duties.purge_at_ms),
        on_expiry=purged,
        review_on_ms=_earliest(label.review_on_ms, duties.review_on_ms),
        handling=_union(label.handling, duties.handling),
    )


# -- fields ------------------------------------------------------------------------------------------------------------


def _optional(value: T | None) -> frozenset[T]:
    return frozenset() if value is None else frozenset({value})


def _duties(duty: Duty) -> frozenset[Duty]:
    return frozenset({duty} - {Duty.MAY})


def _rules(tlp: Tlp, rule: ReaderRule | None) -> frozenset[Rule]:
    """Return what a label says of readers: nothing, a rule, or with RED alone that nobody may read it."""
    if rule is None:
        return frozenset({(Tlp.RED, None)}) if tlp is Tlp.RED else frozenset()
    return frozenset({(Tlp.CLEAR, rule)})


def _personal_data(one: PersonalData, other: PersonalData) -> PersonalData:
    present = one.present or other.present
    return PersonalData(
        present=present,
        special=one.special or other.special,
        subjects=_sorted({*one.subjects, *other.subjects}),
        pseudonymous=present and all(data.pseudonymous or not data.present for data in (one, other)),
    )


def _common(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    """Return what both allow, None being no limit."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _places(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """Return every place that it is about; unknown when one of them is unknown."""
    return None if one is None or other is None else one | other


def _audience(one: frozenset[Target] | None, other: frozenset[Target] | None) -> frozenset[Target] | None:
    """Return whom both reach: what every target of one has in common with every target of the other."""
    if one is None or other is None:
        return other if one is None else one
    return frozenset(both for first in one for second in other if (both := _both(first, second)) is not None)


def _both(one: Target, other: Target) -> Target | None:
    """Return whom two targets surely reach together, if anybody; who is in a group is not known here."""
    if one == other or one.everyone or other.everyone:
        return other if one.everyone else one
    if one.community is not None and other.community is not None and one.community.id == other.community.id:
        # An earlier epoch lets in fewer: who came later is judged by the history rule.
        return min(one, other, key=lambda target: target.sort_key)
    return None


def _earliest(one: int, other: int) -> int:
    """Return the lesser number, 0 being none."""
    return min(one or other, other or one)


def _sternest(one: OnExpiry | None, other: OnExpiry | None) -> OnExpiry | None:
    """Purge rather than ask."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _union(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _sorted(values: Iterable[Any]) -> tuple[Any, ...]:  # Any: members of one vocabulary
    return tuple(sorted(values))


RULES: Mapping[str, Callable[[Any, Any], Any]] = {  # Any: every field has a type of its own
    "originators": or_,
    "tlp": max,
    "nationals": or_,
    "equivalents": or_,
    "orcon": or_,
    "onward": min,
    "max_hops": min,
    "categories": or_,
    "purposes": frozenset.intersection,
    "evidence_use": min,
    "actions": min,
    "notify_affected": or_,
    "attribution": or_,
    "resale": min,
    "personal_data": _personal_data,
    "about": _places,
    "use_in": _common,
    "not_before_ms": max,
    "embargo_until_ms": max,
    "open_to": _common,
    "review_on_ms": _earliest,
    "expires_ms": _earliest,
    "on_expiry": _sternest,
    "retention_days": _earliest,
    "handling": or_,
    "bases": or_,
    "gradings": or_,
    "root_sources": or_,
    "derived_from": or_,
    "readers": or_,
    "approvals": max,
    "to": _audience,
    "except_": or_,
    "display_only": or_,
    "pre_authorised": frozenset.intersection,
    "open_roster": and_,
}
"""How two values of each field combine: the table of the specification."""
