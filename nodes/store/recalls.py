"""Who was asked to withdraw an item of ours, and who has confirmed it, on an open transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, or_, select, update

from exchange.receipts.model import ReceiptStatus, RetractionAction
from exchange.runtime.upsert import insert_or_replace
from nodes.store.rows import Recall
from nodes.store.rule_tables import recall

_row = recall.c


def ask(connection: Connection, asked: Sequence[Recall]) -> list[Recall]:
    """Write down who is asked, and return those whom this asks for more than before: for these it begins anew."""
    known = {(each.item, each.partner): each for each in of_items(connection, {each.item for each in asked})}
    changed = []
    for each in asked:
        before = known.get((each.item, each.partner))
        if before is None or before.action < each.action:
            changed.append(each)
    insert_or_replace(connection, recall, [asdict(each) for each in changed])
    return changed


def of_items(connection: Connection, items: Iterable[bytes]) -> list[Recall]:
    """Return who was asked to withdraw these items, by item and partner."""
    wanted = select(recall).where(_row.item.in_(list(items))).order_by(_row.item, _row.partner)
    return [Recall(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def was_asked(connection: Connection, item: bytes, partner: str) -> bool:
    """Say whether a partner was asked to withdraw an item."""
    wanted = select(_row.item).where(_row.item == item, _row.partner == partner)
    return connection.execute(wanted).first() is not None


def confirmed(connection: Connection, item: bytes, partner: str, status: ReceiptStatus, at_ms: int) -> None:
    """Write down that a partner has withdrawn or destroyed an item, by its own clock; the first time stays."""
    found = (_row.item == item, _row.partner == partner)
    if status is ReceiptStatus.PURGED:
        connection.execute(update(recall).where(*found, _row.purged_ms == 0).values(purged_ms=at_ms))
    if status in {ReceiptStatus.RETRACTED, ReceiptStatus.PURGED}:
        connection.execute(update(recall).where(*found, _row.retracted_ms == 0).values(retracted_ms=at_ms))


def unconfirmed(connection: Connection, before_ms: int, *, limit: int, skip: int = 0) -> list[Recall]:
    """Return who was asked before a time and has not confirmed everything, longest first."""
    lacking = or_(_row.retracted_ms == 0, (_row.action == int(RetractionAction.PURGE)) & (_row.purged_ms == 0))
    wanted = select(recall).where(_row.asked_ms < before_ms, lacking).order_by(_row.asked_ms, _row.item, _row.partner)
    page = wanted.limit(limit).offset(skip)
    return [Recall(**dict(row._mapping)) for row in connection.execute(page)]  # noqa: SLF001
