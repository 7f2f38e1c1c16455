"""Confidentiality labels of STANAG 4774, as parsed values: no XML here. They speak of `national` and `release`. Pure.

The original is kept verbatim: policy, classification, and every category as one caveat, `RESTRICTIVE Special Category
Designators: ATOMAL`. Permissive categories also say whom it may go to; of several, whom all of them name. Alternative
labels become equivalents and decide nothing. How strict a classification is only an operator can say: a table gives its
TLP, and one that the table does not have is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from exchange.errors import BadLabel, MarkNotCarried
from exchange.names import PartyId
from exchange.policy.mappings.carry import partners_only
from exchange.policy.mappings.tlp import UNMARKED, of_level
from exchange.policy.mappings.together import Plain, together
from exchange.policy.model import Label, NationalMarking, Release, Tlp


class Kind(StrEnum):
    """What a category does (STANAG 4774, Category/@Type)."""

    PERMISSIVE = "PERMISSIVE"
    RESTRICTIVE = "RESTRICTIVE"
    INFORMATIVE = "INFORMATIVE"


@dataclass(frozen=True, slots=True)
class Category:
    """One category with its values."""

    kind: Kind
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfidentialityLabel:
    """PolicyIdentifier, Classification, categories; alternatives are labels of other policies for the same."""

    policy: str
    classification: str
    categories: tuple[Category, ...] = ()
    alternatives: tuple["ConfidentialityLabel", ...] = ()


Levels = Mapping[tuple[str, str], Tlp]
"""How strict the classifications of each policy are: by policy and classification."""

Partners = Mapping[str, Sequence[PartyId]]
"""Partners by the values of permissive categories."""

_CAVEAT = re.compile(r"(PERMISSIVE|RESTRICTIVE|INFORMATIVE) ([^:]+): (.+)")


def to_label_fields(label: ConfidentialityLabel | None, *, by: PartyId, levels: Levels, partners: Partners) -> Plain:
    """Return the fields of a confidentiality label that `by` set; without a label it is RED, for nobody.

    Raises:
        BadLabel: a policy, classification or permissive value that the tables do not have.
    """
    if label is None:
        return {**UNMARKED, "release": {"to": []}}
    level = levels.get((label.policy, label.classification))
    if level is None:
        raise BadLabel(
            f"{label.policy} {label.classification} is not in the table of levels",
            place="national",
            hint="an operator adds it, with the TLP that it comes to",
        )
    fields = of_level(level)
    fields["national"] = {
        "policy": label.policy,
        "classification": label.classification,
        "caveats": [_caveat(category, value) for category in label.categories for value in category.values],
    }
    equivalents = [{"policy": a.policy, "classification": a.classification, "by": by} for a in label.alternatives]
    return together(fields, {"equivalents": equivalents} if equivalents else {}, _release(label.categories, partners))


def from_label(label: Label, release: Release, *, partners: Partners) -> ConfidentialityLabel:
    """Return the original marking, when what it releases to is within the release.

    Raises:
        MarkNotCarried: there is no original (nobody here may classify by another's rules), or it releases to others.
    """
    national = label.national
    if national is None:
        raise MarkNotCarried("the label has no marking of another rulebook", place="national", hint="send it as TLP")
    categories = _categories(national)
    reached = _reached(categories, partners)
    beyond = None if reached is None else reached - set(partners_only(release, scheme="STANAG 4774"))
    if beyond is None or beyond:
        told = "everybody under that policy" if beyond is None else ", ".join(sorted(beyond))
        raise MarkNotCarried(
            f"the original marking releases it to {told}",
            place="release.to",
            hint="send it inside the exchange instead",
        )
    return ConfidentialityLabel(
        national.policy_id,
        national.classification,
        categories,
        tuple(ConfidentialityLabel(each.policy_id, each.classification) for each in label.equivalents),
    )


def _release(categories: Iterable[Category], partners: Partners) -> Plain:
    reached = _reached(categories, partners)
    return {} if reached is None else {"release": {"to": sorted(reached)}}


def _reached(categories: Iterable[Category], partners: Partners) -> set[PartyId] | None:
    """Return whom every permissive category names; None when there is none."""
    reached: set[PartyId] | None = None
    for category in categories:
        if category.kind is not Kind.PERMISSIVE:
            continue
        named: set[PartyId] = set()
        for value in category.values:
            if value not in partners:
                raise BadLabel(
                    f"{category.name}: no partner is known for {value[:40]}",
                    place="release",
                    hint="an operator adds it to the table of partners",
                )
            named.update(partners[value])
        reached = named if reached is None else reached & named
    return reached


def _caveat(category: Category, value: str) -> str:
    return f"{category.kind} {category.name}: {value}"


def _categories(national: NationalMarking) -> tuple[Category, ...]:
    """Return the categories that the caveats were made of."""
    found: dict[tuple[Kind, str], list[str]] = {}
    for caveat in national.caveats:
        parts = _CAVEAT.fullmatch(caveat)
        if parts is None:
            raise MarkNotCarried(f"{caveat[:60]!r} is no category of STANAG 4774", place="national.caveats")
        found.setdefault((Kind(parts[1]), parts[2]), []).append(parts[3])
    return tuple(Category(kind, name, tuple(values)) for (kind, name), values in found.items())
