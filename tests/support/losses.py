"""A relay that loses deliveries, and nodes that look for what is missing at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from exchange.envelope.codec import decode_core, decode_delivery, decode_header, encode_delivery
from exchange.envelope.model import EnvelopeCore, Lane
from nodes.config import Timing
from nodes.parts import Node
from nodes.relay_port import Delivered, Waiting
from nodes.store import missing, receiving
from nodes.store.rows import HeardStream
from tests.support.node_world import QUICK, NodeWorld, a_node_world, at, ready, until

EAGER = QUICK.model_copy(
    update={
        "streams_s": 0.05,
        "gap_ask_s": 0.1,
        "gap_again_s": 0.5,
        "resend_least_s": 0.2,
    }
)
"""Nodes that ask soon."""


@asynccontextmanager
async def eager(*names: str, timing: Timing = EAGER) -> AsyncIterator[tuple[NodeWorld, dict[str, Node]]]:
    """Run nodes that ask soon for what is missing, with an agreement between all."""
    async with a_node_world() as world, AsyncExitStack() as stack:
        for name in names:
            await world.place(name, timing=timing)
        if len(names) > 1:
            await world.relay.agree(*names)
        running = {name: await stack.enter_async_context(at(world.places[name])) for name in names}
        for node in running.values():
            await ready(node, [name for name in names if name != node.core.me], agree=len(names) > 1)
        yield world, running


def core_of(waiting: Waiting) -> EnvelopeCore:
    """Return the header's fields of a delivery."""
    return decode_core(decode_header(decode_delivery(waiting.delivery).header.payload).core)


def lose(node: Node, which: Callable[[EnvelopeCore], bool], *, most: int = 1) -> list[Waiting]:
    """Let the relay never deliver the first `most` envelopes of which `which` holds; return what was lost, as it is."""
    return _on_the_way(node, which, lambda _: None, most)


def spoil(node: Node, which: Callable[[EnvelopeCore], bool]) -> list[Waiting]:
    """Let the relay change one bit in the body of the first envelope of which `which` holds; return what it was."""

    def spoilt(waiting: Waiting) -> Waiting:
        delivery = decode_delivery(waiting.delivery)
        body = delivery.body[:-1] + bytes([delivery.body[-1] ^ 1])
        return replace(waiting, delivery=encode_delivery(replace(delivery, body=body)))

    return _on_the_way(node, which, spoilt, 1)


def _on_the_way(
    node: Node, which: Callable[[EnvelopeCore], bool], change: Callable[[Waiting], Waiting | None], most: int
) -> list[Waiting]:
    take = node.receiver.take
    changed: list[Waiting] = []

    async def changing(frame: Delivered) -> object:
        kept = []
        for waiting in frame.waiting:
            found: Waiting | None = waiting
            if len(changed) < most and which(core_of(waiting)):
                changed.append(waiting)
                found = change(waiting)
            kept += [found] if found is not None else []
        return await take(Delivered(kept, frame.now_ms)) if kept else None

    node.receiver.take = changing  # type: ignore[method-assign,assignment]
    return changed


async def heard(node: Node, sender: str, lane: Lane = Lane.ROUTINE) -> HeardStream:
    """Return what a node knows of a partner's stream."""
    return await node.core.database.read(partial(receiving.heard_stream, sender=sender, stream=1, lane=int(lane)))


async def whole(node: Node, sender: str) -> None:
    """Wait until nothing of a partner is missing at a node."""

    async def holds() -> bool:
        return sender not in await node.core.database.read(missing.senders_missed)

    await until(holds, f"{node.core.me} still misses something of {sender}")
