"""What a party may do is counted in the store: all processes on one database count together.

A restart forgets nothing. Each test has two databases open on one store, as two relays have; both kinds of database.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from exchange.envelope.blob import blob_size
from exchange.envelope.model import BlobRef
from exchange.errors import RateLimited
from exchange.names import PartyId
from exchange.relay.app import MIGRATIONS
from exchange.relay.blobs import Blobs
from exchange.relay.quota import Counted, DayQuota, StatementQuota, SubmitRates
from exchange.relay.store.blobs import SqlBlobs
from exchange.relay.store.spent import SqlSpent
from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade

XA, XV = PartyId("XA"), PartyId("XV")
NOW = 1_760_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Pair = tuple[Database, Database]


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(database_url, MIGRATIONS)
    return database_url


@pytest.fixture
def pair(url: str) -> Iterator[Pair]:
    with Database(url) as one, Database(url) as other:
        yield one, other


def take(database: Database, quota: DayQuota, party: PartyId = XA, *, now_ms: int = NOW, count: int = 1) -> None:
    database.write_now(lambda c: quota.take(SqlSpent(c), party, now_ms, count))


def left(database: Database, quota: DayQuota, party: PartyId = XA) -> int:
    return database.read_now(lambda c: quota.left(SqlSpent(c), party, NOW))


def test_each_bucket_of_each_party_stands_apart_and_is_replaced_alone(pair: Pair) -> None:
    one, other = pair
    one.write_now(lambda c: SqlSpent(c).put(XA, {Counted.REPORTS: 1 << 60, Counted.CONTROL: 2}))
    other.write_now(lambda c: SqlSpent(c).put(XA, {Counted.CONTROL: 3}))
    other.write_now(lambda c: SqlSpent(c).put(XV, {}))
    assert one.read_now(lambda c: SqlSpent(c).full_us(XA)) == {Counted.REPORTS: 1 << 60, Counted.CONTROL: 3}
    assert one.read_now(lambda c: SqlSpent(c).full_us(XV)) == {}


def test_a_days_worth_is_one_over_both_and_over_a_restart(url: str, pair: Pair) -> None:
    # A quota of each process's own, as each is built from the same configuration.
    mine, theirs = DayQuota(Counted.REFUSALS, 5), DayQuota(Counted.REFUSALS, 5)
    one, other = pair
    for _ in range(2):
        take(one, mine)
        take(other, theirs)
    assert left(one, mine) == left(other, theirs) == 1
    take(other, theirs)
    for database, quota in ((one, mine), (other, theirs)):
        with pytest.raises(RateLimited) as refused:
            take(database, quota)
        assert refused.value.hint == "try again in 17280 s"
    take(one, mine, XV)
    with Database(url) as restarted:
        assert left(restarted, DayQuota(Counted.REFUSALS, 5)) == 0
    take(one, mine, now_ms=NOW + DAY_MS // 5)


def test_what_was_refused_or_came_to_nothing_is_not_counted(pair: Pair) -> None:
    one, other = pair
    quota = DayQuota(Counted.REFUSALS, 5)
    with pytest.raises(RateLimited):
        take(one, quota, count=6)

    def fails(database: Database) -> None:
        def work(connection: Connection) -> None:
            quota.take(SqlSpent(connection), XA, NOW)
            raise KeyError

        with pytest.raises(KeyError):
            database.write_now(work)

    fails(one)
    fails(other)
    assert left(one, quota) == left(other, quota) == 5


def test_what_a_node_adds_to_the_directory_in_a_day_is_bounded_and_uses_up_nothing_of_its_roots(pair: Pair) -> None:
    quota = StatementQuota(4)

    def add(database: Database, party: PartyId = XA, *, root: bool = False, now_ms: int = NOW) -> None:
        database.write_now(lambda c: quota.take(SqlSpent(c), party, now_ms, root=root))

    for number in range(4):
        add(pair[number % 2])
    with pytest.raises(RateLimited) as refused:
        add(pair[0])
    assert refused.value.hint == "try again in 21600 s"
    add(pair[0], root=True)
    add(pair[1], XV)
    add(pair[1], now_ms=NOW + 6 * HOUR_MS)


def test_a_clock_that_once_stood_ahead_stops_nobody(pair: Pair) -> None:
    quota = DayQuota(Counted.STATEMENTS, 4)
    take(pair[0], quota, now_ms=NOW + 400 * DAY_MS, count=4)
    take(pair[1], quota, count=4)
    with pytest.raises(RateLimited):
        take(pair[0], quota)


def test_whoever_submits_to_both_is_slowed_down_as_by_one(pair: Pair) -> None:
    rates = SubmitRates(60, 600), SubmitRates(60, 600)

    def record(which: int, reports: int, control: int = 0) -> None:
        """As a frame that this process records: what it counts there it knows from then on."""
        counts = {Counted.REPORTS: reports, Counted.CONTROL: control}
        found = pair[which].write_now(lambda c: rates[which].count(SqlSpent(c), XA, counts, NOW))
        rates[which].learn(XA, found)

    record(0, 60, 10)
    assert rates[1].reports.take(XA, 0) == 0, "it has heard nothing of it yet"
    record(1, 30)
    assert 29 < rates[1].reports.take(XA, 0) <= 30
    assert rates[1].control.take(XA, 0) == 0
    assert rates[1].reports.take(XV, 60) == 0
    record(0, 1)
    assert 30 < rates[0].reports.take(XA, 0) <= 31


async def test_attachments_of_one_partner_are_counted_over_both(pair: Pair) -> None:
    size = blob_size(1_000)
    blobs = [Blobs(each, SqlBlobs, lambda: NOW, most_bytes=3 * size, most_open=2) for each in pair]

    def ref(number: int, at: int = size) -> BlobRef:
        return BlobRef(bytes([number]) * 16, bytes([number]) * 32, at)

    await blobs[0].open(XA, ref(1))
    with pytest.raises(RateLimited):
        await blobs[1].open(XA, ref(2, 3 * size))
    await blobs[1].open(XA, ref(2))
    for each in blobs:
        with pytest.raises(RateLimited):
            await each.open(XA, ref(3))
    await blobs[1].open(XV, ref(3))
    assert (await blobs[1].open(XA, ref(1))).held == 0, "one that was begun is not counted again"
