"""Each durable step of attachments at the relay, killed just before its commit and just after it."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from exchange.envelope.model import BlobRef
from exchange.names import PartyId
from exchange.relay.accept import Frame, Permitted, Recorder
from exchange.relay.blobs import BlobState, Kept
from exchange.relay.quota import Counted, DayQuota, HeldQuota
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.blobs import SqlBlobs
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.store.spent import SqlSpent
from exchange.runtime.database import Database
from tests.crash.test_crash_relay import NOW, WHEN, XA, a_frame, append, die, reopened, url
from tests.support.directory_builders import EXCHANGE, ed25519

__all__ = ("reopened", "url")  # fixtures

REF = BlobRef(b"b" * 16, b"h" * 32, 10)


def begin(connection: Connection, ref: BlobRef) -> None:
    SqlBlobs(connection).begin(XA, ref, NOW)


def store_part(connection: Connection, data: bytes) -> None:
    SqlBlobs(connection).append(XA, REF.blob_id, 0, data, NOW)


def complete(connection: Connection, _: object) -> None:
    SqlBlobs(connection).complete(XA, REF.blob_id)


def release(connection: Connection, reader: PartyId) -> None:
    SqlBlobs(connection).release(XA, REF.blob_id, reader)


def go(connection: Connection, _: object) -> None:
    SqlBlobs(connection).go(XA, REF.blob_id)


def delete(connection: Connection, limit: int) -> None:
    SqlBlobs(connection).delete(limit)


def record(connection: Connection, frame: Frame) -> object:
    recorder = Recorder(
        EXCHANGE, lambda _: ed25519("relay/promise"), Sequencer(), HeldQuota(1 << 30), DayQuota(Counted.REFUSALS, 1_000)
    )
    blobs = SqlBlobs(connection)
    return recorder.record(SqlLogs(connection), SqlMailboxes(connection), SqlSpent(connection), frame, NOW, blobs=blobs)


def kept(database: Database) -> Kept | None:
    return database.read_now(lambda c: SqlBlobs(c).kept(XA, REF.blob_id))


def prepared(url: str, *steps: Callable[[Connection], object]) -> None:
    with Database(url) as database:
        for step in steps:
            database.write_now(step)


def whole(connection: Connection) -> None:
    begin(connection, REF)
    store_part(connection, b"x" * REF.size)
    complete(connection, None)


@WHEN
def test_an_upload_is_known_or_begun_anew(url: str, reopened: Callable[[], Database], when: str) -> None:
    die(url, begin, REF, when)
    assert kept(reopened()) == (Kept(REF.sha256, 10, 0, BlobState.OPEN) if when == "after" else None)


@WHEN
def test_what_is_held_and_what_is_stored_are_one(url: str, reopened: Callable[[], Database], when: str) -> None:
    prepared(url, lambda c: begin(c, REF))
    die(url, store_part, b"12345", when)
    database = reopened()
    found = kept(database)
    assert found is not None and found.held == (5 if when == "after" else 0)
    assert database.read_now(lambda c: SqlBlobs(c).part(XA, REF.blob_id, 0)) == (b"12345" if when == "after" else b"")


@WHEN
def test_a_blob_is_complete_or_looked_at_once_more(url: str, reopened: Callable[[], Database], when: str) -> None:
    prepared(url, lambda c: begin(c, REF), lambda c: store_part(c, b"x" * 10))
    die(url, complete, None, when)
    found = kept(reopened())
    assert found is not None and found.held == found.size
    assert found.state is (BlobState.COMPLETE if when == "after" else BlobState.OPEN)


@WHEN
def test_an_envelope_and_who_may_read_its_files_are_one(url: str, reopened: Callable[[], Database], when: str) -> None:
    (permitted,) = a_frame().judged
    assert isinstance(permitted, Permitted)
    verified = replace(permitted.verified, core=replace(permitted.verified.core, blobs=(REF,)))
    frame = Frame(XA, 1, (replace(permitted, verified=verified),))
    prepared(url, lambda c: append(c, b"genesis"), whole)
    die(url, record, frame, when)
    database = reopened()
    promised = bool(database.read_now(lambda c: SqlMailboxes(c).answered(XA, [verified.envelope_hash])))
    readers = [leaf.leaf.recipient for leaf in verified.leaves]
    for reader in readers:
        may = database.read_now(lambda c, r=reader: SqlBlobs(c).readable(XA, REF.blob_id, r))  # type: ignore[misc]
        assert may is promised is (when == "after")
    assert database.read_now(lambda c: SqlLogs(c).state(Log.DIRECTORY)).size == 1


@WHEN
def test_a_recipient_has_it_or_may_still_fetch_it(url: str, reopened: Callable[[], Database], when: str) -> None:
    reader = PartyId("XV")
    prepared(url, whole, lambda c: SqlBlobs(c).claim(XA, [REF], [reader], NOW + 1))
    die(url, release, reader, when)
    assert reopened().read_now(lambda c: SqlBlobs(c).readable(XA, REF.blob_id, reader)) is (when == "before")


@WHEN
def test_what_goes_is_whole_or_absent_and_its_deletion_goes_on(
    url: str, reopened: Callable[[], Database], when: str
) -> None:
    prepared(url, whole)
    die(url, go, None, when)
    database = reopened()
    assert database.read_now(lambda c: SqlBlobs(c).are_complete(XA, [REF])) is (when == "before")
    database.write_now(lambda c: go(c, None))
    database.close()
    die(url, delete, 1, when)
    database = reopened()
    while database.read_now(lambda c: SqlBlobs(c).going()):
        database.write_now(lambda c: SqlBlobs(c).delete(1))
    assert kept(database) is None
