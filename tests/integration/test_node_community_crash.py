"""Killed before or after any durable step of a community, owner and members go on from their stores."""

import contextlib

import pytest

from exchange.errors import ExchangeError
from exchange.policy.communities.model import History
from nodes.parts import Node
from tests.integration.test_node_crash import kill_at
from tests.support.convening import change, convene, known, publish, roles, terms
from tests.support.node_world import a_node_world, at, count_reports, open_alarms, ready, receipted, until

BEFORE_AND_AFTER = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@BEFORE_AND_AFTER
@pytest.mark.parametrize("step", ["convening._place", "communities.set_state"])
async def test_an_owner_killed_at_a_step_has_the_community_or_has_not_and_never_half(step: str, before: bool) -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]) as member:
            async with at(world.places["XA"]) as owner:
                await ready(owner, ["XV"])
                await ready(member, ["XA"])
                dead = kill_at(owner, step, before=before)
                with contextlib.suppress(ExchangeError):
                    await owner.groups.convening.create(terms(owner), roles(["XV"]))
                await until(dead.is_set, "it did not die")
            async with at(world.places["XA"]) as owner:
                there = not (step == "convening._place" and before)
                assert len(owner.core.trust.now.communities) == int(there)
                held = (
                    next(iter(owner.core.trust.now.communities.values()))[0] if there else await convene(owner, ["XV"])
                )
                await known(held, owner, member)
                assert len(member.core.trust.now.communities) == 1
                item = await publish(owner, held)
                await receipted(owner, item, "XV")
                await change(owner, held, remove=["XV"])
                for node in (owner, member):
                    assert await open_alarms(node) == []


@BEFORE_AND_AFTER
async def test_a_member_killed_while_it_takes_a_membership_in_knows_it_afterwards(before: bool) -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XA"]) as owner:
            async with at(world.places["XV"]) as member:
                await ready(owner, ["XV"])
                await ready(member, ["XA"])
                dead = kill_at(member, "communities.add_epoch", before=before)
                held = await convene(owner, ["XV"])
                await until(dead.is_set, "it did not die")
            item = await publish(owner, held)
            async with at(world.places["XV"]) as member:
                await known(held, member)
                await receipted(owner, item, "XV")
                assert await count_reports(member) == 1
                assert await open_alarms(member) == []


@BEFORE_AND_AFTER
async def test_a_publisher_killed_while_it_brings_the_history_brings_each_report_once(before: bool) -> None:
    async with a_node_world("XA", "XV", "XO") as world:
        await world.relay.agree("XA", "XV", "XO")
        async with at(world.places["XO"]) as newcomer, at(world.places["XV"]) as member:
            async with at(world.places["XA"]) as owner:
                await ready(owner, ["XV", "XO"])
                await _all_ready(member, newcomer)
                held = await convene(owner, ["XV"], history=History.FROM_START)
                items = [await publish(owner, held) for _ in range(3)]
                for item in items:
                    await receipted(owner, item, "XV")
                dead = kill_at(owner, "history._add", before=before)
                with contextlib.suppress(ExchangeError):
                    await owner.groups.convening.change(held.head.community_id, add=roles(["XO"]))
                await until(dead.is_set, "it did not die")
            async with at(world.places["XA"]) as owner:
                for item in items:
                    await receipted(owner, item, "XO")
                assert await count_reports(newcomer) == 3
                assert await count_reports(member) == 3


async def _all_ready(*nodes: Node) -> None:
    for node in nodes:
        await ready(node, ["XA"])
