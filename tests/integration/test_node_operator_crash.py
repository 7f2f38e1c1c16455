"""Killed before or after any durable step, what operators did is there whole or not at all, and is safe to repeat."""

import contextlib
from functools import partial

import pytest

from exchange.errors import Conflict, NotAuthenticated
from exchange.policy.model import Tlp
from exchange.runtime.clock import now_ms
from nodes.login import answer
from nodes.operators import Profile
from nodes.parts import Node
from nodes.roles import Role
from nodes.store import approvals, reports
from nodes.store.rows import ItemState, Reach
from tests.integration.test_node_crash import Killed, kill_at
from tests.integration.test_node_four_eyes import (
    admit,
    approve,
    as_caller,
    events,
    push,
    staff,
    waiting,
    waits_for_approval,
)
from tests.support.node_world import NodeWorld, a_node_world, at, reach, ready, receipted, stored
from tests.support.operators import DAY_MS, key_of

BEFORE_AND_AFTER = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


# -- four eyes ---------------------------------------------------------------------------------------------------------


async def pushed(node: Node) -> bytes:
    """Return a report of a node that waits for two approvals."""
    await ready(node, ["XV"])
    await staff(node)
    item = (await push(node, "XV", approvals_=2)).item
    await waits_for_approval(node, item, "XV")
    return item


async def world_of_two(world: NodeWorld) -> None:
    await world.relay.agree("XA", "XV")


@BEFORE_AND_AFTER
async def test_an_approval_counts_once_or_not_at_all(before: bool) -> None:
    async with a_node_world("XA", "XV") as world:
        await world_of_two(world)
        async with at(world.places["XV"]) as recipient:
            async with at(world.places["XA"]) as node:
                item = await pushed(node)
                kill_at(node, "approving._store_approval", before=before)
                with pytest.raises(Killed):
                    await approve(node, item, "rana")
            async with at(world.places["XA"]) as node:
                (pending,) = await waiting(node)
                assert pending.missing == (2 if before else 1)
                assert await approve(node, item, "rana") == 1
                assert await stored(recipient, item) is None, "one is not enough, however often it was given"
                kept = await node.core.database.read(partial(approvals.approvals_of, item=item))
                assert [row.name for row in kept] == ["rana"]
                assert await events(node, item, "approved") == ["by rana"]
                assert await approve(node, item, "sami") == 0
                await receipted(node, item, "XV")


@BEFORE_AND_AFTER
async def test_a_rejected_report_goes_to_nobody_and_one_that_was_not_still_waits(before: bool) -> None:
    async with a_node_world("XA", "XV") as world:
        await world_of_two(world)
        async with at(world.places["XV"]) as recipient:
            async with at(world.places["XA"]) as node:
                item = await pushed(node)
                kill_at(node, "approving._store_rejection", before=before)
                with pytest.raises(Killed):
                    await node.approving.reject(item, "not so", caller=as_caller("rana"))
            async with at(world.places["XA"]) as node:
                assert bool(await waiting(node)) is before
                if before:
                    assert await node.approving.reject(item, "not so", caller=as_caller("rana")) == ("XV",)
                assert await events(node, item, "rejected") == ["rejected by rana: not so"]
                report = await node.core.database.read(partial(reports.report_of, item=item))
                row = await reach(node, item, "XV")
                assert report is not None and report.state is ItemState.REJECTED
                assert row is not None and row.state is Reach.DENIED
                assert await stored(recipient, item) is None


# -- operators ---------------------------------------------------------------------------------------------------------


def a_profile(name: str) -> Profile:
    return Profile(name, key_of(name).public, frozenset({Role.ADMINISTRATOR}), Tlp.AMBER, now_ms() + DAY_MS)


async def audit(node: Node) -> list[tuple[str, str]]:
    return [(line.action, line.subject) for line in reversed(await node.operators.audit(limit=9))]


@BEFORE_AND_AFTER
async def test_the_first_operator_closes_the_node_or_was_never_added(before: bool) -> None:
    async with a_node_world("XA") as world:
        async with at(world.places["XA"]) as node:
            kill_at(node, "operators.admit", before=before)
            with pytest.raises(Killed):
                await node.operators.add(a_profile("root"), by="owner")
        async with at(world.places["XA"]) as node:
            assert node.operators.is_open is before
            with contextlib.nullcontext() if before else pytest.raises(Conflict):
                await node.operators.add(a_profile("root"), by="owner")
            assert await audit(node) == [("operator.add", "root")]


@BEFORE_AND_AFTER
async def test_a_revoked_operator_has_no_session_after_a_crash_and_one_that_was_not_still_has(before: bool) -> None:
    async with a_node_world("XA") as world:
        async with at(world.places["XA"]) as node:
            await node.operators.add(a_profile("root"), by="owner")
            await admit(node, "rana", Role.RELEASER)
            token = await session_of(node, "rana")
            kill_at(node, "operators._revoke", before=before)
            with pytest.raises(Killed):
                await node.operators.revoke("rana", by="root")
        async with at(world.places["XA"]) as node:
            if before:
                assert (await node.operators.caller(token)).name == "rana"
            await node.operators.revoke("rana", by="root")
            with pytest.raises(NotAuthenticated):
                await node.operators.caller(token)
            assert (await audit(node))[-1] == ("operator.revoke", "rana")
            assert [action for action, _ in await audit(node)].count("operator.revoke") == 1


@BEFORE_AND_AFTER
async def test_a_login_that_was_not_answered_leaves_a_session_that_nobody_knows_or_none(before: bool) -> None:
    async with a_node_world("XA") as world:
        async with at(world.places["XA"]) as node:
            await node.operators.add(a_profile("root"), by="owner")
            kill_at(node, "operators._begin", before=before)
            with pytest.raises(Killed):
                await session_of(node, "root")
        async with at(world.places["XA"]) as node:
            assert [action for action, _ in await audit(node)].count("operator.login") == int(not before)
            assert (await node.operators.caller(await session_of(node, "root"))).name == "root"


async def session_of(node: Node, name: str) -> str:
    """Log an operator in and return the token."""
    made = node.operators.challenge()
    key = key_of(name)
    return (await node.operators.login(key.public.key_id, made.nonce, answer(made, key))).token
