"""What the node's store promises about numbers that never came, whoever lies about them, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256

import pytest
from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.receipts.model import ReceiptStatus
from exchange.receipts.streams import STREAM_START
from exchange.resend.model import RESEND_NUMBERS, ResendOutcome
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.config import Timing
from nodes.gaps import look
from nodes.resending import decide_all
from nodes.store import missing, receiving, sending
from nodes.store.missing import ASKED_KEPT, ASKED_MOST, MISSING_MOST, Gap
from nodes.store.rows import (
    AskedAgain,
    Came,
    Control,
    HeardStream,
    Missing,
    MissingState,
    Outgoing,
    SlotState,
    TakenSlot,
)

NOW = 1_700_000_000_000
ROUTINE, FLASH = int(Lane.ROUTINE), int(Lane.FLASH)
LATE = {Lane.FLASH: NOW - 60_000, Lane.PRIORITY: NOW - 900_000, Lane.ROUTINE: NOW - 900_000}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def name(number: int) -> bytes:
    return sha256(b"%d" % number).digest()


def came(seq: int, *, stream: int = 1, lane: int = ROUTINE) -> Came:
    key = stream * 1_000_000 + lane * 100_000 + seq
    return Came(name(key), "XA", name(key), int(EnvelopeKind.REPORT), lane, stream, seq, seq, NOW)


def a_stream(**changes: object) -> HeardStream:
    made = HeardStream("XA", 1, ROUTINE, 0, STREAM_START, 0, b"", (), 0, "open", 0, 0, NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def extend(database: Database, heard: HeardStream, now_ms: int = NOW) -> HeardStream:
    found = database.write_now(lambda c: missing.extend(c, heard, now_ms))
    database.write_now(lambda c: receiving.set_heard(c, found))
    return found


def numbers(database: Database, lane: int = ROUTINE, stream: int = 1) -> list[int]:
    gap = Gap("XA", stream, lane, 0, 0, 0)
    return database.read_now(lambda c: missing.first_numbers(c, gap, limit=2 * MISSING_MOST))


def row_of(database: Database, seq: int) -> Missing | None:
    return database.read_now(lambda c: missing.row_of(c, "XA", 1, ROUTINE, seq))


def asked(seq: int, **changes: object) -> AskedAgain:
    made = AskedAgain("XV", 1, ROUTINE, seq, waiting=True, asked_ms=NOW, request=name(seq))
    return replace(made, **changes)  # type: ignore[arg-type]


def due(database: Database, now_ms: int = NOW, empty_ms: int = 0, ask_s: int = 30) -> list[int]:
    rows = database.read_now(
        lambda c: missing.to_ask(
            c,
            sender="XA",
            shown_before_ms=now_ms - ask_s * 1000,
            now_ms=now_ms,
            empty_ms=empty_ms,
            late_before_ms={lane: at_ms + now_ms - NOW for lane, at_ms in LATE.items()},
            limit=RESEND_NUMBERS,
        )
    )
    return [row.seq for row in rows]


# -- gaps --------------------------------------------------------------------------------------------------------------


def test_what_lies_between_numbers_that_came_is_missing_and_what_is_void_is_not(database: Database) -> None:
    database.write_now(lambda c: receiving.add_came(c, [came(1), came(3), came(7)]))
    heard = extend(database, a_stream(top_seq=8, voided=(5,)))
    assert heard.known_seq == 8
    assert numbers(database) == [2, 4, 6, 8]
    database.write_now(lambda c: missing.came_late(c, heard, [4]))
    database.write_now(lambda c: missing.void(c, replace(heard, voided=(2, 5))))
    assert numbers(database) == [6, 8]
    assert database.read_now(missing.gaps) == [Gap("XA", 1, ROUTINE, 2, NOW, 0)]
    assert extend(database, heard) == heard


def test_a_claim_of_any_number_costs_no_more_than_so_many_rows_and_the_others_follow(database: Database) -> None:
    heard = extend(database, a_stream(top_seq=2**63 - 1))
    assert (heard.known_seq, len(numbers(database))) == (MISSING_MOST, MISSING_MOST)
    assert extend(database, heard) == heard
    assert database.read_now(missing.behind) == [("XA", 1, ROUTINE)]
    database.write_now(lambda c: missing.came_late(c, heard, [1, 2, 3]))
    assert extend(database, heard).known_seq == MISSING_MOST + 3


def test_a_number_that_was_turned_away_is_no_gap(database: Database) -> None:
    row = Missing("XA", 1, ROUTINE, 2, MissingState.TURNED_AWAY, NOW, envelope=name(2))
    database.write_now(lambda c: missing.put(c, [row]))
    database.write_now(lambda c: receiving.add_came(c, [came(3)]))
    heard = extend(database, a_stream(top_seq=3, head_seq=3))
    assert numbers(database) == [1]
    assert database.read_now(lambda c: missing.settled_numbers(c, heard)) == {2: name(2)}


def test_what_became_of_a_number_is_forgotten_when_the_compared_hash_holds_it_and_nothing_can_come_any_more(
    database: Database,
) -> None:
    def row(seq: int, state: MissingState, answered_ms: int = NOW) -> Missing:
        return Missing("XA", 1, ROUTINE, seq, state, NOW, answered_ms=answered_ms)

    settled = (MissingState.RESENT, MissingState.GONE, MissingState.VOID, MissingState.TURNED_AWAY)
    rows = [row(seq, state) for seq, state in enumerate(settled, start=1)]
    rows += [row(5, MissingState.MISSING), row(6, MissingState.ENDED), row(7, MissingState.GONE, answered_ms=NOW + 9)]
    rows += [row(9, MissingState.GONE), replace(row(1, MissingState.GONE), lane=FLASH)]
    heard = a_stream(top_seq=9, known_seq=9, head_seq=9, checked_seq=8)
    database.write_now(lambda c: missing.put(c, rows))
    database.write_now(lambda c: receiving.set_heard(c, heard))
    assert database.write_now(lambda c: missing.forget_settled(c, NOW)) == 0
    assert database.write_now(lambda c: missing.forget_settled(c, NOW + 1)) == len(settled)
    left = [seq for seq in range(1, 10) if database.read_now(partial(row_at, seq=seq)) is not None]
    assert left == [5, 6, 7, 9]
    assert database.read_now(lambda c: missing.row_of(c, "XA", 1, FLASH, 1)) is not None


def row_at(connection: Connection, seq: int) -> Missing | None:
    return missing.row_of(connection, "XA", 1, ROUTINE, seq)


def test_a_gap_is_asked_for_once_it_has_shown_for_a_while_and_no_queue_can_hold_it(database: Database) -> None:
    database.write_now(lambda c: receiving.add_came(c, [came(2)]))
    extend(database, a_stream(top_seq=3))
    assert due(database, NOW + 29_000) == []
    assert due(database, NOW + 30_000) == [1]  # 3 may still lie in the relay's queue
    assert due(database, NOW + 30_000, empty_ms=NOW + 1) == [1, 3]
    assert due(database, NOW + 900_000) == [1, 3]


def test_what_was_asked_for_is_due_again_later_and_never_once_it_came(database: Database) -> None:
    extend(database, a_stream(top_seq=2))
    (first, second) = [row_of(database, seq) for seq in (1, 2)]
    assert first is not None and second is not None
    database.write_now(lambda c: missing.came_late(c, a_stream(), [2]))
    for row in (first, second):
        database.write_now(partial(missing.asked, row=row, request=name(1), due_ms=NOW + 360_000))
    assert due(database, NOW + 359_000, empty_ms=NOW + 1) == []
    assert due(database, NOW + 360_000, empty_ms=NOW + 1) == [1]
    assert row_of(database, 2) is None


def test_the_flash_lane_is_asked_for_first(database: Database) -> None:
    extend(database, a_stream(top_seq=1))
    extend(database, a_stream(top_seq=2, lane=FLASH))
    rows = database.read_now(
        lambda c: missing.to_ask(
            c, sender="XA", shown_before_ms=NOW, now_ms=NOW, empty_ms=NOW + 1, late_before_ms=LATE, limit=2
        )
    )
    assert [row.lane for row in rows] == [FLASH, FLASH]


def test_a_higher_stream_ends_what_has_been_missing_from_lower_ones_and_says_so_once(database: Database) -> None:
    extend(database, a_stream(top_seq=2))
    extend(database, a_stream(stream=2, top_seq=1))
    assert database.write_now(lambda c: missing.end_lower_streams(c, NOW - 1)) == []
    assert database.write_now(lambda c: missing.end_lower_streams(c, NOW)) == [Gap("XA", 1, ROUTINE, 2, NOW, 0)]
    assert database.write_now(lambda c: missing.end_lower_streams(c, NOW)) == []
    assert numbers(database) == []
    assert numbers(database, stream=2) == [1]


# -- what partners ask for ---------------------------------------------------------------------------------------------


def test_a_partner_has_only_so_many_numbers_waiting_and_repeats_cost_nothing(database: Database) -> None:
    rows = [asked(seq) for seq in range(1, ASKED_MOST + 100)]
    assert database.write_now(lambda c: missing.ask(c, rows)) == ASKED_MOST
    assert database.write_now(lambda c: missing.ask(c, rows[:50])) == 0
    assert database.read_now(missing.count_asked) == (ASKED_MOST, 0)
    (mine,) = database.read_now(lambda c: missing.to_answer(c, answered_before_ms=NOW, limit=50)).values()
    assert [row.seq for row in mine] == list(range(1, 51))


def test_a_number_that_was_answered_only_just_now_waits(database: Database) -> None:
    def waiting(answered_before_ms: int) -> dict[str, list[AskedAgain]]:
        return database.read_now(lambda c: missing.to_answer(c, answered_before_ms=answered_before_ms, limit=9))

    database.write_now(lambda c: missing.ask(c, [asked(1)]))
    database.write_now(lambda c: missing.answer(c, [asked(1, waiting=False, answered_ms=NOW, answer=name(9))]))
    assert waiting(NOW) == {}
    assert database.write_now(lambda c: missing.ask(c, [asked(1, request=name(2))])) == 1
    assert waiting(NOW - 1) == {}
    (again,) = waiting(NOW)["XV"]
    assert (again.request, again.answer, again.answered_ms) == (name(2), name(9), NOW)


def test_old_answers_are_forgotten_and_with_them_the_statements_that_nothing_refers_to(database: Database) -> None:
    for first in range(0, ASKED_KEPT + 100, 100):
        rows = [asked(seq, waiting=False, answered_ms=NOW + seq) for seq in range(first, first + 100)]
        database.write_now(partial(missing.answer, rows=rows))
    for seq in (0, ASKED_KEPT):
        kept = partial(missing.keep_statement, hash_=name(seq), partner="XV", at_ms=NOW, statement=b"statement")
        database.write_now(kept)
    database.write_now(lambda c: missing.ask(c, [asked(ASKED_KEPT + 500)]))
    database.write_now(missing.sweep_statements)
    assert database.read_now(missing.count_asked) == (1, ASKED_KEPT)
    assert database.read_now(lambda c: missing.statement_of(c, name(0))) is None
    assert database.read_now(lambda c: missing.statement_of(c, name(ASKED_KEPT))) == b"statement"


def test_each_number_is_answered_by_what_was_sealed_under_it(database: Database) -> None:
    def an_envelope(seq: int) -> Outgoing:
        kind = int(EnvelopeKind.CONTROL)
        return Outgoing(name(seq), name(seq + 50), kind, ROUTINE, NOW, b"", b"", (TakenSlot("XV", 0, 1, seq),))

    def store(connection: Connection) -> None:
        kept = Control(name(52), "retraction", b"statement", NOW)
        sending.add_control(connection, kept, [])
        missing.keep_control(connection, kept.item, NOW, but=())
        sending.drop_control(connection, kept.item, [])
        sending.add_sealed(connection, [an_envelope(seq) for seq in (1, 2, 3, 4)], NOW)
        sending.answered(connection, [name(1)], SlotState.VOIDED)
        sending.answered(connection, [name(2), name(3)], SlotState.PROMISED)

    database.write_now(store)
    rows = [asked(seq) for seq in (1, 2, 3, 4, 5)]
    found = database.read_now(lambda c: decide_all(c, "XV", rows))
    assert [(each.line.seq, each.line.outcome, each.line.envelope_hash) for each in found] == [
        (1, ResendOutcome.VOID, b""),
        (2, ResendOutcome.RESENT, name(2)),
        (3, ResendOutcome.GONE, name(3)),
        (5, ResendOutcome.VOID, b""),
    ]
    to_another = database.read_now(lambda c: decide_all(c, "XO", rows))
    assert {each.line.outcome for each in to_another} == {ResendOutcome.VOID}


def test_who_was_sent_an_item_before_may_hold_it_unless_it_could_not_open_that(database: Database) -> None:
    """XV could not open the first envelope and has the second; XO could open neither; XT refused what it opened."""
    kind, item, prekey_step = int(EnvelopeKind.REPORT), name(90), 4
    parties = ("XO", "XT", "XV")

    def an_envelope(seq: int) -> Outgoing:
        slots = tuple(TakenSlot(party, place, 1, seq) for place, party in enumerate(parties))
        return Outgoing(name(seq), item, kind, ROUTINE, NOW, b"", b"", slots)

    def refused(seq: int, party: str, step: int) -> dict[str, object]:
        said = {"status": int(ReceiptStatus.REFUSED), "item": item, "at_ms": NOW, "reason": "BAD", "batch": name(91)}
        return {"envelope": name(seq), "recipient": party, "step": step, **said}

    def store(connection: Connection) -> None:
        sending.add_sealed(connection, [an_envelope(1), an_envelope(2)], NOW)
        sending.answered(connection, [name(1), name(2)], SlotState.PROMISED)
        rows = [refused(1, "XV", prekey_step), refused(2, "XT", 9)]
        rows += [refused(seq, "XO", prekey_step) for seq in (1, 2)]
        sending.add_receipts(connection, rows)

    database.write_now(store)
    found = database.read_now(partial(missing.promised_to, item=item, but_step=prekey_step))
    assert found == {"XV": name(2), "XT": name(2)}
    sent = [(party, name(2)) for party in parties]
    assert database.read_now(partial(missing.refused_by, sent=sent)) == {"XO", "XT"}


# -- control statements ------------------------------------------------------------------------------------------------


def test_promised_control_statements_are_kept_for_a_while_and_the_oldest_of_too_many_go_first(
    database: Database,
) -> None:
    for number in range(4):
        control = Control(name(number), "retraction" if number else "head", b"x" * 40, NOW)
        database.write_now(partial(sending.add_control, control=control, addressees=[]))
        database.write_now(partial(missing.keep_control, item=name(number), now_ms=NOW + number, but={"head"}))

    def kept() -> list[int]:
        found = {n: database.read_now(partial(missing.kept_control, item=name(n))) for n in range(4)}
        return [number for number, control in found.items() if control is not None]

    assert kept() == [1, 2, 3]
    database.write_now(lambda c: missing.drop_kept_control(c, NOW + 2, most_bytes=1_000))
    assert kept() == [2, 3]
    database.write_now(lambda c: missing.drop_kept_control(c, NOW, most_bytes=50))
    assert kept() == [3]


# -- alarms ------------------------------------------------------------------------------------------------------------


def test_what_stays_missing_is_an_alarm_after_a_minute_in_the_flash_lane_and_after_fifteen_elsewhere(
    database: Database,
) -> None:
    extend(database, a_stream(top_seq=12))
    extend(database, a_stream(top_seq=1, lane=FLASH))

    def alarms(after_s: int) -> dict[str, str]:
        found = database.write_now(partial(look, timing=Timing(), now_ms=NOW + after_s * 1000))
        assert {subject for _, subject, _ in found.wrong} == found.still
        assert sum(gap.count for gap in found.gaps) == 13
        return {subject: text for _, subject, text in found.wrong}

    assert alarms(59) == {}
    assert set(alarms(60)) == {"XA/1/FLASH"}
    assert set(alarms(899)) == {"XA/1/FLASH"}
    late = alarms(900)
    assert set(late) == {"XA/1/FLASH", "XA/1/ROUTINE"}
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 (12 in all)" in late["XA/1/ROUTINE"]


def test_the_end_of_a_stream_is_told_once_and_stays_an_alarm_for_a_month(database: Database) -> None:
    extend(database, a_stream(top_seq=2))
    extend(database, a_stream(stream=2, top_seq=0))

    def told(after_s: int) -> tuple[int, set[str]]:
        found = database.write_now(partial(look, timing=Timing(), now_ms=NOW + after_s * 1000))
        return len(found.wrong), found.still

    assert told(60) == (0, set())
    assert told(900) == (1, {"XA/1/ROUTINE/ended"})
    assert told(901) == (0, {"XA/1/ROUTINE/ended"})
    assert told(31 * 86_400) == (0, set())


def test_nothing_more_is_waited_for_from_a_partner_that_was_expelled(database: Database) -> None:
    extend(database, a_stream(top_seq=2))
    expelling = partial(look, timing=Timing(), now_ms=NOW, expelled=["XA"])
    (told,) = database.write_now(expelling).wrong
    assert told[1] == "XA/1/ROUTINE/ended" and "expelled" in told[2]
    again = database.write_now(expelling)
    assert (again.wrong, again.gaps) == ([], [])
