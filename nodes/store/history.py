"""What this node has sent before, for comparison, on an open transaction."""

from sqlalchemy import Connection, bindparam, func, select

from exchange.envelope.model import EnvelopeKind
from exchange.runtime.prepared import fetch
from nodes.store import tables
from nodes.store.rows import Direction, Reach

LOOKED_AT = 5_000
"""Newest versions among which those of a kind are sought: what is older is no measure of what is usual."""


def partners_reached(connection: Connection) -> set[str]:
    """Return the partners for whom a report was ever sealed."""
    return {partner for (partner,) in fetch(connection, _REACHED)}


def recent_of_kind(connection: Connection, kind: str, *, limit: int) -> list[tuple[int, int]]:
    """Return TLP and number of recipients of the last reports of a kind that were sent, newest first."""
    return [(tlp, recipients) for tlp, recipients in fetch(connection, _RECENT, kind=kind, most=limit)]


_report, _audience = tables.report.c, tables.audience.c
_REACHED = select(tables.reached.c.recipient)
_LOOKED_AT = select(func.coalesce(func.max(_report.number), 0) - LOOKED_AT).scalar_subquery()
_LAST = (
    select(_report.item, _report.number, _report.tlp)
    .where(_report.number > _LOOKED_AT, _report.direction == Direction.SENT, _report.kind == bindparam("kind"))
    .order_by(_report.number.desc())
    .limit(bindparam("most"))
    .subquery()
)
_RECENT = select(
    _LAST.c.tlp,
    select(func.count())
    .where(
        _audience.item == _LAST.c.item,
        _audience.kind == int(EnvelopeKind.REPORT),
        _audience.state != Reach.DENIED,
    )
    .scalar_subquery()
    .label("recipients"),
).order_by(_LAST.c.number.desc())
