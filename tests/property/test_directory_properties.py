"""What holds of the directory for every log, whatever a relay puts into it."""

from contextlib import suppress
from functools import cache, partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import merkle
from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import add_signature
from exchange.directory import ceremony, codec, issue
from exchange.directory.fold import Directory
from exchange.directory.state import Ignored, KeyUse, Reason
from exchange.directory.statements import RevocationReason, TransportKey
from exchange.errors import ExchangeError
from exchange.names import party_id
from tests.support.directory_builders import (
    DAY_MS,
    EXCHANGE,
    NOON,
    Exchange,
    an_exchange,
    composite,
    ed25519,
    transport_ca,
)

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
    "relay-keys",
    "limits",
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


# Keys that follow each other

DEEDS = ("rotate", "roll over", "revoke old keys", "revoke old root", "suspend", "expel")


def _do(exchange: Exchange, deed: str, number: int) -> None:
    """Append a statement of a kind to a log; what does not hold at its place counts for nothing, as anywhere."""
    party, at_ms = party_id("XV"), NOON + number * 10 * DAY_MS
    record = exchange.directory.party(party)
    assert record is not None
    root = next(key for key in ROOTS if composite(key).public == record.root)
    following = ROOTS[(ROOTS.index(root) + 1) % len(ROOTS)]
    council = exchange.council_key
    if deed == "rotate":
        cert = issue.draft_node_cert(
            exchange=EXCHANGE,
            party=party,
            statement_key=composite(f"XV/{number}").public,
            envelope_key=ed25519(f"XV/{number}").public,
            now_ms=at_ms,
            not_after_ms=at_ms + 365 * DAY_MS,
        )
        signed = ceremony.sign_statement(cert, composite(root))
    elif deed == "roll over":
        rollover = issue.draft_rollover(
            exchange=EXCHANGE,
            issuer=party,
            party=party,
            old_root_key_id=record.root.key_id,
            new_root=composite(following).public,
            now_ms=at_ms,
        )
        signed = add_signature(
            ceremony.sign_statement(rollover, composite(root)), composite(following), context=EXCHANGE
        )
    elif deed.startswith("revoke"):
        use = KeyUse.STATEMENT if "keys" in deed else KeyUse.ROOT
        keys = [key for key in exchange.directory.all_keys() if (key.party, key.use) == (party, use)]
        signed = issue.make_revocation(
            exchange=EXCHANGE,
            issuer="council",
            party=party,
            key_id=keys[0].key_id,
            reason=RevocationReason.COMPROMISED,
            compromised_since_ms=at_ms,
            now_ms=at_ms,
            key=council,
        )
    else:
        place = exchange.directory.next_seq_prev("council")
        make = issue.make_expulsion if deed == "expel" else partial(issue.make_suspension, suspended=True)
        signed = make(exchange=EXCHANGE, place=place, party=party, now_ms=at_ms, council_key=council)
    entry = encode_signed(signed)
    exchange.directory.apply(entry, exchange.directory.size)
    exchange.entries.append(entry)


ROOTS = tuple(f"XV/root{number}" for number in ("", *range(2, 8)))


@given(deeds=st.lists(st.sampled_from(DEEDS), max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_becomes_of_keys_the_past_stays_as_it_was_and_at_most_one_root_signs(
    deeds: list[str], data: st.DataObject
) -> None:
    exchange = an_exchange(("XA", "XV"))
    party = party_id("XV")
    for number, deed in enumerate(deeds, start=1):
        _do(exchange, deed, number)
    whole = exchange.directory
    size = data.draw(st.integers(1, whole.size))
    part = Directory.found(exchange.entries[0], expected_hash=None)
    for index, entry in enumerate(exchange.entries[1:size], start=1):
        part.apply(entry, index)
    at_ms = NOON + data.draw(st.integers(0, 120)) * DAY_MS
    for key in whole.all_keys():
        if key.public is None or key.party != party:
            continue
        for at_size in range(size + 1):
            for ask in ("statement_key", "envelope_key", "root_key"):
                before = getattr(part, ask)(party, key.key_id, at_size=at_size, at_ms=at_ms)
                assert getattr(whole, ask)(party, key.key_id, at_size=at_size, at_ms=at_ms) == before
    roots = [key for key in whole.all_keys() if key.party == party and key.use is KeyUse.ROOT]
    for at_size in range(whole.size + 1):
        assert sum(whole.root_key(party, key.key_id, at_size=at_size) is not None for key in roots) <= 1
