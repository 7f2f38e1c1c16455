"""Take from this node's mirror of the directory what shows others who the witnesses are, and which keys the relay has.

nodes/witness_anchor.py and nodes/shown_keys.py read it.
"""

from collections.abc import Iterator

from sqlalchemy import Connection

from exchange.directory.fold import Directory
from exchange.directory.seats import seat_entries
from nodes.store import trust as store
from nodes.witness_anchor import Anchor

READ_AT_ONCE = 1_000


def anchor_of(connection: Connection, *, directory: Directory) -> Anchor:
    """Return the genesis, and how it comes to the witnesses that are named now."""
    (genesis,) = store.directory_entries(connection, start=0, limit=1)
    named_at = directory.witnesses_named_at
    if not named_at:
        return Anchor(genesis)
    (witness_set,) = store.directory_entries(connection, start=named_at, limit=1)
    return Anchor(genesis, seat_entries(_before(connection, named_at), directory), witness_set)


def relay_key_entries(connection: Connection, *, directory: Directory) -> tuple[bytes, ...]:
    """Return the entries by which the council named other keys of the relay than the genesis."""
    indexes = [each.index for each in directory.relay_key_history[1:]]
    return tuple(store.directory_entries(connection, start=index, limit=1)[0] for index in indexes)


def _before(connection: Connection, end: int) -> Iterator[bytes]:
    for start in range(0, end, READ_AT_ONCE):
        yield from store.directory_entries(connection, start=start, limit=min(READ_AT_ONCE, end - start))
