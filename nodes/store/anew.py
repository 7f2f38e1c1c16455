"""What of a restored store must not go on as it was, on an open transaction."""

from sqlalchemy import Connection, delete, select, update

from nodes.store import tables
from nodes.store.rows import Reach, SlotState
from nodes.store.rule_tables import session


def begin(connection: Connection) -> None:
    """Let what was sealed wait to be sealed once more, under numbers of another stream, and end every session.

    Old numbers stay with their envelopes: receipts that come back name these. Heads of the old stream are told no more.
    """
    row = tables.audience.c
    connection.execute(
        update(tables.slot).where(tables.slot.c.state == SlotState.SEALED).values(state=SlotState.VOIDED)
    )
    connection.execute(delete(tables.outbox))
    connection.execute(
        update(tables.audience)
        .where(row.state == Reach.SEALED)
        .values(state=Reach.WAITING, why="", due_ms=0, envelope=b"")
    )
    connection.execute(delete(tables.sequence))
    connection.execute(delete(session))


def items_with_keys(connection: Connection) -> list[bytes]:
    """Return every item that has a key in keys.db, newest hash first."""
    return list(connection.execute(select(tables.report_key.c.item)).scalars())
