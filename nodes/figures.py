"""How the node is: counts and states that people look at, gathered from every part."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from exchange.envelope.model import Lane
from nodes.core import Core
from nodes.overdue import LINES, find
from nodes.prekeys import Prekeys
from nodes.relay_client import RelayClient
from nodes.silence import silent_partners
from nodes.store import alarms, holding, missing, receiving, reports, sending
from nodes.store.missing import Gap
from nodes.store.rows import Alarm, Direction, Reach

ALARMS_SHOWN = 50

STAGES = {
    Reach.WAITING: "unsealed",
    Reach.AGAIN: "unsealed",
    Reach.SEALED: "unanswered",
    Reach.PROMISED: "unreceipted",
}
"""How far a report has come that its recipient has not receipted."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the store says."""

    sent: int
    received: int
    unreceipted: int
    quarantined: int
    reviews_due: int
    overdue: int
    positions: dict[int, int]
    waiting: dict[int, int]
    """By lane: envelopes without an answer and rows that are not sealed yet."""
    alarms: list[Alarm]
    backlogs: list[tuple[str, Reach, int, int]]
    """Partner, how far, how many and since when."""
    gaps: list[Gap]
    answered_here: int
    """Missing numbers of which their senders said what became of them."""
    asked_of_us: int
    answered_by_us: int
    """Own numbers that partners have asked for again: waiting, and answered."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How the node is."""

    counts: Counts
    membership: str
    prekey_days: int
    transport_until_ms: int
    node_cert_until_ms: int
    disk_free: int
    silent: dict[str, int]
    """Silent partners, and since when."""


async def gather(core: Core, prekeys: Prekeys, relay: RelayClient, home: Path) -> Figures:
    """Return how the node is now."""
    now_ms = core.clock()
    counts = await core.database.read(lambda connection: _counts(connection, now_ms))
    directory = core.trust.now.directory
    record = directory.key_record(core.keys.statement.public.key_id)
    status = core.trust.now.status(core.me)
    return Figures(
        counts=counts,
        membership=status.value if status else "joining",
        prekey_days=prekeys.days_ahead(),
        transport_until_ms=relay.leaf_until_ms,
        node_cert_until_ms=record.until_ms if record else 0,
        silent=await silent_partners(core),
        disk_free=shutil.disk_usage(home).free,
    )


def _counts(connection: Connection, now_ms: int) -> Counts:
    by_direction = reports.count_reports(connection)
    unanswered, unsealed = sending.count_unanswered(connection), reports.count_waiting(connection)
    asked_of_us, answered_by_us = missing.count_asked(connection)
    return Counts(
        sent=by_direction.get(Direction.SENT, 0),
        received=by_direction.get(Direction.RECEIVED, 0),
        unreceipted=reports.count_unreceipted(connection),
        quarantined=receiving.count_set_aside(connection),
        reviews_due=len(holding.to_decide(connection, now_ms, limit=LINES)),
        overdue=len(find(connection, now_ms)),
        positions={lane: cursor.position for lane, cursor in receiving.cursors(connection).items()},
        waiting={int(lane): unanswered.get(lane, 0) + unsealed.get(lane, 0) for lane in Lane},
        alarms=alarms.open_alarms(connection, limit=ALARMS_SHOWN),
        backlogs=reports.backlogs(connection),
        gaps=missing.gaps(connection),
        answered_here=missing.count_answered(connection),
        asked_of_us=asked_of_us,
        answered_by_us=answered_by_us,
    )
