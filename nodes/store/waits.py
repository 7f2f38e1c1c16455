"""Times that a wrong clock has stored and that have not come, ended once it is right, on an open transaction.

What waits for a time is tried as soon as that has come; written by a clock that was ahead, it would wait for as much
longer. To be tried too early costs a try and changes nothing: whatever still has to wait is found to.
"""

from sqlalchemy import Connection, select, update

from nodes.store import tables
from nodes.store.blobs import BlobState, Way
from nodes.store.rows import MissingState, Reach
from nodes.store.rule_tables import asked_again, blob, missing

_audience = tables.audience.c


def newest_event_ms(connection: Connection) -> int:
    """Return what this node's clock said when it last wrote into a report's story; 0 without any."""
    event = tables.event.c
    return connection.execute(select(event.at_ms).order_by(event.number.desc()).limit(1)).scalar() or 0


def end_waits(connection: Connection, now_ms: int) -> None:
    """Let everything be tried at once that waits for a time, and nothing be as of a time that has not come.

    What waits for the directory or for approvals goes on waiting.
    """
    for state in (Reach.WAITING, Reach.AGAIN):
        timed = (_audience.state == state, _audience.due_ms > now_ms, ~_audience.on_change)
        connection.execute(update(tables.audience).where(*timed).values(due_ms=0))
    coming = (blob.c.way == Way.IN, blob.c.state == BlobState.WAITING, blob.c.due_ms > now_ms)
    connection.execute(update(blob).where(*coming).values(due_ms=0))
    gone = missing.c.state == MissingState.MISSING
    for column in (missing.c.since_ms, missing.c.due_ms):
        connection.execute(update(missing).where(gone, column > now_ms).values({column: now_ms}))
    asked = update(asked_again).where(asked_again.c.waiting, asked_again.c.answered_ms > now_ms)
    connection.execute(asked.values(answered_ms=now_ms))
