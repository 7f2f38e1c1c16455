"""What is unusual about a release, so that a person looks before it goes. Pure: history and limits are arguments.

The sharing rules say what may go; this says what is rarely meant. Nothing here permits or denies: each finding has a
code and the partners that it is about, and a push names what its author has confirmed, code and partners. So a
confirmation is worth nothing for another audience than the one that was looked at. Machines are not asked: a sensor's
scope bounds whom it reaches (nodes/sensors.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from hashlib import sha256

from exchange.errors import BadInput, NeedsConfirmation
from exchange.names import PartyId
from exchange.policy.model import Label, Release, Tlp

PAST_REPORTS = 50
"""Of the same kind, with which a release is compared."""

PAST_LEAST = 5
"""With fewer there is no usual."""

NAMED = 8
"""Partners that a text names; the others are counted."""

DIGEST_DIGITS = 16
"""Of SHA-256, for a list of partners: nobody gains by two lists with one digest, because the audience is computed."""


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
    partners: tuple[PartyId, ...]
    """Whom it is about, ascending: the new ones, or everybody who gets it."""

    @property
    def accept(self) -> str:
        """What confirms it: the code with the partners; many stand as their number and a digest."""
        names = ",".join(self.partners)
        if len(self.partners) > NAMED:
            names = f"{len(self.partners)}:{sha256(names.encode()).hexdigest()[:DIGEST_DIGITS]}"
        return f"{self.code}:{names}"


def look(
    label: Label, release: Release, recipients: Sequence[PartyId], history: History, *, wide_audience: int
) -> list[Hint]:
    """Return what is unusual, in order of the codes; `recipients` are those who get it now or later."""
    everybody = tuple(sorted(recipients))
    hints = look_onward(everybody, everybody, history, wide_audience=wide_audience)
    if any(target.everyone for target in release.to):
        hints.append(Hint(Unusual.EVERYONE, "its audience is everyone whom an agreement permits", everybody))
    weakest = min((past.tlp for past in history.recent), default=0)
    if len(history.recent) >= PAST_LEAST and label.tlp < weakest:
        words = f"TLP:{label.tlp.word.upper()}; the last {len(history.recent)} of this kind were"
        text = f"{words} TLP:{Tlp(weakest).word.upper()} or stricter"
        hints.append(Hint(Unusual.WEAKER_LABEL, text, everybody))
    return hints


def look_onward(
    partners: Sequence[PartyId], audience: Sequence[PartyId], history: History, *, wide_audience: int
) -> list[Hint]:
    """Return what is unusual about `partners` getting what all of `audience` then have."""
    hints = []
    new = tuple(sorted(set(partners) - set(history.reached)))
    if new:
        hints.append(Hint(Unusual.FIRST_TIME_TO_PARTNER, f"nothing was ever sent to {_named(new)}", new))
    if wide := _wide(len(audience), history.recent, wide_audience):
        hints.append(Hint(Unusual.WIDE_AUDIENCE, wide, tuple(sorted(audience))))
    return hints


def check_confirmed(hints: Sequence[Hint], confirmed: Collection[str]) -> None:
    """Return when a person has confirmed everything that is unusual, for just the partners that it is about.

    Raises:
        BadInput: a code that there is not.
        NeedsConfirmation: it names what is missing, and what was confirmed for others.
    """
    codes = {each.partition(":")[0] for each in confirmed}
    unknown = sorted(codes - set(Unusual))
    if unknown:
        raise BadInput(f"{unknown[0][:40]!r} is nothing to confirm", hint=f"one of {', '.join(Unusual)}, with partners")
    missing = [hint for hint in hints if hint.accept not in confirmed]
    if missing:
        told = "; ".join(f"{hint.code}: {hint.text}{_for_others(hint, codes)}" for hint in missing)
        accept = " ".join(f"--accept {hint.accept}" for hint in missing)
        raise NeedsConfirmation(f"nothing was sent. {told}", hint=f"look at who gets it, then: {accept}")


def by_whom(name: str, confirmed: Collection[str]) -> str:
    """Return who did something, as the story has it, with what was confirmed."""
    return f"{name}, who confirmed {', '.join(confirmed)}" if confirmed else name


def _for_others(hint: Hint, codes: Collection[str]) -> str:
    return " (confirmed for other partners than these)" if hint.code in codes else ""


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
