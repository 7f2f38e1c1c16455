"""What holds of the directory for every log, whatever a relay puts into it."""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import merkle
from exchange.directory import ceremony, codec
from exchange.directory.fold import Directory
from exchange.directory.state import Ignored, Reason
from exchange.directory.statements import TransportKey
from exchange.errors import ExchangeError
from tests.support.directory_builders import EXCHANGE, NOON, Exchange, an_exchange, transport_ca

NAMES = (
    "genesis",
    "invitation",
    "party-root",
    "admission",
    "node-cert",
    "transport-key",
    "prekey-bundle-hash",
    "agreement-commit",
    "revocation",
    "root-rollover",
    "suspension",
    "expulsion",
    "witness-set",
    "nonsense",
)


@cache
def world() -> Exchange:
    """One log with every kind of joining statement; nobody changes it."""
    return an_exchange(("XA", "XV"), prekeys_from=18_955)


def replay(entries: list[bytes]) -> Directory:
    directory = Directory.found(world().entries[0], expected_hash=None)
    for index, entry in enumerate(entries, start=1):
        directory.apply(entry, index)
    return directory


def what_stands(directory: Directory) -> object:
    parties = directory.parties()
    return (
        [(p.party, p.status, p.root, p.display_name, p.ceiling) for p in parties],
        [directory.current_statement_key(p.party) for p in parties],
        [directory.current_envelope_key(p.party) for p in parties],
        [directory.bundle_hash(p.party) for p in parties],
        [directory.next_seq_prev(p.party) for p in parties],
        dict(directory.transport_cas()),
    )


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_one_flipped_byte_anywhere_makes_an_entry_count_for_nothing(data: st.DataObject) -> None:
    entries = world().entries
    index = data.draw(st.integers(1, len(entries) - 1))
    at = data.draw(st.integers(0, len(entries[index]) - 1))
    changed = bytearray(entries[index])
    changed[at] ^= data.draw(st.integers(1, 255))
    directory = replay(entries[1:index])
    before = what_stands(directory)
    outcome = directory.apply(bytes(changed), directory.size)
    assert isinstance(outcome, Ignored)
    assert what_stands(directory) == before


@given(name=st.sampled_from(NAMES), payload=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_a_payload_of_anything_decodes_or_is_refused(name: str, payload: bytes) -> None:
    with suppress(ExchangeError):
        codec.decode(name, payload)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_certificate_is_refused_as_our_own_error(data: st.DataObject) -> None:
    der = bytearray(transport_ca("XA")[0])
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cert = TransportKey(ceremony.common(EXCHANGE, "XA", (2, bytes(32)), now_ms=NOON), bytes(der))
    with suppress(ExchangeError):
        assert codec.decode("transport-key", codec.encode(cert)) == cert


@given(junk=st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=400)), max_size=20))
@settings(max_examples=100, deadline=None)
def test_junk_between_the_entries_changes_nothing_but_the_alarms(junk: list[tuple[int, bytes]]) -> None:
    honest = world().entries[1:]
    mixed = list(honest)
    for at, entry in junk:
        mixed.insert(at, entry)
    directory = replay(mixed)
    assert what_stands(directory) == what_stands(world().directory)
    assert len(directory.ignored) == len(junk)
    assert directory.root() == merkle.root_of([merkle.leaf_hash(e) for e in [world().entries[0], *mixed]])


@given(order=st.permutations(range(1, 13)), data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_order_or_repetition_of_entries_raises_or_gives_anybody_more(order: list[int], data: st.DataObject) -> None:
    entries = world().entries
    chosen = order[: data.draw(st.integers(0, len(order)))]
    directory = replay([entries[index] for index in chosen + chosen])
    honest = world().directory
    for record in directory.parties():
        known = honest.party(record.party)
        assert known is not None and record.root == known.root
        assert directory.current_statement_key(record.party) in (None, honest.current_statement_key(record.party))
    assert set(directory.transport_cas().items()) <= set(honest.transport_cas().items())


@given(count=st.integers(0, 12))
@settings(deadline=None)
def test_repeating_the_log_repeats_nothing(count: int) -> None:
    entries = world().entries[1:]
    directory = replay(entries + entries[:count])
    assert what_stands(directory) == what_stands(world().directory)
    assert {alarm.reason for alarm in directory.ignored} <= {Reason.REPEATED}


@given(size=st.integers(1, 13))
@settings(deadline=None)
def test_an_answer_about_the_past_does_not_depend_on_what_came_later(size: int) -> None:
    whole, part = world().directory, replay(world().entries[1:size])
    assert part.size == size
    for party, keys in world().parties.items():
        for key in (keys.statement.public, keys.envelope.public):
            for at_size in range(size + 1):
                assert whole.statement_key(party, key.key_id, at_size=at_size) == part.statement_key(
                    party, key.key_id, at_size=at_size
                )
                assert whole.envelope_key(party, key.key_id, at_size=at_size) == part.envelope_key(
                    party, key.key_id, at_size=at_size
                )
        for at_size in range(size + 1):
            assert whole.standing(party, at_size=at_size) == part.standing(party, at_size=at_size)
