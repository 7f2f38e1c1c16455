"""Beginning anew after a restore: what must not go on as it was, and which streams are over, on an open transaction."""

from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, delete, select, update

from exchange.envelope.model import EnvelopeKind
from exchange.runtime.upsert import insert_or_replace
from nodes.store import tables
from nodes.store.rows import Reach, SlotState
from nodes.store.rule_tables import session, stream_reset, stream_told


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


# -- resets ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeardReset:
    """The newest reset of a sender, and where the relay logged it."""

    sender: str
    stream: int
    log_index: int
    at_ms: int
    statement: bytes = field(repr=False)


def hear(connection: Connection, reset: HeardReset) -> bool:
    """Keep a reset that begins a higher stream than every one before, and say whether it does."""
    row = stream_reset.c
    known = select(row.stream).where(row.sender == reset.sender, row.stream >= reset.stream)
    if connection.execute(known).first() is not None:
        return False
    insert_or_replace(connection, stream_reset, [asdict(reset)])
    return True


def heard(connection: Connection) -> dict[str, HeardReset]:
    """Return the newest reset of each sender that has begun anew."""
    found = connection.execute(select(stream_reset))
    return {row.sender: HeardReset(**dict(row._mapping)) for row in found}  # noqa: SLF001


def told(connection: Connection) -> dict[str, int]:
    """Return which stream of ours each partner was told of last."""
    return {row.partner: row.stream for row in connection.execute(select(stream_told))}


def set_told(connection: Connection, partner: str, stream: int) -> None:
    """Note that a partner is told of a stream."""
    insert_or_replace(connection, stream_told, [{"partner": partner, "stream": stream}])


def seal_again(connection: Connection, recipient: str) -> int:
    """Let reports that a recipient has not receipted be sealed for it once more; return how many.

    It may hold them all the same: until then they stand as sent, and a retraction reaches it.
    """
    row = tables.audience.c
    again = {"state": Reach.AGAIN, "why": "", "due_ms": 0, "tries": 0, "alone": True}
    return connection.execute(
        update(tables.audience)
        .where(row.recipient == recipient, row.kind == int(EnvelopeKind.REPORT), row.state == Reach.PROMISED)
        .values(**again)
    ).rowcount


def tell_heads_again(connection: Connection, recipient: str) -> None:
    """Let the heads of all streams towards a recipient be due."""
    rows = update(tables.sequence).where(tables.sequence.c.recipient == recipient, tables.sequence.c.last_seq > 0)
    connection.execute(rows.values(traffic_ms=1, head_ms=0))
