"""docs/operations/metrics.md lists what a running relay and a running node export, and nothing else."""

import asyncio
import socket
import urllib.request
from pathlib import Path

from nodes.admin.node import _tables
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from tests.support.doors import open_socket
from tests.support.metrics_page import documented, exported
from tests.support.node_world import nodes, push, receipted
from tests.support.relay_world import settings

QUIET = {
    "concord_measure_failed_total",
    "concord_node_alarms",
    "concord_node_calls_refused_total",
    "concord_node_missing_numbers",
    "concord_node_partner_silent_since_ms",
    "concord_relay_calls_refused_total",
}
"""What may have no number while all is well. Where it has one, its labels are compared too."""


def free_port() -> int:
    """Return a port of this machine that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def read(port: int) -> str:
    """Return what a port exports."""

    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(ask)


def check(text: str, part: str) -> None:
    """Compare names, kinds and labels with the page."""
    said, found = documented(part), exported(text)
    assert found.keys() == said.keys()
    for name, (kind, labels) in found.items():
        assert labels is not None or name in QUIET, f"{name} has no number in this scene"
        assert (kind, said[name][1] if labels is None else labels) == said[name], name


async def test_the_page_lists_what_a_running_relay_and_node_export() -> None:
    of_relay, of_node = free_port(), free_port()
    given = settings().model_copy(update={"metrics_port": of_relay})
    async with nodes("XA", "XV", also=["XO"], given=given) as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        await push(node, "XO", key="waits")
        async with open_socket(node, metrics_port=of_node):
            relay, here = await read(of_relay), await read(of_node)
    check(relay, "Relay")
    check(here, "Node")
    assert 'concord_relay_answers_total{reason="promised"}' in relay
    assert 'concord_relay_partner_connected{partner="XA"} 1.0' in relay
    assert 'concord_relay_waiting{lane="flash",partner="XV"} 0.0' in relay
    assert 'concord_node_answers_total{reason="promised"}' in here
    assert 'concord_node_waiting{partner="XO",stage="' in here
    assert 'concord_node_lag_seconds{partner="XO",stage="' in here
    assert 'concord_node_outbox{lane="routine"} ' in here


async def test_the_tables_of_a_node_show_what_no_partner_has_receipted() -> None:
    async with nodes("XA", "XV", also=["XO"]) as (_, running):
        await push(running["XA"], "XO", key="waits")
        async with open_socket(running["XA"]) as at_door:
            reply = await asyncio.to_thread(status, at_door.home)
    (of_node, backlogs) = _tables(reply)[:2]
    assert of_node.title.startswith("XA, ") and of_node.rows[0][0] == "party"
    assert [(row[0], row[2]) for row in backlogs.rows] == [("XO", "1")]


def status(home: Path) -> pb.GetStatusResponse:
    """Ask a node as the command does."""
    with connect(home) as node:
        return node.GetStatus(pb.GetStatusRequest())
