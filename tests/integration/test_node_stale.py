"""A directory that no quorum has vouched for is not sent under; receiving goes on, and two people may let flash go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from exchange.runtime.clock import now_ms
from nodes.app import Node
from nodes.outbox import Accepted, Author, push_digest
from nodes.sealing import STALE
from nodes.store.rows import Reach
from tests.integration.test_node_four_eyes import as_caller, events, signed_by, staff, waiting
from tests.integration.test_node_witness import Down, witnessed
from tests.support.directory_builders import DAY_MS
from tests.support.node_world import NodeWorld, a_label, authored, push, reach, receipted, until


@asynccontextmanager
async def stale() -> AsyncIterator[tuple[NodeWorld, Node, Node]]:
    """Run XA, to whom nobody has vouched for the directory for more than a day, and XV; no witness works."""
    async with witnessed("XA", "XV", quorum=2) as (world, running):
        for node in running.values():
            node.watch.witness._relay = Down(node.relay)
        node = running["XA"]
        await until(lambda: node.watch.freshness._quorum is not None, "the time does not count")
        age(node)
        yield world, node, running["XV"]


def age(node: Node) -> None:
    """Let a node's quorum time be more than a day ago."""
    freshness = node.watch.freshness
    assert freshness._quorum is not None
    freshness._quorum = replace(freshness._quorum, quorum_ms=now_ms() - DAY_MS - 1)


async def held(node: Node, item: bytes) -> None:
    """Wait until a report waits because the directory is too old."""

    async def waits() -> bool:
        row = await reach(node, item, "XV")
        return row is not None and row.state is Reach.WAITING and STALE in row.why

    await until(waits, "it does not wait for a quorum")


async def flash(node: Node, *, by: str) -> Accepted:
    made = authored(node, a_label("XV", more="lane: flash"))
    return await node.outbox.accept(made, push_digest(by, b"", b""), by=Author(by))


async def test_reports_wait_with_the_reason_while_receiving_goes_on_and_go_when_a_quorum_is_back() -> None:
    async with stale() as (world, node, other):
        waits = await push(node, "XV")
        await held(node, waits.item)
        came = await push(other, "XA")
        await receipted(other, came.item, "XA")
        for each in (node, other):
            each.watch.witness._relay = each.relay
        await world.name_witnesses("XV", "XA", quorum=2)
        await receipted(node, waits.item, "XV")
        assert node.watch.freshness.stale_since() == 0


async def test_a_flash_report_goes_when_two_operators_who_did_not_write_it_say_so() -> None:
    async with stale() as (_, node, _):
        await staff(node)
        sent = await flash(node, by="clara")
        await held(node, sent.item)
        (pending,) = await waiting(node)
        assert (pending.missing, pending.overridable) == (2, True)
        for name, left in (("rana", 1), ("sami", 0)):
            found = await node.approving.approve(sent.item, signed_by(name, sent.item), caller=as_caller(name))
            assert found.missing == left
        await receipted(node, sent.item, "XV")
        assert await events(node, sent.item, "overridden") == [f"{STALE}; sent by rana and sami"]


async def test_an_approval_from_before_does_not_let_a_flash_report_go() -> None:
    async with stale() as (_, node, _):
        await staff(node)
        freshness = node.watch.freshness
        assert freshness._quorum is not None
        sent = await flash(node, by="clara")
        await held(node, sent.item)
        await node.approving.approve(sent.item, signed_by("rana", sent.item), caller=as_caller("rana"))
        # From here on the directory is stale since now: what rana approved before counts for nothing.
        freshness._quorum = replace(freshness._quorum, quorum_ms=now_ms() - DAY_MS + 1)
        await until(lambda: freshness.stale_since() > 0, "it is not stale")
        (pending,) = await waiting(node)
        assert pending.missing == 2
        for name in ("sami", "rana"):
            await held(node, sent.item)
            await node.approving.approve(sent.item, signed_by(name, sent.item), caller=as_caller(name))
        await receipted(node, sent.item, "XV")


async def test_what_is_not_flash_waits_whoever_approves() -> None:
    async with stale() as (_, node, _):
        await staff(node)
        sent = await push(node, "XV")
        await held(node, sent.item)
        assert await waiting(node) == []
