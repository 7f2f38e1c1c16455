"""Who wrote a report and who approved it, on an open transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, delete, func, select

from exchange.envelope.model import EnvelopeKind
from exchange.runtime.prepared import fetch_among
from exchange.runtime.upsert import columns_of, insert_or_keep, one_of
from nodes.store import tables
from nodes.store.rows import Reach
from nodes.store.rule_tables import approval, authorship


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One approval as stored; `name` is empty when it came with a partner's report."""

    item: bytes
    operator: bytes
    """Pseudonym."""
    name: str
    key_id: bytes
    at_ms: int
    stored_ms: int
    proof: bytes = field(repr=False)


def set_authors(connection: Connection, authors: Mapping[bytes, str]) -> None:
    """Remember who pushed each of these reports; the first one stays."""
    insert_or_keep(connection, authorship, [{"item": item, "name": name} for item, name in authors.items()])


def author_of(connection: Connection, item: bytes) -> str:
    """Return who pushed a report of this node; empty when nobody knows."""
    found = connection.execute(select(authorship.c.name).where(authorship.c.item == item)).scalar_one_or_none()
    return found or ""


def add_approvals(connection: Connection, rows: Iterable[ApprovalRow]) -> None:
    """Keep approvals; an operator's first one of an item stays."""
    insert_or_keep(connection, approval, [asdict(row) for row in rows])


def drop_approval(connection: Connection, item: bytes, operator: bytes) -> None:
    """Forget an operator's approval of an item, if there is one."""
    connection.execute(delete(approval).where(approval.c.item == item, approval.c.operator == operator))


def approvals_of(connection: Connection, item: bytes) -> list[ApprovalRow]:
    """Return the approvals of an item, oldest first."""
    row = approval.c
    wanted = select(approval).where(row.item == item).order_by(row.stored_ms, row.operator)
    return [ApprovalRow(**each._mapping) for each in connection.execute(wanted)]  # noqa: SLF001


def approvals_of_items(connection: Connection, items: Sequence[bytes]) -> dict[bytes, list[ApprovalRow]]:
    """Return the approvals of each of these items, oldest first; an item that has none is left out."""
    found: dict[bytes, list[ApprovalRow]] = {}
    for row in (ApprovalRow(*each) for each in fetch_among(connection, _OF_ITEMS, items)):
        found.setdefault(row.item, []).append(row)
    return found


_OF_ITEMS = (
    select(*columns_of(ApprovalRow, approval))
    .where(one_of(approval.c.item))
    .order_by(approval.c.stored_ms, approval.c.operator)
)


def count_approvals(connection: Connection, items: Sequence[bytes]) -> dict[bytes, int]:
    """Return how many approvals are kept of those of these items that have any."""
    row = approval.c
    wanted = select(row.item, func.count()).where(row.item.in_(list(items))).group_by(row.item)
    return {each[0]: each[1] for each in connection.execute(wanted)}


def marks(rows: Iterable[ApprovalRow]) -> frozenset[tuple[bytes, int]]:
    """Return who has approved an item and when: it differs whenever an approval came or was given anew."""
    return frozenset((row.operator, row.stored_ms) for row in rows)


def marks_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, frozenset[tuple[bytes, int]]]:
    """Return the marks of each of these items."""
    found = approvals_of_items(connection, items)
    return {item: marks(found.get(item, ())) for item in items}


def items_on_hold(connection: Connection, *, limit: int, after: bytes = b"") -> list[bytes]:
    """Return reports that wait for a change of the rules or for approvals, oldest first.

    `after` is the last one of a page before, whether it still waits or not.
    """
    row = tables.audience.c
    first = select(func.coalesce(func.min(row.number), 0)).where(row.item == after).scalar_subquery()
    wanted = (
        select(row.item)
        .where(row.state == Reach.WAITING, row.on_change, row.kind == int(EnvelopeKind.REPORT), row.number > first)
        .group_by(row.item)
        .order_by(func.min(row.number))
        .limit(limit)
    )
    return list(connection.execute(wanted).scalars())


def authors_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, str]:
    """Return who pushed these reports, of those of which that is known."""
    wanted = select(authorship).where(authorship.c.item.in_(list(items)))
    return {row.item: row.name for row in connection.execute(wanted)}
