"""Traffic Light Protocol, versions 1 and 2: `TLP:AMBER+STRICT`, MISP's `tlp:white`, the bare word. Pure.

    RED            onward none, to named readers       AMBER   dependants ("clients" are companies and sites)
    AMBER+STRICT   onward none                         GREEN   community          CLEAR (in TLP 1 WHITE)   free

It speaks of `tlp` and `onward` (and `tlp:ex:chr`, the Chatham House Rule, of `attribution`). Sources: FIRST TLP 2.0;
the MISP taxonomy `tlp`.
"""

from collections.abc import Iterable

from exchange.policy.mappings.together import Plain, one_word, together
from exchange.policy.model import HOPS_MAX, Label, OnwardRule, Tlp
from exchange.policy.text import ONWARD

WORDS = {**{tlp.word: tlp for tlp in Tlp}, "white": Tlp.CLEAR}
CHATHAM_HOUSE = "ex:chr"
UNMARKED: Plain = {"tlp": "red", "onward": "none"}
"""Nobody said how far it may go, so nobody may pass it on, and only readers that are named may read it."""


def level_of(mark: str) -> Tlp:
    """Return the level that one mark states.

    Raises:
        BadLabel: no known word, as in `TLP:UNCLEAR`.
    """
    return WORDS[one_word(_bare(mark), WORDS, of="TLP")]


def to_label_fields(marks: Iterable[str]) -> Plain:
    """Return the strictest of all marks; without a level it is RED.

    Raises:
        BadLabel: a mark is not known; it may be stricter than all others.
    """
    given = list(marks)
    levels = [level_of(mark) for mark in given if _bare(mark) != CHATHAM_HOUSE]
    fields = of_level(max(levels)) if levels else UNMARKED
    return together(fields, {"attribution": "must_not"}) if len(levels) < len(given) else dict(fields)


def of_level(level: Tlp) -> Plain:
    """Return the fields of one level."""
    return {"tlp": level.word, "onward": ONWARD[level].word}


def level_for(label: Label) -> Tlp:
    """Return the level to write: the label's own, or the next that permits no more passing on than the label does."""
    onward = OnwardRule.NONE if label.orcon else label.onward
    if onward is OnwardRule.FREE and label.max_hops < HOPS_MAX:
        onward = OnwardRule.COMMUNITY  # CLEAR knows no end
    return next(level for level in Tlp if level >= label.tlp and ONWARD[level] <= onward)


def from_label(label: Label) -> str:
    """Return the mark, as in `TLP:GREEN`."""
    return f"TLP:{level_for(label).word.upper()}"


def _bare(mark: str) -> str:
    word = mark.strip().lower()
    return word[len("tlp:") :] if word.startswith(("tlp:", "tlp ")) else word
