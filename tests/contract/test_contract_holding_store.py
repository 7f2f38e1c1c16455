"""What the node's store promises about reports in its keeping, on every kind of database."""

from collections.abc import Iterator
from functools import partial

import pytest

from exchange.policy.model import Actions, Purpose
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import holding
from nodes.store.rows import Export

NOW = 1_700_000_000_000
ITEM, OTHER = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def test_exports_are_written_down_in_order(database: Database) -> None:
    rows = [
        Export(item, NOW + place, "desk", int(Actions.NONE), int(Purpose.TRAINING), "PK", as_evidence=True)
        for place, item in enumerate((ITEM, OTHER, ITEM))
    ]
    for row in rows:
        database.write_now(partial(holding.add_export, handed=row))
    found = database.read_now(lambda connection: holding.exports_of(connection, [ITEM]))
    assert [(row.item, row.at_ms, row.place, row.as_evidence) for row in found] == [
        (ITEM, NOW, "PK", True),
        (ITEM, NOW + 2, "PK", True),
    ]
    assert [row.number for row in found] == sorted(row.number for row in found)
