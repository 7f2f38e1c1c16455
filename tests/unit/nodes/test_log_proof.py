"""A proof counts its quorum offline, from the genesis on: also when other roots sit in the council since."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, add_signature
from exchange.crypto.signing import CompositeKey
from exchange.directory import ceremony, issue
from exchange.directory.seats import seat_entries
from exchange.directory.statements import Witness, Witnesses
from exchange.merkle import inclusion_path, leaf_hash, root_of
from exchange.names import COUNCIL, party_id
from exchange.tlog.checkpoint import Checkpoint, traffic_origin, witness_name
from exchange.tlog.cosignature import cosign
from exchange.tlog.entry import EntryKind, TrafficEntry, encode_entry
from exchange.tlog.note import with_lines
from exchange.tlog.proof import LogProof
from exchange.tlog.signing import sign_checkpoint
from nodes.admin.main import run
from nodes.evidence_check import Result
from nodes.log_proof import LoggedEnvelope, check_logged, read_logged, write_logged
from nodes.witness_anchor import Anchor
from tests.support.directory_builders import (
    EXCHANGE,
    NOON,
    Exchange,
    a_council,
    an_exchange,
    composite,
    log_keys,
    mldsa44,
)

NAMES = ("XA", "XV", "XO")
VERIFICATION_FAILED = 4


def an_exchange_of_two_voices() -> Exchange:
    """XA and XH sit in the council, and any one of them speaks for it."""
    return an_exchange(("XA", "XV", "XO", "XH"), council=a_council(("XA", "XH")))


def a_rollover(party: str, old: str = "", new: str = "/2") -> Signed:
    roots = composite(f"{party}/root{old}"), composite(f"{party}/root{new}")
    drafted = issue.draft_rollover(
        exchange=EXCHANGE,
        issuer=party,
        party=party_id(party),
        old_root_key_id=roots[0].public.key_id,
        new_root=roots[1].public,
        now_ms=NOON,
    )
    return add_signature(ceremony.sign_statement(drafted, roots[0]), roots[1], context=EXCHANGE)


def a_set(exchange: Exchange, *roots: CompositeKey, quorum: int = 2) -> Signed:
    """Return the naming of XA, XV and XO as witnesses, signed by these roots."""
    members = tuple(Witness(party_id(name), mldsa44(f"{name}/witness").public) for name in NAMES)
    place = exchange.directory.next_seq_prev(COUNCIL)
    drafted = issue.draft_witness_set(exchange=EXCHANGE, place=place, witnesses=Witnesses(members, quorum), now_ms=NOON)
    first, *others = roots
    signed = ceremony.sign_statement(drafted, first)
    for root in others:
        signed = add_signature(signed, root, context=EXCHANGE)
    return signed


def logged(anchor: Anchor, cosigned_by: Sequence[str] = NAMES) -> LoggedEnvelope:
    """Return the proof of the second of three envelopes."""
    entries = [encode_entry(TrafficEntry(EntryKind.ENVELOPE, sha256(bytes([n])).digest(), NOON)) for n in range(3)]
    leaves = [leaf_hash(entry) for entry in entries]
    checkpoint = Checkpoint(traffic_origin(EXCHANGE), 3, root_of(leaves))
    lines = [
        cosign(checkpoint, witness_name(EXCHANGE, name), mldsa44(f"{name}/witness"), NOON // 1000)
        for name in cosigned_by
    ]
    note = with_lines(sign_checkpoint(checkpoint, log_keys("relay")), lines)
    proof = LogProof(1, tuple(inclusion_path(leaves, 1)), note)
    return LoggedEnvelope(EXCHANGE, sha256(bytes([1])).digest(), entries[1], anchor, (), proof)


def verdict(file: LoggedEnvelope) -> Result:
    """Return what the witnesses' word comes to, checked from the file as it is written."""
    read = read_logged(write_logged(file))
    return next(each.result for each in check_logged(read) if each.what == "witnesses")


