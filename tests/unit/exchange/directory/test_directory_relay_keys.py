"""Keys of the relay and limits by statement of the council: from which entry on they hold, and which are refused."""

from dataclasses import replace

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, add_signature, sign
from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.fold import Applied
from exchange.directory.relay_keys import KeysSince
from exchange.directory.state import Ignored, Reason
from exchange.directory.statements import AgreementStatus, ExchangeLimits, RelayKeys, Witness, Witnesses
from exchange.limits import KEY_OVERLAP_MS
from exchange.names import COUNCIL, RELAY, party_id
from tests.support.directory_builders import (
    EXCHANGE,
    LIMITS,
    NOON,
    Exchange,
    a_council,
    an_exchange,
    composite,
    ed25519,
    log_keys,
    mldsa44,
    relay_keys,
)

FIRST, SECOND, THIRD = relay_keys(), relay_keys("second"), relay_keys("third")
STRICTER = ExchangeLimits(1, LIMITS.report_bytes, 8, reports_per_minute=60)


def naming(exchange: Exchange, keys: RelayKeys, *, stolen_since_ms: int = 0, now_ms: int = NOON) -> Signed:
    place = exchange.directory.next_seq_prev(COUNCIL)
    drafted = issue.draft_relay_keys(
        exchange=EXCHANGE, place=place, keys=keys, stolen_since_ms=stolen_since_ms, now_ms=now_ms
    )
    return sign_statement(drafted, exchange.council_key)


def limiting(exchange: Exchange, limits: ExchangeLimits) -> Signed:
    place = exchange.directory.next_seq_prev(COUNCIL)
    drafted = issue.draft_limits(exchange=EXCHANGE, place=place, limits=limits, now_ms=NOON)
    return sign_statement(drafted, exchange.council_key)


def refusal(exchange: Exchange, signed: Signed) -> Reason | None:
    found = exchange.directory.fork().apply(encode_signed(signed), exchange.directory.size)
    return found.reason if isinstance(found, Ignored) else None


def keys_at(exchange: Exchange, size: int) -> RelayKeys:
    found = exchange.replayed().relay_keys_at(size)
    assert found is not None
    return found.keys


def test_keys_hold_from_the_entry_after_their_statement_and_those_before_hold_before_it() -> None:
    exchange = an_exchange()
    at = exchange.add(naming(exchange, SECOND))
    later = exchange.add(naming(exchange, THIRD))
    assert [keys_at(exchange, size) for size in (0, 1, at, at + 1, later, later + 1)] == [
        FIRST,
        FIRST,
        FIRST,
        SECOND,
        SECOND,
        THIRD,
    ]
    directory = exchange.replayed()
    assert directory.relay_keys == THIRD
    assert directory.relay_keys_at(directory.size + 1) is None, "not replayed yet"
    assert [each.index for each in directory.relay_key_history] == [0, at, later]


def test_fewer_than_m_of_n_roots_name_no_keys_and_no_limits() -> None:
    exchange = an_exchange((), council=a_council(("XA", "XV", "XO"), threshold=2))
    for signed in (naming(exchange, SECOND), limiting(exchange, STRICTER)):
        assert refusal(exchange, signed) is Reason.BELOW_THRESHOLD
        assert refusal(exchange, add_signature(signed, composite("XO/root"), context=EXCHANGE)) is None


@pytest.mark.parametrize("name", ["relay-keys", "limits"])
def test_nobody_but_the_council_names_keys_and_limits(name: str) -> None:
    exchange = an_exchange()
    signed = naming(exchange, SECOND) if name == "relay-keys" else limiting(exchange, STRICTER)
    for key in (exchange.parties[party_id("XV")].root, exchange.promise):
        assert refusal(exchange, sign(key, name, signed.payload, context=EXCHANGE)) is Reason.BAD_SIGNATURE


def test_what_the_council_signed_for_an_earlier_place_never_holds_later() -> None:
    exchange = an_exchange()
    kept_back = naming(exchange, SECOND)
    exchange.add(naming(exchange, THIRD))
    assert refusal(exchange, kept_back) is Reason.OUT_OF_ORDER
    old = limiting(exchange, STRICTER)
    exchange.add(limiting(exchange, replace(STRICTER, recipients=9)))
    assert refusal(exchange, old) is Reason.OUT_OF_ORDER


def test_some_keys_may_stay_and_a_key_that_was_followed_never_comes_back() -> None:
    exchange = an_exchange()
    assert refusal(exchange, naming(exchange, FIRST)) is Reason.NO_CHANGE
    exchange.add(naming(exchange, replace(FIRST, promise=SECOND.promise)))
    assert refusal(exchange, naming(exchange, FIRST)) is Reason.KEY_TAKEN
    assert refusal(exchange, naming(exchange, replace(SECOND, promise=THIRD.promise))) is None


