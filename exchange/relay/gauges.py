"""What the relay measures when it is asked: what waits for each partner and lane, what is held, who is there.

Nothing is kept for it: each reads the store, or what is in memory, in the thread that serves the metrics.
"""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from exchange.directory.state import MEMBERS
from exchange.envelope.model import Lane
from exchange.names import PartyId
from exchange.relay.deliver import Deliveries
from exchange.relay.directory import LiveDirectory
from exchange.relay.store.blobs import SqlBlobs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.health import Health
from exchange.runtime.measure import measure_database, measure_disk
from exchange.runtime.metrics import Measured, Metrics


def measure(
    metrics: Metrics,
    database: Database,
    health: Health,
    directory: LiveDirectory,
    deliveries: Deliveries,
    *,
    home: Path,
    clock: Callable[[], int],
) -> None:
    """Let each gauge ask the part that knows."""

    def members() -> list[PartyId]:
        return [record.party for record in directory.now.directory.parties() if record.status in MEMBERS]

    def backlogs() -> Measured:
        found, now_ms = database.read_now(lambda connection: SqlMailboxes(connection).backlogs()), clock()
        measured: dict[tuple[str, ...], tuple[float, float]] = {
            (party, lane.name.lower()): (0.0, 0.0) for party in members() for lane in Lane
        }
        for (party, lane), backlog in found.items():
            measured[party, lane.name.lower()] = (backlog.waiting, max(0, now_ms - backlog.since_ms) / 1000)
        return measured

    def read_held(connection: Connection) -> dict[PartyId, int]:
        return dict(SqlMailboxes(connection).held_bytes())

    def held() -> dict[tuple[str, ...], float]:
        found = database.read_now(read_held)
        return {(party,): float(found.get(party, 0)) for party in members()}

    def attached() -> dict[tuple[str, ...], float]:
        found = database.read_now(lambda connection: {each: SqlBlobs(connection).used(each) for each in members()})
        return {(party,): float(used.size) for party, used in found.items()}

    def connected() -> dict[tuple[str, ...], float]:
        now = deliveries.connected()
        return {(party,): float(party in now) for party in members()}

    waiting = {
        "relay_waiting": "Envelopes that wait for a partner.",
        "relay_lag_seconds": "How long the oldest of them has waited.",
    }
    metrics.gauges_together(waiting, ("partner", "lane"), backlogs)
    metrics.gauges("relay_held_bytes", "Bytes of a partner's envelopes that wait for others.", ("partner",), held)
    what = "Bytes of a partner's attachments that wait for others, those announced included."
    metrics.gauges("relay_attachment_bytes", what, ("partner",), attached)
    metrics.gauges("relay_partner_connected", "1 while a partner has a delivery stream here.", ("partner",), connected)
    measure_database(metrics, "relay", database, health)
    measure_disk(metrics, "relay", home)
