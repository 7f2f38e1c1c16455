"""What should have happened and has not been confirmed: receipts, withdrawals, destruction; what waits for a person.

A confirmation proves that a partner's software kept a promise, not that nobody kept a copy; a missing one proves
nothing either: the partner may be cut off. So each line says since when, and what to do.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from exchange.receipts.model import RetractionAction
from nodes.core import Core
from nodes.store import holding, recalls
from nodes.store.rows import Recall

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


Sift = Callable[[Connection, Collection[bytes]], set[bytes]]
"""Returns those of these items that somebody may know of, on an open transaction."""

_Row = TypeVar("_Row", holding.Late, holding.Asked, Recall)


class _Look(Protocol):
    """Asks a query for its first rows that are not left out."""

    def __call__(self, query: Callable[..., list[_Row]], *given: int) -> list[_Row]:
        """Return them."""


def _everything(_: Connection, items: Collection[bytes]) -> set[bytes]:
    return set(items)


async def overdue(core: Core, *, patience_ms: int = PATIENCE_MS, sift: Sift = _everything) -> list[Overdue]:
    """Return everything that is overdue, longest first within each kind; at most LINES of each.

    What `sift` leaves out takes no place.
    """
    return await core.database.read(partial(find, now_ms=core.clock(), patience_ms=patience_ms, sift=sift))


def find(
    connection: Connection, now_ms: int, *, patience_ms: int = PATIENCE_MS, sift: Sift = _everything
) -> list[Overdue]:
    """Return what is overdue, on an open transaction."""
    before_ms, look = now_ms - patience_ms, partial(_first, connection, sift)
    return [*_reports(look, now_ms, before_ms), *_recalled(look, before_ms), *_people(look, now_ms)]


def _first(connection: Connection, sift: Sift, query: Callable[..., list[_Row]], *given: int) -> list[_Row]:
    """Return the first LINES rows of a query that are not left out."""
    found: list[_Row] = []
    for skip in count(step=LINES):
        rows = query(connection, *given, limit=LINES, skip=skip)
        known = sift(connection, {row.item for row in rows})
        found += [row for row in rows if row.item in known]
        if len(rows) < LINES or len(found) >= LINES:
            break
    return found[:LINES]


def _reports(look: _Look, now_ms: int, before_ms: int) -> Iterator[Overdue]:
    for late in look(holding.unsent, before_ms, now_ms + SOON_MS):
        yield Overdue(Kind.UNSENT, late.item, late.partner, late.since_ms, late.why or "it goes as soon as it can")
    for late in look(holding.unreceipted, before_ms):
        yield Overdue(Kind.RECEIPT, late.item, late.partner, late.since_ms, "ask the partner: its node may be cut off")
    for late in look(holding.unpurged, before_ms):
        hint = "ask the partner whether its node has destroyed it"
        yield Overdue(Kind.EXPIRY, late.item, late.partner, late.since_ms, hint)


def _recalled(look: _Look, before_ms: int) -> Iterator[Overdue]:
    for each in look(recalls.unconfirmed, before_ms):
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


def _people(look: _Look, now_ms: int) -> Iterator[Overdue]:
    for each in look(holding.to_decide, now_ms):
        if 0 < each.ask_at_ms <= now_ms:
            hint = "decide: concord report keep, or concord report purge"
            yield Overdue(Kind.DECISION, each.item, each.sender, each.ask_at_ms, hint)
        if 0 < each.review_at_ms <= now_ms:
            hint = "look at it again, then: concord report keep, or concord report purge"
            yield Overdue(Kind.REVIEW, each.item, each.sender, each.review_at_ms, hint)
