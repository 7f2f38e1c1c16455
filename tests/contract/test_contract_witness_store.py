"""What the node's store promises of cosigned heads, quorums, partners' heads, evidence, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from exchange.errors import Conflict
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.relay_port import Log
from nodes.store import witnesses as store
from nodes.store.witnesses import CosignedHead, HeardHead, KeptEvidence, Quorum

NOW = 1_700_000_000_000
ROOT, OTHER = bytes(range(32)), bytes(32)
FIRST = CosignedHead(int(Log.TRAFFIC), 5, ROOT, "note", NOW)
HEARD = HeardHead("XV", int(Log.DIRECTORY), 5, ROOT, "", NOW)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


async def advance(database: Database, before: CosignedHead | None, after: CosignedHead) -> None:
    await database.write(partial(store.advance_cosigned, before=before, after=after))


async def cosigned(database: Database, log: Log = Log.TRAFFIC) -> CosignedHead | None:
    return await database.read(partial(store.cosigned_head, log=log))


async def test_what_was_cosigned_only_moves_from_what_it_was(database: Database) -> None:
    await advance(database, None, FIRST)
    larger = replace(FIRST, size=7, root=OTHER)
    for before in (None, larger, replace(FIRST, at_ms=1)):
        with pytest.raises(Conflict):
            await advance(database, before, larger)
    assert await cosigned(database) == FIRST
    await advance(database, FIRST, larger)
    assert (await cosigned(database), await cosigned(database, Log.DIRECTORY)) == (larger, None)


async def test_no_second_history_is_ever_stored(database: Database) -> None:
    await advance(database, None, FIRST)
    for second in (replace(FIRST, size=4), replace(FIRST, root=OTHER)):
        with pytest.raises(Conflict):
            await advance(database, FIRST, second)
    again = replace(FIRST, at_ms=NOW + 1)
    await advance(database, FIRST, again)
    assert await cosigned(database) == again


async def test_the_newest_quorum_of_each_log_is_kept(database: Database) -> None:
    quorum = Quorum(int(Log.DIRECTORY), 5, "note", NOW, NOW)
    for each in (quorum, replace(quorum, size=6), replace(quorum, log=int(Log.TRAFFIC))):
        await database.write(partial(store.set_quorum, quorum=each))
    found = [await database.read(partial(store.quorum_of, log=log)) for log in Log]
    assert found == [replace(quorum, size=6), replace(quorum, log=int(Log.TRAFFIC))]


async def test_of_a_partners_heads_the_largest_waits_since_the_first_was_heard(database: Database) -> None:
    for each in (HEARD, replace(HEARD, size=9, heard_ms=NOW + 5), replace(HEARD, size=7, heard_ms=NOW + 6)):
        await database.write(partial(store.hear_head, head=each))
    largest = replace(HEARD, size=9)
    assert await database.read(store.heard_heads) == [largest]
    await database.write(partial(store.forget_head, head=HEARD))
    assert await database.read(store.heard_heads) == [largest], "another one was heard since"
    await database.write(partial(store.forget_head, head=largest))
    assert await database.read(store.heard_heads) == []


async def test_evidence_is_kept_once_and_stays_as_it_was_found(database: Database) -> None:
    first = KeptEvidence(b"1", NOW, "fork", "what", "file")
    for each in (first, replace(first, file="other"), replace(first, hash=b"2", found_ms=NOW + 1)):
        await database.write(partial(store.keep_evidence, evidence=each))
    found = await database.read(partial(store.kept_evidence, limit=5))
    assert [(each.hash, each.file) for each in found] == [(b"2", "file"), (b"1", "file")]
