"""Ways through proxies that can be cut: for where network namespaces are not allowed. They take no rights at all."""

import asyncio
import contextlib
from collections.abc import Sequence
from threading import Thread
from typing import Self

PIECE = 1 << 16
WAIT_S = 10.0


class Wire:
    """One address that leads to another."""

    def __init__(self, to: str) -> None:
        host, _, port = to.rpartition(":")
        self._to = (host, int(port))
        self._cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self.address = ""

    async def listen(self) -> None:
        """Take connections from now on."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    def cut(self) -> None:
        """End every connection, and each that is made from now on."""
        self._cut = True
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections pass again."""
        self._cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if not self._cut:
                there, back = await asyncio.open_connection(*self._to)
                both = {writer, back}
                self._open |= both
                try:
                    # What was cut while it was being made.
                    if not self._cut:
                        await asyncio.gather(_carry(reader, back), _carry(there, writer))
                finally:
                    self._open -= both
                    back.transport.abort()
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    # One side has ended: so has the connection.
    writer.transport.abort()


class Wires:
    """As tests/chaos/ways.py wants them, in a thread of their own, whatever this process does; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._wires: dict[str, list[Wire]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)

    def listen(self, address: str) -> str:
        """Relays stay where they are."""
        return address

    def lead(self, party: str, to: Sequence[str]) -> list[str]:
        """Make a proxy for each relay."""
        self._wires[party] = [Wire(each) for each in to]
        for wire in self._wires[party]:
            asyncio.run_coroutine_threadsafe(wire.listen(), self._loop).result(WAIT_S)
        return [wire.address for wire in self._wires[party]]

    def around(self, name: str) -> list[str]:  # noqa: ARG002 - namespaces look at it
        """Nothing goes around a command."""
        return []

    def cut(self, party: str, ways: Sequence[int]) -> None:
        """End what passes there."""
        for way in ways:
            self._loop.call_soon_threadsafe(self._wires[party][way].cut)

    def mend(self, party: str, ways: Sequence[int]) -> None:
        """Let it pass again."""
        for way in ways:
            self._loop.call_soon_threadsafe(self._wires[party][way].mend)
