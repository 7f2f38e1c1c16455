"""What ends is told in time, at both ends, and no sooner than it is worth anything."""

import pytest

from exchange.crypto.signed import add_signature
from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.prekeys import day_of
from exchange.limits import ROLLOVER_DELAY_MS
from exchange.names import COUNCIL, party_id
from nodes.reminders import CERTIFICATE, PREKEYS, TRANSPORT, Expiry, due, expiries_of, new_root
from nodes.store.partners import Verified
from tests.support.directory_builders import (
    DAY_MS,
    EXCHANGE,
    NOON,
    Exchange,
    an_exchange,
    composite,
    ed25519,
    party_keys,
)

XA, XV = party_id("XA"), party_id("XV")
END = NOON + 365 * DAY_MS


@pytest.mark.parametrize(
    ("days_left", "within"), [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (1, 7), (0, 0), (-3, 0)]
)
def test_a_notice_begins_at_sixty_days_and_grows_at_thirty_and_seven(days_left: int, within: int | None) -> None:
    assert Expiry(XV, CERTIFICATE, END).within(END - days_left * DAY_MS) == within


def test_a_fresh_supply_of_prekeys_is_no_notice_and_one_of_a_week_is() -> None:
    ending = Expiry(XV, PREKEYS, END)
    assert due([ending], END - 30 * DAY_MS) == due([ending], END - 8 * DAY_MS) == []
    assert due([ending], END - 7 * DAY_MS) == due([ending], END + DAY_MS) == [ending]


def test_the_most_urgent_comes_first() -> None:
    sooner, later = Expiry(XA, TRANSPORT, END), Expiry(XV, CERTIFICATE, END + DAY_MS)
    assert due([later, sooner], END - 5 * DAY_MS) == [sooner, later]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("what", [CERTIFICATE, TRANSPORT, PREKEYS])
def test_every_notice_says_whose_it_is_when_it_ends_and_what_to_do(what: str, own: bool) -> None:
    words = Expiry(XV, what, END).words(END - 3 * DAY_MS, own=own)
    assert words.startswith("this node's" if own else "XV's") and "ends in 3 days: " in words
    assert not words.endswith(": ")


def test_the_directory_shows_when_the_newest_of_each_kind_ends() -> None:
    day = day_of(NOON)
    exchange = an_exchange(("XA", "XV"), prekeys_from=day)
    found = {each.what: each.until_ms for each in expiries_of(exchange.directory, XV)}
    assert found == {
        CERTIFICATE: END,
        TRANSPORT: NOON + 3650 * DAY_MS,
        PREKEYS: (day + 30) * DAY_MS,
    }


def test_after_a_rotation_the_new_certificate_counts() -> None:
    exchange = an_exchange(("XA", "XV"))
    later = NOON + 300 * DAY_MS
    cert = issue.draft_node_cert(
        exchange=EXCHANGE,
        party=XV,
        statement_key=composite("XV/next").public,
        envelope_key=ed25519("XV/next").public,
        now_ms=later,
        not_after_ms=later + 365 * DAY_MS,
    )
    exchange.add(sign_statement(cert, party_keys("XV").root))
    assert next(expiries_of(exchange.directory, XV)) == Expiry(XV, CERTIFICATE, later + 365 * DAY_MS)


def rolled_over(*, lost: bool) -> Exchange:
    exchange = an_exchange(("XA", "XV"))
    statement = issue.draft_rollover(
        exchange=EXCHANGE,
        issuer=COUNCIL if lost else "XV",
        party=XV,
        old_root_key_id=party_keys("XV").root.public.key_id,
        new_root=composite("XV/root/2").public,
        effective_ms=NOON + ROLLOVER_DELAY_MS if lost else 0,
        now_ms=NOON,
    )
    by = exchange.council_key if lost else party_keys("XV").root
    exchange.add(add_signature(sign_statement(statement, composite("XV/root/2")), by, context=EXCHANGE))
    return exchange


def words_on(exchange: Exchange, *, compared: bytes = b"", me: str = "XA", now_ms: int = NOON) -> str:
    record = exchange.directory.party(XV)
    assert record is not None
    row = Verified("XV", compared, NOON, "anna") if compared else None
    return new_root(exchange.directory, record, row, me=party_id(me), now_ms=now_ms)


def test_a_root_that_was_admitted_needs_no_words() -> None:
    assert words_on(an_exchange(("XA", "XV"))) == ""


def test_another_root_is_told_until_somebody_has_compared_just_that() -> None:
    exchange = rolled_over(lost=False)
    old, new = party_keys("XV").root.public.key_id, composite("XV/root/2").public.key_id
    assert "another root" in words_on(exchange) and "another root" in words_on(exchange, compared=old)
    assert words_on(exchange, compared=new) == ""
    assert "must know at once" in words_on(exchange, me="XV")


def test_a_root_by_the_council_is_told_while_there_is_time_to_object() -> None:
    exchange = rolled_over(lost=True)
    assert "objects until then" in words_on(exchange, me="XV")
    assert "another root" in words_on(exchange, now_ms=NOON + ROLLOVER_DELAY_MS)
