"""A directory that no quorum has vouched for is not sent under; receiving goes on, and two people may let flash go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from exchange.runtime.clock import now_ms
from nodes.outbox import Accepted, Author, push_digest
from nodes.parts import Node
from nodes.relay_client import RelayClient
from nodes.relay_port import DirectoryFrame
from nodes.sealing import STALE
from nodes.store.rows import Reach
from tests.integration.test_node_four_eyes import as_caller, events, signed_by, staff, waiting
from tests.integration.test_node_witness import Down, witnessed
from tests.support.directory_builders import DAY_MS
from tests.support.lying_relay import alarmed
from tests.support.node_world import QUICK, NodeWorld, a_label, authored, push, reach, receipted, until


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


async def held(node: Node, item: bytes, recipient: str = "XV") -> None:
    """Wait until a report waits because the directory is too old."""

    async def waits() -> bool:
        row = await reach(node, item, recipient)
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


async def test_a_relay_that_freezes_the_directory_for_one_node_stops_its_reports_and_rings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen, honest = asyncio.Event(), RelayClient.follow_directory

    async def freezing(relay: RelayClient, start: int) -> AsyncIterator[DirectoryFrame]:
        async for frame in honest(relay, start):
            if not (frozen.is_set() and relay._party == "XO"):
                yield frame

    monkeypatch.setattr(RelayClient, "follow_directory", freezing)
    async with witnessed("XA", "XV", "XO", quorum=2) as (world, running):
        victim, other = running["XO"], running["XA"]
        await until(lambda: victim.watch.freshness.now.size > 0, "no quorum was seen")
        frozen.set()
        await world.suspend("XV")
        await until(lambda: other.watch.freshness.now.size > victim.core.trust.now.size, "the others do not go on")
        quick = QUICK.model_copy(update={"stale_warn_s": 1.0, "stale_stop_s": 2.0})
        object.__setattr__(victim.core, "timing", quick)
        await until(lambda: victim.watch.freshness.stale_since() > 0, "it believes what it is shown")
        await alarmed(victim, "freshness")
        waits = await push(victim, "XA")
        await held(victim, waits.item, "XA")
        assert other.watch.freshness.stale_since() == 0
        object.__setattr__(victim.core, "timing", QUICK)
        frozen.clear()
        await world.suspend("XV", suspended=False)
        await receipted(victim, waits.item, "XA")
