"""What is unusual about a release, so that a person looks before it goes. Pure: history and limits are arguments.

The sharing rules say what may go; this says what is rarely meant. Nothing here permits or denies: each finding has a
code, and a push names the codes that its author has confirmed. Machines are not asked: a sensor's scope bounds whom it
reaches (nodes/sensors.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from exchange.errors import BadInput, NeedsConfirmation
from exchange.names import PartyId
from exchange.policy.model import Label, Release, Tlp

PAST_REPORTS = 50
"""Of the same kind, with which a release is compared."""

PAST_LEAST = 5
"""With fewer there is no usual."""

NAMED = 8
"""Partners that a text names; the others are counted."""


class Unusual(StrEnum):
    """Codes that a person confirms; they are stable."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name

    FIRST_TIME_TO_PARTNER = auto()
    """No report of this node ever went to one of the recipients."""
    WIDE_AUDIENCE = auto()
    """More recipients than any of the last reports of this kind had, or than the node's limit."""
    EVERYONE = auto()
    """The audience is `*`: whoever an agreement permits."""
    WEAKER_LABEL = auto()
    """A weaker traffic light than every one of the last reports of this kind."""


@dataclass(frozen=True, slots=True)
class Past:
    """One earlier report of the same kind."""

    tlp: int
    recipients: int


@dataclass(frozen=True, slots=True)
class History:
    """What this node has sent before."""

    reached: Collection[str]
    """Partners to whom any report went."""
    recent: Sequence[Past]
    """The last reports of the same kind, at most PAST_REPORTS."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that a person should look at, in words."""

    code: Unusual
    text: str


def look(
    label: Label, release: Release, recipients: Sequence[PartyId], history: History, *, wide_audience: int
) -> list[Hint]:
    """Return what is unusual, in order of the codes; `recipients` are those who get it now or later."""
    hints = []
    new = sorted(set(recipients) - set(history.reached))
    if new:
        hints.append(Hint(Unusual.FIRST_TIME_TO_PARTNER, f"nothing was ever sent to {_named(new)}"))
    if wide := _wide(len(recipients), history.recent, wide_audience):
        hints.append(Hint(Unusual.WIDE_AUDIENCE, wide))
    if any(target.everyone for target in release.to):
        hints.append(Hint(Unusual.EVERYONE, "its audience is everyone whom an agreement permits"))
    weakest = min((past.tlp for past in history.recent), default=0)
    if len(history.recent) >= PAST_LEAST and label.tlp < weakest:
        words = f"TLP:{label.tlp.word.upper()}; the last {len(history.recent)} of this kind were"
        hints.append(Hint(Unusual.WEAKER_LABEL, f"{words} TLP:{Tlp(weakest).word.upper()} or stricter"))
    return hints


def check_confirmed(hints: Sequence[Hint], confirmed: Collection[str]) -> None:
    """Return when a person has confirmed everything that is unusual.

    Raises:
        BadInput: a code that there is not.
        NeedsConfirmation: it names the codes that are missing.
    """
    unknown = sorted(set(confirmed) - set(Unusual))
    if unknown:
        raise BadInput(f"{unknown[0][:40]!r} is nothing to confirm", hint=f"one of {', '.join(Unusual)}")
    missing = [hint for hint in hints if hint.code not in confirmed]
    if missing:
        told = "; ".join(f"{hint.code}: {hint.text}" for hint in missing)
        accept = " ".join(f"--accept {hint.code}" for hint in missing)
        raise NeedsConfirmation(f"nothing was sent. {told}", hint=f"look at who gets it, then: {accept}")


def _wide(count: int, recent: Sequence[Past], limit: int) -> str:
    if count > limit:
        return f"{count} recipients; more than {limit} are unusual for this node"
    widest = max((past.recipients for past in recent), default=0)
    if len(recent) >= PAST_LEAST and count > widest:
        return f"{count} recipients; none of the last {len(recent)} of this kind had more than {widest}"
    return ""


def _named(parties: Sequence[str]) -> str:
    more = f" and {len(parties) - NAMED} others" if len(parties) > NAMED else ""
    return ", ".join(parties[:NAMED]) + more
