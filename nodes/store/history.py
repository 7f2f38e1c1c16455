"""What this node has sent before, for comparison, on an open transaction."""

from sqlalchemy import Connection, func, select

from exchange.envelope.model import EnvelopeKind
from nodes.store import tables
from nodes.store.rows import Direction, Reach

LOOKED_AT = 5_000
"""Newest versions among which those of a kind are sought: what is older is no measure of what is usual."""


def partners_reached(connection: Connection) -> set[str]:
    """Return the partners for whom a report was ever sealed."""
    return set(connection.execute(select(tables.reached.c.recipient)).scalars())


def recent_of_kind(connection: Connection, kind: str, *, limit: int) -> list[tuple[int, int]]:
    """Return TLP and number of recipients of the last reports of a kind that were sent, newest first."""
    report, audience = tables.report.c, tables.audience.c
    newest = connection.execute(select(func.max(report.number))).scalar_one() or 0
    wanted = (
        select(report.item, report.tlp)
        .where(report.number > newest - LOOKED_AT, report.direction == Direction.SENT, report.kind == kind)
        .order_by(report.number.desc())
        .limit(limit)
    )
    found = connection.execute(wanted).all()
    counted = (
        select(audience.item, func.count())
        .where(
            audience.item.in_([row.item for row in found]),
            audience.kind == int(EnvelopeKind.REPORT),
            audience.state != Reach.DENIED,
        )
        .group_by(audience.item)
    )
    counts = {row[0]: row[1] for row in connection.execute(counted)}
    return [(row.tlp, counts.get(row.item, 0)) for row in found]
