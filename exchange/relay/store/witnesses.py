"""Checkpoints with their cosignatures on SQL, within one open transaction."""

from dataclasses import dataclass, field
from enum import IntEnum

from sqlalchemy import Connection, select

from exchange.relay.sequencer import Log
from exchange.relay.store import tables
from exchange.runtime.upsert import insert_or_replace


class Stage(IntEnum):
    """What a note is kept as."""

    ASKED = 1
    """Witnesses are asked to cosign it."""
    COSIGNED = 2
    """The newest that a quorum has cosigned."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A checkpoint's note with the lines so far."""

    size: int
    note: str = field(repr=False)
    since_ms: int
    """Since when witnesses are asked for it."""


def noted(connection: Connection) -> dict[tuple[Log, Stage], Noted]:
    """Return all that is kept."""
    return {
        (Log(row.log), Stage(row.stage)): Noted(row.size, row.note, row.since_ms)
        for row in connection.execute(select(tables.cosigned))
    }


def put_noted(connection: Connection, log: Log, stage: Stage, found: Noted) -> None:
    """Replace a note."""
    row = {
        "log": int(log),
        "stage": int(stage),
        "size": found.size,
        "note": found.note,
        "since_ms": found.since_ms,
    }
    insert_or_replace(connection, tables.cosigned, [row])
