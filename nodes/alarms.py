"""Raise and close what an operator must look at. An alarm is stored before anything goes on, and logged."""

from collections.abc import Callable, Collection

from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from nodes.store import alarms as store
from nodes.store.rows import Alarm

DIRECTORY = "directory"
"""The relay's directory log contradicts what this node has seen or was told."""

TRAFFIC = "traffic"
"""The relay's traffic log contradicts a promise, or itself."""

RELAY = "relay"
"""The relay answered something that does not hold."""

SENDER = "sender"
"""A partner's node contradicts itself."""

GAP = "gap"
"""A partner sent something that never came."""

SILENT = "silent"
"""Nothing has come of a partner for longer than its daily stream heads allow."""

WITHHELD = "withheld"
"""The relay promised to deliver an envelope that its recipient never got."""

AGREEMENT = "agreement"
"""An agreement does not hold, or is published without this party's signature."""

COMMUNITY = "community"
"""A community's owner contradicts itself, or the relay does not show what it was told."""

NOTICE = "notice"
"""A party has suspended, resumed or left an agreement; an operator has to acknowledge it."""

PREKEYS = "prekeys"
"""The directory names prekeys of this party that this node did not make, or own prekeys run out."""

CONSENT = "consent"
"""A partner waits for an operator's answer: it asks to pass on what this party originated."""

ENDING = "ending"
"""A certificate, a transport CA or a supply of prekeys, here or at a partner, ends within a week or has ended."""

ROOT = "root"
"""A party goes on under another root, and nobody here has compared its fingerprint."""

SUSPECT = "suspect"
"""A key may have been in other hands, and reports that came under it since have not been looked at."""

FRESHNESS = "freshness"
"""No quorum of witnesses has vouched for the directory, or for what stands in the traffic log, for too long."""

FILES = "files"
"""A file of a report cannot be sent or had: it is damaged or gone here, or the relay does not have it."""

WITNESS = "witness"
"""Witnesses have vouched for two histories of one log."""

DIRECTORY_ENTRY = "directory-entry"
"""The relay admitted an entry that does not hold where it stands."""


class Alarms:
    """Alarms of one node."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        """Keep them in `database`."""
        self._database = database
        self._clock = clock
        self._log = get_logger(__name__)

    async def raise_(self, kind: str, subject: str, text: str) -> None:
        """Open an alarm; while one of the same kind and subject is open, nothing happens."""
        alarm = Alarm(kind, subject, self._clock(), text)
        if await self._database.write(lambda connection: store.raise_alarm(connection, alarm)):
            self._log.error("alarm", kind=kind, subject=subject, text=text)

    async def close_others(self, kind: str, subjects: Collection[str]) -> None:
        """Close the open alarms of a kind that are about none of these."""
        for each in await self._database.read(store.open_alarms):
            if each.kind == kind and each.subject not in subjects:
                await self.close(kind, each.subject)

    async def close(self, kind: str, subject: str) -> None:
        """Close an alarm whose cause is gone."""
        now = self._clock()
        if any((each.kind, each.subject) == (kind, subject) for each in await self._database.read(store.open_alarms)):
            await self._database.write(lambda connection: store.close_alarm(connection, kind, subject, now))
