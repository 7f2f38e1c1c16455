"""What the node does with reports that it holds: exports, on an open transaction."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert, select

from nodes.store.rows import Export
from nodes.store.rule_tables import export
from nodes.store.upsert import next_number


def add_export(connection: Connection, handed: Export) -> None:
    """Write down that content was handed out."""
    number = next_number(connection, export.c.number)
    connection.execute(insert(export), [{**asdict(handed), "number": number}])


def exports_of(connection: Connection, items: Sequence[bytes]) -> list[Export]:
    """Return every time that one of these items was handed out, in order."""
    wanted = select(export).where(export.c.item.in_(list(items))).order_by(export.c.number)
    return [Export(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001
