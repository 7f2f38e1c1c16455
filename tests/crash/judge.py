"""What every story of the crash suite asks at its end, and what its people do."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import grpc.aio

from exchange.errors import ExchangeError
from nodes.caller import the_owner
from nodes.parts import Node
from nodes.store import sending
from tests.support.node_world import open_alarms, push, until

T = TypeVar("T")


async def sent(node: Node, *to: str, key: str, more: str = "") -> bytes:
    """Push a report, under the same key however often; return its item."""
    return (await push(node, *to, key=key, more=more, name=key)).item


async def maybe(act: Awaitable[T], *refused: type[ExchangeError]) -> None:
    """Do what was perhaps done before the power went, and is refused then: in one of these ways, or by the relay."""
    try:
        with suppress(*refused):
            await act
    except grpc.aio.AioRpcError as error:
        if error.code() not in {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.INVALID_ARGUMENT}:
            raise


async def quiet(*nodes: Node, but: Sequence[str] = ()) -> None:
    """Wait until no node is alarmed about anything but this: some alarms close when a node next looks."""
    for node in nodes:

        async def is_quiet(node: Node = node) -> bool:
            return not set(await open_alarms(node)) - set(but)

        await until(is_quiet, f"{node.core.me}: {await open_alarms(node)}")


async def audited(*nodes: Node) -> None:
    """Wait until these nodes have found every promise that they hold in the relay's log, and read that whole."""
    for node in nodes:

        async def checked(node: Node = node) -> bool:
            look = partial(sending.promises, after=-1, limit=1, unchecked=True)
            return not await node.core.database.read(look)

        await until(checked, f"{node.core.me} has promises that it did not check")
        results = [step async for step in node.auditor.verify(full=True)]
        assert {step.result for step in results if step.result} == {"ok"}, results


async def happened(node: Node, item: bytes, event: str, times: int = 1) -> None:
    """Check how often something is written in a report's story."""
    story = await node.shelf.story(the_owner(), item)
    found = [each.event for each in story.events].count(event)
    assert found == times, (node.core.me, event, found)


def is_(holds: Callable[[], bool], what: str) -> Awaitable[None]:
    """Wait until something holds."""
    return until(holds, what)
