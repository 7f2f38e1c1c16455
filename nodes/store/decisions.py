"""Decisions that counted, sealed, on an open transaction."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, func, select

from exchange.runtime.prepared import fetch_among
from exchange.runtime.upsert import insert_next, one_of, row_of
from nodes.store import tables
from nodes.store.rows import DecisionRow
from nodes.store.rule_tables import decision

MOST_OF_ITEM = 128
"""Rows of one item; an envelope is refused and sealed anew fewer times than that."""

DENIED_MOST = 10_000
"""Rows of deliveries that were denied: partners must not fill the disk with them."""

_row = decision.c
_COUNTED = select(_row.item, func.count()).where(one_of(_row.item)).group_by(_row.item)


def add_decisions(connection: Connection, rows: Sequence[DecisionRow]) -> None:
    """Keep decisions, in order; beyond MOST_OF_ITEM of one item nothing more is kept."""
    if not rows:
        return
    counts: dict[bytes, int] = dict(fetch_among(connection, _COUNTED, list({row.item for row in rows})))
    kept: list[dict[str, object]] = []
    for row in rows:
        counts[row.item] = counts.get(row.item, 0) + 1
        if counts[row.item] <= MOST_OF_ITEM:
            kept.append(row_of(row))
    insert_next(connection, decision, kept)


def count_denied(connection: Connection, stage: str) -> int:
    """Return how many rows of a stage there are."""
    return int(connection.execute(select(func.count()).where(_row.stage == stage)).scalar_one())


def decisions_of(connection: Connection, item: bytes) -> list[DecisionRow]:
    """Return an item's decisions, in order."""
    wanted = select(decision).where(_row.item == item).order_by(_row.number)
    return [
        DecisionRow(row.item, row.stage, row.at_ms, row.directory_size, row.sealed)
        for row in connection.execute(wanted)
    ]


def drop_of_items(connection: Connection, items: Iterable[bytes]) -> None:
    """Forget the decisions on these items."""
    connection.execute(delete(decision).where(_row.item.in_(list(items))))


def items_among(connection: Connection, items: Sequence[bytes]) -> set[bytes]:
    """Return those of these items of which a decision is kept: they need their key."""
    return set(connection.execute(select(_row.item).where(_row.item.in_(list(items))).distinct()).scalars())


def is_denied(connection: Connection, item: bytes) -> bool:
    """Whether decisions are kept on an item that is no report here."""
    here = select(tables.report.c.item).where(tables.report.c.item == item)
    return bool(items_among(connection, [item])) and connection.execute(here).first() is None


def without_report(connection: Connection, stage: str, before_ms: int, *, limit: int) -> list[bytes]:
    """Return items that have no report here and decisions of a stage from before a time."""
    known = select(tables.report.c.item).where(tables.report.c.item == _row.item).exists()
    wanted = select(_row.item).where(_row.stage == stage, _row.at_ms < before_ms, ~known).distinct().limit(limit)
    return list(connection.execute(wanted).scalars())
