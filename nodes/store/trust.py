"""The mirrored directory, checkpoints and prekey bundles, on an open transaction."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, func, insert, select, update

from exchange.runtime.upsert import insert_or_keep, insert_or_replace
from nodes.store import tables
from nodes.store.rows import OwnBundle

_entry = tables.directory_entry.c
_bundle = tables.prekey_bundle.c


def directory_entries(connection: Connection, *, start: int, limit: int) -> list[bytes]:
    """Return entries of the directory log from index `start` on."""
    wanted = select(_entry.entry).where(_entry.number >= start).order_by(_entry.number).limit(limit)
    return list(connection.execute(wanted).scalars())


def directory_size(connection: Connection) -> int:
    """Return how many entries are stored."""
    return int(connection.execute(select(func.count()).select_from(tables.directory_entry)).scalar_one())


def add_entries(connection: Connection, start: int, entries: Sequence[bytes]) -> None:
    """Store verified entries from index `start` on; an index that is taken fails the transaction."""
    if entries:
        rows = [{"number": start + place, "entry": entry} for place, entry in enumerate(entries)]
        connection.execute(insert(tables.directory_entry), rows)


def checkpoint_of(connection: Connection, log: int) -> tuple[int, str] | None:
    """Return size and note of the newest verified checkpoint of a log."""
    row = tables.checkpoint.c
    found = connection.execute(select(row.size, row.note).where(row.log == log)).one_or_none()
    return None if found is None else (found.size, found.note)


def set_checkpoint(connection: Connection, log: int, size: int, note: str, seen_ms: int) -> None:
    """Keep a verified checkpoint as the newest of its log."""
    row = {"log": log, "size": size, "note": note, "seen_ms": seen_ms}
    insert_or_replace(connection, tables.checkpoint, [row])


def add_bundle(connection: Connection, *, hash_: bytes, party: str, first_day: int, bundle: bytes) -> None:
    """Keep a partner's verified bundle of prekeys."""
    row = {"hash": hash_, "party": party, "first_day": first_day, "bundle": bundle}
    insert_or_keep(connection, tables.prekey_bundle, [row])


def bundles(connection: Connection) -> dict[bytes, bytes]:
    """Return all kept bundles of partners, by payload hash."""
    return {row.hash: row.bundle for row in connection.execute(select(_bundle.hash, _bundle.bundle))}


def drop_bundles(connection: Connection, hashes: Sequence[bytes]) -> None:
    """Forget bundles that the directory names no longer."""
    connection.execute(delete(tables.prekey_bundle).where(_bundle.hash.in_(list(hashes))))


def add_own_bundle(connection: Connection, bundle: OwnBundle) -> None:
    """Keep a bundle that this node made, before it is published."""
    insert_or_keep(connection, tables.own_bundle, [asdict(bundle)])


def own_bundles(connection: Connection) -> list[OwnBundle]:
    """Return the bundles that this node made, oldest first."""
    wanted = select(tables.own_bundle).order_by(tables.own_bundle.c.made_ms)
    return [OwnBundle(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def bundle_published(connection: Connection, hash_: bytes) -> None:
    """Note that the directory names a bundle of this node."""
    connection.execute(update(tables.own_bundle).where(tables.own_bundle.c.hash == hash_).values(published=True))
