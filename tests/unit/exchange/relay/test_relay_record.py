"""Recording a judged frame: promises, repeats, and frames that were judged under an older directory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import VerifiedRoots
from exchange.directory import issue
from exchange.directory.prekeys import day_of
from exchange.directory.statements import AgreementStatus
from exchange.envelope.seal import Sealed
from exchange.errors import StorageFull
from exchange.merkle import leaf_hash, root_of
from exchange.policy.agreement import AgreementRef, commitment
from exchange.policy.changes.course import begin
from exchange.policy.codec import encode_view
from exchange.receipts.verify import open_promise, open_refusal
from exchange.relay.accept import Frame, Permitted, Recorded, Recorder, Refused
from exchange.relay.agreement_state import AgreementState
from exchange.relay.app import MIGRATIONS
from exchange.relay.directory import Snapshot, rules_of
from exchange.relay.quota import Counted, DayQuota, HeldQuota
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.store.spent import SqlSpent
from exchange.relay.submit import Judge
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from tests.support.directory_builders import EXCHANGE, NOON, Exchange, an_exchange, party_keys
from tests.support.relay_world import a_sealed, a_view, head_of

NOW = NOON + 60_000


class Bench:
    """A store, a directory and an agreement between XA and XV."""

    def __init__(self, database: Database, held: int = 1 << 30, refusals: int = 1_000) -> None:
        self.database = database
        self.exchange: Exchange = an_exchange(("XA", "XV"), prekeys_from=day_of(NOON))
        view = a_view(("XA", "XV"), valid_from_ms=NOON, valid_until_ms=0)
        shown = commitment(encode_view(view), view.salt)
        commit = issue.make_agreement_commit(
            exchange=EXCHANGE,
            place=self.exchange.directory.next_seq_prev("relay"),
            commitment=shown,
            status=AgreementStatus.ACTIVE,
            now_ms=NOON,
            promise_key=self.exchange.promise,
        )
        self.exchange.add(commit)
        self.basis = AgreementRef(view.agreement_id, view.version, shown)
        agreements = AgreementState({shown: begin(view)}, {shown: view})
        directory = self.exchange.directory
        self.snapshot = Snapshot(directory, rules_of(directory, agreements, {}), agreements, {})
        self.sequencer = Sequencer()
        self.recorder = Recorder(
            EXCHANGE,
            lambda _: self.exchange.promise,
            self.sequencer,
            HeldQuota(held),
            DayQuota(Counted.REFUSALS, refusals),
        )
        self.judge = Judge(
            lambda _, party, at_ms: party_keys(party).prekey(day_of(at_ms)).public.key_id, VerifiedRoots()
        )
        database.write_now(lambda c: self.sequencer.append(SqlLogs(c), Log.DIRECTORY, self.exchange.entries))

    def sealed(self, seq: int = 1, **label: object) -> Sealed:
        return a_sealed(
            party_keys("XA"), ["XV"], self.basis, head_of(self.exchange), seq=seq, at_ms=NOW - 1_000, **label
        )

    def judged(self, *sealed: Sealed) -> Frame:
        return self.judge.frame(
            [each.submission_bytes for each in sealed],
            sender=party_keys("XA").party,
            snapshot=self.snapshot,
            now_ms=NOW,
        )

    def record(self, frame: Frame, now_ms: int = NOW) -> Recorded | None:
        return self.database.write_now(
            lambda c: self.recorder.record(SqlLogs(c), SqlMailboxes(c), SqlSpent(c), frame, now_ms)
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    url = sqlite_url(tmp_path / "relay.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        yield Bench(database)


def test_a_frame_that_was_judged_under_an_older_directory_is_not_recorded(bench: Bench) -> None:
    frame = bench.judged(bench.sealed())
    assert bench.record(replace(frame, directory_size=frame.directory_size - 1)) is None
    assert bench.database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC)).size == 0
    assert bench.record(frame) is not None


def test_a_failed_write_leaves_no_promise_and_the_next_one_stands_in_its_place(bench: Bench) -> None:
    frame = bench.judged(bench.sealed(), bench.sealed(2))

    def fails(connection: Connection) -> None:
        bench.recorder.record(SqlLogs(connection), SqlMailboxes(connection), SqlSpent(connection), frame, NOW)
        raise StorageFull

    with pytest.raises(StorageFull):
        bench.database.write_now(fails)
    recorded = bench.record(frame)
    assert recorded is not None
    assert [each.id for each in recorded.new] == [1, 3]
    entries = bench.database.read_now(lambda c: SqlLogs(c).entries(Log.TRAFFIC, 0, 100))
    state = bench.database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC))
    assert (state.size, state.root) == (5, root_of([leaf_hash(entry) for entry in entries]))


def test_an_envelope_twice_in_a_frame_is_logged_once_and_answered_twice_alike(bench: Bench) -> None:
    sealed = bench.sealed()
    recorded = bench.record(bench.judged(sealed, bench.sealed(2), sealed))
    assert recorded is not None
    assert recorded.answers[0] == recorded.answers[2] != recorded.answers[1]
    assert len(recorded.new) == 2


def test_a_repeat_gets_the_stored_bytes_also_when_it_would_be_refused_now(bench: Bench) -> None:
    sealed = bench.sealed()
    first = bench.record(bench.judged(sealed))
    frame = bench.judged(sealed)
    late = replace(frame, judged=(Refused(sealed.envelope_hash, "BAD_ENVELOPE", 7, final=True),))
    second = bench.record(late)
    assert first is not None
    assert second is not None
    assert first.answers == second.answers


def test_another_sender_does_not_learn_what_was_answered(bench: Bench) -> None:
    sealed = bench.sealed()
    first = bench.record(bench.judged(sealed))
    foreign = bench.judge.frame(
        [sealed.submission_bytes], sender=party_keys("XV").party, snapshot=bench.snapshot, now_ms=NOW
    )
    second = bench.record(foreign)
    assert first is not None
    assert second is not None
    assert b"promise" not in second.answers[0].answer


def test_a_refusal_and_an_acceptance_of_one_header_do_not_both_happen(bench: Bench) -> None:
    frame = bench.judged(bench.sealed())
    (permitted,) = frame.judged
    assert isinstance(permitted, Permitted)
    damaged = Refused(permitted.verified.envelope_hash, "BAD_ENVELOPE", 8, final=True)
    recorded = bench.record(replace(frame, judged=(damaged, permitted)))
    assert recorded is not None
    assert recorded.new == ()
    assert recorded.answers[0] == recorded.answers[1]


def test_the_directory_head_is_logged_once_for_each_size_that_envelopes_are_judged_under(bench: Bench) -> None:
    sizes = []
    for seq in (1, 2):
        recorded = bench.record(bench.judged(bench.sealed(seq)))
        assert recorded is not None
        sizes.append(bench.database.read_now(lambda c: SqlLogs(c).state(Log.TRAFFIC)).size)
    assert sizes == [3, 5]


def test_a_promise_says_when_and_under_which_directory(bench: Bench) -> None:
    recorded = bench.record(bench.judged(bench.sealed()))
    assert recorded is not None
    signed = decode_signed(recorded.answers[0].answer, limit=4096, what="a promise")
    promise = open_promise(signed, bench.exchange.promise.public, EXCHANGE)
    assert (promise.received_ms, promise.directory_size) == (NOW, bench.exchange.directory.size)
    assert encode_signed(signed) == recorded.answers[0].answer


def test_what_there_is_no_room_for_is_refused_but_not_for_good_and_the_rest_of_its_frame_goes(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "relay.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        bench = Bench(database, held=20_000)
        small, large, other = (
            bench.sealed(seq, content=bytes(size)) for seq, size in enumerate((10, 40_000, 10), start=1)
        )
        recorded = bench.record(bench.judged(small, large, other))
        assert recorded is not None
        assert [each.hash for each in recorded.new] == [small.envelope_hash, other.envelope_hash]
        signed = decode_signed(recorded.answers[1].answer, limit=4096, what="a refusal")
        refusal = open_refusal(signed, bench.exchange.promise.public, EXCHANGE)
        assert (refusal.reason, refusal.step, refusal.recipient) == ("TOO_MUCH_HELD", 0, "")
        bench.recorder = Recorder(
            EXCHANGE,
            lambda _: bench.exchange.promise,
            bench.sequencer,
            HeldQuota(100_000),
            DayQuota(Counted.REFUSALS, 1_000),
        )
        again = bench.record(bench.judged(large))
        assert again is not None
        assert [each.hash for each in again.new] == [large.envelope_hash]


def test_more_refusals_than_the_relay_remembers_of_a_sender_are_not_final(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "relay.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        bench = Bench(database, refusals=2)
        frame = bench.judged(bench.sealed())
        hashes = [bytes([number]) * 32 for number in range(3)]
        refused = tuple(Refused(hash_, "BAD_ENVELOPE", 8, final=True) for hash_ in hashes)
        recorded = bench.record(replace(frame, judged=refused))
        assert recorded is not None and len(recorded.answers) == 3
        known = database.read_now(lambda c: SqlMailboxes(c).answered(party_keys("XA").party, hashes))
        assert set(known) == set(hashes[:2])
        again = bench.record(replace(frame, judged=refused))
        assert again is not None and again.answers[:2] == recorded.answers[:2]
        # A clock that is set back finds more taken than there can be: still an answer, and nothing more to remember.
        later = tuple(Refused(bytes([number]) * 32, "BAD_ENVELOPE", 8, final=True) for number in (7, 8))
        earlier = bench.record(replace(frame, judged=later), NOW - 3_600_000)
        assert earlier is not None and len(earlier.answers) == 2
        assert not database.read_now(lambda c: SqlMailboxes(c).answered(party_keys("XA").party, [b"\x07" * 32]))
