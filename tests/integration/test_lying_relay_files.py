"""What a relay can do to the files of reports: delay them. It is told of by name, and nothing of it becomes a file."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import pytest

from exchange.crypto.random import random_bytes
from exchange.errors import NotFound, Unavailable
from exchange.limits import MIB
from exchange.names import PartyId
from nodes import alarms, fetching
from nodes.parts import Node
from nodes.relay_port import RelayBlobs
from nodes.store import blobs
from tests.support.lying_relay import Liar, alarmed
from tests.support.node_world import here, nodes, open_alarms, push, receipted, standing, until

ONE, TWO = random_bytes(MIB + 7), random_bytes(MIB + 7)

Lie = Callable[["LyingBlobs", PartyId, bytes, int], AsyncIterator[bytes]]


@dataclass
class LyingBlobs(Liar):
    """Stands between one node and the relay's attachments; what it fetches passes the lie, while there is one."""

    relay: RelayBlobs
    lie: Lie | None = None
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Pass everything else on."""
        super().__init__(self.relay)

    def fetch(self, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
        """Fetch, or lie."""
        self.starts.append(start)
        if self.lie is None:
            return self.relay.fetch(sender, blob_id, start)
        return self.lie(self, sender, blob_id, start)


def between(node: Node, lie: Lie | None) -> LyingBlobs:
    """Let what a node fetches pass a lie."""
    liar = LyingBlobs(node.relay.blobs, lie)
    node.files.fetching._relay = liar
    return liar


async def changed(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
    """Change one byte of each message."""
    async for data in liar.relay.fetch(sender, blob_id, start):
        yield bytes([data[0] ^ 1]) + data[1:]


async def truncated(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
    """End in good order before the end."""
    async with aclosing(liar.relay.fetch(sender, blob_id, start)) as parts:  # type: ignore[type-var]
        async for data in parts:
            yield data[:1000]
            return


async def appended(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
    """Never end."""
    async for data in liar.relay.fetch(sender, blob_id, start):
        yield data
    while True:
        yield bytes(1000)


async def doubled(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
    """Send the first message twice."""
    first = True
    async for data in liar.relay.fetch(sender, blob_id, start):
        yield data
        if first:
            yield data
        first = False


async def withheld(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
    """Know of nothing."""
    async for _ in liar.relay.fetch(sender, blob_id, start):
        raise NotFound("no such blob for this reader")
    yield b""


async def states(node: Node, item: bytes) -> list[str]:
    return [each.state for each in await standing(node, item)]


async def waits(node: Node, item: bytes) -> bool:
    return await states(node, item) == ["waiting"]


@pytest.mark.parametrize("lie", [changed, appended, doubled])
async def test_a_file_that_the_relay_changes_is_an_alarm_and_never_here(lie: Lie) -> None:
    async with nodes("XA", "XV") as (_, running):
        recipient = running["XV"]
        liar = between(recipient, lie)
        sent = await push(running["XA"], "XV", files={"one.bin": ONE})
        await receipted(running["XA"], sent.item, "XV")
        await alarmed(recipient, alarms.RELAY)
        await until(partial(waits, recipient, sent.item), "it does not wait to be fetched again")
        assert not any(map(recipient.files.disk.is_whole, recipient.files.disk.names()))
        liar.lie = None
        recipient.files.fetching.hurry()
        await here(recipient, sent.item, one=ONE)


async def test_a_file_for_which_the_relay_gives_another_is_an_alarm_and_never_here() -> None:
    async with nodes("XA", "XV") as (_, running):
        recipient = running["XV"]
        ids: list[bytes] = []

        def swapped(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
            other = next(each for each in ids if each != blob_id)
            return liar.relay.fetch(sender, other, start)

        free, recipient.files.fetching._least_free = recipient.files.fetching._least_free, 1 << 60
        sent = await push(running["XA"], "XV", files={"one.bin": ONE, "two.bin": TWO})
        await receipted(running["XA"], sent.item, "XV")
        rows = await recipient.core.database.read(partial(blobs.of_item, item=sent.item))
        ids += [row.blob_id for row in rows]
        liar = between(recipient, swapped)
        recipient.files.fetching._least_free = free
        await recipient.core.database.write(lambda c: [blobs.change(c, row.file, row.state, due_ms=0) for row in rows])
        recipient.files.fetching.hurry()
        await alarmed(recipient, alarms.RELAY)
        assert "here" not in await states(recipient, sent.item)
        liar.lie = None
        recipient.files.fetching.hurry()
        await here(recipient, sent.item, one=ONE, two=TWO)


async def test_a_file_that_the_relay_cuts_short_goes_on_where_it_ended() -> None:
    async with nodes("XA", "XV") as (_, running):
        recipient = running["XV"]
        liar = between(recipient, truncated)
        sent = await push(running["XA"], "XV", files={"one.bin": ONE})
        await receipted(running["XA"], sent.item, "XV")
        await until(lambda: len(liar.starts) >= 2, "it is not asked for again")
        assert liar.starts[:2] == [0, 1000] and "here" not in await states(recipient, sent.item)
        liar.lie = None
        recipient.files.fetching.hurry()
        await here(recipient, sent.item, one=ONE)
        assert await open_alarms(recipient) == []


async def test_a_file_that_the_relay_withholds_is_lost_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "AGAIN_FIRST_MS", 10)
    async with nodes("XA", "XV") as (_, running):
        recipient = running["XV"]
        between(recipient, withheld)
        sent = await push(running["XA"], "XV", files={"one.bin": ONE})
        await receipted(running["XA"], sent.item, "XV")
        await alarmed(recipient, alarms.FILES)

        async def lost() -> bool:
            return await states(recipient, sent.item) == ["lost"]

        await until(lost, "it is not shown as lost")


async def test_connections_that_are_cut_on_the_way_lose_nothing_that_was_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways: each call breaks off after some bytes, and the next one goes on there."""
    monkeypatch.setattr(fetching, "DURABLE_BYTES", 1)

    async def broken(liar: LyingBlobs, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
        async with aclosing(liar.relay.fetch(sender, blob_id, start)) as parts:  # type: ignore[type-var]
            async for data in parts:
                yield data
                raise Unavailable("the connection was cut")

    async with nodes("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        liar, held = between(recipient, broken), []
        upload = sender.relay.blobs.upload

        async def cut(*given: object) -> AsyncIterator[tuple[int, bool]]:
            async with aclosing(upload(*given)) as answers:  # type: ignore[arg-type,type-var]
                async for number, (at, complete) in aenumerate(answers):
                    held.append(at)
                    yield at, complete
                    if number:
                        raise Unavailable("the connection was cut")

        monkeypatch.setattr(sender.relay.blobs, "upload", cut)
        big = random_bytes(5 * MIB)
        sent = await push(sender, "XV", files={"big.bin": big})
        await receipted(sender, sent.item, "XV")
        await here(recipient, sent.item, big=big)
        assert held == sorted(held) and len(held) > 4
        assert liar.starts == sorted(set(liar.starts)) and len(liar.starts) > 4


async def aenumerate(answers: AsyncIterator[tuple[int, bool]]) -> AsyncIterator[tuple[int, tuple[int, bool]]]:
    number = 0
    async for answer in answers:
        yield number, answer
        number += 1
