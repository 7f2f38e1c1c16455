"""Keys of reports, daily prekeys, and node keys that follow the first ones, in keys.db: a small file that can forget.

Every key is wrapped under the store's master key; the context ties it to its place. What is deleted is overwritten
(secure_delete), and gone from the write-ahead log too once the file is checkpointed: `Database.checkpoint_truncate`.
A key is durable before the row that needs it, and destroyed before the row that says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, insert, select

from exchange.crypto.atrest import open_record, seal_record, unwrap_key, wrap_key
from exchange.crypto.random import random_bytes
from exchange.crypto.xwing import XWingKey
from exchange.runtime.prepared import fetch_among
from exchange.runtime.upsert import insert_or_keep, next_number, one_of
from nodes.store import tables

KEY_BYTES = 32

_REPORT = b"report\x00"
_PREKEY = b"prekey\x00"
_NODE_KEY = b"node-key\x00"
_report_key = tables.report_key.c
_prekey = tables.prekey.c
_node_key = tables.node_key.c
_REPORT_KEYS = select(_report_key.item, _report_key.wrapped).where(one_of(_report_key.item))


@dataclass(frozen=True, slots=True)
class Prekey:
    """A daily prekey; `day` counts days since 1970 in UTC."""

    day: int
    key: XWingKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredNodeKey:
    """A node key that follows those of node.keys; `use` is signing or transport."""

    number: int
    use: str
    made_ms: int
    secret: bytes = field(repr=False)
    public: bytes = b""
    statement: bytes = b""


def new_report_key() -> bytes:
    """Return a fresh key for one report."""
    return random_bytes(KEY_BYTES)


def add_report_keys(connection: Connection, master: bytes, keys: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Store (item, key) pairs, and return the key of each item: one that has a key keeps it."""
    new = dict(keys)
    wrapped = {item: wrap_key(master, key, _REPORT + item) for item, key in new.items()}
    rows = [{"item": item, "wrapped": each} for item, each in wrapped.items()]
    if insert_or_keep(connection, tables.report_key, rows) == len(rows):
        return new
    kept: dict[bytes, bytes] = dict(fetch_among(connection, _REPORT_KEYS, list(wrapped)))
    return {
        item: key if kept[item] == wrapped[item] else unwrap_key(master, kept[item], _REPORT + item)
        for item, key in new.items()
    }


def report_keys(connection: Connection, master: bytes, items: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the keys of these items that are not destroyed.

    Raises:
        VerificationFailed: the file is damaged, or belongs to another keystore.
    """
    found = fetch_among(connection, _REPORT_KEYS, items)
    return {item: unwrap_key(master, wrapped, _REPORT + item) for item, wrapped in found}


def items_with_key(connection: Connection, items: Sequence[bytes]) -> set[bytes]:
    """Return those of these items whose key is here."""
    return set(connection.execute(select(_report_key.item).where(_report_key.item.in_(list(items)))).scalars())


def items_of_keys(connection: Connection, *, after: bytes, limit: int) -> list[bytes]:
    """Return items that have a key, in order of the hash."""
    wanted = select(_report_key.item).where(_report_key.item > after).order_by(_report_key.item).limit(limit)
    return list(connection.execute(wanted).scalars())


def destroy_report_keys(connection: Connection, items: Sequence[bytes]) -> int:
    """Delete the keys of these items and return how many went; checkpoint the file after the commit."""
    return connection.execute(delete(tables.report_key).where(_report_key.item.in_(list(items)))).rowcount


def add_prekeys(connection: Connection, master: bytes, prekeys: Sequence[Prekey]) -> None:
    """Store prekeys before their public halves are shown to anybody."""
    rows = [
        {
            "key_id": each.key.public.key_id,
            "day": each.day,
            "wrapped": wrap_key(master, each.key.seed, _PREKEY + each.key.public.key_id),
        }
        for each in prekeys
    ]
    if rows:
        connection.execute(insert(tables.prekey), rows)


def prekey_of(connection: Connection, master: bytes, key_id: bytes) -> XWingKey | None:
    """Return the prekey of an id, if it is not destroyed."""
    wanted = select(_prekey.wrapped).where(_prekey.key_id == key_id)
    wrapped = connection.execute(wanted).scalar_one_or_none()
    return None if wrapped is None else XWingKey.from_seed(unwrap_key(master, wrapped, _PREKEY + key_id))


def prekey_days(connection: Connection) -> list[tuple[int, bytes]]:
    """Return (day, key id) of the prekeys held, by day."""
    found = connection.execute(select(_prekey.day, _prekey.key_id).order_by(_prekey.day, _prekey.key_id))
    return [(row.day, row.key_id) for row in found]


def destroy_prekeys_before(connection: Connection, day: int) -> int:
    """Delete the prekeys of days before `day` and return how many went; checkpoint the file after the commit."""
    return connection.execute(delete(tables.prekey).where(_prekey.day < day)).rowcount


def count_prekeys(connection: Connection) -> int:
    """Return how many prekeys are held."""
    return int(connection.execute(select(func.count()).select_from(tables.prekey)).scalar_one())


# -- node keys ---------------------------------------------------------------------------------------------------------


def add_node_key(
    connection: Connection, master: bytes, *, use: str, made_ms: int, secret: bytes, public: bytes, statement: bytes
) -> StoredNodeKey:
    """Store a node key before anybody hears of it, and return it with its number."""
    number = next_number(connection, _node_key.number)
    row = {"number": number, "use": use, "made_ms": made_ms, "public": public, "statement": statement}
    sealed = seal_record(master, secret, _place(number, use))
    connection.execute(insert(tables.node_key), [{**row, "secret": sealed}])
    return StoredNodeKey(number, use, made_ms, secret, public, statement)


def node_keys(connection: Connection, master: bytes) -> list[StoredNodeKey]:
    """Return the node keys that are not destroyed, oldest first.

    Raises:
        VerificationFailed: the file is damaged, or belongs to another keystore.
    """
    return [
        StoredNodeKey(
            row.number,
            row.use,
            row.made_ms,
            open_record(master, row.secret, _place(row.number, row.use)),
            row.public,
            row.statement,
        )
        for row in connection.execute(select(tables.node_key).order_by(_node_key.number))
    ]


def destroy_node_keys(connection: Connection, numbers: Sequence[int]) -> int:
    """Delete node keys and return how many went; checkpoint the file after the commit."""
    return connection.execute(delete(tables.node_key).where(_node_key.number.in_(list(numbers)))).rowcount


def _place(number: int, use: str) -> bytes:
    return _NODE_KEY + use.encode() + b"\x00" + number.to_bytes(8, "big")
