"""What the node's store promises of communities, on every kind of database."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from exchange.envelope.model import EnvelopeKind
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import communities as store
from nodes.store import reports, sending
from nodes.store.rows import Addressee, Control, EpochState, ItemState, KeptEpoch, NamingItem, Reach
from tests.contract.test_contract_node_store import NOW, a_report, an_addressee, name

HELD, PENDING, ANNOUNCED, ENDING = EpochState.HELD, EpochState.PENDING, EpochState.ANNOUNCED, EpochState.ENDING
ROAD, BRIDGE = bytes(16), bytes([1]) * 16


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def an_epoch(epoch: int, community: bytes = ROAD, state: EpochState = HELD, head: int = 0) -> KeptEpoch:
    shown = sha256(community + bytes([epoch, head])).digest()
    return KeptEpoch(shown, community, epoch, "XA", state, NOW + epoch, b"statement")


def add(database: Database, *epochs: KeptEpoch) -> None:
    for each in epochs:
        assert database.write_now(lambda connection, each=each: store.add_epoch(connection, each))  # type: ignore[misc]


def test_epochs_come_back_as_they_were_in_order_and_a_repeat_changes_nothing(database: Database) -> None:
    first, second, other = an_epoch(1), an_epoch(2), an_epoch(1, BRIDGE)
    twin = an_epoch(2, head=1)
    add(database, second, other, first, twin)
    assert not database.write_now(lambda connection: store.add_epoch(connection, an_epoch(1, state=PENDING)))
    found = database.read_now(store.epochs)
    assert [(each.community, each.epoch) for each in found] == [(ROAD, 1), (ROAD, 2), (ROAD, 2), (BRIDGE, 1)]
    assert {each.shown for each in found} == {first.shown, second.shown, twin.shown, other.shown}
    assert database.read_now(lambda connection: store.epoch_of(connection, first.shown)) == first
    assert database.read_now(lambda connection: store.epoch_of(connection, bytes(32))) is None


def test_a_state_changes_only_from_what_the_caller_saw(database: Database) -> None:
    epoch = an_epoch(1, state=PENDING)
    add(database, epoch, an_epoch(2, state=HELD))

    def change(state: EpochState, *was: EpochState) -> EpochState:
        database.write_now(lambda connection: store.set_state(connection, epoch.shown, state, was=was))
        found = database.read_now(lambda connection: store.epoch_of(connection, epoch.shown))
        assert found is not None
        return found.state

    assert change(ENDING, PENDING, ANNOUNCED) is ENDING
    assert change(ANNOUNCED, PENDING) is ENDING
    assert [each.epoch for each in database.read_now(lambda c: store.epochs_in(c, [PENDING, ENDING]))] == [1]


def test_memberships_are_on_their_way_until_they_are_promised_or_cannot_go(database: Database) -> None:
    epoch = an_epoch(1, state=PENDING)
    add(database, epoch)
    items = [name("item", number) for number in range(3)]

    def place(item: bytes, recipient: str) -> None:
        row = Addressee(item, recipient, int(EnvelopeKind.CONTROL), 1, Reach.WAITING)
        database.write_now(lambda c: sending.add_control(c, Control(item, "type", b"statement", NOW), [row]))

    def moving() -> int:
        return database.read_now(lambda connection: store.on_the_way(connection, epoch.shown))

    for item, recipient in zip(items, ("XV", "XO", "XH"), strict=True):
        place(item, recipient)
    database.write_now(lambda connection: store.add_deliveries(connection, epoch.shown, items))
    database.write_now(lambda connection: store.add_deliveries(connection, epoch.shown, items))
    assert moving() == 3
    database.write_now(lambda c: reports.change_addressees(c, items[0], ["XV"], state=Reach.SEALED))
    assert moving() == 3
    database.write_now(lambda c: sending.drop_control(c, items[0], ["XV"]))
    database.write_now(lambda c: reports.change_addressees(c, items[1], ["XO"], why="waiting: no prekey"))
    assert moving() == 1
    database.write_now(lambda c: store.set_state(c, epoch.shown, ANNOUNCED, was=[PENDING]))
    assert moving() == 0


def test_reports_are_addressed_anew_once_an_epoch_and_only_while_they_are_current(database: Database) -> None:
    for number in range(4):
        report = a_report(number, thread=name("thread", number))
        database.write_now(lambda connection, report=report: reports.add_report(connection, report))  # type: ignore[misc]
        community = BRIDGE if number == 3 else ROAD
        database.write_now(
            lambda c, number=number, community=community: store.add_item(c, name("item", number), {community: 1})  # type: ignore[misc]
        )
    database.write_now(lambda connection: reports.set_state(connection, name("item", 1), ItemState.WITHDRAWN))
    database.write_now(lambda connection: reports.add_addressees(connection, [an_addressee(0, "XV")]))

    def behind(epoch: int, limit: int = 10) -> list[NamingItem]:
        return database.read_now(lambda connection: store.items_before(connection, ROAD, epoch, limit=limit))

    assert [each.item for each in behind(2)] == [name("item", 0), name("item", 2)]
    assert [(each.epoch, each.authored_ms) for each in behind(2, limit=1)] == [(1, NOW)]
    assert behind(1) == []
    more = [an_addressee(0, "XV"), an_addressee(0, "XO"), an_addressee(2, "XO")]
    items = [each.item for each in behind(2)]
    fresh = database.write_now(lambda connection: store.address_anew(connection, ROAD, 2, items, more))
    assert [(each.item, each.recipient) for each in fresh] == [(items[0], "XO"), (items[1], "XO")]
    assert behind(2) == []
    again = database.write_now(lambda connection: store.address_anew(connection, ROAD, 2, items, more))
    assert again == []
    assert {row.recipient for row in database.read_now(lambda c: reports.addressees_of(c, items[0]))} == {"XV", "XO"}
    assert len(behind(3)) == 2


def test_the_epoch_that_a_report_was_addressed_for_stays_when_it_is_stored_again(database: Database) -> None:
    database.write_now(lambda connection: reports.add_report(connection, a_report(0)))
    for epoch in (2, 1):
        database.write_now(
            lambda connection, epoch=epoch: store.add_item(connection, name("item", 0), {ROAD: epoch})  # type: ignore[misc]
        )
    found = database.read_now(lambda connection: store.items_before(connection, ROAD, 9, limit=9))
    assert [each.epoch for each in found] == [2]
