"""What the node's store promises about reports in its keeping, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.policy.model import Actions, Purpose
from exchange.receipts.model import ReceiptStatus, RetractionAction
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import decisions, holding, recalls, reports, sending
from nodes.store.rows import Addressee, DecisionRow, Direction, Export, ItemState, KeptPromise, Reach, Recall, Report

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


# -- what is overdue, and what waits for a person ----------------------------------------------------------------------


def an_addressee(number: int, state: Reach, **changes: object) -> Addressee:
    row = Addressee(bytes([number]) * 32, "XV", int(EnvelopeKind.REPORT), int(Lane.ROUTINE), state)
    return replace(row, envelope=bytes([number]) * 32, **changes)  # type: ignore[arg-type]


def put(database: Database, report: Report, *rows: Addressee) -> None:
    database.write_now(partial(reports.add_report, report=report))
    database.write_now(partial(reports.add_addressees, addressees=rows))


def test_what_the_relay_took_and_nobody_receipted_is_late(database: Database) -> None:
    put(database, a_version(1), an_addressee(1, Reach.PROMISED))
    put(database, a_version(2), an_addressee(2, Reach.RECEIPTED))
    for number in (1, 2):
        promise = KeptPromise(bytes([number]) * 32, bytes([number]) * 32, number, 1, NOW, ours=True, promise=b"p")
        database.write_now(partial(sending.add_promises, promises=[promise]))
    late = database.read_now(partial(holding.unreceipted, before_ms=NOW + 1, limit=9))
    assert [(each.item, each.partner, each.since_ms) for each in late] == [(ITEM, "XV", NOW)]
    assert database.read_now(partial(holding.unreceipted, before_ms=NOW, limit=9)) == []


def test_what_waits_is_late_unless_it_waits_for_a_time(database: Database) -> None:
    put(database, a_version(1), an_addressee(1, Reach.WAITING, due_ms=NOW + 5))
    put(database, a_version(2), an_addressee(2, Reach.WAITING, due_ms=2**62, on_change=True))
    put(database, a_version(3), an_addressee(3, Reach.WAITING, why="waiting: no prekey"))
    late = database.read_now(partial(holding.unsent, before_ms=NOW + 1, due_ms=NOW, limit=9))
    assert [each.item[0] for each in late] == [2, 3]
    assert database.read_now(partial(holding.unsent, before_ms=NOW, due_ms=NOW, limit=9)) == []


def test_what_a_partner_must_have_destroyed_is_late_until_it_says_so(database: Database) -> None:
    put(database, a_version(1), an_addressee(1, Reach.RECEIPTED, purge_by_ms=NOW - 1))
    put(database, a_version(2), an_addressee(2, Reach.PURGED, purge_by_ms=NOW - 1))
    put(database, a_version(3), an_addressee(3, Reach.RECEIPTED))
    assert [each.item for each in database.read_now(partial(holding.unpurged, before_ms=NOW, limit=9))] == [ITEM]


def test_a_report_asks_a_person_until_somebody_decides(database: Database) -> None:
    put(database, replace(a_version(1), ask_at_ms=NOW))
    put(database, replace(a_version(2), review_at_ms=NOW + 1))
    put(database, replace(a_version(3, state=ItemState.REPLACED), ask_at_ms=NOW))
    look = partial(holding.to_decide, now_ms=NOW, limit=9)
    assert [each.item for each in database.read_now(look)] == [ITEM]
    database.write_now(partial(holding.keep_until, item=ITEM, ask_at_ms=NOW + 9, review_at_ms=0))
    assert database.read_now(look) == []


# -- recalls -----------------------------------------------------------------------------------------------------------

WITHDRAW, PURGE = int(RetractionAction.WITHDRAW), int(RetractionAction.PURGE)


def asked(database: Database, *rows: Recall) -> list[str]:
    return [each.partner for each in database.write_now(partial(recalls.ask, asked=rows))]


def confirm(database: Database, partner: str, status: ReceiptStatus, at_ms: int) -> None:
    database.write_now(partial(recalls.confirmed, item=ITEM, partner=partner, status=status, at_ms=at_ms))


def unconfirmed(database: Database, before_ms: int = NOW + 1) -> list[str]:
    found = database.read_now(partial(recalls.unconfirmed, before_ms=before_ms, limit=10))
    return [each.partner for each in found]


def test_whom_a_recall_asks_stays_until_it_has_confirmed_all_that_was_asked(database: Database) -> None:
    assert asked(database, Recall(ITEM, "XV", WITHDRAW, "wrong", NOW), Recall(ITEM, "XO", PURGE, "legal", NOW)) == [
        "XV",
        "XO",
    ]
    assert unconfirmed(database) == ["XO", "XV"] and unconfirmed(database, NOW) == []
    confirm(database, "XV", ReceiptStatus.STORED, NOW + 1)
    assert unconfirmed(database) == ["XO", "XV"]
    confirm(database, "XV", ReceiptStatus.RETRACTED, NOW + 1)
    confirm(database, "XO", ReceiptStatus.RETRACTED, NOW + 1)
    assert unconfirmed(database) == ["XO"]
    confirm(database, "XO", ReceiptStatus.PURGED, NOW + 2)
    confirm(database, "XO", ReceiptStatus.PURGED, NOW + 9)
    assert unconfirmed(database) == []
    found = {each.partner: each for each in database.read_now(partial(recalls.of_items, items=[ITEM]))}
    assert (found["XO"].retracted_ms, found["XO"].purged_ms) == (NOW + 1, NOW + 2)
    assert database.read_now(partial(recalls.was_asked, item=ITEM, partner="XV"))
    assert not database.read_now(partial(recalls.was_asked, item=OTHER, partner="XV"))


def test_asking_for_the_same_changes_nothing_and_asking_for_more_begins_anew(database: Database) -> None:
    asked(database, Recall(ITEM, "XV", WITHDRAW, "wrong", NOW))
    confirm(database, "XV", ReceiptStatus.RETRACTED, NOW + 1)
    assert asked(database, Recall(ITEM, "XV", WITHDRAW, "wrong", NOW + 2)) == []
    assert unconfirmed(database) == []
    assert asked(database, Recall(ITEM, "XV", PURGE, "legal", NOW + 3)) == ["XV"]
    assert unconfirmed(database, NOW + 4) == ["XV"]
    assert asked(database, Recall(ITEM, "XV", WITHDRAW, "wrong", NOW + 5)) == []


def a_version(number: int, *, state: ItemState = ItemState.CURRENT) -> Report:
    return Report(
        item=bytes([number]) * 32,
        thread=bytes(16),
        direction=Direction.SENT,
        originator="XA",
        sender="XA",
        kind="alert",
        tlp=3,
        lane=int(Lane.ROUTINE),
        authored_ms=NOW + number,
        stored_ms=NOW,
        state=state,
        stix_digest=b"",
        title=b"",
        record=b"",
    )


@pytest.mark.parametrize(
    "states, found",
    [
        ((Reach.RECEIPTED, Reach.DENIED), True),
        ((Reach.SEALED, Reach.REFUSED), True),
        ((Reach.RECEIPTED, Reach.WAITING), False),
        ((Reach.RECEIPTED, Reach.RECEIPTED), False),
        ((Reach.RETRACTED, Reach.DENIED), False),
        ((Reach.DENIED, Reach.DENIED), False),
    ],
)
def test_who_holds_an_earlier_version_and_was_denied_the_newest_is_found_until_it_is_asked(
    database: Database, states: tuple[Reach, Reach], found: bool
) -> None:
    for number, state in enumerate(states, 1):
        row = Addressee(
            bytes([number]) * 32, "XV", int(EnvelopeKind.REPORT), int(Lane.ROUTINE), state, envelope=bytes(32)
        )
        database.write_now(partial(reports.add_report, report=a_version(number)))
        database.write_now(partial(reports.add_addressees, addressees=[row]))
    look = partial(reports.held_without_newest, holding=[Reach.SEALED, Reach.RECEIPTED])
    assert database.read_now(look) == ([(ITEM, "XV")] if found else [])
    asked(database, Recall(ITEM, "XV", WITHDRAW, "over-shared", NOW))
    assert database.read_now(look) == []


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_decisions_are_kept_in_order_and_only_so_many_of_one_item(database: Database) -> None:
    rows = [DecisionRow(ITEM, "sealed", NOW + place, 3, b"%d" % place) for place in range(decisions.MOST_OF_ITEM + 5)]
    for at in (0, 100):
        database.write_now(partial(decisions.add_decisions, rows=rows[at : at + 100]))
    other = DecisionRow(OTHER, "arrived", NOW, 3, b"other")
    database.write_now(partial(decisions.add_decisions, rows=[other]))
    assert database.read_now(partial(decisions.decisions_of, item=ITEM)) == rows[: decisions.MOST_OF_ITEM]
    assert database.read_now(partial(decisions.decisions_of, item=OTHER)) == [other]
    assert database.read_now(partial(decisions.count_denied, stage="arrived")) == 1
    assert database.read_now(partial(decisions.items_among, items=[OTHER, bytes(32)])) == {OTHER}


def test_decisions_without_a_report_are_found_when_they_are_old(database: Database) -> None:
    put(database, a_version(1))
    rows = [DecisionRow(item, "arrived", NOW, 3, b"x") for item in (ITEM, OTHER)]
    database.write_now(partial(decisions.add_decisions, rows=rows))
    look = partial(decisions.without_report, stage="arrived", limit=9)
    assert database.read_now(partial(look, before_ms=NOW + 1)) == [OTHER]
    assert database.read_now(partial(look, before_ms=NOW)) == []
    database.write_now(partial(decisions.drop_of_items, items=[OTHER]))
    assert database.read_now(partial(look, before_ms=NOW + 1)) == []


def test_a_refusal_is_judged_once_the_directory_is_as_long_as_it_says(database: Database) -> None:
    def add(place: int, evidence: bytes) -> None:
        database.write_now(
            partial(
                sending.add_refusal,
                envelope=bytes([place]) * 32,
                item=ITEM,
                reason="NO_TERM",
                step=12,
                recipient="XV",
                refused_ms=NOW,
                statement=b"signed",
                directory_size=5,
                evidence=evidence,
            )
        )

    add(1, b"evidence")
    add(2, b"")
    look = partial(sending.refusals_to_judge, limit=9)
    assert database.read_now(partial(look, directory_size=4)) == []
    (found,) = database.read_now(partial(look, directory_size=5))
    database.write_now(partial(sending.judged, number=found.number, verdict="holds"))
    assert database.read_now(partial(look, directory_size=5)) == []
    kept = database.read_now(partial(sending.refusals_of, item=ITEM))
    assert [each.verdict for each in kept] == ["holds", sending.NOT_JUDGED]
