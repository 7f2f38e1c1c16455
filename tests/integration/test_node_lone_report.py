"""A report that comes alone takes few steps: each is paid once, however little it carries."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from nodes.effects import Effects
from nodes.parts import Node
from nodes.relay_port import Delivered
from tests.support.node_world import nodes, push, receipted

STATEMENTS = {"look": 6, "_store_round": 12, "record": 6}
"""Of the store, by step. A look takes two for what is due, then: when the next is, the report, approvals, numbers."""


def count_steps(node: Node, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], dict[str, list[str]]]:
    """Count what reads and writes the node's store by name, and collect the statements of each."""
    database, steps, said = node.core.database, Counter[str](), defaultdict[str, list[str]](list)
    read_now, write = database.read_now, database.write

    def name_of(fn: Callable[..., Any]) -> str:
        return fn.func.__name__ if isinstance(fn, partial) else fn.__name__

    def traced(connection: Connection, fn: Callable[[Connection], Any]) -> Any:
        steps[name_of(fn)] += 1
        driver: Any = connection.connection.dbapi_connection
        driver.set_trace_callback(said[name_of(fn)].append)
        try:
            return fn(connection)
        finally:
            driver.set_trace_callback(None)

    monkeypatch.setattr(database, "read_now", lambda fn: read_now(partial(traced, fn=fn)))
    monkeypatch.setattr(database, "write", lambda fn: write(partial(traced, fn=fn)))
    return steps, said


async def test_it_is_looked_at_once_stored_once_sealed_and_once_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await receipted(node, (await push(node, "XV")).item, "XV")
        steps, said = count_steps(node, monkeypatch)
        await receipted(node, (await push(node, "XV", name="The next one")).item, "XV")
        assert {step: steps[step] for step in STATEMENTS} == dict.fromkeys(STATEMENTS, 1)
        assert {step: len(said[step]) for step in STATEMENTS} == STATEMENTS, said


async def test_its_recipient_hands_it_over_once_and_reads_nothing_before_it_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes("XA", "XV") as (_, running):
        core, receiver = running["XV"].core, running["XV"].receiver
        await receipted(running["XA"], (await push(running["XA"], "XV")).item, "XV")
        frames: dict[asyncio.Task[Any] | None, list[list[str]]] = defaultdict(list)
        take = receiver.take

        async def taking(frame: Delivered) -> Effects:
            frames[asyncio.current_task()].append([])
            return await take(frame)

        def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def noting(*given: Any) -> Any:
                if asyncio.current_task() in frames:
                    frames[asyncio.current_task()][-1].append(name)
                return call(*given)

            return noting

        monkeypatch.setattr(receiver, "take", taking)
        for owner, name in (
            (core.executor, "submit"),
            (core.keybox, "new_keys"),
            (core.database, "read"),
            (core.database, "write"),
        ):
            monkeypatch.setattr(owner, name, noted(name, getattr(owner, name)))
        await receipted(running["XA"], (await push(running["XA"], "XV", name="The next one")).item, "XV")
        of_reports = [steps for taken in frames.values() for steps in taken if "new_keys" in steps]
        assert of_reports == [["submit", "new_keys", "write"]]
