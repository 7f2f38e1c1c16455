"""SpentStore on SQL: a row for each bucket of each party."""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select

from exchange.names import PartyId
from exchange.relay.quota import Counted
from exchange.relay.store import tables
from exchange.runtime.prepared import fetch
from exchange.runtime.upsert import insert_or_replace

_OF_PARTY = select(tables.spent.c.what, tables.spent.c.full_us).where(tables.spent.c.party == bindparam("whose"))


class SqlSpent:
    """Buckets within one open transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on `connection`; its transaction is the caller's."""
        self._connection = connection

    def full_us(self, party: PartyId) -> Mapping[Counted, int]:
        """Return the times that are stored."""
        return {Counted(what): full_us for what, full_us in fetch(self._connection, _OF_PARTY, whose=party)}

    def put(self, party: PartyId, full_us: Mapping[Counted, int]) -> None:
        """Replace these times of a party."""
        rows = [{"party": party, "what": int(what), "full_us": at} for what, at in full_us.items()]
        insert_or_replace(self._connection, tables.spent, rows)
