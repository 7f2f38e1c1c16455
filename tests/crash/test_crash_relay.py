"""Each durable step of the relay, killed just before its commit and just after it.

The child process does the step inside the write function and dies without a word, as kill -9 and power cuts do.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from prometheus_client import Counter
from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.merkle import leaf_hash, root_of
from exchange.names import PartyId
from exchange.receipts.codec import decode_decisions
from exchange.receipts.model import RelayDecision
from exchange.relay.accept import Frame, Permitted, Recorder
from exchange.relay.app import MIGRATIONS
from exchange.relay.mailbox import Accepted
from exchange.relay.quota import Counted, DayQuota, HeldQuota
from exchange.relay.retention import Retention
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.slots import Slot, encode_slots
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.store.spent import SqlSpent
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from exchange.tlog.entry import EntryKind, decode_entry
from tests.support.directory_builders import EXCHANGE, a_directory, ed25519
from tests.support.envelope_builders import a_sealed, verified

XA, XV = PartyId("XA"), PartyId("XV")
NOW = 1_760_000_010_000
KILLED = 9
WHEN = pytest.mark.parametrize("when", ["before", "after"])

Step = Callable[[Connection, Any], object]
"""Any: each step takes what its test hands over."""


def record(connection: Connection, frame: Frame) -> object:
    recorder = Recorder(
        EXCHANGE, lambda _: ed25519("relay/promise"), Sequencer(), HeldQuota(1 << 30), DayQuota(Counted.REFUSALS, 1_000)
    )
    return recorder.record(SqlLogs(connection), SqlMailboxes(connection), SqlSpent(connection), frame, NOW)


def acknowledge(connection: Connection, position: int) -> object:
    return SqlMailboxes(connection).acknowledge(XV, Lane.ROUTINE, position)


def sweep(connection: Connection, database: Database) -> object:
    counter = Counter("crash", "Not read.", registry=None)
    retention = Retention(database, Sequencer(), lambda: NOW, counter, directory=a_directory)
    done, expired = retention._batch(connection)
    return len(done), len(expired)


def drop(connection: Connection, limit: int) -> int:
    return SqlMailboxes(connection).drop(XV, kind=EnvelopeKind.REPORT, limit=limit)


def append(connection: Connection, entry: bytes) -> object:
    return Sequencer().append(SqlLogs(connection), Log.DIRECTORY, [entry])


def child(url: str, step: Step, given: Any, when: str) -> None:
    """Do one step in a process that dies before or after its commit."""
    database = Database(url)
    database.open()

    def write(connection: Connection) -> None:
        step(connection, given)
        if when == "before":
            os._exit(KILLED)

    database.write_now(write)
    os._exit(KILLED)


def die(url: str, step: Step, given: Any, when: str) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=child, args=(url, step, given, when))
    process.start()
    process.join(60)
    assert process.exitcode == KILLED


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


@pytest.fixture
def reopened(url: str) -> Iterator[Callable[[], Database]]:
    """Open the store as a restarted relay does."""
    opened: list[Database] = []

    def reopen() -> Database:
        database = Database(url)
        database.open()
        opened.append(database)
        return database

    yield reopen
    for database in opened:
        database.close()


def a_frame() -> Frame:
    checked = verified(a_sealed())
    decisions = tuple(RelayDecision(leaf.index, sha256(b"agreement").digest()) for leaf in checked.leaves)
    return Frame(XA, 1, (Permitted(checked, decisions),))


def an_envelope(number: int) -> Accepted:
    slots = (Slot(XV, 3, b"leaf", (bytes(32),) * 8, b"wrap"),)
    return Accepted(
        number,
        sha256(bytes([number])).digest(),
        XA,
        bytes([number]) * 16,
        Lane.ROUTINE,
        EnvelopeKind.REPORT,
        NOW + 1,
        b"header",
        slots,
        encode_slots(slots),
        b"body",
        b"promise",
        b"decisions",
    )


def entries(database: Database, log: Log) -> list[bytes]:
    """Return all entries; the stored root hash must be theirs."""
    found = database.read_now(lambda c: SqlLogs(c).entries(log, 0, 1_000))
    state = database.read_now(lambda c: SqlLogs(c).state(log))
    assert (state.size, state.root) == (len(found), root_of([leaf_hash(entry) for entry in found]))
    return found


@WHEN
def test_a_frame_is_recorded_wholly_or_not_at_all_and_a_repeat_makes_it_one(
    url: str, reopened: Callable[[], Database], when: str
) -> None:
    frame = a_frame()
    (permitted,) = frame.judged
    assert isinstance(permitted, Permitted)
    with Database(url) as database:
        database.write_now(lambda c: append(c, b"genesis"))
    die(url, record, frame, when)
    database = reopened()
    hash_ = permitted.verified.envelope_hash
    before = database.read_now(lambda c: SqlMailboxes(c).answered(XA, [hash_]))
    assert len(before) == len(entries(database, Log.TRAFFIC)[:1]) == (when == "after")
    database.write_now(lambda c: record(c, frame))
    answers = database.read_now(lambda c: SqlMailboxes(c).answered(XA, [hash_]))
    assert not before or answers == before
    assert decode_decisions(answers[hash_].decisions).envelope_hash == hash_
    kinds = [decode_entry(entry).kind for entry in entries(database, Log.TRAFFIC)]
    assert kinds.count(EntryKind.ENVELOPE) == 1
    for leaf in permitted.verified.leaves:
        recipient = leaf.leaf.recipient
        rows = database.read_now(
            lambda c, p=recipient: SqlMailboxes(c).waiting(p, permitted.verified.core.lane, after=0, limit=9)  # type: ignore[misc]
        )
        assert len(rows) == 1


@WHEN
def test_what_was_acknowledged_is_freed_or_delivered_again(
    url: str, reopened: Callable[[], Database], when: str
) -> None:
    with Database(url) as database:
        database.write_now(lambda c: SqlMailboxes(c).deposit([an_envelope(1), an_envelope(2)]))
    die(url, acknowledge, 1, when)
    database = reopened()
    rows = database.read_now(lambda c: SqlMailboxes(c).waiting(XV, Lane.ROUTINE, after=0, limit=9))
    assert [row.position for row in rows] == ([2] if when == "after" else [1, 2])
    cursors = database.read_now(lambda c: SqlMailboxes(c).cursors(XV))
    assert cursors == ({Lane.ROUTINE: 1} if when == "after" else {})


@WHEN
def test_a_ciphertext_goes_together_with_its_entry_in_the_log(
    url: str, reopened: Callable[[], Database], when: str
) -> None:
    envelope = an_envelope(1)
    with Database(url) as database:
        database.write_now(lambda c: SqlMailboxes(c).deposit([envelope]))
        database.write_now(lambda c: acknowledge(c, 1))
    die(url, sweep, None, when)
    database = reopened()
    logged = [decode_entry(entry) for entry in entries(database, Log.TRAFFIC)]
    assert [(entry.kind, entry.sha256) for entry in logged] == (
        [(EntryKind.DELETION, envelope.hash)] if when == "after" else []
    )
    assert database.read_now(lambda c: SqlMailboxes(c).held()) == (when == "before")


@WHEN
def test_copies_for_who_is_cut_off_go_with_the_count_of_who_has_yet_to_take_them_and_a_repeat_drops_the_rest(
    url: str, reopened: Callable[[], Database], when: str
) -> None:
    with Database(url) as database:
        database.write_now(lambda c: SqlMailboxes(c).deposit([an_envelope(number) for number in (1, 2, 3)]))
    die(url, drop, 2, when)
    database = reopened()
    rows = database.read_now(lambda c: SqlMailboxes(c).waiting(XV, Lane.ROUTINE, after=0, limit=9))
    assert [row.position for row in rows] == ([3] if when == "after" else [1, 2, 3])
    while database.write_now(lambda c: drop(c, 2)):
        continue
    gone = database.write_now(lambda c: SqlMailboxes(c).delete_done(9, 1 << 30))
    assert len(gone) == 3
    assert database.read_now(lambda c: SqlMailboxes(c).held_bytes()) == {}


@WHEN
def test_a_directory_entry_is_there_with_its_tree_or_not_at_all(
    url: str, reopened: Callable[[], Database], when: str
) -> None:
    with Database(url) as database:
        database.write_now(lambda c: append(c, b"genesis"))
    die(url, append, b"statement", when)
    database = reopened()
    assert entries(database, Log.DIRECTORY) == [b"genesis", b"statement"][: 1 + (when == "after")]
    database.write_now(lambda c: append(c, b"next"))
    assert entries(database, Log.DIRECTORY)[-1] == b"next"
