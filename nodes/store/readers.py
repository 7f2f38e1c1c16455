"""Who may read each version, on an open transaction; a rule is sealed bytes that nodes/vault.py understands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, select

from exchange.runtime.upsert import insert_or_keep, insert_or_replace
from nodes.store.rows import ItemState
from nodes.store.rule_tables import reader_policy, reader_policy_told, reader_rule
from nodes.store.tables import report


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A partner's signed reader policy, or this one's own."""

    party: str
    at_ms: int
    statement: bytes = field(repr=False)


# -- rules -------------------------------------------------------------------------------------------------------------


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


# -- policies ----------------------------------------------------------------------------------------------------------


def keep_policy(connection: Connection, policy: KeptPolicy) -> None:
    """Keep a party's policy, unless one that is as new is kept already."""
    newer = select(reader_policy.c.party).where(
        reader_policy.c.party == policy.party, reader_policy.c.at_ms >= policy.at_ms
    )
    if connection.execute(newer).first() is None:
        insert_or_replace(connection, reader_policy, [asdict(policy)])


def policies(connection: Connection) -> dict[str, KeptPolicy]:
    """Return the newest policy of each party that has one."""
    rows = connection.execute(select(reader_policy))
    return {row.party: KeptPolicy(row.party, row.at_ms, row.statement) for row in rows}


def set_told(connection: Connection, partners: Iterable[str], at_ms: int) -> None:
    """Remember that these partners were told the policy of this time."""
    insert_or_replace(connection, reader_policy_told, [{"partner": each, "at_ms": at_ms} for each in partners])


def told(connection: Connection) -> dict[str, int]:
    """Return which policy each partner was told last, by its time."""
    return {row.partner: row.at_ms for row in connection.execute(select(reader_policy_told))}
