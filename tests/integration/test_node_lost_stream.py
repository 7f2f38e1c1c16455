"""A submit stream that is lost: gRPC leaves the task that reads its requests pending; it must not take what comes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from exchange.errors import Unavailable
from nodes.relay_client import RelayClient
from nodes.relay_port import Answered, Frame
from tests.support.node_world import nodes, push, receipted

STREAMS_LOST = 2


async def test_what_is_pushed_after_a_stream_was_lost_goes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = RelayClient.submit
    readers: list[asyncio.Task[None]] = []

    async def sometimes_lost(self: RelayClient, frames: AsyncIterator[Frame]) -> AsyncIterator[Answered]:
        if len(readers) < STREAMS_LOST:
            readers.append(asyncio.create_task(_read_all(frames)))
            await asyncio.sleep(0.05)
            raise Unavailable("the relay is gone")
        async for answered in submit(self, frames):
            yield answered

    async with nodes("XA", "XV") as (_, running):
        monkeypatch.setattr(RelayClient, "submit", sometimes_lost)
        for number in range(3):
            sent = await push(running["XA"], "XV", key=str(number))
            await receipted(running["XA"], sent.item, "XV")
        assert len(readers) == STREAMS_LOST
        for reader in readers:
            reader.cancel()


async def _read_all(frames: AsyncIterator[Frame]) -> None:
    async for _ in frames:
        pass
