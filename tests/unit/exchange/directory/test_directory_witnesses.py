"""Who watches the logs: which sets hold, what they change, and when a quorum has vouched for a checkpoint."""

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, sign
from exchange.directory import codec, issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.fold import Applied, Directory
from exchange.directory.state import Ignored, Reason
from exchange.directory.statements import Witness, Witnesses
from exchange.directory.witnesses import check_witnesses, vouched
from exchange.errors import BadInput, BadProof, MalformedInput, TooLarge
from exchange.limits import CLOCK_AHEAD_MS, STATEMENT_BYTES, WITNESSES
from exchange.merkle import root_of
from exchange.names import COUNCIL, party_id
from exchange.tlog.checkpoint import Checkpoint, directory_origin, witness_name
from exchange.tlog.cosignature import cosign
from exchange.tlog.note import NOTE_BYTES, with_lines
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from tests.support.directory_builders import (
    EXCHANGE,
    NOON,
    Exchange,
    a_council,
    an_exchange,
    ed25519,
    log_keys,
    mldsa44,
)
from tests.support.logs import leaves

NAMES = ("XA", "XV", "XO")
CHECKPOINT = Checkpoint(directory_origin(EXCHANGE), 3, root_of(leaves(3)))


def some(*names: str, quorum: int) -> Witnesses:
    return Witnesses(tuple(Witness(party_id(name), mldsa44(f"{name}/witness").public) for name in names), quorum)


def a_witness_set(exchange: Exchange, witnesses: Witnesses) -> Signed:
    place = exchange.directory.next_seq_prev(COUNCIL)
    drafted = issue.draft_witness_set(exchange=EXCHANGE, place=place, witnesses=witnesses, now_ms=NOON)
    return sign_statement(drafted, exchange.council_key)


def outcome(exchange: Exchange, signed: Signed) -> Applied | Ignored:
    return exchange.directory.fork().apply(encode_signed(signed), exchange.directory.size)


def refusal(exchange: Exchange, signed: Signed) -> Reason:
    found = outcome(exchange, signed)
    assert isinstance(found, Ignored), found
    return found.reason


def test_an_exchange_without_a_set_is_unwitnessed() -> None:
    directory = an_exchange(NAMES).directory
    assert directory.witnesses(at_size=directory.size) is None
    assert directory.witnesses(at_size=directory.size + 1) is None, "not replayed yet"


def test_a_set_holds_from_the_entry_after_it_and_the_next_takes_its_place() -> None:
    exchange = an_exchange(NAMES)
    first, second = some("XA", "XV", "XO", quorum=2), some("XA", "XV", quorum=2)
    at = exchange.add(a_witness_set(exchange, first))
    later = exchange.add(a_witness_set(exchange, second))
    directory = exchange.replayed()
    assert [directory.witnesses(at_size=size) for size in (at, at + 1, later, later + 1)] == [
        None,
        first,
        first,
        second,
    ]


def test_an_expelled_witness_does_not_count_any_more_and_the_quorum_stays() -> None:
    exchange = an_exchange(NAMES)
    exchange.add(a_witness_set(exchange, some("XA", "XV", "XO", quorum=2)))
    place = exchange.directory.next_seq_prev(COUNCIL)
    exchange.add(
        issue.make_expulsion(
            exchange=EXCHANGE, place=place, party=party_id("XO"), now_ms=NOON, council_key=exchange.council_key
        )
    )
    assert exchange.directory.witnesses(at_size=exchange.directory.size) == some("XA", "XV", quorum=2)


def test_only_the_council_names_witnesses_and_only_in_its_order() -> None:
    exchange = an_exchange(NAMES)
    signed = a_witness_set(exchange, some("XA", "XV", quorum=2))
    stranger = sign(exchange.parties[party_id("XV")].root, "witness-set", signed.payload, context=EXCHANGE)
    assert refusal(exchange, stranger) is Reason.BAD_SIGNATURE
    exchange.add(signed)
    other = a_witness_set(exchange, some("XA", "XO", quorum=2))
    exchange.add(other)
    assert refusal(exchange, signed) is Reason.REPEATED, "nobody brings an old set back"


def test_a_set_that_does_not_fit_is_ignored() -> None:
    exchange = an_exchange(NAMES)
    exchange.join("XT", admit=False)
    for witnesses, reason in (
        (some("XA", "XT", quorum=2), Reason.NO_SUCH_PARTY),
        (some("XA", "XU", quorum=2), Reason.NO_SUCH_PARTY),
        (Witnesses((Witness(party_id("XA"), log_keys("relay").mldsa.public),), 1), Reason.KEY_TAKEN),
    ):
        assert refusal(exchange, a_witness_set(exchange, witnesses)) is reason
    exchange.add(a_witness_set(exchange, some("XA", "XV", quorum=2)))
    taken = Witnesses((Witness(party_id("XO"), mldsa44("XA/witness").public),), 1)
    assert refusal(exchange, a_witness_set(exchange, taken)) is Reason.KEY_TAKEN
    assert refusal(exchange, a_witness_set(exchange, some("XA", "XV", quorum=2))) is Reason.NO_CHANGE


