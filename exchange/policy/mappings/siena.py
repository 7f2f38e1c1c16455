"""Handling codes of Europol's SIENA. They speak of `evidence_use`, `onward`, and by H3 of everything in words. Pure.

    H0   only for purposes of the agreement: nothing beyond it
    H1   not as evidence without the provider's permission
    H2   not passed on without the provider's permission
    H3   other restrictions, in words; without the words it is refused
Gradings are grading.py's. Source: Europol's handling codes as published (features.md 5.4).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from exchange.errors import BadLabel
from exchange.policy.mappings.carry import in_words, refuse_lost
from exchange.policy.mappings.together import Plain, together
from exchange.policy.model import TEXT_CHARS, EvidenceUse, Label, OnwardRule, Release

CODES = ("H0", "H1", "H2", "H3")
UNMARKED = ("H1", "H2")
"""What no code at all means: SIENA knows no message without one."""


@dataclass(frozen=True, slots=True)
class Handled:
    """The codes of one message; `words` belong to H3."""

    codes: tuple[str, ...]
    words: str = ""


def to_label_fields(codes: Iterable[str], words: str = "") -> Plain:
    """Return what the codes ask.

    Raises:
        BadLabel: an unknown code, or H3 without its words.
    """
    given = {code.strip().upper() for code in codes} or set(UNMARKED)
    unknown = sorted(given.difference(CODES))
    if unknown:
        raise BadLabel(f"SIENA has no code {unknown[0][:20]!r}", place="handling", hint=f"one of {', '.join(CODES)}")
    if ("H3" in given) != bool(words.strip()):
        raise BadLabel("H3 and its words go together", place="handling", hint="add the words of the restriction")
    parts: list[Plain] = [{}]
    if "H1" in given:
        parts.append({"evidence_use": "with_consent"})
    if "H2" in given:
        parts.append({"onward": "consent"})
    if "H3" in given:
        parts.append({"handling": [{"code": "H3", "text": words.strip()[:TEXT_CHARS]}]})
    return together(*parts)


def from_label(label: Label, release: Release, *, now_ms: int) -> Handled:
    """Return the codes, and in H3 everything that the others cannot say.

    Raises:
        MarkNotCarried: the label asks for what SIENA's software does not keep.
    """
    refuse_lost(label, release, scheme="SIENA", now_ms=now_ms)
    codes, carried = {"H0"}, set()
    if label.evidence_use is not EvidenceUse.YES:
        codes.add("H1")
    if label.evidence_use is not EvidenceUse.NO:
        carried.add("evidence_use")
    if label.onward is not OnwardRule.FREE:
        codes.add("H2")
    if label.onward in (OnwardRule.CONSENT, OnwardRule.FREE):
        carried.add("onward")
    words = " ".join(in_words(label, carried=carried))
    return Handled(tuple(sorted(codes | {"H3"} if words else codes)), words)
