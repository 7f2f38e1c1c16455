"""With which keys the reports that are here were signed, and when they came, on an open transaction.

What a key signed after it came into other hands is for people to look at: it is found by this, and noted as looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select, update

from exchange.runtime.upsert import insert_or_keep, row_of
from nodes.store.rule_tables import provenance

_row = provenance.c


@dataclass(frozen=True, slots=True)
class Provenance:
    """Of one version: the keys that signed its statement and the header it came under, and when it came."""

    item: bytes
    statement_key: bytes
    envelope_key: bytes
    """Empty for an own report."""
    received_ms: int
    """When it first came here, or was logged as the relay says, whichever is later."""
    reviewed_ms: int = 0
    """When a person has looked at it because of a stolen key; 0 for never."""


def add_provenances(connection: Connection, rows: Sequence[Provenance]) -> None:
    """Note the keys of new versions; the first time that one came stays."""
    insert_or_keep(connection, provenance, [row_of(row) for row in rows])


def provenances_of(connection: Connection, items: Sequence[bytes]) -> Mapping[bytes, Provenance]:
    """Return those of these versions that have one."""
    found = connection.execute(select(provenance).where(_row.item.in_(list(items))))
    return {row.item: Provenance(**dict(row._mapping)) for row in found}  # noqa: SLF001


def count_suspect(connection: Connection, key_id: bytes, since_ms: int) -> int:
    """Return how many versions a key signed, or brought, since a time, that nobody has looked at since."""
    wanted = select(func.count()).where(
        or_(_row.statement_key == key_id, _row.envelope_key == key_id),
        _row.received_ms >= since_ms,
        _row.reviewed_ms == 0,
    )
    return int(connection.execute(wanted).scalar_one())


def set_reviewed(connection: Connection, item: bytes, now_ms: int) -> None:
    """Note that a person has looked at a version."""
    connection.execute(update(provenance).where(_row.item == item).values(reviewed_ms=now_ms))
