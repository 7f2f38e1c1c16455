"""A heartbeat of a delivery stream says that nothing waits: nodes destroy prekeys by it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exchange.envelope.model import Lane
from exchange.limits import KIB
from exchange.names import PartyId, party_id
from exchange.relay.cache import SealedCache
from exchange.relay.deliver import WINDOW_LEAST, Deliveries
from exchange.relay.mailbox import Bells, Row, Sealed
from exchange.relay.slots import Slot, encode_slots

XV = party_id("XV")
HEARTBEAT_S = 0.02


class TwoThatFillTheWindow:
    """A mailbox with two envelopes, each as large as the window."""

    def waiting(
        self, _recipient: PartyId, lane: Lane, *, after: int, limit: int, kind: int | None = None
    ) -> Sequence[Row]:
        """Return what waits behind `after`."""
        assert kind is None
        rows = [Row(1, 0, WINDOW_LEAST), Row(2, 0, WINDOW_LEAST)] if lane is Lane.ROUTINE else []
        return [row for row in rows if row.position > after][:limit]

    def sealed(self, keys: Sequence[int]) -> Mapping[int, Sealed]:
        """Return both."""
        (part,) = encode_slots([Slot(XV, 0, b"leaf", (), b"wrap")])
        return {key: Sealed(key, b"", part, b"body", b"") for key in keys}

    def acknowledge(self, _recipient: PartyId, _lane: Lane, _position: int, *, kind: int | None = None) -> int:
        """Free nothing: the stream does not ask again for what it has sent."""
        assert kind is None
        return 0


class NoDatabase:
    """Runs what it is given, without a transaction."""

    async def read(self, fn: Callable[[Any], Any]) -> Any:  # Any: as Database
        """Run it."""
        return fn(None)

    write = read


async def test_no_heartbeat_comes_while_the_window_is_full_and_more_waits() -> None:
    mailbox = TwoThatFillTheWindow()
    deliveries = Deliveries(
        NoDatabase(),  # type: ignore[arg-type]
        lambda _: mailbox,  # type: ignore[arg-type, return-value]
        Bells(),
        SealedCache(64 * KIB),
        window_most=WINDOW_LEAST,
        heartbeat_s=HEARTBEAT_S,
    )
    seen: list[list[int]] = []
    async with deliveries.open(XV, window=0, control_only=False) as stream:

        async def collect() -> None:
            async for frame in stream.frames():
                seen.append([each.position for each in frame])  # noqa: PERF401 - read while it grows

        reader = asyncio.create_task(collect())
        await asyncio.sleep(5 * HEARTBEAT_S)
        assert seen == [[1]]
        stream.acknowledge([(Lane.ROUTINE, 1)])
        await asyncio.sleep(5 * HEARTBEAT_S)
        assert seen == [[1], [2]]
        stream.acknowledge([(Lane.ROUTINE, 2)])
        await asyncio.sleep(5 * HEARTBEAT_S)
        assert seen[:3] == [[1], [2], []]
        stream.end(None)
        await reader
