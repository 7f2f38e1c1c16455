"""What the stores of relay and node say of what waits for each partner, on every kind of database."""

from functools import partial
from hashlib import sha256

from exchange.envelope.model import Lane
from exchange.names import PartyId
from exchange.relay.app import MIGRATIONS as RELAY
from exchange.relay.mailbox import Backlog
from exchange.relay.sequencer import Sequencer
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from exchange.tlog.entry import EntryKind, TrafficEntry, encode_entry
from nodes.app import MIGRATIONS as NODE
from nodes.store import alarms, reports
from nodes.store.rows import Alarm, Reach
from tests.contract import test_contract_node_store as of_node
from tests.contract import test_contract_relay_store as of_relay

XO, XV = PartyId("XO"), PartyId("XV")


def test_the_relay_says_since_when_the_oldest_waits_in_each_lane(database_url: str) -> None:
    upgrade(database_url, RELAY)
    entries = [encode_entry(TrafficEntry(EntryKind.ENVELOPE, sha256(b"").digest(), 1000 + n)) for n in range(4)]
    with Database(database_url) as database:
        database.write_now(of_relay.append(Sequencer(), *entries))
        of_relay.store(
            database,
            of_relay.an_envelope(1, XV, XO),
            of_relay.an_envelope(2, XV),
            of_relay.an_envelope(3, XV, lane=Lane.FLASH),
        )

        def backlogs() -> dict[tuple[PartyId, Lane], Backlog]:
            return dict(database.read_now(lambda connection: SqlMailboxes(connection).backlogs()))

        assert backlogs() == {
            (XV, Lane.FLASH): Backlog(1, 1003),
            (XV, Lane.ROUTINE): Backlog(2, 1001),
            (XO, Lane.ROUTINE): Backlog(1, 1001),
        }
        of_relay.acknowledge(database, XV, 1)
        assert backlogs()[XV, Lane.ROUTINE] == Backlog(1, 1002)
        of_relay.acknowledge(database, XO, 1)
        assert (XO, Lane.ROUTINE) not in backlogs()


def test_the_node_says_how_far_reports_have_come_and_since_when_and_leaves_out_what_arrived(database_url: str) -> None:
    upgrade(database_url, NODE)
    with Database(database_url) as database:
        for number in (1, 2, 3):
            made = of_node.a_report(number, stored_ms=of_node.NOW + number)
            database.write_now(partial(reports.add_report, report=made))
        rows = [
            of_node.an_addressee(1, "XV"),
            of_node.an_addressee(2, "XV", state=Reach.PROMISED),
            of_node.an_addressee(3, "XV", state=Reach.PROMISED),
            of_node.an_addressee(1, "XO", state=Reach.RECEIPTED),
            of_node.an_addressee(2, "XO", kind=of_node.CONTROL, state=Reach.SEALED),
        ]
        database.write_now(lambda c: reports.add_addressees(c, rows))
        assert sorted(database.read_now(reports.backlogs)) == [
            ("XV", Reach.PROMISED, 2, of_node.NOW + 2),
            ("XV", Reach.WAITING, 1, of_node.NOW + 1),
        ]


def test_open_alarms_are_counted_by_kind(database_url: str) -> None:
    upgrade(database_url, NODE)
    with Database(database_url) as database:
        for kind, subject in (("gap", "XV"), ("gap", "XO"), ("relay", "answer")):
            database.write_now(partial(alarms.raise_alarm, alarm=Alarm(kind, subject, 1, "text")))
        assert database.read_now(alarms.count_open) == {"gap": 2, "relay": 1}
