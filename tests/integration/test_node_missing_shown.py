"""What is missing, what was asked and who is silent stands in status, doctor and metrics, by partner and lane."""

import asyncio
from typing import Any

from prometheus_client import generate_latest

from exchange.envelope.model import EnvelopeKind
from exchange.runtime.metrics import Metrics
from nodes.admin.plain import plain
from nodes.doctor import look_at_missing
from nodes.figures_client import ask as ask_figures
from nodes.node_client import connect
from nodes.parts import Node
from nodes.v1 import node_service_pb2 as pb
from tests.support.doors import open_socket
from tests.support.losses import EAGER, eager, lose, whole
from tests.support.node_world import push, receipted, until

PATIENT = EAGER.model_copy(update={"gap_ask_s": 3.0, "gap_again_s": 60.0, "silent_s": 0.3})
"""Nodes that leave a gap open long enough to look at it."""


def shown(node: Node) -> str:
    """Return what a node's metrics say."""
    with Metrics() as metrics:
        node.numbers.measure(metrics)
        return generate_latest(metrics.registry).decode()


async def status(node: Node) -> dict[str, Any]:
    """Return what `node status --json` shows of what is missing."""

    def ask() -> dict[str, Any]:
        with connect(node.home) as there:
            found: dict[str, Any] = plain(there.GetStatus(pb.GetStatusRequest()))["missing"]
            return found

    return await asyncio.to_thread(ask)


async def missing_by_doctor(node: Node) -> list[str]:
    """Return what the doctor says is missing, and who is silent."""
    running = await asyncio.to_thread(ask_figures, node.home)
    return [finding.message for finding in look_at_missing(running)]


async def test_a_gap_is_shown_while_it_is_open_and_what_became_of_it_after() -> None:
    async with eager("XA", "XV", timing=PATIENT) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        first, *others = [await push(sender, "XV", key=str(number)) for number in range(3)]
        for sent in others:
            await receipted(sender, sent.item, "XV")
        async with open_socket(recipient) as at_door:
            await until(lambda: bool(recipient.numbers.streams.gaps), "no gap shows")
            (gap,) = (await status(at_door))["gaps"]
            assert (gap["partner"], gap["lane"], gap["count"]) == ("XA", "routine", 1)
            assert 'concord_node_missing_numbers{lane="routine",partner="XA"} 1.0' in shown(recipient)
            assert "1 of XA in lane routine" in (await missing_by_doctor(at_door))[0]
            await receipted(sender, first.item, "XV")
            await whole(recipient, "XA")
            after = await status(at_door)
            assert (after["gaps"], after["answered_here"]) == ([], 1)
            assert "concord_node_resend_asked 1.0" in shown(recipient)
            assert "concord_node_resend_answered 1.0" in shown(sender)
            await until(lambda: silent(recipient), "nobody is silent")
            assert [each["partner"] for each in (await status(at_door))["silent"]] == ["XA"]
            assert 'concord_node_partner_silent_since_ms{partner="XA"}' in shown(recipient)


async def silent(node: Node) -> bool:
    """Let the relay say that nothing waits, and look."""
    node.core.link.emptied()
    await node.numbers.silence.look()
    return bool(node.numbers.silence.silent)
