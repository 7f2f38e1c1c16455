"""What the relay's store promises, on every kind of database."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import NotFound
from exchange.merkle import empty_root, leaf_hash, root_of
from exchange.names import PartyId
from exchange.relay.app import MIGRATIONS
from exchange.relay.mailbox import Accepted, Answered, Deleted, Row
from exchange.relay.sequencer import Log, LogState, Sequencer
from exchange.relay.slots import Slot, encode_slots, slot_at
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.store.registry import ShownEpoch, SqlRegistry
from exchange.relay.store.tables import metadata
from exchange.runtime.database import Database
from exchange.runtime.migrate import differences, upgrade

XA, XV, XO = (PartyId(name) for name in ("XA", "XV", "XO"))


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database(url) as opened:
        yield opened


def an_envelope(number: int, *recipients: PartyId, lane: Lane = Lane.ROUTINE, **changes: object) -> Accepted:
    slots = tuple(
        Slot(party, place * 3, b"leaf of " + party.encode(), (bytes([place]) * 32,) * 8, b"w" * 1168)
        for place, party in enumerate(recipients or (XV,))
    )
    made = Accepted(
        id=number,
        hash=sha256(number.to_bytes(8, "big")).digest(),
        sender=XA,
        envelope_id=sha256(b"id" + number.to_bytes(8, "big")).digest()[:16],
        lane=lane,
        kind=int(EnvelopeKind.REPORT),
        expires_ms=1_000 + number,
        header=b"header %d" % number,
        slots=slots,
        parts=encode_slots(slots),
        body=b"body %d" % number,
        promise=b"promise %d" % number,
        decisions=b"decisions %d" % number,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields


def store(database: Database, *envelopes: Accepted) -> None:
    database.write_now(lambda connection: SqlMailboxes(connection).deposit(envelopes))


def ask(database: Database, question: Callable[[SqlMailboxes], object]) -> object:
    return database.read_now(lambda connection: question(SqlMailboxes(connection)))


def rows(database: Database, party: PartyId, lane: Lane = Lane.ROUTINE, after: int = 0) -> Sequence[Row]:
    return database.read_now(lambda c: SqlMailboxes(c).waiting(party, lane, after=after, limit=100))


def positions(database: Database, party: PartyId, lane: Lane = Lane.ROUTINE, after: int = 0) -> list[int]:
    return [row.position for row in rows(database, party, lane, after)]


def acknowledge(database: Database, party: PartyId, position: int, kind: int | None = None) -> int:
    return database.write_now(lambda c: SqlMailboxes(c).acknowledge(party, Lane.ROUTINE, position, kind=kind))


def test_the_migrations_make_the_tables(url: str) -> None:
    assert differences(url, metadata) == []


# -- mailboxes ---------------------------------------------------------------------------------------------------------


def test_an_envelope_waits_for_each_recipient_in_its_lane_in_the_order_of_positions(database: Database) -> None:
    store(database, an_envelope(3, XV, XO), an_envelope(1, XV), an_envelope(2, XV, lane=Lane.FLASH))
    assert positions(database, XV) == [1, 3]
    assert positions(database, XV, Lane.FLASH) == [2]
    assert positions(database, XV, after=1) == [3]
    assert positions(database, XO) == [3]
    assert positions(database, XA) == []


@pytest.mark.parametrize("count", [1, 16, 17, 256])
def test_what_is_stored_comes_back_as_it_was(database: Database, count: int) -> None:
    envelope = an_envelope(5, *(PartyId(f"XP.p{number}") for number in range(count)))
    store(database, envelope)
    every = database.read_now(lambda c: SqlMailboxes(c).sealed([sealed.key for sealed in envelope.sealed()]))
    assert [every[key] for key in sorted(every)] == envelope.sealed()
    for slot in envelope.slots:
        (row,) = rows(database, slot.recipient)
        assert slot_at(every[row.key].slots, row.place) == slot
        assert row.size == envelope.delivery_size(slot)


def test_no_envelope_is_stored_twice_under_a_hash_an_id_or_a_position(database: Database) -> None:
    first = an_envelope(1)
    store(database, first)
    for repeat in (
        an_envelope(2, hash=first.hash),
        an_envelope(2, envelope_id=first.envelope_id),
        an_envelope(2, id=1),
    ):
        with pytest.raises(IntegrityError):
            store(database, repeat)
    assert positions(database, XV) == [1]


def test_acknowledging_frees_what_stands_up_to_the_position_and_once(database: Database) -> None:
    store(database, *(an_envelope(number, XV, XO) for number in (1, 2, 3)))
    assert acknowledge(database, XV, 2) == 2
    assert acknowledge(database, XV, 2) == 0
    assert positions(database, XV) == [3]
    assert positions(database, XO) == [1, 2, 3]
    assert ask(database, lambda boxes: boxes.cursors(XV)) == {Lane.ROUTINE: 2}


def test_a_cursor_never_goes_back(database: Database) -> None:
    store(database, an_envelope(1), an_envelope(2))
    acknowledge(database, XV, 2)
    acknowledge(database, XV, 1)
    assert ask(database, lambda boxes: boxes.cursors(XV)) == {Lane.ROUTINE: 2}


def test_only_the_acknowledged_kind_is_freed(database: Database) -> None:
    store(database, an_envelope(1), an_envelope(2, kind=int(EnvelopeKind.CONTROL)))
    assert acknowledge(database, XV, 2, kind=EnvelopeKind.CONTROL) == 1
    assert positions(database, XV) == [1]


def test_what_is_dropped_is_of_one_kind_and_party_and_lets_the_ciphertext_go_with_the_others(
    database: Database,
) -> None:
    store(database, an_envelope(1, XV, XO), an_envelope(2, XV), an_envelope(3, XV, kind=int(EnvelopeKind.CONTROL)))
    for count in (2, 0):
        assert database.write_now(lambda c: SqlMailboxes(c).drop(XV, kind=EnvelopeKind.REPORT, limit=10)) == count
    assert positions(database, XV) == [3]
    assert positions(database, XO) == [1]
    assert ask(database, lambda boxes: boxes.cursors(XV)) == {}
    (gone,) = database.write_now(lambda c: SqlMailboxes(c).delete_done(10, 1 << 30))
    assert gone.hash == an_envelope(2, XV).hash


def test_a_ciphertext_goes_when_its_last_recipient_has_it_and_its_answer_stays(database: Database) -> None:
    envelope = an_envelope(1, XV, XO)
    store(database, envelope)
    acknowledge(database, XV, 1)
    assert database.write_now(lambda c: SqlMailboxes(c).delete_done(10, 1 << 30)) == []
    acknowledge(database, XO, 1)
    assert database.write_now(lambda c: SqlMailboxes(c).delete_done(10, 1 << 30)) == [
        Deleted(envelope.hash, envelope.sender, envelope.size)
    ]
    assert database.write_now(lambda c: SqlMailboxes(c).delete_done(10, 1 << 30)) == []
    assert ask(database, lambda boxes: boxes.sealed([sealed.key for sealed in envelope.sealed()])) == {}
    answers = ask(database, lambda boxes: boxes.answered(XA, [envelope.hash]))
    assert answers == {envelope.hash: Answered(b"promise 1", b"decisions 1")}


def test_an_expired_ciphertext_goes_with_the_rows_of_all_who_did_not_collect_it(database: Database) -> None:
    store(database, an_envelope(1, XV, XO, expires_ms=100), an_envelope(2, XV, expires_ms=200))
    assert database.write_now(lambda c: SqlMailboxes(c).delete_expired(99, 10, 1 << 30)) == []
    gone = database.write_now(lambda c: SqlMailboxes(c).delete_expired(100, 10, 1 << 30))
    assert [each.hash for each in gone] == [an_envelope(1).hash]
    assert positions(database, XV) == [2]
    assert positions(database, XO) == []
    assert ask(database, lambda boxes: boxes.held()) == 1


def test_what_waits_is_counted_by_sender_and_what_goes_takes_its_bytes_with_it(database: Database) -> None:
    many = an_envelope(1, *(PartyId(f"P{number}") for number in range(40)))
    mine, other = an_envelope(2, XV), an_envelope(3, XV, sender=XO)
    store(database, many, mine, other)
    assert ask(database, lambda boxes: boxes.held_bytes()) == {XA: many.size + mine.size, XO: other.size}
    acknowledge(database, XV, 2)
    database.write_now(lambda c: SqlMailboxes(c).delete_done(10, 1 << 30))
    (gone,) = database.write_now(lambda c: SqlMailboxes(c).delete_expired(many.expires_ms, 10, 1 << 30))
    assert gone == Deleted(many.hash, XA, many.size)
    assert ask(database, lambda boxes: boxes.held_bytes()) == {XO: other.size}


def test_no_more_is_deleted_at_once_than_fits_and_one_that_is_larger_goes_alone(database: Database) -> None:
    store(database, *(an_envelope(number, body=bytes(100)) for number in range(1, 6)), an_envelope(6, body=bytes(900)))
    acknowledge(database, XV, 6)
    counts = []
    while gone := database.write_now(lambda c: SqlMailboxes(c).delete_done(3, 250)):
        counts.append(len(gone))
    assert counts == [2, 2, 1, 1]
    assert ask(database, lambda boxes: boxes.held()) == 0


def test_a_look_tells_whether_there_is_anything_to_delete(database: Database) -> None:
    def gone(now_ms: int = 0, refusals_before_ms: int = 0) -> object:
        return ask(database, lambda boxes: boxes.has_gone(now_ms, refusals_before_ms=refusals_before_ms))

    assert not gone(1 << 60, 1 << 60)
    store(database, an_envelope(1, XV, XO, expires_ms=100))
    acknowledge(database, XV, 1)
    assert not gone(99, 1 << 60) and gone(100)
    acknowledge(database, XO, 1)
    assert gone(99)
    database.write_now(lambda c: SqlMailboxes(c).delete_done(10, 1 << 30))
    database.write_now(lambda c: SqlMailboxes(c).refuse(XA, b"h" * 32, b"refusal", 50))
    assert not gone(1 << 60, 50) and gone(0, 51)


def test_what_is_dropped_goes_in_parts(database: Database) -> None:
    store(database, *(an_envelope(number, lane=list(Lane)[number % 3]) for number in range(1, 8)))
    counts = [database.write_now(lambda c: SqlMailboxes(c).drop(XV, kind=EnvelopeKind.REPORT, limit=3)) for _ in "abcd"]
    assert counts == [3, 3, 1, 0]
    assert len(database.write_now(lambda c: SqlMailboxes(c).delete_done(9, 1 << 30))) == 7


def test_an_answer_is_given_to_the_sender_it_was_given_to_and_to_nobody_else(database: Database) -> None:
    envelope = an_envelope(1)
    store(database, envelope)
    database.write_now(lambda c: SqlMailboxes(c).refuse(XA, b"h" * 32, b"refusal", 50))
    asked = [envelope.hash, b"h" * 32]
    assert set(database.read_now(lambda c: SqlMailboxes(c).answered(XA, asked))) == set(asked)
    assert database.read_now(lambda c: SqlMailboxes(c).answered(XV, asked)) == {}


def test_the_first_refusal_stays(database: Database) -> None:
    for answer in (b"first", b"second"):
        database.write_now(lambda c, answer=answer: SqlMailboxes(c).refuse(XA, b"h" * 32, answer, 50))  # type: ignore[misc]
    assert ask(database, lambda boxes: boxes.answered(XA, [b"h" * 32])) == {b"h" * 32: Answered(b"first", b"")}
    assert database.write_now(lambda c: SqlMailboxes(c).forget_refusals(50)) == 0
    assert database.write_now(lambda c: SqlMailboxes(c).forget_refusals(51)) == 1


def test_many_envelopes_are_found_at_once(database: Database) -> None:
    many = [an_envelope(number) for number in range(1, 1_201)]
    store(database, *many)
    hashes = [envelope.hash for envelope in many]
    assert len(database.read_now(lambda c: SqlMailboxes(c).answered(XA, hashes))) == len(many)
    ids = [envelope.envelope_id for envelope in many]
    assert database.read_now(lambda c: SqlMailboxes(c).taken(XA, ids)) == dict(zip(ids, hashes, strict=True))
    keys = [sealed.key for envelope in many for sealed in envelope.sealed()]
    assert len(database.read_now(lambda c: SqlMailboxes(c).sealed(keys))) == len(many)


# -- logs --------------------------------------------------------------------------------------------------------------


def append(sequencer: Sequencer, *entries: bytes) -> Callable[[Connection], int]:
    return lambda connection: sequencer.append(SqlLogs(connection), Log.TRAFFIC, entries)


def state(database: Database) -> LogState:
    return database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC))


def expected(*entries: bytes) -> LogState:
    return LogState(len(entries), root_of([leaf_hash(entry) for entry in entries]))


def test_a_log_begins_empty(database: Database) -> None:
    assert state(database) == LogState(0, empty_root())
    with pytest.raises(NotFound):
        database.read_now(lambda c: SqlLogs(c).entry(Log.TRAFFIC, 0))


def test_entries_stand_where_they_were_appended_and_the_root_hash_is_theirs(database: Database) -> None:
    sequencer = Sequencer()
    assert database.write_now(append(sequencer, b"one", b"two")) == 0
    assert database.write_now(append(sequencer, b"three")) == 2
    assert state(database) == expected(b"one", b"two", b"three")
    assert database.read_now(lambda c: SqlLogs(c).entries(Log.TRAFFIC, 1, 10)) == [b"two", b"three"]


def test_a_transaction_that_fails_leaves_no_trace_in_the_tree(database: Database) -> None:
    sequencer = Sequencer()
    database.write_now(append(sequencer, b"one"))

    def fails(connection: Connection) -> None:
        append(sequencer, b"lost", b"lost too")(connection)
        raise NotFound("on purpose")

    with pytest.raises(NotFound):
        database.write_now(fails)
    assert database.write_now(append(sequencer, b"two")) == 1
    assert state(database) == expected(b"one", b"two")


def test_a_tree_that_ran_ahead_by_as_many_entries_is_not_taken_for_the_stored_one(database: Database) -> None:
    sequencer, other = Sequencer(), Sequencer()
    database.write_now(append(sequencer, b"one"))

    def fails(connection: Connection) -> None:
        append(sequencer, b"lost")(connection)
        raise NotFound("on purpose")

    with pytest.raises(NotFound):
        database.write_now(fails)
    # Now the store grows to the size that the cached tree has, with another entry.
    database.write_now(append(other, b"two"))
    assert database.write_now(append(sequencer, b"three")) == 2
    assert state(database) == expected(b"one", b"two", b"three")


def test_a_tree_is_taken_up_from_the_store_at_any_size(database: Database) -> None:
    entries = [b"entry %d" % number for number in range(700)]
    done = 0
    for count in (1, 254, 1, 1, 300, 143):
        database.write_now(append(Sequencer(), *entries[done : done + count]))
        done += count
        assert state(database) == expected(*entries[:done])


def test_both_logs_and_their_checkpoints_are_apart(database: Database) -> None:
    sequencer = Sequencer()
    database.write_now(append(sequencer, b"one"))
    database.write_now(lambda c: sequencer.append(SqlLogs(c), Log.DIRECTORY, [b"statement"]))
    database.write_now(lambda c: SqlLogs(c).put_checkpoint(Log.DIRECTORY, 1, "note"))
    assert database.read_now(lambda c: SqlLogs(c).entry(Log.DIRECTORY, 0)) == b"statement"
    assert database.read_now(lambda c: SqlLogs(c).checkpoint(Log.DIRECTORY)) == (1, "note")
    assert database.read_now(lambda c: SqlLogs(c).checkpoint(Log.TRAFFIC)) is None


def test_the_directory_mark_is_the_last_one_set(database: Database) -> None:
    assert database.read_now(lambda c: SqlLogs(c).directory_mark()) == 0
    for size in (4, 9):
        database.write_now(lambda c, size=size: SqlLogs(c).set_directory_mark(size))  # type: ignore[misc]
    assert database.read_now(lambda c: SqlLogs(c).directory_mark()) == 9


# -- registry ----------------------------------------------------------------------------------------------------------


def test_bundles_are_found_by_hash_until_they_are_dropped(database: Database) -> None:
    def keep(connection: Connection) -> None:
        registry = SqlRegistry(connection)
        registry.put_bundle(b"a", XV, b"first")
        registry.put_bundle(b"b", XV, b"second")
        registry.put_bundle(b"c", XO, b"other")
        registry.drop_bundles(XV, [b"b"])

    database.write_now(keep)
    found = database.read_now(lambda c: SqlRegistry(c).bundles([b"a", b"b", b"c", b"d"]))
    assert found == {b"b": b"second", b"c": b"other"}


def test_a_view_is_kept_as_it_came_first(database: Database) -> None:
    for number, view in ((7, b"first"), (8, b"second")):
        database.write_now(lambda c, n=number, v=view: SqlRegistry(c).put_view(b"x", n, v))  # type: ignore[misc]
    assert database.read_now(lambda c: SqlRegistry(c).views_since(7)) == [b"first"]
    assert database.read_now(lambda c: SqlRegistry(c).view_number(b"x")) == 7
    assert database.read_now(lambda c: SqlRegistry(c).views_since(8)) == []


def test_changes_are_kept_in_the_order_of_the_log_and_a_repeat_changes_nothing(database: Database) -> None:
    rows = (
        (11, b"h1", b"x", b"one"),
        (13, b"h2", b"x", b"two"),
        (15, b"h3", b"y", b"three"),
        (11, b"h1", b"x", b"again"),
    )
    for row in rows:
        database.write_now(lambda c, r=row: SqlRegistry(c).put_change(*r))  # type: ignore[misc]
    assert database.read_now(lambda c: SqlRegistry(c).changes_since(0)) == [b"one", b"two", b"three"]
    assert database.read_now(lambda c: SqlRegistry(c).changes_since(12)) == [b"two", b"three"]
    assert database.read_now(lambda c: SqlRegistry(c).changes_of(b"x", first=0, limit=1)) == [b"one"]
    assert database.read_now(lambda c: SqlRegistry(c).changes_of(b"x", first=1, limit=9)) == [b"two"]
    assert database.read_now(lambda c: SqlRegistry(c).change_number(b"h2")) == 13
    assert database.read_now(lambda c: SqlRegistry(c).change_number(b"h9")) is None


def test_a_join_request_is_kept_as_it_came_first(database: Database) -> None:
    for request in (b"first", b"second"):
        database.write_now(lambda c, r=request: SqlRegistry(c).put_join(XV, r, 1))  # type: ignore[misc]
    assert database.read_now(lambda c: SqlRegistry(c).join(XV)) == b"first"
    assert database.read_now(lambda c: SqlRegistry(c).join(XO)) is None


def test_epochs_of_communities_come_back_in_the_order_of_the_directory_and_none_is_kept_twice(
    database: Database,
) -> None:
    one, other = bytes(16), bytes([1]) * 16
    epochs = [
        ShownEpoch(one, 1, XA, b"1" * 32, 7),
        ShownEpoch(other, 1, XV, b"2" * 32, 9),
        ShownEpoch(one, 2, XA, b"3" * 32, 11),
    ]
    for each in reversed(epochs):
        database.write_now(lambda connection, each=each: SqlRegistry(connection).add_epoch(each, b"notice"))  # type: ignore[misc]
    assert database.read_now(lambda connection: SqlRegistry(connection).epochs()) == epochs
    assert database.read_now(lambda connection: SqlRegistry(connection).epochs(start=9)) == epochs[1:]
    with pytest.raises(IntegrityError):
        database.write_now(lambda connection: SqlRegistry(connection).add_epoch(epochs[0], b"another"))
