"""Reports that a key signed after it came into other hands: flagged for people to look at, never deleted by this.

A revocation that says `compromised` names since when. What counts is when the relay logged a report, not what it says
of itself: a thief writes any date. Flags are computed from the directory each time, so a later revocation that reaches
further back flags more at once; what a person has looked at stays noted as such.
"""

from collections.abc import Iterator
from functools import partial

from sqlalchemy import Connection

from exchange.directory.fold import Directory
from exchange.directory.state import KeyRecord, KeyUse
from exchange.errors import Conflict
from nodes import alarms
from nodes.core import Core
from nodes.moments import moment
from nodes.store import provenance as store
from nodes.store import reports
from nodes.store.provenance import Provenance
from nodes.store.rows import Event

SIGNING = frozenset({KeyUse.STATEMENT, KeyUse.ENVELOPE, KeyUse.ROOT})


def suspicion(directory: Directory, found: Provenance | None) -> str:
    """Return why people should look at a report again, for people; empty when nothing speaks for it."""
    if found is None:
        return ""
    keys = (directory.key_record(key_id) for key_id in (found.statement_key, found.envelope_key) if key_id)
    against = [_words(key) for key in keys if key is not None and is_suspect(directory, key, found.received_ms)]
    if not against:
        return ""
    looked = f"; looked at {moment(found.reviewed_ms)}" if found.reviewed_ms else ""
    return f"{' and '.join(against)}{looked}"


def is_suspect(directory: Directory, key: KeyRecord, at_ms: int) -> bool:
    """Say whether a key, or one that certified it, was in other hands when something was logged."""
    while True:
        if 0 < key.compromised_since_ms <= at_ms:
            return True
        above = directory.key_record(key.certified_by) if key.certified_by else None
        if above is None:
            return False
        key = above


def _words(key: KeyRecord) -> str:
    return f"signed with a {key.use} key of {key.party} that may have been in other hands"


def compromised(directory: Directory) -> Iterator[KeyRecord]:
    """Yield the keys that are suspect since a time."""
    return (key for key in directory.all_keys() if key.compromised_since_ms and key.use in SIGNING)


class Suspects:
    """Keeps alarms on what nobody has looked at. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Nothing is looked at yet."""
        self._core = core

    async def look(self) -> None:
        """Raise an alarm for each suspect key under which something came that nobody has looked at; close others."""
        core, directory = self._core, self._core.trust.now.directory
        open_ = []
        for key in compromised(directory):
            count = await core.database.read(partial(_count, directory=directory, key=key))
            if not count:
                continue
            subject = f"{key.party}/{key.key_id.hex()[:16]}"
            open_.append(subject)
            since = moment(key.compromised_since_ms)
            text = (
                f"a {key.use} key of {key.party} may have been in other hands since {since}; reports that came under it"
                " are to be looked at: concord report list, then concord report reviewed ID"
            )
            await core.alarms.raise_(alarms.SUSPECT, subject, text)
        await core.alarms.close_others(alarms.SUSPECT, open_)

    async def reviewed(self, item: bytes, *, who: str) -> None:
        """Note that a person has looked at a report; Conflict when nothing speaks against it."""
        core, now_ms = self._core, self._core.clock()
        found = (await core.database.read(partial(store.provenances_of, items=[item]))).get(item)
        if not suspicion(core.trust.now.directory, found):
            raise Conflict("nothing speaks against this report", hint="concord report show ID")
        await core.database.write(partial(_store, item=item, who=who, now_ms=now_ms))
        await self.look()


def _count(connection: Connection, directory: Directory, key: KeyRecord) -> int:
    """Count under a key, or under those that a root certified."""
    under = [key]
    if key.use is KeyUse.ROOT:
        under += [each for each in directory.all_keys() if each.certified_by == key.key_id]
    return sum(store.count_suspect(connection, each.key_id, key.compromised_since_ms) for each in under)


def _store(connection: Connection, item: bytes, who: str, now_ms: int) -> None:
    store.set_reviewed(connection, item, now_ms)
    reports.add_events(connection, [Event(item, now_ms, "looked at", detail=f"by {who}")])