def test_stolen_keys_are_replaced_all_together() -> None:
    exchange = an_exchange()
    kept = replace(SECOND, transport_ca=FIRST.transport_ca)
    assert refusal(exchange, naming(exchange, kept, stolen_since_ms=NOON)) is Reason.KEY_TAKEN
    exchange.add(naming(exchange, SECOND, stolen_since_ms=NOON))
    assert exchange.directory.relay_key_history[-1].stolen_since_ms == NOON


@pytest.mark.parametrize(
    "taken",
    [ed25519("XA/envelope").public, ed25519("relay/log").public, FIRST.promise],
)
def test_a_key_of_somebody_or_something_else_is_not_the_relays(taken: PublicKey) -> None:
    exchange = an_exchange()
    exchange.add(naming(exchange, SECOND))
    assert refusal(exchange, naming(exchange, replace(THIRD, promise=taken))) is Reason.KEY_TAKEN


def test_a_witness_has_no_key_that_was_ever_the_relays_nor_the_relay_one_of_a_witness() -> None:
    exchange = an_exchange()
    exchange.add(naming(exchange, SECOND))
    for mine, refused in ((log_keys("relay").mldsa.public, True), (mldsa44("XA/witness").public, False)):
        named = Witnesses((Witness(party_id("XA"), mine),), 1)
        place = exchange.directory.next_seq_prev(COUNCIL)
        drafted = issue.draft_witness_set(exchange=EXCHANGE, place=place, witnesses=named, now_ms=NOON)
        signed = sign_statement(drafted, exchange.council_key)
        assert refusal(exchange, signed) is (Reason.KEY_TAKEN if refused else None)
    exchange.add(signed)
    stolen = replace(THIRD, log=replace(THIRD.log, mldsa=mldsa44("XA/witness").public))
    assert refusal(exchange, naming(exchange, stolen)) is Reason.KEY_TAKEN


def test_the_relay_states_agreements_by_the_key_in_force_at_that_place() -> None:
    exchange = an_exchange()
    exchange.add(naming(exchange, SECOND))

    def committed(key: str) -> Signed:
        return issue.make_agreement_commit(
            exchange=EXCHANGE,
            place=exchange.directory.next_seq_prev(RELAY),
            commitment=bytes(32),
            status=AgreementStatus.ACTIVE,
            now_ms=NOON,
            promise_key=ed25519(f"{key}/promise"),
        )

    assert refusal(exchange, committed("relay")) is Reason.BAD_SIGNATURE
    assert refusal(exchange, committed("second")) is None


def test_the_relay_answers_by_the_ca_of_before_for_thirty_days_and_nodes_accept_both() -> None:
    exchange = an_exchange()
    exchange.add(naming(exchange, SECOND, now_ms=NOON))
    directory = exchange.directory
    both, over = (FIRST.transport_ca, SECOND.transport_ca), NOON + KEY_OVERLAP_MS
    assert directory.relay_cas(at_ms=over - 1) == both
    assert directory.relay_cas(at_ms=over) == both[1:]
    exchange.add(naming(exchange, THIRD, now_ms=NOON + 1))
    assert directory.relay_cas(at_ms=NOON + 1) == (*both, THIRD.transport_ca)
    assert directory.relay_cas(at_ms=over) == (SECOND.transport_ca, THIRD.transport_ca)


def test_a_stolen_ca_serves_not_a_moment_longer() -> None:
    exchange = an_exchange()
    exchange.add(naming(exchange, SECOND, stolen_since_ms=NOON))
    assert exchange.directory.relay_cas(at_ms=NOON) == (SECOND.transport_ca,)


def test_keys_that_only_follow_in_part_leave_the_ca_as_it_is() -> None:
    exchange = an_exchange()
    exchange.add(naming(exchange, replace(SECOND, transport_ca=FIRST.transport_ca)))
    assert exchange.directory.relay_cas(at_ms=NOON) == (FIRST.transport_ca,)


def test_limits_hold_from_the_entry_after_their_statement() -> None:
    exchange = an_exchange()
    assert (exchange.directory.limits, exchange.directory.limits_set_at) == (LIMITS, 0)
    assert refusal(exchange, limiting(exchange, LIMITS)) is Reason.NO_CHANGE
    at = exchange.add(limiting(exchange, STRICTER))
    assert (exchange.directory.limits, exchange.directory.limits_set_at) == (STRICTER, at)
    assert exchange.directory.genesis.limits == LIMITS


def test_what_is_asked_of_a_fork_leaves_the_directory_as_it_is() -> None:
    exchange = an_exchange()
    found = exchange.directory.fork().apply(encode_signed(naming(exchange, SECOND)), exchange.directory.size)
    assert isinstance(found, Applied)
    assert exchange.directory.relay_key_history == (KeysSince(0, FIRST, NOON, 0),)
