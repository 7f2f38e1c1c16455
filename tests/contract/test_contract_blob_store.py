"""What the relay's store of attachments promises, on every kind of database."""

from collections.abc import Iterator, Sequence

import pytest

from exchange.envelope.model import BlobRef
from exchange.names import PartyId
from exchange.relay.app import MIGRATIONS
from exchange.relay.blobs import BlobState, Kept, Used
from exchange.relay.store.blobs import SqlBlobs
from exchange.relay.store.tables import metadata
from exchange.runtime.database import Database
from exchange.runtime.migrate import differences, upgrade

XA, XV, XO = (PartyId(name) for name in ("XA", "XV", "XO"))
REF = BlobRef(b"b" * 16, b"h" * 32, 10)
OTHER = BlobRef(b"c" * 16, b"i" * 32, 20)


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database(url) as opened:
        yield opened


def stored(database: Database, *refs: BlobRef, sender: PartyId = XA, now_ms: int = 1_000) -> None:
    """Store blobs wholly, in two parts each."""

    def write(store: SqlBlobs) -> None:
        for ref in refs:
            half = ref.size // 2
            store.begin(sender, ref, now_ms)
            store.append(sender, ref.blob_id, 0, b"a" * half, now_ms)
            store.append(sender, ref.blob_id, half, b"b" * (ref.size - half), now_ms)
            store.complete(sender, ref.blob_id)

    database.write_now(lambda c: write(SqlBlobs(c)))


def claim(database: Database, refs: Sequence[BlobRef], *parties: PartyId, expires_ms: int = 9_000) -> None:
    database.write_now(lambda c: SqlBlobs(c).claim(XA, refs, parties, expires_ms))


def going(database: Database, now_ms: int = 2_000, orphans_before_ms: int = 0) -> list[tuple[PartyId, bytes]]:
    return list(database.read_now(lambda c: SqlBlobs(c).overdue(now_ms, orphans_before_ms, 10)))


def test_the_migrations_make_exactly_the_tables(url: str) -> None:
    assert differences(url, metadata) == []


def test_what_is_held_grows_by_what_is_stored_and_is_read_back_from_any_place(database: Database) -> None:
    stored(database, REF)
    kept = database.read_now(lambda c: SqlBlobs(c).kept(XA, REF.blob_id))
    assert kept == Kept(REF.sha256, 10, 10, BlobState.COMPLETE)
    whole = b"aaaaabbbbb"
    for at in range(10):
        part = database.read_now(lambda c, at=at: SqlBlobs(c).part(XA, REF.blob_id, at))  # type: ignore[misc]
        assert part and whole[at:].startswith(part)
    assert database.read_now(lambda c: SqlBlobs(c).part(XA, REF.blob_id, 10)) == b""


def test_a_blob_has_its_name_together_with_who_uploaded_it(database: Database) -> None:
    stored(database, REF)
    theirs = BlobRef(REF.blob_id, b"z" * 32, 4)
    stored(database, theirs, sender=XV)
    assert database.read_now(lambda c: SqlBlobs(c).are_complete(XA, [REF]))
    assert database.read_now(lambda c: SqlBlobs(c).are_complete(XV, [theirs]))
    assert not database.read_now(lambda c: SqlBlobs(c).are_complete(XV, [REF]))
    assert database.read_now(lambda c: SqlBlobs(c).used(XA)) == Used(10, 0)


def test_blobs_are_complete_only_all_together_and_as_they_were_announced(database: Database) -> None:
    stored(database, REF)
    database.write_now(lambda c: SqlBlobs(c).begin(XA, OTHER, 1_000))
    for refs, holds in (
        ([], True),
        ([REF], True),
        ([REF, OTHER], False),
        ([BlobRef(REF.blob_id, REF.sha256, 11)], False),
        ([BlobRef(REF.blob_id, b"x" * 32, 10)], False),
        ([BlobRef(b"d" * 16, REF.sha256, 10)], False),
    ):
        assert database.read_now(lambda c, refs=refs: SqlBlobs(c).are_complete(XA, refs)) is holds  # type: ignore[misc]
    assert database.read_now(lambda c: SqlBlobs(c).used(XA)) == Used(30, 1)


def test_only_who_uploaded_it_and_whom_an_envelope_is_for_may_read_a_blob(database: Database) -> None:
    stored(database, REF)

    def readers() -> set[PartyId]:
        return {
            party
            for party in (XA, XV, XO)
            if database.read_now(lambda c, p=party: SqlBlobs(c).readable(XA, REF.blob_id, p))  # type: ignore[misc]
        }

    assert readers() == {XA}
    claim(database, [REF], XV)
    claim(database, [REF], XV)
    assert readers() == {XA, XV}
    claim(database, [REF], XO)
    assert readers() == {XA, XV, XO}
    database.write_now(lambda c: SqlBlobs(c).release(XA, REF.blob_id, XV))
    assert readers() == {XA, XO}
    assert database.write_now(lambda c: SqlBlobs(c).release_all(XO)) == 1
    assert readers() == {XA}


def test_a_blob_goes_when_all_have_it_when_its_time_is_over_and_when_nothing_named_it(database: Database) -> None:
    stored(database, REF, OTHER)
    assert going(database) == []
    assert set(going(database, orphans_before_ms=1_001)) == {(XA, REF.blob_id), (XA, OTHER.blob_id)}
    claim(database, [REF], XV, XO)
    assert going(database, orphans_before_ms=1_001) == [(XA, OTHER.blob_id)]
    database.write_now(lambda c: SqlBlobs(c).release(XA, REF.blob_id, XV))
    assert going(database) == []
    assert going(database, now_ms=9_000) == [(XA, REF.blob_id)]
    claim(database, [REF], XV, expires_ms=8_000)
    claim(database, [REF], XV, expires_ms=10_000)
    assert going(database, now_ms=9_000) == []
    for party in (XV, XO):
        database.write_now(lambda c, p=party: SqlBlobs(c).release(XA, REF.blob_id, p))  # type: ignore[misc]
    assert going(database) == [(XA, REF.blob_id)]


def test_what_goes_is_deleted_in_steps_and_is_absent_from_the_first(database: Database) -> None:
    stored(database, REF, OTHER)
    claim(database, [REF], XV)
    database.write_now(lambda c: SqlBlobs(c).go(XA, REF.blob_id))
    assert not database.read_now(lambda c: SqlBlobs(c).readable(XA, REF.blob_id, XA))
    assert not database.read_now(lambda c: SqlBlobs(c).are_complete(XA, [REF]))
    assert going(database) == []
    database.write_now(lambda c: SqlBlobs(c).delete(1))
    assert database.read_now(lambda c: SqlBlobs(c).going())
    assert database.read_now(lambda c: SqlBlobs(c).kept(XA, REF.blob_id)) is not None
    while database.read_now(lambda c: SqlBlobs(c).going()):
        database.write_now(lambda c: SqlBlobs(c).delete(1))
    assert database.read_now(lambda c: SqlBlobs(c).kept(XA, REF.blob_id)) is None
    assert database.read_now(lambda c: SqlBlobs(c).part(XA, REF.blob_id, 0)) == b""
    assert database.read_now(lambda c: SqlBlobs(c).are_complete(XA, [OTHER]))
