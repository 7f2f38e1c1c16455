"""Ask the running node how it is, as plain values, for those who do not see generated types (nodes/doctor.py)."""

from dataclasses import dataclass
from pathlib import Path

from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Running:
    """How a running node is; fields as in GetStatusResponse."""

    membership: str
    relay: str
    relay_error: str
    relay_contact_ms: int
    clock_skew_ms: int
    prekey_days: int
    quarantined: int
    transport_until_ms: int
    node_cert_until_ms: int
    alarms: tuple[str, ...]
    open_mode: bool
    witnessed: bool
    quorum_ms: int
    stale_since_ms: int
    limited: bool
    notices: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    """What is missing, in words, by partner and lane."""
    silent: tuple[str, ...] = ()
    """Partners of which nothing has come for longer than a day."""


def ask(home: Path) -> Running:
    """Return how the node in `home` is; Unavailable when none runs there."""
    with connect(home) as node:
        answer: pb.GetStatusResponse = node.GetStatus(pb.GetStatusRequest())
    return Running(
        membership=answer.membership,
        relay=answer.relay,
        relay_error=answer.relay_error,
        relay_contact_ms=answer.relay_contact_ms,
        clock_skew_ms=answer.clock_skew_ms,
        prekey_days=answer.prekey_days,
        quarantined=answer.quarantined,
        transport_until_ms=answer.transport_until_ms,
        node_cert_until_ms=answer.node_cert_until_ms,
        alarms=tuple(answer.alarms),
        open_mode=answer.open_mode,
        witnessed=answer.witnessed,
        quorum_ms=answer.quorum_ms,
        stale_since_ms=answer.stale_since_ms,
        limited=answer.limited,
        notices=tuple(answer.notices),
        gaps=tuple(
            f"{gap.count:,} of {gap.partner} in lane {gap.lane}, asked for {gap.asked} times"
            for gap in answer.missing.gaps
        ),
        silent=tuple(each.partner for each in answer.missing.silent),
    )
