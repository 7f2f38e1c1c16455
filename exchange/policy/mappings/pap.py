"""Permissible Actions Protocol: `PAP:AMBER`, MISP's `PAP:WHITE`, the bare word. It speaks of `actions`. Pure.

RED permits nothing that can be noticed, not even passively on a network: internal_only, and an instruction beside it.
CLEAR permits everything; our words end at external_active, so it is never written.
Sources: CIRCL, Permissible Actions Protocol; the MISP taxonomy `PAP`.
"""

from collections.abc import Iterable

from exchange.errors import MarkNotCarried
from exchange.policy.mappings.together import Plain, one_word, together
from exchange.policy.model import Actions, Label
from exchange.policy.text import NO_NETWORK_USE, PAP

WORDS = {**PAP, "white": PAP["clear"]}
MARKS = {
    Actions.INTERNAL_ONLY: "PAP:RED",
    Actions.EXTERNAL_PASSIVE: "PAP:AMBER",
    Actions.EXTERNAL_ACTIVE: "PAP:GREEN",
}


def to_label_fields(marks: Iterable[str]) -> Plain:
    """Return the strictest of all marks; without any it is RED.

    Raises:
        BadLabel: a mark is not known.
    """
    return together(*(_of_word(mark) for mark in list(marks) or ["red"]))


def from_label(label: Label) -> str:
    """Return the mark, as in `PAP:AMBER`.

    Raises:
        MarkNotCarried: the label permits less than PAP can say.
    """
    if label.actions not in MARKS:
        raise MarkNotCarried(
            f"PAP has no mark for {label.actions.word}: RED permits passive use",
            place="actions",
            hint="carry it in an IEP policy, which can say it",
        )
    return MARKS[label.actions]


def _of_word(mark: str) -> Plain:
    bare = mark.strip().lower()
    word = one_word(bare[len("pap:") :] if bare.startswith(("pap:", "pap ")) else bare, WORDS, of="PAP")
    fields: Plain = {"actions": WORDS[word].word}
    if word == "red":
        fields["handling"] = [{"code": NO_NETWORK_USE.code, "text": NO_NETWORK_USE.text}]
    return fields
