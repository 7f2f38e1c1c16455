"""The relay's sweep on both kinds of database: what goes, that it is logged once, and where its space goes."""

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter

from exchange.envelope.model import Lane
from exchange.relay import retention as module
from exchange.relay.app import MIGRATIONS
from exchange.relay.retention import Retention
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.entry import EntryKind, decode_entry
from tests.contract.test_contract_relay_store import XV, acknowledge, an_envelope, store
from tests.support.directory_builders import a_directory

NOW = 10_000


def a_retention(database: Database) -> Retention:
    counter = Counter("swept", "Not read.", registry=None)
    return Retention(database, Sequencer(), lambda: NOW, counter, directory=a_directory)


@pytest.fixture
def pair(database_url: str) -> Iterator[tuple[Database, Database]]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as one, Database(database_url) as other:
        yield one, other


async def test_two_processes_sweep_at_once_and_each_deletion_is_logged_once(pair: tuple[Database, Database]) -> None:
    expires = {number: NOW if number % 3 == 0 else NOW + 1 for number in range(1, 1_001)}
    store(pair[0], *(an_envelope(number, expires_ms=at) for number, at in expires.items()))
    acknowledge(pair[0], XV, 500)
    gone = {number for number, at in expires.items() if number <= 500 or at == NOW}
    counts = await asyncio.gather(*(a_retention(database).sweep() for database in pair))
    assert sum(counts) == len(gone)
    entries = [decode_entry(each) for each in pair[1].read_now(lambda c: SqlLogs(c).entries(Log.TRAFFIC, 0, 10_000))]
    assert all(each.kind is EntryKind.DELETION and each.at_ms == NOW for each in entries)
    hashes = [each.sha256 for each in entries]
    assert len(hashes) == len(set(hashes))
    assert set(hashes) == {an_envelope(number).hash for number in gone}
    assert pair[0].read_now(lambda c: SqlMailboxes(c).held()) == len(expires) - len(gone)


async def test_submissions_pass_between_the_batches_of_a_long_sweep(pair: tuple[Database, Database]) -> None:
    database, _ = pair
    store(database, *(an_envelope(number, expires_ms=NOW) for number in range(1, 2_001)))
    sweep = asyncio.create_task(a_retention(database).sweep())
    left: list[int] = []
    while not sweep.done():
        left.append(await database.write(lambda c: SqlMailboxes(c).held()))
    assert await sweep == 2_000
    steps = {before - after for before, after in itertools.pairwise(left)}
    assert len(set(left)) > 4 and max(steps) <= 2 * module.BATCH


async def test_an_embedded_store_gives_back_what_it_will_not_need_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGES_KEPT", 100)
    url = sqlite_url(tmp_path / "relay.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        store(database, *(an_envelope(number, body=bytes(50_000)) for number in range(1, 201)))
        full = await database.free_pages()
        acknowledge(database, XV, 200)
        await a_retention(database).sweep()
        after = await database.free_pages()
        assert full is not None and after is not None
        assert full.total > 2_400 and full.free < 100
        assert after.total < 300 and after.free <= after.total // 4 + 100
    assert (tmp_path / "relay.db").stat().st_size < 300 * after.page_bytes


async def test_a_store_whose_file_cannot_shrink_is_swept_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that an earlier version made; `VACUUM` while the relay is stopped lets it shrink from then on."""
    monkeypatch.setattr(module, "PAGES_KEPT", 1)
    url = sqlite_url(tmp_path / "relay.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        database.checkpoint_truncate_now()
    with sqlite3.connect(tmp_path / "relay.db", isolation_level=None) as plain:
        for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=NONE", "VACUUM", "PRAGMA journal_mode=WAL"):
            plain.execute(statement)
    plain.close()
    with Database(url) as database:
        store(database, *(an_envelope(number, body=bytes(50_000)) for number in range(1, 21)))
        acknowledge(database, XV, 20)
        assert await a_retention(database).sweep() == 20
        found = await database.free_pages()
        assert found is not None and found.free > 100
        assert database.read_now(lambda c: SqlMailboxes(c).waiting(XV, Lane.ROUTINE, after=0, limit=1)) == []


async def test_a_server_sees_to_its_space_by_itself(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        assert await database.free_pages() is None
