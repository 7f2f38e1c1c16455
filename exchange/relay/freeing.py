"""Frees the rows that recipients have acknowledged, those of all streams together.

Nobody is told when a row is gone, so nothing is lost by waiting a moment: acknowledgements gather before each
transaction, so that there are a few of these a second at most however many come, and one for a report that comes alone,
whoever it was for. What was not written when the relay died is delivered again, and the node knows it by its envelope
hash. Whoever must know that rows are gone does not wait for company (`settled`).
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import ExchangeError
from exchange.names import PartyId
from exchange.relay.mailbox import MailboxStore
from exchange.runtime.database import Database

GATHER_S = 0.2
"""Before each transaction."""

Read: TypeAlias = tuple[PartyId, Lane, EnvelopeKind | None]
"""Whose rows of which lane; of one kind only, when given."""


@dataclass(slots=True)
class _Batch:
    """What one transaction frees."""

    positions: dict[Read, int] = field(default_factory=dict)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its transaction has ended."""


class Freeing:
    """Writes acknowledgements. For one event loop."""

    def __init__(
        self,
        database: Database,
        mailboxes: Callable[[Connection], MailboxStore],
        failed: Callable[[PartyId, ExchangeError], None],
    ) -> None:
        """`failed` is told whose rows stay because they could not be freed."""
        self._database = database
        self._mailboxes = mailboxes
        self._failed = failed
        self._gathering, self._under_way = _Batch(), _Batch()
        self._wanted = asyncio.Event()
        """Set when somebody waits for what gathers."""
        self._writing: asyncio.Task[None] | None = None

    def note(self, party: PartyId, lane: Lane, position: int, *, kind: EnvelopeKind | None) -> None:
        """Free everything of a lane up to a position, soon."""
        self._gathering.positions[party, lane, kind] = position
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def settled(self) -> None:
        """Return when all that was noted so far is written, or has failed."""
        for batch in (self._under_way, self._gathering):
            if batch.positions and not batch.written.is_set():
                self._wanted.set()
                await batch.written.wait()

    async def _write(self) -> None:
        try:
            while self._gathering.positions:
                await self._gather()
                self._under_way, self._gathering = self._gathering, _Batch()
                try:
                    await self._free(self._under_way.positions)
                finally:
                    self._under_way.written.set()
        finally:
            self._writing = None

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._wanted.wait()
        self._wanted.clear()

    async def _free(self, positions: Mapping[Read, int]) -> None:
        def free(connection: Connection) -> None:
            mailboxes = self._mailboxes(connection)
            for (party, lane, kind), position in positions.items():
                mailboxes.acknowledge(party, lane, position, kind=kind)

        try:
            await self._database.write(free)
        except ExchangeError as error:
            for party in {party for party, _, _ in positions}:
                self._failed(party, error)
