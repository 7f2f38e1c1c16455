"""Who wrote a report and who approved it, on an open transaction."""

from sqlalchemy import Connection, select

from nodes.store.rule_tables import authorship
from nodes.store.upsert import insert_or_keep


def set_author(connection: Connection, item: bytes, name: str) -> None:
    """Remember who pushed a report; the first one stays."""
    insert_or_keep(connection, authorship, [{"item": item, "name": name}])


def author_of(connection: Connection, item: bytes) -> str:
    """Return who pushed a report of this node; empty when nobody knows."""
    found = connection.execute(select(authorship.c.name).where(authorship.c.item == item)).scalar_one_or_none()
    return found or ""
