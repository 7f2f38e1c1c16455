"""What the node's store promises of times that a wrong clock has stored, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection

from exchange.envelope.model import Lane
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.store import MIGRATIONS, blobs, missing, reports, waits
from nodes.store.rows import AskedAgain, Event, Missing, MissingState, Reach
from nodes.waiting import NEVER_MS
from tests.contract.test_contract_node_blobs import a_blob
from tests.contract.test_contract_node_store import a_report, an_addressee, name

NOW = 1_700_000_000_000
AHEAD = NOW + 20 * 60_000
ROUTINE = int(Lane.ROUTINE)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def end_waits(database: Database) -> None:
    database.write_now(partial(waits.end_waits, now_ms=NOW))


def test_what_was_written_last_says_what_the_clock_told(database: Database) -> None:
    assert database.read_now(waits.newest_event_ms) == 0
    for at_ms in (AHEAD, NOW):
        event = Event(name("item", 1), at_ms, "pushed")
        database.write_now(partial(reports.add_events, events=[event]))
        assert database.read_now(waits.newest_event_ms) == at_ms


def test_a_recipient_that_waits_for_a_time_is_due_and_one_that_waits_for_the_directory_is_not(
    database: Database,
) -> None:
    rows = [
        an_addressee(1, "XB", due_ms=AHEAD),
        an_addressee(1, "XC", due_ms=AHEAD, state=Reach.AGAIN),
        an_addressee(1, "XD", due_ms=NEVER_MS, on_change=True),
        an_addressee(1, "XE", due_ms=NOW),
        an_addressee(1, "XF", due_ms=AHEAD, state=Reach.RECEIPTED),
    ]

    def store(connection: Connection) -> None:
        reports.add_report(connection, a_report(1))
        reports.add_addressees(connection, rows)

    database.write_now(store)
    end_waits(database)
    found = database.read_now(partial(reports.addressees_of, item=name("item", 1)))
    assert [row.due_ms for row in found] == [0, 0, NEVER_MS, NOW, AHEAD]


def test_a_file_that_is_to_be_fetched_later_is_fetched_now(database: Database) -> None:
    database.write_now(partial(reports.add_report, report=a_report(1)))
    database.write_now(partial(blobs.add, rows=[a_blob(1, due_ms=AHEAD)]))
    assert database.read_now(partial(blobs.to_fetch, now_ms=NOW)) is None
    end_waits(database)
    assert database.read_now(partial(blobs.to_fetch, now_ms=NOW)) is not None


def test_numbers_are_missed_and_asked_for_as_of_now(database: Database) -> None:
    fresh = Missing("XA", 1, ROUTINE, 1, MissingState.MISSING, AHEAD)
    again = Missing("XA", 1, ROUTINE, 2, MissingState.MISSING, NOW - 9, tries=1, due_ms=AHEAD)
    gone = Missing("XA", 1, ROUTINE, 3, MissingState.GONE, AHEAD)
    database.write_now(partial(missing.put, rows=[fresh, again, gone]))
    end_waits(database)
    found = [database.read_now(partial(missing.row_of, sender="XA", stream=1, lane=ROUTINE, seq=n)) for n in (1, 2, 3)]
    assert found == [replace(fresh, since_ms=NOW), replace(again, due_ms=NOW), gone]


def test_who_asks_again_is_answered_as_of_now(database: Database) -> None:
    row = AskedAgain("XA", 1, ROUTINE, 2, waiting=True, asked_ms=NOW, request=b"r", answered_ms=AHEAD)
    database.write_now(partial(missing.answer, rows=[row]))
    look = partial(missing.to_answer, answered_before_ms=NOW, limit=9)
    assert database.read_now(look) == {}
    end_waits(database)
    assert database.read_now(look) == {"XA": [replace(row, answered_ms=NOW)]}
