"""Receipts that come back, applied to what the node's store holds, on every kind of database."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.policy.decision import Reason
from exchange.receipts.model import ReceiptLine, ReceiptStatus
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes import alarms
from nodes.app import MIGRATIONS
from nodes.receipted import STEP_PREKEY, Applied, Given, apply
from nodes.store import reports, sending
from nodes.store.rows import Addressee, Outgoing, Reach, TakenSlot
from tests.support.receipts import NOW_MS, a_batch

REPORT, ROUTINE = int(EnvelopeKind.REPORT), int(Lane.ROUTINE)
KEEP_MS = 1_000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        opened.write_now(_sent)
        yield opened


def name(what: str, number: int) -> bytes:
    return sha256(f"{what}/{number}".encode()).digest()


def _sent(connection: Connection) -> None:
    """Seal items 1 to 3 for XV, and 3 for XO too."""
    for number in (1, 2, 3):
        parties = ("XO", "XV") if number == 3 else ("XV",)
        rows = [_row(number, party) for party in parties]
        slots = tuple(TakenSlot(party, place, 1, 1 if party == "XO" else number) for place, party in enumerate(parties))
        reports.add_addressees(connection, rows)
        sending.add_sealed(connection, [_envelope(number, slots)], NOW_MS)


def _row(number: int, party: str) -> Addressee:
    return Addressee(
        name("item", number),
        party,
        REPORT,
        ROUTINE,
        Reach.PROMISED,
        envelope=name("envelope", number),
        keep_ms=KEEP_MS,
    )


def _envelope(number: int, slots: tuple[TakenSlot, ...]) -> Outgoing:
    return Outgoing(name("envelope", number), name("item", number), REPORT, ROUTINE, NOW_MS, b"h", b"s", slots)


def a_line(
    number: int, status: ReceiptStatus = ReceiptStatus.STORED, *, item: int = 0, reason: str = ""
) -> ReceiptLine:
    step = 9 if reason else 0
    about = name("item", item or number)
    return ReceiptLine(name("envelope", number), about, status, NOW_MS + number, step=step, reason=reason)


def given(database: Database, *lines: ReceiptLine) -> Applied:
    return database.write_now(lambda c: apply(c, [Given(a_batch(*lines), repr(lines).encode())], NOW_MS))


def standing(database: Database, number: int, party: str = "XV") -> Addressee:
    found = database.read_now(lambda c: reports.addressee(c, name("item", number), party))
    assert found is not None
    return found


def story(database: Database, number: int) -> Sequence[str]:
    return [each.event for each in database.read_now(lambda c: reports.events_of(c, name("item", number)))]


def test_a_batch_receipts_each_item_that_it_is_about_and_nobody_elses(database: Database) -> None:
    assert given(database, a_line(1), a_line(3)) == Applied([], waits=False)
    for number in (1, 3):
        row = standing(database, number)
        assert (row.state, row.receipted_ms) == (Reach.RECEIPTED, NOW_MS + number)
        assert row.purge_by_ms == NOW_MS + number + KEEP_MS
        assert story(database, number) == ["receipted"]
    assert standing(database, 2) == replace(_row(2, "XV"), number=2)
    assert standing(database, 3, "XO").state is Reach.PROMISED


def test_whoever_applies_receipts_is_told_that_a_report_waits_again(database: Database) -> None:
    stranger = str(Reason.COMMUNITY_UNKNOWN)
    assert given(database, a_line(1, ReceiptStatus.REFUSED, reason=stranger), a_line(3)).waits
    assert not given(database, a_line(2, ReceiptStatus.REFUSED, reason="BAD_ENVELOPE")).waits
    late = replace(a_line(3, ReceiptStatus.REFUSED, reason="KEM_KEY_UNKNOWN"), step=STEP_PREKEY)
    assert not given(database, late).waits, "it is stored there"


def test_the_same_batch_once_more_changes_nothing(database: Database) -> None:
    given(database, a_line(1))
    given(database, a_line(1))
    assert story(database, 1) == ["receipted"]


def test_lines_about_one_item_count_in_their_order(database: Database) -> None:
    stranger = str(Reason.COMMUNITY_UNKNOWN)
    given(
        database,
        a_line(1, ReceiptStatus.REFUSED, reason=stranger),
        a_line(1, ReceiptStatus.STORED),
        a_line(1, ReceiptStatus.REFUSED, reason="BAD_ENVELOPE"),
        a_line(2, ReceiptStatus.PURGED),
        a_line(2, ReceiptStatus.STORED),
    )
    assert story(database, 1) == ["waiting", "receipted"]
    assert standing(database, 1).state is Reach.RECEIPTED
    assert story(database, 2) == ["purged"]
    assert standing(database, 2).state is Reach.PURGED


def test_a_line_for_an_envelope_that_was_never_sealed_for_its_signer_is_an_alarm_and_nothing_else(
    database: Database,
) -> None:
    told = given(database, a_line(9), a_line(1, item=2), a_line(2)).alarms
    assert [(kind, subject) for kind, subject, _ in told] == [(alarms.SENDER, "XV/receipts")]
    assert "gave 2 receipts" in told[0][2]
    assert standing(database, 1).state is Reach.PROMISED
    assert standing(database, 2).state is Reach.RECEIPTED


def test_batches_of_several_partners_are_applied_each_for_its_own(database: Database) -> None:
    of_xo = replace(a_batch(a_line(3), a_line(1)), from_party="XO")
    of_xv = a_batch(a_line(3, ReceiptStatus.REFUSED, reason="BAD_ENVELOPE"), a_line(2))
    given = [Given(of_xo, b"one"), Given(of_xv, b"two")]
    told = database.write_now(lambda c: apply(c, given, NOW_MS)).alarms
    assert [subject for _, subject, _ in told] == ["XO/receipts"]
    assert standing(database, 3, "XO").state is Reach.RECEIPTED
    assert standing(database, 3).state is Reach.REFUSED
    assert (standing(database, 1).state, standing(database, 2).state) == (Reach.PROMISED, Reach.RECEIPTED)
