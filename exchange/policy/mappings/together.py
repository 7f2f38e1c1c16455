"""Put fields together that several markings of one thing gave: the strictest wins. Pure.

A STIX object may bear a TLP marking, an IEP policy and a statement at once, and a MISP event a dozen tags.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from exchange.errors import BadLabel
from exchange.policy.fields import moment, nearest
from exchange.policy.model import Actions, Duty, EvidenceUse, OnwardRule, Tlp, Vocabulary
from exchange.policy.strict_yaml import node_of

V = TypeVar("V", bound=Vocabulary)

Plain = dict[str, Any]
"""Fields of a label in plain form; Any: they nest."""

PlainTarget = str | Plain
"""One addressee in plain form: a partner, or a community or agreement."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A marking of which an operator must say whom it means; nothing is released before."""

    why: str
    fields: Plain
    """What is known already."""


def together(*parts: Plain) -> Plain:
    """Return the fields of all parts, the stricter where several speak of one.

    Raises:
        BadLabel: two of them contradict each other, as two audiences or two national markings do.
    """
    found: Plain = {}
    for part in parts:
        for name, value in part.items():
            found[name] = _RULES.get(name, _same(name))(found[name], value) if name in found else value
    return found


def member_of(kind: type[V], word: str) -> V:
    """Return the member that people write as `word`."""
    return next(value for value in kind if value.word == word)


def one_word(text: str, known: Collection[str], *, of: str) -> str:
    """Return the known word that `text` is, whatever its case and its gaps.

    Raises:
        BadLabel: it is none of them.
    """
    word = "-".join(text.lower().replace("_", " ").split())
    if word not in known:
        raise BadLabel(f"{of} has no word {text[:80]!r}", hint=nearest(word, known))
    return word


def _most(kind: type[Vocabulary]) -> Callable[[str, str], str]:
    return lambda one, other: max(member_of(kind, one), member_of(kind, other)).word


def _least(kind: type[Vocabulary]) -> Callable[[str, str], str]:
    return lambda one, other: min(member_of(kind, one), member_of(kind, other)).word


def _duty(one: str, other: str) -> str:
    """Must and must_not over may; both together contradict each other."""
    found = {one, other} - {Duty.MAY.word}
    if len(found) > 1:
        raise BadLabel(f"one marking says {one} and another {other}", hint="ask who marked it")
    return found.pop() if found else Duty.MAY.word


def _same(name: str) -> Callable[[Any, Any], Any]:
    def same(one: Any, other: Any) -> Any:
        if one != other:
            raise BadLabel(f"two markings differ in {name}", place=name, hint="ask who marked it")
        return one

    return same


def _every(one: list[Any], other: list[Any]) -> list[Any]:
    return [*one, *(value for value in other if value not in one)]


def _common(one: list[str], other: list[str]) -> list[str]:
    found = [value for value in one if value in other]
    if not found:
        raise BadLabel("the markings have nothing in common", hint="ask who marked it")
    return found


def _times(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The latest start, the earliest end."""
    both = {**one, **other}
    for name, choose in (("not_before", max), ("embargo_until", max), ("review_on", min), ("expires_at", min)):
        if name in one and name in other:
            both[name] = choose(one[name], other[name], key=_instant)
    if "purge" in (one.get("on_expiry"), other.get("on_expiry")):
        both["on_expiry"] = "purge"
    return both


def _instant(text: str) -> int:
    return moment(0)(node_of(text, error=BadLabel, path="time"))


_RULES: Mapping[str, Callable[[Any, Any], Any]] = {
    "tlp": _most(Tlp),
    "onward": _least(OnwardRule),
    "actions": _least(Actions),
    "evidence_use": _least(EvidenceUse),
    "resale": _least(Duty),
    "notify_affected": _duty,
    "attribution": _duty,
    "categories": _every,
    "about": _every,
    "purposes": _common,
    "use_in": _common,
    "handling": _every,
    "equivalents": _every,
    "orcon": lambda one, other: one or other,
    "max_hops": min,
    "time": _times,
}
"""How fields combine; of any other two values must be the same."""
