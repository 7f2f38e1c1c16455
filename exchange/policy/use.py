"""Decide whether what a node holds may be handed out for a use: what an export asks before any byte leaves.

Pure: no clock and no I/O. Denies by default, evaluates every check, and names every obstacle.
A stricter obligation never allows more; a wider use is never easier (tests/property/test_policy_use_properties.py).
Specification: docs/spec/policy.md, "Export".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto

from exchange.policy.decision import Obligations
from exchange.policy.fields import instant_text
from exchange.policy.model import Actions, EvidenceUse, Purpose


class Obstacle(StrEnum):
    """Why a use is refused; the code is stable."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name

    USE_WITHDRAWN = auto()
    USE_TIME_IS_OVER = auto()
    USE_DISPLAY_ONLY = auto()
    USE_NOBODY_MAY_READ = auto()
    USE_EMBARGOED = auto()
    USE_PURPOSE_NOT_PERMITTED = auto()
    USE_ACTION_NOT_PERMITTED = auto()
    USE_PLACE_NOT_SAID = auto()
    USE_PLACE_NOT_PERMITTED = auto()
    USE_EVIDENCE_NOT_PERMITTED = auto()
    USE_EVIDENCE_NEEDS_CONSENT = auto()


@dataclass(frozen=True, slots=True)
class Use:
    """What somebody wants to do with a report."""

    action: Actions
    purpose: Purpose
    place: str = ""
    """Country where it is used; empty when nobody said."""
    as_evidence: bool = False
    """In court."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """One obstacle, in words and with what to do."""

    code: Obstacle
    text: str
    hint: str = ""


def may_use(obligations: Obligations, use: Use, *, now_ms: int, withdrawn: bool = False) -> tuple[Hindrance, ...]:
    """Return everything that stands against this use; nothing when it is permitted.

    `withdrawn` says that its originator took it back.
    """
    return (
        *_at_all(obligations, now_ms, withdrawn=withdrawn),
        *_for_this(obligations, use),
        *(_as_evidence(obligations) if use.as_evidence else ()),
    )


def _at_all(must: Obligations, now_ms: int, *, withdrawn: bool) -> Iterator[Hindrance]:
    """Whatever the use is."""
    if withdrawn:
        yield Hindrance(Obstacle.USE_WITHDRAWN, "Its originator has withdrawn it.")
    if 0 < must.purge_at_ms <= now_ms:
        yield Hindrance(Obstacle.USE_TIME_IS_OVER, f"It was to be destroyed by {instant_text(must.purge_at_ms)}.")
    if must.display_only:
        yield Hindrance(Obstacle.USE_DISPLAY_ONLY, "It may be shown and not handed out.", "concord report show")
    if must.nobody_may_read:
        yield Hindrance(
            Obstacle.USE_NOBODY_MAY_READ,
            "It is for named readers, and none is named.",
            "ask the originator for a version that names its readers",
        )
    if now_ms < must.embargo_until_ms:
        until = instant_text(must.embargo_until_ms)
        yield Hindrance(Obstacle.USE_EMBARGOED, f"Nothing of it may leave before {until}.", "wait")


def _for_this(must: Obligations, use: Use) -> Iterator[Hindrance]:
    """The use itself: purpose, action, place."""
    if use.purpose not in must.purposes:
        permitted = ", ".join(purpose.word for purpose in must.purposes)
        yield Hindrance(
            Obstacle.USE_PURPOSE_NOT_PERMITTED,
            f"It may not be used for {use.purpose.word}.",
            f"permitted: {permitted}; another purpose needs the originator's consent",
        )
    if use.action > must.actions:
        yield Hindrance(
            Obstacle.USE_ACTION_NOT_PERMITTED,
            f"Its originator permits {must.actions.word}, which is less than {use.action.word}.",
            "ask the originator first",
        )
    if must.use_in and not use.place:
        yield Hindrance(
            Obstacle.USE_PLACE_NOT_SAID, "It may be used in certain countries only.", f"--in {'|'.join(must.use_in)}"
        )
    elif must.use_in and use.place not in must.use_in:
        yield Hindrance(
            Obstacle.USE_PLACE_NOT_PERMITTED,
            f"It may not be used in {use.place}.",
            f"permitted: {', '.join(must.use_in)}",
        )


def _as_evidence(must: Obligations) -> Iterator[Hindrance]:
    """In court. A grant lets others have a report and says nothing of courts: the consent is a version that says so."""
    if must.evidence_use is EvidenceUse.NO:
        yield Hindrance(Obstacle.USE_EVIDENCE_NOT_PERMITTED, "It may not be used as evidence.", "ask the originator")
    elif must.evidence_use is EvidenceUse.WITH_CONSENT:
        yield Hindrance(
            Obstacle.USE_EVIDENCE_NEEDS_CONSENT,
            "Using it as evidence needs its originator's consent.",
            "ask the originator for a version whose label says evidence_use: yes",
        )
