"""An audit of more promises than the relay answers calls in a minute takes longer; it does not fail."""

from collections.abc import Sequence

import pytest

from exchange.errors import RateLimited
from nodes.relay_client import RelayClient
from nodes.relay_port import Log
from tests.support.node_world import nodes, push, receipted, until

REFUSED = 3


async def test_an_audit_waits_when_it_asks_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    prove = RelayClient.inclusion_proof
    asked: list[int] = []

    async def late(self: RelayClient, log: Log, index: int, size: int) -> tuple[bytes, Sequence[bytes]]:
        asked.append(index)
        if len(asked) <= REFUSED:
            raise RateLimited("too often")
        return await prove(self, log, index, size)

    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        monkeypatch.setattr(RelayClient, "inclusion_proof", late)
        await receipted(node, (await push(node, "XV")).item, "XV")

        async def promises_kept() -> bool:
            results = {step.step: step.result async for step in node.auditor.verify(full=False) if step.result}
            return results["promises"] == "ok" and len(asked) > REFUSED

        await until(promises_kept, "the audit gives up")
