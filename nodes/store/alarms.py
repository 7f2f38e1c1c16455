"""What an operator must look at, on an open transaction."""

from dataclasses import asdict

from sqlalchemy import Connection, func, insert, select, update

from exchange.runtime.upsert import next_number
from nodes.store import tables
from nodes.store.rows import Alarm

SUBJECT_CHARS = 200

_alarm = tables.alarm.c


def raise_alarm(connection: Connection, alarm: Alarm) -> bool:
    """Open an alarm and say whether it is new; one of the same kind and subject that is open stays as it is."""
    subject = alarm.subject[:SUBJECT_CHARS]
    known = select(_alarm.number).where(_alarm.kind == alarm.kind, _alarm.subject == subject, _alarm.closed_ms == 0)
    if connection.execute(known).first() is not None:
        return False
    row = {**asdict(alarm), "subject": subject, "number": next_number(connection, _alarm.number)}
    connection.execute(insert(tables.alarm), [row])
    return True


def close_alarm(connection: Connection, kind: str, subject: str, now_ms: int) -> None:
    """Close an open alarm whose cause is gone; nothing happens when there is none."""
    rows = update(tables.alarm).where(_alarm.kind == kind, _alarm.subject == subject[:SUBJECT_CHARS])
    connection.execute(rows.where(_alarm.closed_ms == 0).values(closed_ms=now_ms))


def count_open(connection: Connection) -> dict[str, int]:
    """Return how many alarms are open, by kind."""
    wanted = select(_alarm.kind, func.count()).where(_alarm.closed_ms == 0).group_by(_alarm.kind)
    return {row[0]: row[1] for row in connection.execute(wanted)}


def open_alarms(connection: Connection, *, limit: int = 100) -> list[Alarm]:
    """Return open alarms, newest first."""
    wanted = select(tables.alarm).where(_alarm.closed_ms == 0).order_by(_alarm.number.desc()).limit(limit)
    return [Alarm(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001
