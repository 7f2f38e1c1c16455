"""What Prometheus is told of a running node."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from exchange.envelope.model import Lane
from exchange.runtime.health import Health
from exchange.runtime.measure import measure_database, measure_disk
from exchange.runtime.metrics import Measured, Metrics
from nodes.core import Core
from nodes.figures import STAGES
from nodes.parts import Node
from nodes.store import alarms, blobs, receiving, reports, sending
from nodes.store.blobs import Way


def measure(metrics: Metrics, node: Node, health: Health) -> None:
    """Let each gauge ask the part that knows."""
    core = node.core
    measured: dict[str, tuple[str, Callable[[], float]]] = {
        "node_relay_connected": ("1 while the relay is heard.", lambda: float(core.link.state == "connected")),
        "node_relay_contact_ms": ("When the relay was last heard.", lambda: float(core.link.contact_ms)),
        "node_directory_size": ("Directory entries verified.", lambda: float(core.trust.now.size)),
        "node_directory_quorum_ms": (
            "As of when a quorum of witnesses vouches for the directory; 0 while the exchange is unwitnessed.",
            lambda: float(node.watch.freshness.now.quorum_ms),
        ),
        "node_directory_stale": (
            "1 while the directory is too old to send reports under.",
            lambda: float(node.watch.freshness.stale_since() > 0),
        ),
        "node_directory_broken": ("1 while no newer entry is believed.", lambda: float(bool(core.trust.broken))),
        "node_prekey_days": ("Days for which prekeys are published.", lambda: float(node.prekeys.days_ahead())),
        "node_key_days": ("Days that the certificate of this node's keys still has.", partial(_days, node, own=True)),
        "node_partner_key_days": ("Days of the partner whose certificate ends first.", partial(_days, node, own=False)),
        "node_unanswered": ("Sealed envelopes without an answer.", lambda: float(node.sender.unanswered)),
    }
    for name, (what, measure) in measured.items():
        metrics.gauge(name, what).set_function(measure)
    node.numbers.measure(metrics)
    metrics.counters(
        "node_answers",
        "The relay's answers to envelopes, by reason or `promised`.",
        "reason",
        node.sender.outcomes.copy,
    )
    _measure_store(metrics, core)
    measure_database(metrics, "node", core.database, health)
    measure_disk(metrics, "node", node.home)


def _measure_store(metrics: Metrics, core: Core) -> None:
    """Show what only the store knows: what waits, what is open."""

    def backlogs() -> Measured:
        found, now_ms = core.database.read_now(reports.backlogs), core.clock()
        measured: dict[tuple[str, ...], tuple[float, float]] = {}
        for partner, state, count, since_ms in found:
            key = (partner, STAGES[state])
            before, lag = measured.get(key, (0.0, 0.0))
            measured[key] = (before + count, max(lag, (now_ms - since_ms) / 1000))
        return measured

    def depths() -> dict[tuple[str, ...], float]:
        found = core.database.read_now(_depths)
        return {(lane.name.lower(),): float(found[lane]) for lane in Lane}

    def set_aside() -> dict[tuple[str, ...], float]:
        return {(): float(core.database.read_now(receiving.count_set_aside))}

    def files_waiting() -> dict[tuple[str, ...], float]:
        found = core.database.read_now(blobs.count_waiting)
        return {(way,): float(found.get(way, 0)) for way in Way}

    def open_alarms() -> dict[tuple[str, ...], float]:
        return {(kind,): float(count) for kind, count in core.database.read_now(alarms.count_open).items()}

    lag = {
        "node_waiting": "Reports that a partner has not receipted, by how far they have come.",
        "node_lag_seconds": "How long ago the oldest of them was pushed.",
    }
    metrics.gauges_together(lag, ("partner", "stage"), backlogs)
    metrics.gauges("node_outbox", "What waits to be sealed or answered.", ("lane",), depths)
    metrics.gauges("node_set_aside", "Deliveries that did not hold and are kept for a person.", (), set_aside)
    metrics.gauges("node_attachments_waiting", "Attachments that are still to be moved.", ("way",), files_waiting)
    metrics.gauges("node_alarms", "Open alarms, by kind.", ("kind",), open_alarms)


def _depths(connection: Connection) -> dict[Lane, int]:
    unanswered, unsealed = sending.count_unanswered(connection), reports.count_waiting(connection)
    return {lane: unanswered.get(lane, 0) + unsealed.get(lane, 0) for lane in Lane}


def _days(node: Node, *, own: bool) -> float:
    return node.reminders.days_left(own=own)
