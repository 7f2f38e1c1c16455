"""What the node's store promises, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from exchange.crypto.signed import payload_type
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import InternalError
from exchange.policy.terms import AgreementRef
from exchange.receipts.model import ReceiptStatus, RetractionAction
from exchange.receipts.streams import STREAM_START, next_running_hash
from exchange.runtime.database import Database
from exchange.runtime.migrate import differences, upgrade
from nodes.app import MIGRATIONS
from nodes.store import agreements, alarms, readers, receiving, reports, sending, trust
from nodes.store.columns import metadata
from nodes.store.rows import (
    ACCESSION,
    ANNOUNCED,
    Addressee,
    Alarm,
    Came,
    Control,
    Cursor,
    Direction,
    Event,
    HeardStream,
    ItemState,
    KeptAgreement,
    KeptChange,
    KeptPromise,
    Outgoing,
    OwnBundle,
    QueuedReceipt,
    Reach,
    Report,
    SentStream,
    SetAside,
    SlotState,
    TakenSlot,
    Withdrawal,
)

NOW = 1_700_000_000_000
REPORT, CONTROL = int(EnvelopeKind.REPORT), int(EnvelopeKind.CONTROL)
ROUTINE, FLASH = int(Lane.ROUTINE), int(Lane.FLASH)
THREAD = bytes(16)


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database(url) as opened:
        yield opened


def name(what: str, number: int = 0) -> bytes:
    return sha256(f"{what}/{number}".encode()).digest()


def a_report(number: int, **changes: object) -> Report:
    made = Report(
        item=name("item", number),
        thread=THREAD,
        direction=Direction.SENT,
        originator="XA",
        sender="XA",
        kind="alert",
        tlp=3,
        lane=ROUTINE,
        authored_ms=NOW + number,
        stored_ms=NOW,
        state=ItemState.CURRENT,
        stix_digest=name("stix"),
        title=b"title",
        record=b"record",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def an_addressee(number: int, recipient: str = "XV", **changes: object) -> Addressee:
    made = Addressee(name("item", number), recipient, REPORT, ROUTINE, Reach.WAITING)
    return replace(made, **changes)  # type: ignore[arg-type]


def an_envelope(number: int, *slots: TakenSlot, **changes: object) -> Outgoing:
    made = Outgoing(
        envelope=name("envelope", number),
        item=name("item", number),
        kind=REPORT,
        lane=ROUTINE,
        sealed_ms=NOW,
        header=b"header",
        submission=b"submission %d" % number,
        slots=slots or (TakenSlot("XV", 3, 1, number),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_migrations_make_exactly_the_tables(url: str) -> None:
    assert differences(url, metadata) == []


# -- reports -----------------------------------------------------------------------------------------------------------


def test_a_report_is_stored_once_and_comes_back_as_it_was(database: Database) -> None:
    assert database.write_now(lambda c: reports.add_report(c, a_report(1)))
    assert not database.write_now(lambda c: reports.add_report(c, a_report(1, kind="guidance")))
    found = database.read_now(lambda c: reports.report_of(c, name("item", 1)))
    assert found == replace(a_report(1), number=1)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_latest_version_is_current_in_whatever_order_versions_come(
    database: Database, order: tuple[int, ...]
) -> None:
    def store(connection: Connection, number: int) -> None:
        reports.add_report(connection, a_report(number))
        reports.settle_thread(connection, THREAD, "XA")

    for number in order:
        database.write_now(lambda c, number=number: store(c, number))  # type: ignore[misc]
    states = [r.state for r in database.read_now(lambda c: reports.versions(c, THREAD, "XA"))]
    assert states == [ItemState.REPLACED, ItemState.REPLACED, ItemState.CURRENT]


def test_another_originator_never_replaces_a_version(database: Database) -> None:
    def store(connection: Connection) -> None:
        reports.add_report(connection, a_report(1))
        reports.add_report(connection, a_report(2, originator="XV"))
        reports.settle_thread(connection, THREAD, "XV")

    database.write_now(store)
    found = database.read_now(lambda c: reports.report_of(c, name("item", 1)))
    assert found is not None and found.state is ItemState.CURRENT


def test_a_withdrawn_version_stays_withdrawn_and_still_replaces_older_ones(database: Database) -> None:
    def store(connection: Connection) -> None:
        reports.add_report(connection, a_report(2, state=ItemState.WITHDRAWN))
        reports.add_report(connection, a_report(1))
        reports.settle_thread(connection, THREAD, "XA")

    database.write_now(store)
    states = [r.state for r in database.read_now(lambda c: reports.versions(c, THREAD, "XA"))]
    assert states == [ItemState.REPLACED, ItemState.WITHDRAWN]


def test_reports_are_found_by_prefix_and_by_stix_digest_with_their_tlp(database: Database) -> None:
    for number in (1, 2):
        database.write_now(partial(reports.add_report, report=a_report(number)))
    item = name("item", 1)
    for length in (6, 7, 64):
        look = partial(reports.with_prefix, prefix=item.hex()[:length], limit=9)
        assert database.read_now(look) == {item: 3}
    newest_first = {name("item", 2): 3, item: 3}
    assert list(database.read_now(partial(reports.with_stix, digest=name("stix"), limit=9))) == list(newest_first)
    assert database.read_now(partial(reports.with_stix, digest=name("stix"), limit=1)) == {name("item", 2): 3}
    assert database.read_now(partial(reports.with_stix, digest=name("stix"), limit=1, skip=1)) == {item: 3}
    assert database.read_now(partial(reports.with_prefix, prefix=item.hex()[:6], limit=9, skip=1)) == {}
    assert database.read_now(partial(reports.with_stix, digest=name("other"), limit=9)) == {}
    assert database.read_now(partial(reports.lights_of, items=[item, name("item", 9)])) == {item: 3}


def test_reader_rules_stay_as_first_written_and_what_has_none_is_found(database: Database) -> None:
    one, other, gone = (name("item", number) for number in (1, 2, 3))
    for number in (1, 2):
        database.write_now(partial(reports.add_report, report=a_report(number)))
    database.write_now(partial(reports.add_report, report=a_report(3, state=ItemState.PURGED)))
    assert set(database.read_now(partial(readers.without_row, limit=9))) == {one, other}
    for rule in (b"sealed", b"other"):
        database.write_now(partial(readers.put_rules, rules={one: rule}))
    assert database.read_now(partial(readers.rules_of, items=[one, other, gone])) == {one: b"sealed"}
    assert database.read_now(partial(readers.without_row, limit=9)) == [other]


def test_the_newest_reader_policy_of_a_party_counts_and_who_was_told_is_kept(database: Database) -> None:
    for at_ms in (NOW, NOW + 2, NOW + 1, NOW + 2):
        kept = readers.KeptPolicy("XV", at_ms, f"policy {at_ms}".encode())
        database.write_now(partial(readers.keep_policy, policy=kept))
    newest = readers.KeptPolicy("XV", NOW + 2, f"policy {NOW + 2}".encode())
    assert database.read_now(readers.policies) == {"XV": newest}
    for partners, at_ms in ((["XA", "XO"], NOW), (["XO"], NOW + 5)):
        database.write_now(partial(readers.set_told, partners=partners, at_ms=at_ms))
    assert database.read_now(readers.told) == {"XA": NOW, "XO": NOW + 5}


def test_lists_are_newest_first_and_go_on_where_they_ended(database: Database) -> None:
    for number in range(1, 6):
        state = ItemState.REPLACED if number == 4 else ItemState.CURRENT
        direction = Direction.RECEIVED if number == 1 else Direction.SENT
        row = a_report(number, state=state, direction=direction)
        database.write_now(lambda c, row=row: reports.add_report(c, row))  # type: ignore[misc]

    def numbers(**given: object) -> list[int]:
        wanted: dict[str, object] = {"direction": None, "limit": 9, "before": 0, **given}
        return [r.number for r in database.read_now(lambda c: reports.list_reports(c, **wanted))]  # type: ignore[arg-type]

    assert numbers() == [5, 4, 3, 2, 1]
    assert numbers(limit=2) == [5, 4]
    assert numbers(before=4) == [3, 2, 1]
    assert numbers(direction=Direction.RECEIVED) == [1]


def test_versions_that_took_the_place_of_others_are_found_with_their_tlp(database: Database) -> None:
    states = {1: ItemState.REPLACED, 2: ItemState.REPLACED, 3: ItemState.REJECTED, 4: ItemState.CURRENT}
    rows = [a_report(number, state=state) for number, state in states.items()]
    for row in (*rows, a_report(5, thread=name("thread", 5)), a_report(6, originator="XV")):
        database.write_now(partial(reports.add_report, report=row))
    later = database.read_now(partial(reports.later_versions, older=rows[:2]))
    assert later == {name("item", 1): {name("item", 2): 3, name("item", 4): 3}, name("item", 2): {name("item", 4): 3}}
    assert database.read_now(partial(reports.later_versions, older=[])) == {}


def test_a_purged_report_keeps_its_row_and_loses_its_content(database: Database) -> None:
    def purge(connection: Connection) -> None:
        reports.add_report(connection, a_report(1, purge_at_ms=NOW))
        assert [r.item for r in reports.to_purge(connection, NOW, limit=5)] == [name("item", 1)]
        reports.forget_content(connection, name("item", 1))

    database.write_now(purge)
    assert database.read_now(lambda c: reports.to_purge(c, NOW, limit=5)) == []
    found = database.read_now(lambda c: reports.report_of(c, name("item", 1)))
    assert found is not None and (found.state, found.title, found.record) == (ItemState.PURGED, b"", b"")
    assert database.read_now(lambda c: reports.unpurged_items(c, [name("item", 1)])) == set()


def test_a_second_retraction_counts_only_when_it_asks_for_more_and_a_strangers_stands_apart(database: Database) -> None:
    first = Withdrawal(name("item", 1), "XA", int(RetractionAction.WITHDRAW), "wrong", "", NOW, NOW, b"s")
    stricter = replace(first, action=int(RetractionAction.PURGE), text="destroy it")
    stranger = replace(stricter, originator="XV")
    outcomes = [
        database.write_now(lambda c, w=w: reports.add_withdrawal(c, w))  # type: ignore[misc]
        for w in (stranger, first, first, stricter, first, stranger)
    ]
    assert outcomes == [True, True, False, True, False, False]
    assert database.read_now(lambda c: reports.withdrawal_of(c, first.item, "XA")) == stricter
    assert database.read_now(lambda c: reports.withdrawals_of(c, [first.item])) == {
        (first.item, "XA"): stricter,
        (first.item, "XV"): stranger,
    }


def test_the_first_push_with_a_key_is_remembered(database: Database) -> None:
    for item in (b"a", b"b"):
        database.write_now(lambda c, item=item: reports.remember_pushes(c, [(name("key"), item, NOW)]))  # type: ignore[misc]
    assert database.read_now(lambda c: reports.pushed_before(c, [name("key"), name("other")])) == {name("key"): b"a"}
    assert database.read_now(lambda c: reports.pushed_before(c, [name("key", 2)])) == {}


def test_the_story_of_an_item_is_told_in_order(database: Database) -> None:
    told = [Event(name("item"), NOW + 2 - place, word) for place, word in enumerate(("signed", "sealed", "promised"))]
    database.write_now(lambda c: reports.add_events(c, told[:2]))
    database.write_now(lambda c: reports.add_events(c, [Event(name("item", 1), NOW, "signed"), told[2]]))
    assert database.read_now(lambda c: reports.events_of(c, name("item"))) == told


# -- what waits to be sealed -------------------------------------------------------------------------------------------


def test_flash_is_sealed_first_then_what_waited_longest(database: Database) -> None:
    def store(connection: Connection) -> None:
        for number, lane in ((1, ROUTINE), (2, ROUTINE), (3, FLASH)):
            rows = [an_addressee(number, each, lane=lane) for each in ("XO", "XV")]
            reports.add_addressees(connection, rows)

    database.write_now(store)
    groups = database.read_now(lambda c: reports.to_seal(c, NOW, items=2))
    assert [[row.item for row in group] for group in groups] == [[name("item", 3)] * 2, [name("item", 1)] * 2]


def test_a_limit_on_rows_never_cuts_an_item_in_two(database: Database) -> None:
    parties = [f"X{letter}" for letter in "ABCDEFGH"]
    database.write_now(lambda c: reports.add_addressees(c, [an_addressee(1, party) for party in parties]))
    (group,) = database.read_now(lambda c: reports.to_seal(c, NOW, items=5, rows=3))
    assert [row.recipient for row in group] == parties


def test_what_is_not_due_waits_and_says_until_when(database: Database) -> None:
    rows = [an_addressee(1, "XV", due_ms=NOW + 5), an_addressee(1, "XO", state=Reach.DENIED)]
    database.write_now(lambda c: reports.add_addressees(c, rows))
    assert database.read_now(lambda c: reports.to_seal(c, NOW, items=5)) == []
    assert database.read_now(reports.next_due_ms) == NOW + 5
    database.write_now(lambda c: reports.make_due(c, ["XV"], NOW))
    assert len(database.read_now(lambda c: reports.to_seal(c, NOW, items=5))) == 1


def test_a_row_of_the_audience_comes_back_as_it_was(database: Database) -> None:
    basis = AgreementRef(bytes(16), 3, name("commitment"))
    row = an_addressee(1, why="w", due_ms=7, tries=2, alone=True, basis=basis, clause="4.1", envelope=name("e"))
    database.write_now(lambda c: reports.add_addressees(c, [row]))
    assert database.read_now(lambda c: reports.addressees_of(c, row.item)) == [replace(row, number=1)]
    database.write_now(lambda c: reports.change_addressees(c, row.item, ["XV"], state=Reach.RECEIPTED, receipted_ms=9))
    found = database.read_now(lambda c: reports.addressee(c, row.item, "XV"))
    assert found == replace(row, number=1, state=Reach.RECEIPTED, receipted_ms=9)


# -- sealed envelopes --------------------------------------------------------------------------------------------------


def test_numbers_are_taken_without_gaps_or_not_at_all(database: Database) -> None:
    database.write_now(lambda c: sending.add_sealed(c, [an_envelope(1), an_envelope(2)], NOW))
    for wrong in (an_envelope(4), an_envelope(3, TakenSlot("XV", 0, 1, 2))):
        with pytest.raises(InternalError):
            database.write_now(lambda c, wrong=wrong: sending.add_sealed(c, [wrong], NOW))  # type: ignore[misc]
    assert database.read_now(lambda c: sending.last_numbers(c, 1, ["XV"])) == {("XV", ROUTINE): 2}
    sealed = database.read_now(lambda c: sending.unanswered(c, after=0, limit=9))
    assert [(each.number, each.slots) for each in sealed] == [
        (1, (TakenSlot("XV", 3, 1, 1),)),
        (2, (TakenSlot("XV", 3, 1, 2),)),
    ]


def test_an_answered_envelope_loses_its_bytes_and_keeps_its_numbers(database: Database) -> None:
    database.write_now(lambda c: sending.add_sealed(c, [an_envelope(1)], NOW))
    database.write_now(lambda c: sending.answered(c, [name("envelope", 1)], SlotState.PROMISED))
    assert database.read_now(lambda c: sending.unanswered(c, after=0, limit=9)) == []
    assert database.read_now(lambda c: sending.slots_of(c, name("envelope", 1))) == (TakenSlot("XV", 3, 1, 1),)
    sent = database.read_now(lambda c: sending.items_sent(c, [name("envelope", 1)], ["XV", "XO"]))
    assert sent == {(name("envelope", 1), "XV"): name("item", 1)}


def test_a_control_statement_goes_with_its_last_recipient(database: Database) -> None:
    control = Control(name("item", 1), "type", b"statement", NOW)
    rows = [an_addressee(1, each, kind=CONTROL) for each in ("XO", "XV")]
    database.write_now(lambda c: sending.add_control(c, control, rows))
    database.write_now(lambda c: sending.add_control(c, control, rows))
    database.write_now(lambda c: sending.drop_control(c, control.item, ["XO"]))
    assert database.read_now(lambda c: sending.control_of(c, control.item)) == control
    database.write_now(lambda c: sending.drop_control(c, control.item, ["XV"]))
    assert database.read_now(lambda c: sending.control_of(c, control.item)) is None
    assert database.read_now(lambda c: reports.addressees_of(c, control.item)) == []


def test_the_running_hash_leaves_out_void_numbers_and_stops_at_the_first_open_one(database: Database) -> None:
    def store(connection: Connection) -> SentStream:
        sending.add_sealed(connection, [an_envelope(number) for number in (1, 2, 3, 4)], NOW)
        sending.answered(connection, [name("envelope", 1)], SlotState.PROMISED)
        sending.answered(connection, [name("envelope", 2)], SlotState.VOIDED)
        sending.answered(connection, [name("envelope", 3)], SlotState.PROMISED)
        (stream,) = sending.streams_to_tell(connection, quiet_before_ms=NOW, flash_before_ms=NOW, daily_before_ms=0)
        return stream

    stream = database.write_now(store)
    settled, whole = database.write_now(lambda c: sending.settle(c, stream))
    running = next_running_hash(STREAM_START, 1, name("envelope", 1))
    running = next_running_hash(running, 3, name("envelope", 3))
    assert (settled.settled_seq, settled.settled_hash, whole) == (3, running, False)
    assert database.read_now(lambda c: sending.voided_numbers(c, settled, limit=9)) == (2,)
    database.write_now(lambda c: sending.answered(c, [name("envelope", 4)], SlotState.VOIDED))
    settled, whole = database.write_now(lambda c: sending.settle(c, settled))
    assert (settled.settled_seq, settled.settled_hash, whole) == (4, running, True)


def test_whatever_but_a_stream_head_asks_for_one_and_telling_it_is_remembered(database: Database) -> None:
    def told(connection: Connection) -> list[SentStream]:
        return sending.streams_to_tell(connection, quiet_before_ms=NOW, flash_before_ms=NOW, daily_before_ms=NOW - 10)

    def a_control(number: int, kind: str) -> None:
        control = Control(name("item", number), payload_type(kind), b"statement", NOW)
        database.write_now(lambda c: sending.add_control(c, control, [an_addressee(number, kind=CONTROL)]))
        database.write_now(lambda c: sending.add_sealed(c, [an_envelope(number, kind=CONTROL)], NOW))

    a_control(1, "stream-head")
    assert database.read_now(told) == []
    a_control(2, "retraction")
    (stream,) = database.read_now(told)
    database.write_now(lambda c: sending.head_told(c, stream, NOW + 1))
    assert database.read_now(told) == []
    database.write_now(lambda c: sending.head_told(c, stream, NOW - 20))
    assert len(database.read_now(told)) == 1


def test_the_flash_lane_has_a_time_of_its_own_for_stream_heads(database: Database) -> None:
    flash = TakenSlot("XV", 3, 1, 1)
    database.write_now(lambda c: sending.add_sealed(c, [an_envelope(1), an_envelope(2, flash, lane=FLASH)], NOW))

    def lanes(quiet_before_ms: int, flash_before_ms: int) -> list[int]:
        found = database.read_now(
            lambda c: sending.streams_to_tell(
                c, quiet_before_ms=quiet_before_ms, flash_before_ms=flash_before_ms, daily_before_ms=0
            )
        )
        return [stream.lane for stream in found]

    assert lanes(NOW - 1, NOW - 1) == []
    assert lanes(NOW - 1, NOW) == [FLASH]
    assert lanes(NOW, NOW - 1) == [ROUTINE]


# -- promises and receipts ---------------------------------------------------------------------------------------------


def a_promise(index: int, size: int) -> KeptPromise:
    return KeptPromise(name("envelope", index), name("item"), index, size, NOW + index, True, b"promise")


def test_promises_are_read_in_the_order_of_the_log_until_they_are_checked(database: Database) -> None:
    database.write_now(lambda c: sending.add_promises(c, [a_promise(9, 3), a_promise(4, 2), a_promise(4, 2)]))
    unchecked = database.read_now(lambda c: sending.promises(c, after=-1, limit=9, unchecked=True))
    assert [each.log_index for each in unchecked] == [4, 9]
    database.write_now(lambda c: sending.promise_checked(c, [name("envelope", 4)], 20))
    again = database.read_now(lambda c: sending.promises(c, after=-1, limit=9, unchecked=True, before_ms=NOW + 10))
    assert [each.log_index for each in again] == [9]
    assert database.read_now(sending.highest_promise) == (9, 3)


def test_the_directory_sizes_around_a_place_in_the_log(database: Database) -> None:
    assert database.read_now(sending.highest_promise) == (-1, 0)
    database.write_now(lambda c: sending.add_promises(c, [a_promise(2, 5), a_promise(8, 7)]))
    found = [database.read_now(lambda c, at=at: sending.directory_sizes_around(c, at)) for at in (1, 5, 9)]  # type: ignore[misc]
    assert found == [(None, 5), (5, 7), (7, None)]


def test_queued_receipts_come_in_order_flash_apart_and_go_by_number(database: Database) -> None:
    lines = [QueuedReceipt("XA", name("e", n), name("i", n), int(ReceiptStatus.STORED), NOW) for n in range(3)]
    flash = replace(lines[0], envelope=name("e", 9), urgent=True)
    database.write_now(lambda c: receiving.queue_receipts(c, [flash]))
    database.write_now(lambda c: receiving.queue_receipts(c, lines[:2]))
    database.write_now(lambda c: receiving.queue_receipts(c, lines[2:]))
    queued = database.read_now(lambda c: receiving.queued_receipts(c, urgent=False, limit=9))
    assert [replace(each, number=0) for each in queued] == lines
    (first,) = database.read_now(lambda c: receiving.queued_receipts(c, urgent=True, limit=9))
    assert replace(first, number=0) == flash
    database.write_now(lambda c: receiving.drop_receipts(c, [queued[0].number, queued[2].number]))
    (left,) = database.read_now(lambda c: receiving.queued_receipts(c, urgent=False, limit=9))
    assert left.envelope == name("e", 1)


# -- received ----------------------------------------------------------------------------------------------------------


def came(seq: int, number: int | None = None) -> Came:
    return Came(
        name("in", seq if number is None else number), "XA", name("item", seq), REPORT, ROUTINE, 1, seq, seq, NOW
    )


def test_an_envelope_is_remembered_once_and_a_number_used_twice_is_noticed(database: Database) -> None:
    database.write_now(lambda c: receiving.add_came(c, [came(1), came(1), came(2)]))
    assert set(database.read_now(lambda c: receiving.known_envelopes(c, [name("in", 1), name("in", 9)]))) == {
        name("in", 1)
    }
    assert database.read_now(lambda c: receiving.others_with_number(c, [came(1), came(2)])) == {}
    assert database.read_now(lambda c: receiving.others_with_number(c, [came(1, 77)])) == {
        name("in", 77): name("in", 1)
    }
    assert database.read_now(lambda c: receiving.others_with_number(c, [came(5), came(5, 78)])) == {
        name("in", 78): name("in", 5)
    }
    assert database.read_now(lambda c: receiving.envelope_of_item(c, name("item", 2), "XA")) == name("in", 2)


def test_the_running_hash_under_a_head_is_over_what_came(database: Database) -> None:
    database.write_now(lambda c: receiving.add_came(c, [came(1), came(3)]))
    running = next_running_hash(next_running_hash(STREAM_START, 1, name("in", 1)), 3, name("in", 3))
    heard = HeardStream("XA", 1, ROUTINE, 0, STREAM_START, 4, running, (2, 4), NOW, "open")
    assert database.read_now(lambda c: receiving.running_hash(c, heard)) == running
    database.write_now(lambda c: receiving.set_heard(c, heard))
    assert database.read_now(receiving.open_heads) == [heard]
    assert database.read_now(lambda c: receiving.heard_stream(c, "XA", 1, ROUTINE)) == heard
    assert database.read_now(lambda c: receiving.heard_stream(c, "XA", 2, ROUTINE)).checked_hash == STREAM_START


def test_cursors_and_quarantine_come_back_as_they_were(database: Database) -> None:
    database.write_now(lambda c: receiving.set_cursors(c, [Cursor(ROUTINE, 4, NOW), Cursor(FLASH, 2)]))
    database.write_now(lambda c: receiving.set_cursors(c, [Cursor(ROUTINE, 9, NOW)]))
    assert database.read_now(receiving.cursors) == {ROUTINE: Cursor(ROUTINE, 9, NOW), FLASH: Cursor(FLASH, 2)}
    aside = SetAside(name("raw"), NOW, "XA", ROUTINE, 5, 7, "BAD_ENVELOPE", "why", b"raw")
    database.write_now(lambda c: receiving.set_aside(c, [aside, aside]))
    assert database.read_now(receiving.list_set_aside) == [aside]


def test_junk_fills_the_quarantine_only_so_far(database: Database) -> None:
    junk = [SetAside(name(f"junk {n}"), NOW + n, "XA", ROUTINE, n, 7, "BAD_ENVELOPE", "", b"x" * 40) for n in range(4)]
    database.write_now(lambda c: receiving.set_aside(c, junk[:2], most=100))
    database.write_now(lambda c: receiving.set_aside(c, junk[2:], most=100))
    kept = database.read_now(receiving.list_set_aside)
    assert [len(each.raw) for each in kept] == [0, 0, 40, 40]
    assert [each.hash for each in kept] == [each.hash for each in reversed(junk)]


# -- trust and alarms --------------------------------------------------------------------------------------------------


def test_the_mirrored_log_has_no_gaps_and_no_index_twice(database: Database) -> None:
    database.write_now(lambda c: trust.add_entries(c, 0, [b"a", b"b"]))
    database.write_now(lambda c: trust.add_entries(c, 2, [b"c"]))
    with pytest.raises(IntegrityError):
        database.write_now(lambda c: trust.add_entries(c, 2, [b"d"]))
    assert database.read_now(lambda c: trust.directory_entries(c, start=1, limit=9)) == [b"b", b"c"]
    assert database.read_now(trust.directory_size) == 3


def test_bundles_checkpoints_and_agreements_come_back_as_they_were(database: Database) -> None:
    own = OwnBundle(name("own"), 100, 31, NOW, False, b"bundle")
    agreement = KeptAgreement(name("commitment"), bytes(16), 1, b"", b"view", NOW, True)

    def store(connection: Connection) -> None:
        trust.add_own_bundle(connection, own)
        trust.bundle_published(connection, own.hash)
        trust.add_bundle(connection, hash_=name("b"), party="XV", first_day=100, bundle=b"signed")
        trust.set_checkpoint(connection, 1, 5, "five", NOW)
        trust.set_checkpoint(connection, 1, 7, "seven", NOW)
        agreements.put_agreement(connection, agreement)
        agreements.put_agreement(connection, replace(agreement, text=b"text"))

    database.write_now(store)
    assert database.read_now(trust.own_bundles) == [replace(own, published=True)]
    assert database.read_now(trust.bundles) == {name("b"): b"signed"}
    assert database.read_now(lambda c: trust.checkpoint_of(c, 1)) == (7, "seven")
    assert database.read_now(agreements.agreements) == [replace(agreement, text=b"text")]
    database.write_now(lambda c: trust.drop_bundles(c, [name("b")]))
    assert database.read_now(trust.bundles) == {}


def test_an_alarm_is_raised_once_until_it_is_closed(database: Database) -> None:
    alarm = Alarm("gap", "XV/1", NOW, "three envelopes never came")
    raised = [database.write_now(lambda c: alarms.raise_alarm(c, alarm)) for _ in range(2)]
    database.write_now(lambda c: alarms.close_alarm(c, "gap", "XV/1", NOW))
    raised.append(database.write_now(lambda c: alarms.raise_alarm(c, alarm)))
    assert raised == [True, False, True]
    assert [each.text for each in database.read_now(alarms.open_alarms)] == [alarm.text]


def a_change(place: int = ANNOUNCED, *, key: str = "change", action: int = 1, at_ms: int = NOW) -> KeptChange:
    """Return a notice of XV on an agreement."""
    return KeptChange(name(key), name("commitment"), place, "XV", action, at_ms, NOW, 0, b"signed")


def test_a_change_is_kept_once_and_gets_its_place_when_the_directory_shows_it(database: Database) -> None:
    heard, other = a_change(), a_change(1, key="other", action=ACCESSION)

    def store(connection: Connection) -> None:
        assert agreements.announce(connection, heard)
        assert not agreements.announce(connection, replace(heard, statement=b"another"))

    database.write_now(store)
    assert database.read_now(lambda c: agreements.announced_by(c, "XV")) == [heard]
    assert database.read_now(lambda c: agreements.announced_by(c, "XA")) == []
    database.write_now(lambda c: agreements.acknowledge(c, heard.hash, NOW + 1))
    placed = [replace(heard, place=0), other]
    assert database.write_now(lambda c: agreements.place_changes(c, placed)) == [other]
    kept = replace(heard, place=0, acknowledged_ms=NOW + 1)
    assert database.read_now(agreements.changes) == [kept, other]
    assert database.read_now(lambda c: agreements.announced_by(c, "XV")) == []
    database.write_now(lambda c: agreements.acknowledge(c, heard.hash, NOW + 9))
    database.write_now(lambda c: agreements.drop_change(c, heard.hash))
    assert database.read_now(lambda c: agreements.change_of(c, heard.hash)) == kept, "the first time counts"
    assert database.read_now(lambda c: agreements.change_of(c, name("nobody"))) is None


def test_a_change_that_the_relay_refused_is_forgotten(database: Database) -> None:
    database.write_now(lambda c: agreements.announce(c, a_change()))
    database.write_now(lambda c: agreements.drop_change(c, a_change().hash))
    assert database.read_now(agreements.changes) == []


def test_an_acknowledgement_is_kept_as_it_came_first(database: Database) -> None:
    for at_ms in (NOW, NOW + 1):
        database.write_now(
            lambda c, at=at_ms: agreements.add_acknowledgement(  # type: ignore[misc]
                c, notice=name("change"), party="XV", at_ms=at, statement=b"signed"
            )
        )
    assert database.read_now(agreements.acknowledgements) == {(name("change"), "XV"): NOW}
