"""What the node's store promises of the files of reports, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection

from exchange.envelope.model import Lane
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.sealing import UPLOADING
from nodes.store import MIGRATIONS, blobs, reports
from nodes.store.blobs import BlobState, KeptBlob, Way
from nodes.store.rows import ItemState, Reach
from tests.contract.test_contract_node_store import a_report, an_addressee, name

NOW = 1_760_000_000_000
FLASH, ROUTINE = int(Lane.FLASH), int(Lane.ROUTINE)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def a_blob(number: int, *, item: int = 1, place: int = 0, **changes: object) -> KeptBlob:
    made = KeptBlob(
        file=name("file", number)[:16],
        item=name("item", item),
        place=place,
        way=Way.IN,
        sender="XA",
        blob_id=name("blob", number)[:16],
        sha256=name("hash", number),
        size=100 + number,
        state=BlobState.WAITING,
        lane=ROUTINE,
        added_ms=NOW + number,
        sealed_key=b"sealed",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields


def put(database: Database, *rows: KeptBlob, items: int = 1) -> None:
    """Store reports and their files."""
    for number in range(1, items + 1):
        database.write_now(partial(reports.add_report, report=a_report(number)))
    database.write_now(partial(blobs.add, rows=rows))


def of_item(database: Database, item: int = 1) -> list[KeptBlob]:
    return database.read_now(partial(blobs.of_item, item=name("item", item)))


def states(database: Database) -> dict[bytes, BlobState]:
    found = [row for item in range(1, 4) for row in of_item(database, item)]
    gone = database.read_now(blobs.to_release)
    return {row.file: row.state for row in [*found, *gone]}


def test_files_come_back_as_they_were_in_the_order_of_the_attachments(database: Database) -> None:
    rows = [a_blob(2, place=1), a_blob(1), a_blob(3, place=2, way=Way.OUT, state=BlobState.HERE)]
    put(database, *rows)
    assert of_item(database) == [rows[1], rows[0], rows[2]]
    out = database.read_now(partial(blobs.of_item, item=name("item", 1), way=Way.OUT))
    assert out == [rows[2]]
    assert set(database.read_now(blobs.files)) == {row.file for row in rows}


def test_what_is_still_to_be_moved_is_counted_and_what_nobody_may_get_yet_is_not(database: Database) -> None:
    out = [a_blob(number, item=item, way=Way.OUT, state=BlobState.HERE) for number, item in ((5, 2), (6, 3))]
    put(database, a_blob(1), a_blob(2, place=1, state=BlobState.KEPT), *out, items=3)
    assert database.read_now(blobs.count_waiting) == {Way.IN: 1, Way.OUT: 0}
    database.write_now(partial(blobs.want, items=[name("item", 2)], now_ms=NOW))
    assert database.read_now(blobs.count_waiting) == {Way.IN: 1, Way.OUT: 1}


def test_what_is_fetched_next_is_the_most_urgent_of_what_is_due_of_reports_that_stand(database: Database) -> None:
    flash = a_blob(9, item=2, lane=FLASH, due_ms=NOW + 50)
    put(database, a_blob(1), a_blob(2, place=1), flash, a_blob(4, item=3), items=3)

    def following(now_ms: int) -> bytes | None:
        found = database.read_now(partial(blobs.to_fetch, now_ms=now_ms))
        return None if found is None else found.file

    assert following(NOW) == a_blob(1).file
    assert database.read_now(partial(blobs.next_due_ms, after_ms=NOW)) == NOW + 50
    assert following(NOW + 50) == flash.file
    assert database.read_now(partial(blobs.next_due_ms, after_ms=NOW + 50)) is None
    for number in (1, 2):
        database.write_now(partial(reports.set_state, item=name("item", number), state=ItemState.WITHDRAWN))
    assert following(NOW + 50) == a_blob(4, item=3).file


def test_a_file_changes_only_while_it_stands_as_it_stood(database: Database) -> None:
    put(database, a_blob(1))
    change = partial(blobs.change, file=a_blob(1).file)
    assert database.write_now(partial(change, was=BlobState.WAITING, state=BlobState.HERE, done=101))
    assert not database.write_now(partial(change, was=BlobState.WAITING, state=BlobState.BROKEN))
    (row,) = of_item(database)
    assert (row.state, row.done) == (BlobState.HERE, 101)


@pytest.mark.parametrize(
    "stands, wanted",
    [
        (BlobState.WAITING, BlobState.WAITING),
        (BlobState.LOST, BlobState.WAITING),
        (BlobState.BROKEN, BlobState.WAITING),
        (BlobState.HERE, BlobState.HERE),
        (BlobState.KEPT, BlobState.HERE),
    ],
)
def test_the_same_blob_in_another_envelope_is_tried_again_or_told_again(
    database: Database, stands: BlobState, wanted: BlobState
) -> None:
    put(database, a_blob(1, state=stands, done=7))
    database.write_now(partial(blobs.arrived, rows=[a_blob(1)]))
    assert states(database) == {a_blob(1).file: wanted}


def test_another_blob_of_the_same_file_takes_the_place_of_one_that_is_not_here(database: Database) -> None:
    put(database, a_blob(1, state=BlobState.LOST))
    assert database.write_now(partial(blobs.arrived, rows=[a_blob(2)]))
    assert states(database) == {a_blob(1).file: BlobState.GONE, a_blob(2).file: BlobState.WAITING}


def test_another_blob_of_a_file_that_is_here_is_let_go(database: Database) -> None:
    put(database, a_blob(1, state=BlobState.KEPT))
    assert database.write_now(partial(blobs.arrived, rows=[a_blob(2)]))
    assert states(database) == {a_blob(1).file: BlobState.KEPT, a_blob(2).file: BlobState.GONE}
    assert a_blob(2).file not in database.read_now(blobs.files)


def test_the_relay_is_told_once_of_what_is_here_and_of_what_is_not_wanted(database: Database) -> None:
    put(database, a_blob(1, state=BlobState.HERE), a_blob(2, place=1))
    database.write_now(partial(blobs.not_wanted, rows=[a_blob(3, item=2)]))
    for row in database.read_now(blobs.to_release):
        database.write_now(partial(blobs.released, row=row))
    assert database.read_now(blobs.to_release) == []
    assert [row.state for row in of_item(database)] == [BlobState.KEPT, BlobState.WAITING]


def test_what_is_forgotten_has_no_key_and_no_file_and_the_relay_is_told_of_what_it_holds(database: Database) -> None:
    rows = [
        a_blob(1, state=BlobState.KEPT),
        a_blob(2, place=1, done=50),
        a_blob(3, place=2, state=BlobState.HERE),
        a_blob(4, place=0, way=Way.OUT, state=BlobState.HERE),
        a_blob(5, place=3, state=BlobState.LOST),
    ]
    put(database, *rows)
    database.write_now(partial(blobs.want, items=[name("item", 1)], now_ms=NOW))
    database.write_now(partial(blobs.forget, item=name("item", 1)))
    assert of_item(database) == [] and database.read_now(blobs.files) == {}
    told = database.read_now(blobs.to_release)
    assert {row.file for row in told} == {rows[1].file, rows[2].file}
    assert all(row.sealed_key == b"" for row in told)
    assert database.read_now(blobs.wanted) == []
    database.write_now(partial(blobs.forget, item=name("item", 1)))


def test_what_the_relay_must_have_is_wanted_once_flash_first_and_lets_who_waits_for_it_go(database: Database) -> None:
    put(database, a_blob(1, way=Way.OUT, state=BlobState.HERE))
    database.write_now(partial(reports.add_report, report=a_report(2, lane=FLASH)))
    waiting = [
        an_addressee(1, "XV", why=UPLOADING, due_ms=NOW + 99),
        an_addressee(1, "XO", why="something else", due_ms=NOW + 99),
    ]
    database.write_now(partial(reports.add_addressees, addressees=waiting))
    for items in ([1], [1, 2]):
        want = partial(blobs.want, items=[name("item", number) for number in items], now_ms=NOW)
        database.write_now(want)
    assert database.read_now(blobs.wanted) == [(name("item", 2), FLASH), (name("item", 1), ROUTINE)]
    database.write_now(partial(blobs.uploaded, item=name("item", 1), why=UPLOADING))
    assert database.read_now(blobs.wanted) == [(name("item", 2), FLASH)]

    def due(connection: Connection) -> dict[str, int]:
        rows = reports.addressees_of(connection, name("item", 1))
        return {row.recipient: row.due_ms for row in rows if row.state is Reach.WAITING}

    assert database.read_now(due) == {"XV": 0, "XO": NOW + 99}


def test_files_that_the_relay_does_not_have_after_all_are_uploaded_again(database: Database) -> None:
    rows = [a_blob(1, way=Way.OUT, state=BlobState.KEPT), a_blob(2, state=BlobState.KEPT)]
    put(database, *rows)
    database.write_now(partial(blobs.upload_again, item=name("item", 1)))
    assert states(database) == {rows[0].file: BlobState.HERE, rows[1].file: BlobState.KEPT}