def test_a_quorum_named_by_roots_that_took_over_seats_is_counted_offline() -> None:
    exchange = an_exchange_of_two_voices()
    for rollover in (a_rollover("XA"), a_rollover("XA", "/2", "/3")):
        exchange.add(rollover)
    named = a_set(exchange, composite("XA/root/3"))
    exchange.add(named)
    seats = seat_entries(exchange.entries[:-1], exchange.directory)
    anchor = Anchor(exchange.entries[0], seats, encode_signed(named))
    assert len(seats) == 5, "invitation, root and admission of XA, and two changes of its root"
    assert verdict(logged(anchor)) is Result.HOLDS
    assert verdict(logged(anchor, ("XA",))) is Result.NOT_CHECKED, "no quorum"
    for fewer in (seats[:-1], ()):
        assert verdict(logged(replace(anchor, seats=fewer))) is Result.FAILS


def test_what_later_changed_in_the_council_is_no_part_of_a_proof() -> None:
    exchange = an_exchange_of_two_voices()
    named = a_set(exchange, composite("XA/root"))
    exchange.add(named)
    before = len(exchange.entries) - 1
    exchange.add(a_rollover("XA"))
    assert seat_entries(exchange.entries[:before], exchange.directory) == ()
    assert verdict(logged(Anchor(exchange.entries[0], (), encode_signed(named)))) is Result.HOLDS


def test_a_forged_set_of_witnesses_is_refused(tmp_path: Path) -> None:
    exchange = an_exchange_of_two_voices()
    genesis = exchange.entries[0]
    exchange.add(a_rollover("XA"))
    seats = seat_entries(exchange.entries, exchange.directory)
    forged = [
        a_set(exchange, composite("stranger/root")),
        a_set(exchange, composite("XV/root")),
        a_set(exchange, composite("XA/root")),  # the stolen one, after another took its seat
        a_set(exchange, composite("XA/root/2"), composite("stranger/root")),
        a_rollover("XH"),
    ]
    true = encode_signed(a_set(exchange, composite("XH/root")))
    assert verdict(logged(Anchor(genesis, seats, true))) is Result.HOLDS
    files = [Anchor(genesis, seats, encode_signed(signed)) for signed in forged]
    files += [
        Anchor(genesis, seats, true[:-1] + b"\0"),
        Anchor(genesis, (*seats, encode_signed(a_rollover("XH", old="/stolen"))), true),
        Anchor(genesis, seats[1:], true),
    ]
    for anchor in files:
        assert verdict(logged(anchor)) is Result.FAILS
        file = tmp_path / "alert.tlog-proof"
        file.write_text(write_logged(logged(anchor)))
        assert run(["verify", str(file)]) == VERIFICATION_FAILED


@pytest.mark.parametrize(("threshold", "voices", "expected"), [(2, 1, Result.FAILS), (2, 2, Result.HOLDS)])
def test_as_many_parties_of_the_council_must_have_named_them_as_the_genesis_says(
    threshold: int, voices: int, expected: Result
) -> None:
    council = a_council(("XA", "XH"), threshold=threshold)
    exchange = an_exchange((), council=council)
    named = a_set(exchange, *council.roots[:voices])
    assert verdict(logged(Anchor(exchange.entries[0], (), encode_signed(named)))) is expected


def test_a_quorum_below_that_of_the_genesis_is_none() -> None:
    exchange = an_exchange((), council=a_council(("XA",), witnesses=Witnesses((), 3)))
    for quorum, expected in ((2, Result.FAILS), (3, Result.HOLDS)):
        named = a_set(exchange, composite("XA/root"), quorum=quorum)
        assert verdict(logged(Anchor(exchange.entries[0], (), encode_signed(named)))) is expected


def test_a_file_that_names_nobody_says_that_nobody_vouches() -> None:
    assert verdict(logged(Anchor(an_exchange(()).entries[0]))) is Result.NOT_CHECKED
