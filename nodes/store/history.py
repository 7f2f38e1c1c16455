"""What this node has sent before, for comparison, on an open transaction."""

from sqlalchemy import Connection, bindparam, func, select

from exchange.envelope.model import EnvelopeKind
from nodes.store import tables
from nodes.store.rows import Direction, Reach

LOOKED_AT = 5_000
"""Newest versions among which those of a kind are sought: what is older is no measure of what is usual."""


def partners_reached(connection: Connection) -> set[str]:
    """Return the partners for whom a report was ever sealed."""
    return set(connection.execute(_REACHED).scalars())


def recent_of_kind(connection: Connection, kind: str, *, limit: int) -> list[tuple[int, int]]:
    """Return TLP and number of recipients of the last reports of a kind that were sent, newest first."""
    newest = connection.execute(_NEWEST).scalar_one() or 0
    found = connection.execute(_RECENT, {"after": newest - LOOKED_AT, "kind": kind, "most": limit}).all()
    counts = {row[0]: row[1] for row in connection.execute(_COUNTED, {"items": [row.item for row in found]})}
    return [(row.tlp, counts.get(row.item, 0)) for row in found]


_report, _audience = tables.report.c, tables.audience.c
_REACHED = select(tables.reached.c.recipient)
_NEWEST = select(func.max(_report.number))
_RECENT = (
    select(_report.item, _report.tlp)
    .where(_report.number > bindparam("after"), _report.direction == Direction.SENT, _report.kind == bindparam("kind"))
    .order_by(_report.number.desc())
    .limit(bindparam("most"))
)
_COUNTED = (
    select(_audience.item, func.count())
    .where(
        _audience.item.in_(bindparam("items", expanding=True)),
        _audience.kind == int(EnvelopeKind.REPORT),
        _audience.state != Reach.DENIED,
    )
    .group_by(_audience.item)
)
