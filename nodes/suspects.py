"""Reports that a key signed after it came into other hands: flagged for people to look at, never deleted by this.

A revocation that says `compromised` names since when. What counts is when a report came here, or when the relay says
that it logged it, whichever is later: a thief writes any date, and a relay that helps it signs one. Flags are computed
from the directory each time, so a later revocation that reaches further back flags more at once; what a person has
looked at stays noted as such.
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
    known = (key for key in keys if key is not None)
    against = [_words(key) for key in known if directory.in_other_hands(key.key_id, at_ms=found.received_ms)]
    if not against:
        return ""
    looked = f"; looked at {moment(found.reviewed_ms)}" if found.reviewed_ms else ""
    return f"{' and '.join(against)}{looked}"


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
