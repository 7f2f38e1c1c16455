"""Readers inside a partner: may this person read a report, and what rule does a product of several reports carry?

Every condition of a rule must hold: the clearance is at least the one asked for, every attribute of `all_of` is held,
one of each group of `any_of`, and who is named, if anybody is. A scale, a level or an attribute that the party does
not know denies. TLP:RED without a rule means named readers and names none: nobody. Specification: docs/spec/policy.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from functools import reduce
from typing import TypeVar

from exchange.errors import BadLabel, MalformedInput
from exchange.policy import shape
from exchange.policy.model import LIST_ITEMS, ReaderRule, Tlp

Scales = Mapping[str, tuple[str, ...]]
"""Levels of each clearance scale, from the lowest up."""

SCALES_MOST = 16
LEVELS_MOST = 32
ATTRIBUTES_MOST = 256

Condition = TypeVar("Condition", str, tuple[str, ...])


class ReaderReason(StrEnum):
    """Why somebody may not read it; the code is stable."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name

    RED_NAMES_NOBODY = auto()
    RULE_WITHOUT_CONDITION = auto()
    SCALE_UNKNOWN = auto()
    LEVEL_UNKNOWN = auto()
    CLEARANCE_MISSING = auto()
    CLEARANCE_TOO_LOW = auto()
    ATTRIBUTE_UNKNOWN = auto()
    ATTRIBUTE_MISSING = auto()
    NOT_NAMED = auto()


@dataclass(frozen=True, slots=True)
class ReaderTerms:
    """The words with which a party describes its readers; whatever is not among them denies.

    Raises:
        MalformedInput: too many, a scale without levels or with one twice, or something that is no word.
    """

    scales: Scales = field(default_factory=dict)
    attributes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        shape.number(len(self.scales), "clearance scales", most=SCALES_MOST)
        shape.number(len(self.attributes), "attributes of readers", most=ATTRIBUTES_MOST)
        for name, levels in self.scales.items():
            shape.word(name, "a clearance scale")
            shape.as_list(levels, f"the scale {name}", least=1, most=LEVELS_MOST)
            shape.each(shape.word, levels, f"a level of {name}")
            if len({*levels}) != len(levels):
                raise MalformedInput(f"the scale {name} has a level twice")
        shape.each(shape.word, self.attributes, "an attribute of readers")


@dataclass(frozen=True, slots=True)
class Reader:
    """A person at one partner, as that partner describes it."""

    name: str
    clearances: Mapping[str, str] = field(default_factory=dict)
    """Level by scale."""
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReaderFinding:
    """One condition that does not hold; `what` is the scale, level or attribute concerned."""

    reason: ReaderReason
    what: str = ""


@dataclass(frozen=True, slots=True)
class ReaderDecision:
    """May read it, or not with every reason."""

    permit: bool
    findings: tuple[ReaderFinding, ...]


def may_read(rule: ReaderRule | None, *, tlp: Tlp, reader: Reader, terms: ReaderTerms) -> ReaderDecision:
    """Return whether `reader` may read a report under this rule; `terms` are those of the reader's own party."""
    findings = tuple(_findings(rule, tlp, reader, terms))
    return ReaderDecision(permit=not findings, findings=findings)


def _findings(rule: ReaderRule | None, tlp: Tlp, reader: Reader, terms: ReaderTerms) -> Iterable[ReaderFinding]:
    if rule is None:
        if tlp is Tlp.RED:
            yield ReaderFinding(ReaderReason.RED_NAMES_NOBODY)
        return
    if not rule.names_anyone:
        yield ReaderFinding(ReaderReason.RULE_WITHOUT_CONDITION)
    yield from _clearance(rule, reader, terms.scales)
    for attribute in rule.all_of:
        yield from _one_of((attribute,), reader, terms)
    for group in rule.any_of:
        yield from _one_of(group, reader, terms)
    if rule.named and reader.name not in rule.named:
        yield ReaderFinding(ReaderReason.NOT_NAMED)


def _clearance(rule: ReaderRule, reader: Reader, scales: Scales) -> Iterable[ReaderFinding]:
    scale, needed = rule.clearance_scale, rule.clearance_level
    if not scale:
        return
    levels = scales.get(scale)
    if levels is None:
        yield ReaderFinding(ReaderReason.SCALE_UNKNOWN, scale)
        return
    if needed not in levels:
        yield ReaderFinding(ReaderReason.LEVEL_UNKNOWN, needed)
        return
    held = reader.clearances.get(scale)
    if held not in levels:
        # None at all, or one that the scale no longer has.
        yield ReaderFinding(ReaderReason.CLEARANCE_MISSING, scale)
    elif levels.index(held) < levels.index(needed):
        yield ReaderFinding(ReaderReason.CLEARANCE_TOO_LOW, needed)


