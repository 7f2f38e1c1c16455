"""What Prometheus is told of a running node."""

from collections.abc import Callable
from functools import partial

from exchange.runtime.metrics import Metrics
from nodes.parts import Node


def measure(metrics: Metrics, node: Node) -> None:
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
        "node_writes_waiting": ("Writes that wait for the store.", lambda: float(core.database.waiting)),
    }
    for name, (what, measure) in measured.items():
        metrics.gauge(name, what).set_function(measure)
    node.numbers.measure(metrics)


def _days(node: Node, *, own: bool) -> float:
    return node.reminders.days_left(own=own)
