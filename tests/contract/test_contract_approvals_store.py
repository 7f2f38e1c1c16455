"""What the node's store promises about authors, approvals, and what waits for a change, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import approvals, history, reports, sending
from nodes.store.approvals import ApprovalRow
from nodes.store.rows import Direction, ItemState, Reach, TakenSlot
from tests.contract.test_contract_node_store import CONTROL, NOW, a_report, an_addressee, an_envelope, name


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def test_the_first_author_of_a_report_stays_and_of_others_nobody_is_known(database: Database) -> None:
    for who in ("clara", "rana"):
        database.write_now(lambda c, who=who: approvals.set_authors(c, {name("item", 1): who}))  # type: ignore[misc]
    assert database.read_now(lambda c: approvals.author_of(c, name("item", 1))) == "clara"
    assert database.read_now(lambda c: approvals.author_of(c, name("item", 2))) == ""


def an_approval(operator: str, number: int = 1, **changes: object) -> ApprovalRow:
    made = ApprovalRow(name("item", number), operator.encode(), operator, b"key", NOW, NOW, b"proof")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_operator_approves_an_item_once_and_approvals_come_back_in_order(database: Database) -> None:
    rana, sami = an_approval("rana", stored_ms=NOW + 1), an_approval("sami")
    database.write_now(lambda c: approvals.add_approvals(c, [rana, sami, an_approval("rana", number=2)]))
    database.write_now(lambda c: approvals.add_approvals(c, [replace(rana, proof=b"another")]))
    item = name("item", 1)
    assert database.read_now(lambda c: approvals.approvals_of(c, item)) == [sami, rana]
    counts = database.read_now(lambda c: approvals.count_approvals(c, [item, name("item", 2), name("item", 3)]))
    assert counts == {item: 2, name("item", 2): 1}
    marks = database.read_now(lambda c: approvals.marks_of(c, [item, name("item", 3)]))
    assert marks == {item: {(b"rana", NOW + 1), (b"sami", NOW)}, name("item", 3): frozenset()}
    database.write_now(lambda c: approvals.drop_approval(c, item, b"rana"))
    assert database.read_now(lambda c: approvals.approvals_of(c, item)) == [sami]


def test_reports_on_hold_come_oldest_first_and_once_each(database: Database) -> None:
    rows = [
        [an_addressee(3, party, on_change=True) for party in ("XO", "XV")],
        [an_addressee(1, on_change=True), an_addressee(4, kind=CONTROL, on_change=True)],
        [an_addressee(2), an_addressee(5, on_change=True, state=Reach.DENIED)],
    ]
    for each in rows:
        database.write_now(lambda c, each=each: reports.add_addressees(c, each))  # type: ignore[misc]
    assert database.read_now(lambda c: approvals.items_on_hold(c, limit=9)) == [name("item", 3), name("item", 1)]
    assert database.read_now(lambda c: approvals.items_on_hold(c, limit=1)) == [name("item", 3)]
    assert database.read_now(lambda c: approvals.items_on_hold(c, limit=9, after=name("item", 3))) == [name("item", 1)]
    assert database.read_now(lambda c: approvals.items_on_hold(c, limit=9, after=name("item", 1))) == []


def test_a_rejected_version_is_not_the_newest(database: Database) -> None:
    for number in (1, 2):
        database.write_now(lambda c, number=number: reports.add_report(c, a_report(number)))  # type: ignore[misc]
    database.write_now(lambda c: reports.settle_thread(c, a_report(1).thread, "XA"))
    database.write_now(lambda c: reports.set_state(c, name("item", 2), ItemState.REJECTED))
    database.write_now(lambda c: reports.settle_thread(c, a_report(1).thread, "XA"))
    states = database.read_now(lambda c: reports.states_of(c, [name("item", 1), name("item", 2)]))
    assert states == {name("item", 1): ItemState.CURRENT, name("item", 2): ItemState.REJECTED}


def test_what_waits_for_a_change_is_due_at_once_of_all_items_or_of_one(database: Database) -> None:
    rows = [an_addressee(number, due_ms=NOW * 2, on_change=number != 3) for number in (1, 2, 3)]
    database.write_now(
        lambda c: reports.add_addressees(c, [*rows, an_addressee(4, due_ms=NOW * 2, state=Reach.SEALED)])
    )

    def due() -> set[bytes]:
        groups = database.read_now(lambda c: reports.to_seal(c, NOW, items=9))
        return {group[0].item for group in groups}

    assert due() == set()
    database.write_now(lambda c: reports.decide_again(c, name("item", 2)))
    assert due() == {name("item", 2)}
    database.write_now(reports.decide_again)
    assert due() == {name("item", 1), name("item", 2)}


def test_a_partner_was_reached_once_a_report_was_sealed_for_it(database: Database) -> None:
    control = an_envelope(1, TakenSlot("XO", 1, 1, 1), kind=CONTROL)
    database.write_now(lambda c: sending.add_sealed(c, [control, an_envelope(2, TakenSlot("XV", 1, 1, 1))], NOW))
    assert database.read_now(history.partners_reached) == {"XV"}


def test_the_last_reports_of_a_kind_are_told_with_their_recipients(database: Database) -> None:
    kinds = ["alert", "guidance", "alert", "alert"]
    made = [a_report(number, kind=kind, tlp=number + 1) for number, kind in enumerate(kinds)]
    received = a_report(9, direction=Direction.RECEIVED)
    audience = [
        *(an_addressee(3, party) for party in ("XO", "XV")),
        an_addressee(3, "XH", state=Reach.DENIED),
        an_addressee(2),
    ]
    database.write_now(lambda c: reports.add_reports(c, [*made, received]))
    database.write_now(lambda c: reports.add_addressees(c, audience))
    recent = database.read_now(lambda c: history.recent_of_kind(c, "alert", limit=2))
    assert recent == [(4, 2), (3, 1)]
    assert database.read_now(lambda c: history.recent_of_kind(c, "lessons-learned", limit=2)) == []
