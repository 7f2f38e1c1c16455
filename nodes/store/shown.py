"""Signed headers of envelopes that came, with this node's slot: what two of them prove, on an open transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select

from exchange.names import HASH_BYTES
from exchange.runtime.prepared import fetch_among
from exchange.runtime.upsert import insert_or_keep, one_of, row_of
from nodes.store import rule_tables

KEPT_MS = 90 * 24 * 60 * 60 * 1000
"""After this a second envelope under one number still raises the alarm, and proves nothing to others any more."""

_shown = rule_tables.shown.c
_BY_ID = select(_shown.sender, _shown.envelope_id, _shown.envelope).where(one_of(_shown.envelope_id))


@dataclass(frozen=True, slots=True)
class KeptShown:
    """A header as Signed bytes, the slot's place, its leaf, and the path to the header's root, step after step."""

    envelope: bytes
    sender: str
    envelope_id: bytes
    stored_ms: int
    header: bytes = field(repr=False)
    place: int
    leaf: bytes = field(repr=False)
    path: bytes = field(repr=False)

    @property
    def steps(self) -> tuple[bytes, ...]:
        """The path, step by step."""
        return tuple(self.path[at : at + HASH_BYTES] for at in range(0, len(self.path), HASH_BYTES))


def add_shown(connection: Connection, rows: Sequence[KeptShown]) -> None:
    """Keep headers; a repeat changes nothing."""
    insert_or_keep(connection, rule_tables.shown, [row_of(row) for row in rows])


def shown_of(connection: Connection, envelopes: Sequence[bytes]) -> dict[bytes, KeptShown]:
    """Return those of these envelopes that are kept."""
    found = connection.execute(select(rule_tables.shown).where(_shown.envelope.in_(list(envelopes))))
    return {row.envelope: KeptShown(**dict(row._mapping)) for row in found}  # noqa: SLF001


def others_with_id(connection: Connection, rows: Sequence[KeptShown]) -> dict[bytes, bytes]:
    """Return, by envelope, another one of the same sender under the same id."""
    first: dict[tuple[str, bytes], bytes] = {}
    others = {}
    for row in rows:
        known = first.setdefault((row.sender, row.envelope_id), row.envelope)
        if known != row.envelope:
            others[row.envelope] = known
    for sender, id_, envelope in fetch_among(connection, _BY_ID, [id_ for _, id_ in first]):
        mine = first.get((sender, id_))
        if mine is not None and mine != envelope:
            others[mine] = envelope
    return others


def drop_shown(connection: Connection, before_ms: int) -> int:
    """Forget headers that came before a time, and return how many."""
    return connection.execute(delete(rule_tables.shown).where(_shown.stored_ms < before_ms)).rowcount
