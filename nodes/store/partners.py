"""Partners whose fingerprint was compared by a person, on an open transaction."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from exchange.runtime.upsert import insert_or_replace
from nodes.store.rule_tables import verified


@dataclass(frozen=True, slots=True)
class Verified:
    """A comparison; it counts while the partner has this root."""

    party: str
    root_key_id: bytes
    at_ms: int
    operator: str


def put_verified(connection: Connection, row: Verified) -> None:
    """Note a comparison; the one before, be it of another root, is replaced."""
    insert_or_replace(connection, verified, [asdict(row)])


def all_verified(connection: Connection) -> dict[str, Verified]:
    """Return the newest comparison of each partner that has one."""
    rows = connection.execute(select(verified))
    return {row.party: Verified(row.party, row.root_key_id, row.at_ms, row.operator) for row in rows}
