"""What a push that comes alone asks of its node's two files, counted: each step is a thread's turn, or a flush."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from exchange.runtime.database import Database
from nodes.caller import the_owner
from nodes.desk import Draft
from nodes.parts import Node
from tests.support.node_world import FIRST_TIME, a_label, nodes
from tests.support.reports import a_report

_asked: ContextVar[list[str] | None] = ContextVar("asked", default=None)
"""What the push of this context has asked for; tasks that it starts have the same context, others have none."""


def watched(name: str, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a database's method that notes each of its calls. Any: values of any kind."""

    async def asking(fn: Callable[..., Any]) -> Any:
        asked = _asked.get()
        if asked is not None:
            asked.append(name)
        return await ask(fn)

    return asking


def watch(database: Database, name: str) -> None:
    """Note what a push asks of a database."""
    for ask in ("read", "write"):
        setattr(database, ask, watched(f"{name} {ask}", getattr(database, ask)))


@contextmanager
def noted() -> Iterator[list[str]]:
    """Note what is asked for by what begins in the block."""
    asked: list[str] = []
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


async def pushed(node: Node) -> bytes:
    """Push a report as a person does; return its item."""
    draft = Draft(a_report(), a_label("XV"))
    return (await node.authoring.push(draft, caller=the_owner(), confirmed=FIRST_TIME)).item


async def test_a_push_that_comes_alone_reads_once_and_commits_once_in_each_file() -> None:
    async with nodes("XA", also=["XV"]) as (_, running):
        node = running["XA"]
        watch(node.core.database, "store")
        watch(node.core.keybox._database, "keys")
        with noted() as asked:
            await pushed(node)
        assert asked == ["store read", "keys write", "store write"]


async def test_the_key_of_a_report_that_was_just_pushed_is_not_read_from_its_file() -> None:
    async with nodes("XA", also=["XV"]) as (_, running):
        node = running["XA"]
        item = await pushed(node)
        watch(node.core.keybox._database, "keys")
        with noted() as asked:
            assert set(await node.core.keybox.keys([item])) == {item}
        assert asked == []
