"""Gradings of source and information, kept as given and never converted. They speak of `grading`. Pure.

Admiralty (A to F, 1 to 6; NATO, also `admiralty-scale` of MISP, in lower case there) and the 4x4 of Europol's SIENA
(A, B, C, X; 1 to 4) look alike and do not mean the same: an X4 is no F6. MISP's `g`, deliberately deceptive, belongs to
neither and is refused.
"""

import re

from exchange.errors import BadLabel, MarkNotCarried
from exchange.policy.mappings.together import Plain
from exchange.policy.model import GRADINGS, Grading, Label

_PAIR = re.compile(r"\s*([A-Za-z])\s*[-/]?\s*(\d)\s*", re.ASCII)
_MISP = re.compile(r'admiralty-scale:(source-reliability|information-credibility)="(\w)"', re.ASCII)


def to_label_fields(scheme: str, source: str, info: str) -> Plain:
    """Return the grading as the scheme has it.

    Raises:
        BadLabel: no such scheme, or a letter or digit that it does not have.
    """
    sources, infos = GRADINGS.get(scheme, ("", ""))
    letter = source.strip().upper()
    if len(letter) != 1 or letter not in sources:
        raise BadLabel(
            f"{scheme[:40]} has no source {source[:20]!r}", place="grading", hint=f"one of {', '.join(sources)}"
        )
    if len(info.strip()) != 1 or info.strip() not in infos:
        raise BadLabel(f"{scheme} has no information {info[:20]!r}", place="grading", hint=f"one of {', '.join(infos)}")
    return {"grading": {"scheme": scheme, "source": letter, "info": info.strip()}}


def of_pair(scheme: str, text: str) -> Plain:
    """Return the grading written as one, as in `B3` or `X-4`; BadLabel when it is none."""
    found = _PAIR.fullmatch(text)
    if not found:
        raise BadLabel(f"{text[:20]!r} is no grading", place="grading", hint="a letter and a digit, as in B3")
    return to_label_fields(scheme, found[1], found[2])


def of_misp_tags(tags: list[str]) -> Plain:
    """Return the grading that MISP's two tags give together, or nothing when there is none.

    Raises:
        BadLabel: only half of it, several, or a letter that the scale does not have.
    """
    found: dict[str, set[str]] = {}
    for tag in tags:
        if matched := _MISP.fullmatch(tag):
            found.setdefault(matched[1], set()).add(matched[2])
    if not found:
        return {}
    if len(found) < 2 or any(len(values) > 1 for values in found.values()):
        raise BadLabel("a grading has one source and one information", place="grading", hint="both tags, each once")
    return to_label_fields("admiralty", found["source-reliability"].pop(), found["information-credibility"].pop())


def from_label(label: Label, scheme: str) -> Grading | None:
    """Return the grading, if there is one.

    Raises:
        MarkNotCarried: it is of another scheme, and nobody may convert it.
    """
    if label.grading is not None and label.grading.scheme != scheme:
        raise MarkNotCarried(
            f"the grading is {label.grading.scheme}, not {scheme}",
            place="grading",
            hint="leave the grading out, or write it as it is in the text",
        )
    return label.grading