def test_no_later_set_has_a_smaller_quorum_than_the_genesis_asks_for() -> None:
    council = a_council(witnesses=Witnesses((), 2))
    exchange = an_exchange(NAMES, council=council)
    assert refusal(exchange, a_witness_set(exchange, some("XA", quorum=1))) is Reason.BELOW_QUORUM
    exchange.add(a_witness_set(exchange, some("XA", "XV", "XO", quorum=2)))


def test_witnesses_of_the_genesis_count_once_their_parties_are_members() -> None:
    named = some("XA", "XV", quorum=2)
    council = a_council(witnesses=named)
    directory = Directory.found(encode_signed(council.genesis()), expected_hash=None)
    assert directory.witnesses(at_size=1) == Witnesses((), 2), "named, and not admitted: no quorum can be reached"
    exchange = an_exchange(("XA", "XV"), council=council)
    assert exchange.directory.witnesses(at_size=exchange.directory.size) == named


@pytest.mark.parametrize(
    "witnesses",
    [
        some("XA", "XV", quorum=1),
        some("XA", "XV", "XO", "XT", quorum=2),
        some("XA", "XV", quorum=3),
        some("XA", quorum=0),
        some("XA", "XA", quorum=2),
        Witnesses((*some("XA", quorum=1).members, Witness(party_id("XV"), mldsa44("XA/witness").public)), 2),
        Witnesses((Witness(party_id("XA"), ed25519("XA/envelope").public),), 1),
    ],
)
def test_a_set_that_could_be_split_or_counts_somebody_twice_is_refused(witnesses: Witnesses) -> None:
    with pytest.raises(MalformedInput):
        check_witnesses(witnesses)
    exchange = an_exchange(("XA",))
    with pytest.raises(BadInput):
        a_witness_set(exchange, witnesses)


def test_a_set_names_somebody() -> None:
    with pytest.raises(MalformedInput):
        a_witness_set(an_exchange(("XA",)), Witnesses((), 2))


def test_the_largest_set_keeps_to_the_limits_of_an_entry_and_of_a_note() -> None:
    names = [f"X{chr(ord('A') + at)}" for at in range(WITNESSES)]
    largest = some(*names, quorum=WITNESSES)
    check_witnesses(largest)
    with pytest.raises(TooLarge):
        check_witnesses(some(*names, "XZ", quorum=WITNESSES))
    signed = a_witness_set(an_exchange(("XA",)), largest)
    assert len(encode_signed(signed)) < STATEMENT_BYTES - 5 * 3_500, "room for five council signatures"
    assert codec.decode("witness-set", signed.payload)
    note = a_note(*[(name, NOON // 1000) for name in names])
    assert len(note.encode()) < NOTE_BYTES
    assert vouched(note, CHECKPOINT, largest, EXCHANGE, NOON).quorum_ms == NOON


def a_note(*cosigned: tuple[str, int]) -> str:
    lines = [
        cosign(CHECKPOINT, witness_name(EXCHANGE, name), mldsa44(f"{name}/witness"), at_s) for name, at_s in cosigned
    ]
    return with_lines(sign_checkpoint(CHECKPOINT, log_keys("relay")), lines)


def test_the_quorum_time_is_that_of_the_slowest_witness_that_is_needed() -> None:
    now_s = NOON // 1000
    set_ = some("XA", "XV", "XO", quorum=2)
    for cosigned, quorum_s in (
        ([], 0),
        ([("XA", now_s)], 0),
        ([("XA", now_s - 900), ("XV", now_s - 60)], now_s - 900),
        ([("XA", now_s - 900), ("XV", now_s - 60), ("XO", now_s - 30)], now_s - 60),
        ([("XA", now_s), ("XT", now_s)], 0),
    ):
        note = a_note(*cosigned)
        assert open_checkpoint(note, CHECKPOINT.origin, log_keys("relay").public) == CHECKPOINT
        assert vouched(note, CHECKPOINT, set_, EXCHANGE, NOON).quorum_ms == quorum_s * 1000


def test_a_witness_from_the_future_does_not_keep_a_log_fresh() -> None:
    set_, now_s = some("XA", "XV", quorum=2), NOON // 1000
    ahead_s = now_s + CLOCK_AHEAD_MS // 1000
    assert vouched(a_note(("XA", now_s), ("XV", ahead_s + 1)), CHECKPOINT, set_, EXCHANGE, NOON).quorum_ms == 0
    slightly = a_note(("XA", ahead_s), ("XV", ahead_s))
    assert vouched(slightly, CHECKPOINT, set_, EXCHANGE, NOON).quorum_ms == NOON, "never later than now"
    assert vouched(a_note(("XA", now_s), ("XV", 0)), CHECKPOINT, set_, EXCHANGE, NOON).quorum_ms == 0


def test_a_cosignature_that_does_not_hold_is_no_word_of_its_witness() -> None:
    other = Checkpoint(CHECKPOINT.origin, 4, root_of(leaves(4)))
    line = cosign(other, witness_name(EXCHANGE, "XA"), mldsa44("XA/witness"), NOON // 1000)
    note = with_lines(sign_checkpoint(CHECKPOINT, log_keys("relay")), [line])
    with pytest.raises(BadProof):
        vouched(note, CHECKPOINT, some("XA", quorum=1), EXCHANGE, NOON)
