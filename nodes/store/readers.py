"""Who may read each version, on an open transaction; a rule is sealed bytes that nodes/vault.py understands."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from nodes.store.rows import ItemState
from nodes.store.rule_tables import reader_rule
from nodes.store.tables import report
from nodes.store.upsert import insert_or_keep


def put_rules(connection: Connection, rules: Mapping[bytes, bytes]) -> None:
    """Store the sealed rule of each new version, empty when it has none; the first one stays."""
    insert_or_keep(connection, reader_rule, [{"item": item, "rule": rule} for item, rule in rules.items()])


def rules_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the sealed rules of those of these versions that have a row."""
    wanted = select(reader_rule).where(reader_rule.c.item.in_(list(items)))
    return {row.item: row.rule for row in connection.execute(wanted)}


def without_row(connection: Connection, *, limit: int) -> list[bytes]:
    """Return versions whose rule was never written, and whose content is still here to say it."""
    known = select(reader_rule.c.item)
    wanted = select(report.c.item).where(report.c.item.not_in(known), report.c.state != ItemState.PURGED)
    return list(connection.execute(wanted.where(report.c.record != b"").limit(limit)).scalars())
