"""Killed before or after any durable step of an agreement, a party repeats what it did and all come to the same."""

import contextlib
from functools import partial

import pytest

from nodes.agreement_file import next_signature
from nodes.parts import Node
from tests.integration.test_node_agreements import import_, signed_by, status_at
from tests.integration.test_node_crash import Killed, kill_at
from tests.support.directory_builders import party_keys
from tests.support.node_world import a_node_world, at, open_alarms, ready, until

BEFORE_AND_AFTER = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@BEFORE_AND_AFTER
@pytest.mark.parametrize("step", ["agreements.Agreements._merge", "receipts.add_control"])
async def test_who_proposes_and_is_killed_at_a_step_repeats_it_and_the_text_travels(step: str, before: bool) -> None:
    file = signed_by("XA", parties=("XA", "XV"))
    async with a_node_world("XA", "XV") as world, at(world.places["XV"]) as other:
        async with at(world.places["XA"]) as proposer:
            await ready(proposer, ["XV"], agree=False)
            dead = kill_at(proposer, step, before=before)
            with contextlib.suppress(Killed):
                await import_(proposer, file)
            assert dead.is_set()
        async with at(world.places["XA"]) as proposer:
            stored = step == "receipts.add_control" or not before
            assert await status_at(proposer) == ([("collecting", ("XV",))] if stored else [])
            await import_(proposer, file)
            await until(partial(stands, other, "collecting"), "the text did not travel")
            await import_(other, next_signature(file, party_keys("XV").root))
            for node in (proposer, other):
                await until(partial(stands, node, "active"), "it is not in force")
                assert await open_alarms(node) == []


@BEFORE_AND_AFTER
@pytest.mark.parametrize("step", ["agreements.Agreements._merge", "receipts.add_control", "agreements.set_published"])
async def test_who_signs_last_and_is_killed_at_a_step_has_published_it_once_afterwards(step: str, before: bool) -> None:
    first = signed_by("XA", parties=("XA", "XV"))
    whole = next_signature(first, party_keys("XV").root)
    async with a_node_world("XA", "XV") as world, at(world.places["XA"]) as proposer:
        async with at(world.places["XV"]) as last:
            await ready(proposer, ["XV"], agree=False)
            await import_(proposer, first)
            await until(partial(stands, last, "collecting"), "the text did not travel")
            dead = kill_at(last, step, before=before)
            with contextlib.suppress(Killed):
                await import_(last, whole)
            await until(dead.is_set, "it did not die")
        async with at(world.places["XV"]) as last:
            if step == "agreements.Agreements._merge" and before:
                assert await status_at(last) == [("collecting", ("XV",))]
                await import_(last, whole)
            for node in (proposer, last):
                await until(partial(stands, node, "active"), "it is not in force")
                assert await open_alarms(node) == []
                assert len(node.core.trust.now.views) == 1


async def stands(node: Node, status: str) -> bool:
    return [each for each, _ in await status_at(node)] == [status]