def _one_of(group: tuple[str, ...], reader: Reader, terms: ReaderTerms) -> Iterable[ReaderFinding]:
    known = terms.attributes.intersection(group)
    if not known:
        yield ReaderFinding(ReaderReason.ATTRIBUTE_UNKNOWN, " or ".join(group))
    elif not known & reader.attributes:
        yield ReaderFinding(ReaderReason.ATTRIBUTE_MISSING, " or ".join(group))


_SENTENCES = {
    ReaderReason.RED_NAMES_NOBODY: "TLP:RED is for named readers, and none is named",
    ReaderReason.RULE_WITHOUT_CONDITION: "its reader rule sets no condition",
    ReaderReason.SCALE_UNKNOWN: "the clearance scale {what} is not known there",
    ReaderReason.LEVEL_UNKNOWN: "the level {what} is not on that scale there",
    ReaderReason.CLEARANCE_MISSING: "a clearance on the scale {what} is missing",
    ReaderReason.CLEARANCE_TOO_LOW: "the clearance is below {what}",
    ReaderReason.ATTRIBUTE_UNKNOWN: "the attribute {what} is not known there",
    ReaderReason.ATTRIBUTE_MISSING: "the attribute {what} is missing",
    ReaderReason.NOT_NAMED: "it names other readers",
}


def reader_sentence(finding: ReaderFinding) -> str:
    """Return what a finding means, for people."""
    return _SENTENCES[finding.reason].format(what=finding.what)


def unknown_words(rule: ReaderRule | None, terms: ReaderTerms) -> tuple[ReaderFinding, ...]:
    """Return the conditions that no reader of a party with these terms can meet, whoever it is."""
    everything = Reader("", {scale: levels[-1] for scale, levels in terms.scales.items()}, terms.attributes)
    hopeless = {ReaderReason.SCALE_UNKNOWN, ReaderReason.LEVEL_UNKNOWN, ReaderReason.ATTRIBUTE_UNKNOWN}
    found = may_read(rule, tlp=Tlp.CLEAR, reader=everything, terms=terms).findings
    return tuple(finding for finding in found if finding.reason in hopeless)


# -- products of several reports ---------------------------------------------------------------------------------------


def merge_readers(sources: Iterable[tuple[Tlp, ReaderRule | None]], *, scales: Scales) -> ReaderRule | None:
    """Return the reader rule of a product whose sources have these lights and rules; None when none has a rule.

    Whoever may read the product may read every source. A source that is TLP:RED without a rule, which nobody may
    read, makes such a product: None, beside the strictest light. The order of the sources does not matter.

    Raises:
        BadLabel: no rule says what all of them say.
    """
    rules = []
    for tlp, rule in sources:
        if rule is None and tlp is Tlp.RED:
            return None
        if rule is not None:
            rules.append(rule)
    return reduce(lambda one, other: narrower(one, other, scales=scales), rules) if rules else None


def narrower(one: ReaderRule, other: ReaderRule, *, scales: Scales) -> ReaderRule:
    """Return the rule that holds exactly when both hold; BadLabel when a single rule cannot say that."""
    if not (one.names_anyone and other.names_anyone):
        raise _no_rule("the rule of a source sets no condition")
    scale, level = _higher(one, other, scales)
    return ReaderRule(
        clearance_scale=scale,
        clearance_level=level,
        all_of=_union(one.all_of, other.all_of),
        any_of=_union(one.any_of, other.any_of),
        named=_common(one.named, other.named),
    )


def _higher(one: ReaderRule, other: ReaderRule, scales: Scales) -> tuple[str, str]:
    first, second = ((rule.clearance_scale, rule.clearance_level) for rule in (one, other))
    if first == second or not second[0]:
        return first
    if not first[0]:
        return second
    if first[0] != second[0]:
        raise _no_rule(f"one source asks for a clearance of {first[0]}, another for one of {second[0]}")
    levels = scales.get(first[0], ())
    if first[1] not in levels or second[1] not in levels:
        raise _no_rule(f"which of {first[1]} and {second[1]} is higher on the scale {first[0]} is not known here")
    return max(first, second, key=lambda clearance: levels.index(clearance[1]))


def _union(one: tuple[Condition, ...], other: tuple[Condition, ...]) -> tuple[Condition, ...]:
    union: tuple[Condition, ...] = tuple(sorted(set(one).union(other)))
    if len(union) > LIST_ITEMS:
        raise _no_rule(f"the sources set more than {LIST_ITEMS} conditions of one kind")
    return union


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    if not one or not other:
        # No names at all is no condition, not an empty one.
        return one or other
    common = tuple(sorted({*one} & {*other}))
    if not common:
        raise _no_rule("no reader is named by all sources")
    return common


def _no_rule(why: str) -> BadLabel:
    return BadLabel(
        f"no reader rule fits the product: {why}", place="readers", hint="make the product without one of the sources"
    )
