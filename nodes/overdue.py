"""What should have happened and has not been confirmed: receipts, withdrawals, destruction; what waits for a person.

A confirmation proves that a partner's software kept a promise, not that nobody kept a copy; a missing one proves
nothing either: the partner may be cut off. So each line says since when, and what to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sqlalchemy import Connection

from exchange.receipts.model import RetractionAction
from nodes.core import Core
from nodes.store import holding, recalls

PATIENCE_MS = 24 * 60 * 60 * 1000
"""How long something may be missing before it is overdue, when nobody says otherwise."""

LINES = 1_000
"""Of each kind."""

SOON_MS = 10 * 60 * 1000
"""What waits for a time beyond this waits for that alone, and is not late."""


class Kind(StrEnum):
    """What is missing; stable words."""

    RECEIPT = "receipt"
    """The relay has it, the partner has not confirmed it."""
    UNSENT = "unsent"
    WITHDRAWAL = "withdrawal"
    DESTRUCTION = "destruction"
    EXPIRY = "expiry"
    """Its label's or agreement's time is over, and the partner has not confirmed that it destroyed it."""
    DECISION = "decision"
    """Its label asks a person of this partner what becomes of it."""
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Overdue:
    """One thing that is overdue."""

    kind: Kind
    item: bytes
    partner: str
    since_ms: int
    hint: str


async def overdue(core: Core, *, patience_ms: int = PATIENCE_MS) -> list[Overdue]:
    """Return everything that is overdue, longest first within each kind; at most LINES of each."""
    return await core.database.read(partial(find, now_ms=core.clock(), patience_ms=patience_ms))


def find(connection: Connection, now_ms: int, *, patience_ms: int = PATIENCE_MS) -> list[Overdue]:
    """Return what is overdue, on an open transaction."""
    before_ms = now_ms - patience_ms
    return [*_reports(connection, now_ms, before_ms), *_recalled(connection, before_ms), *_people(connection, now_ms)]


def _reports(connection: Connection, now_ms: int, before_ms: int) -> Iterator[Overdue]:
    for late in holding.unsent(connection, before_ms, now_ms + SOON_MS, limit=LINES):
        yield Overdue(Kind.UNSENT, late.item, late.partner, late.since_ms, late.why or "it goes as soon as it can")
    for late in holding.unreceipted(connection, before_ms, limit=LINES):
        yield Overdue(Kind.RECEIPT, late.item, late.partner, late.since_ms, "ask the partner: its node may be cut off")
    for late in holding.unpurged(connection, before_ms, limit=LINES):
        hint = "ask the partner whether its node has destroyed it"
        yield Overdue(Kind.EXPIRY, late.item, late.partner, late.since_ms, hint)


def _recalled(connection: Connection, before_ms: int) -> Iterator[Overdue]:
    for each in recalls.unconfirmed(connection, before_ms, limit=LINES):
        whose = "that holds it by a consent" if each.onward else ""
        if not each.retracted_ms:
            hint = f"call the partner {whose}".rstrip() + ": its node has not said that it hides the report"
            yield Overdue(Kind.WITHDRAWAL, each.item, each.partner, each.asked_ms, hint)
        elif each.action == RetractionAction.PURGE:
            hint = (
                f"call the partner {whose}".rstrip()
                + ": its node hides the report and has not said that it destroyed it"
            )
            yield Overdue(Kind.DESTRUCTION, each.item, each.partner, each.asked_ms, hint)


def _people(connection: Connection, now_ms: int) -> Iterator[Overdue]:
    for each in holding.to_decide(connection, now_ms, limit=LINES):
        if 0 < each.ask_at_ms <= now_ms:
            hint = "decide: concord report keep, or concord report purge"
            yield Overdue(Kind.DECISION, each.item, each.sender, each.ask_at_ms, hint)
        if 0 < each.review_at_ms <= now_ms:
            hint = "look at it again, then: concord report keep, or concord report purge"
            yield Overdue(Kind.REVIEW, each.item, each.sender, each.review_at_ms, hint)
