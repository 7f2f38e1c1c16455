"""A member whose node is lost with its disk comes back with another one, by its root alone."""

import asyncio
import shutil
from dataclasses import replace

import pytest

from exchange.directory.statements import RevocationReason
from exchange.errors import BadStatement, Conflict
from exchange.names import party_id
from exchange.runtime.clock import now_ms
from nodes import join_client
from nodes.config import NodeConfig
from nodes.keystore import load_keys
from nodes.rejoining import Successor, begin, transport_of
from nodes.root import read_task
from nodes.root_home import Root
from nodes.statement_file import read_statement
from tests.support.directory_builders import EXCHANGE, party_keys
from tests.support.node_world import (
    NodeWorld,
    a_node_world,
    at,
    count_reports,
    open_alarms,
    push,
    ready,
    receipted,
    until,
)
from tests.support.processes import LEAST_MEMORY_KIB, PASSPHRASE
from tests.support.rotation import own_statement_key, revoke

XV = party_id("XV")


def successor(world: NodeWorld, party: str = "XV") -> Successor:
    return Successor(world.root / "new", world.relay.listening.info, party_id(party), "", LEAST_MEMORY_KIB)


async def test_a_node_that_is_lost_is_followed_by_another_and_what_waited_comes() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost = world.places["XV"]
        async with at(world.places["XA"]) as partner:
            async with at(lost) as node:
                await ready(partner, ["XV"])
                old = own_statement_key(node)
            shutil.rmtree(lost.home)
            waits = await push(partner, "XV")
            # At the new machine, at the root's, and at the new machine again.
            new = successor(world)
            request = begin(new, PASSPHRASE, now_ms=now_ms())
            cert = read_statement(read_task(request.read_text()).sign(Root(XV, party_keys("XV").root), now_ms()))
            keys = load_keys(new.home, PASSPHRASE)
            transport = transport_of(new.home, cert, keys, now_ms=now_ms())
            assert transport_of(new.home, cert, keys, now_ms=now_ms()) == transport
            for _ in range(2):
                await asyncio.to_thread(join_client.rekey, new.relay, cert, transport)
            await revoke(world, XV, old, reason=RevocationReason.LOST)
            config = NodeConfig(
                party="XV", exchange=EXCHANGE, relay_address=new.relay.address, timing=lost.config.timing
            )
            async with at(replace(lost, home=new.home, keys=keys, config=config)) as node:
                await ready(node, ["XA"])
                await receipted(partner, waits.item, "XV")
                assert await count_reports(node) == 1
                back = await push(node, "XA", key="back")
                await receipted(node, back.item, "XA")
                # What the lost node had published is no alarm; what others publish in its name from now on is.
                await node.prekeys.look_after()
                assert await open_alarms(node) == []
                await until(
                    lambda: partner.core.trust.now.directory.current_statement_key(XV) == keys.statement.public, ""
                )


async def test_only_what_the_partys_own_root_signed_for_these_keys_lets_a_node_in() -> None:
    async with a_node_world("XA", "XV") as world:
        new = successor(world)
        request = begin(new, PASSPHRASE, now_ms=now_ms())
        keys = load_keys(new.home, PASSPHRASE)
        with pytest.raises(Conflict):
            begin(new, PASSPHRASE, now_ms=now_ms())
        cert = read_statement(read_task(request.read_text()).sign(Root(XV, party_keys("XA").root), now_ms()))
        transport = transport_of(new.home, cert, keys, now_ms=now_ms())
        with pytest.raises(BadStatement):
            await asyncio.to_thread(join_client.rekey, new.relay, cert, transport)
        with pytest.raises(BadStatement, match="other keys"):
            transport_of(new.home, cert, replace(keys, statement=party_keys("XV").statement), now_ms=now_ms())
