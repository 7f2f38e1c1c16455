"""A report that comes alone takes few steps: each is paid once, however little it carries."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from nodes.parts import Node
from tests.support.node_world import nodes, push, receipted

LOOK_STATEMENTS = 8
"""What is due now in three, what is due next in two, the report, its approvals, the numbers behind which it stands."""


def count_steps(node: Node, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], list[str]]:
    """Count what reads and writes the node's store by name, and collect the statements of looks at what is due."""
    database, steps, looked = node.core.database, Counter[str](), list[str]()
    read_now, write = database.read_now, database.write

    def name_of(fn: Callable[..., Any]) -> str:
        return fn.func.__name__ if isinstance(fn, partial) else fn.__name__

    def traced(connection: Connection, fn: Callable[[Connection], Any]) -> Any:
        driver: Any = connection.connection.dbapi_connection
        driver.set_trace_callback(looked.append)
        try:
            return fn(connection)
        finally:
            driver.set_trace_callback(None)

    def reads(fn: Callable[[Connection], Any]) -> Any:
        steps[name_of(fn)] += 1
        return read_now(partial(traced, fn=fn) if name_of(fn) == "look" else fn)

    async def writes(fn: Callable[[Connection], Any]) -> Any:
        steps[name_of(fn)] += 1
        return await write(fn)

    monkeypatch.setattr(database, "read_now", reads)
    monkeypatch.setattr(database, "write", writes)
    return steps, looked


async def test_it_is_looked_at_once_stored_once_sealed_and_once_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await receipted(node, (await push(node, "XV")).item, "XV")
        steps, looked = count_steps(node, monkeypatch)
        await receipted(node, (await push(node, "XV", name="The next one")).item, "XV")
        assert (steps["look"], steps["_store_round"], steps["record"]) == (1, 1, 1)
        assert len(looked) == LOOK_STATEMENTS, looked
