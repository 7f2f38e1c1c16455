"""Reader policies: their bytes, their limits, and who signed them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.signed import sign
from exchange.errors import BadSignature, ExchangeError, MalformedInput, TooLarge, VerificationFailed
from exchange.policy.readers import ReaderTerms
from exchange.reader_policy.codec import POLICY_BYTES, decode_reader_policy, encode_reader_policy
from exchange.reader_policy.model import ReaderPolicy
from exchange.reader_policy.verify import READER_POLICY, open_reader_policy
from exchange.v1 import reader_policy_pb2 as pb
from exchange.wire import serialise
from tests.support.directory_builders import EXCHANGE, party_keys

NOW = 1_700_000_000_000
TERMS = ReaderTerms({"nato": ("restricted", "secret"), "house": ("blue",)}, frozenset({"water", "eu-desk"}))
POLICY = ReaderPolicy(EXCHANGE, "XV", TERMS, 365, NOW, bytes(16))
KEY = party_keys("XV").statement


def lookup(key_id: bytes) -> object:
    return KEY.public if key_id == KEY.public.key_id else None


def test_a_policy_survives_its_bytes_and_is_opened_by_its_signers_key() -> None:
    payload = encode_reader_policy(POLICY)
    assert decode_reader_policy(payload) == POLICY
    signed = sign(KEY, READER_POLICY, payload, context=EXCHANGE)
    assert open_reader_policy(signed, lookup, exchange=EXCHANGE, party="XV") == POLICY  # type: ignore[arg-type]


def test_the_largest_policy_fits_into_a_control_statement() -> None:
    terms = ReaderTerms({"s" * 100: tuple(f"{n:0100}" for n in range(32))}, frozenset(f"{n:082}" for n in range(230)))
    payload = encode_reader_policy(replace(POLICY, terms=terms))
    assert len(payload) <= POLICY_BYTES < 64 * 1024
    with pytest.raises(TooLarge):
        replace(POLICY, terms=ReaderTerms({}, frozenset(f"{n:0120}" for n in range(256))))


@pytest.mark.parametrize(
    "change", [{"party": "XA"}, {"exchange": "other.example"}], ids=["another party", "another exchange"]
)
def test_a_policy_of_another_party_or_exchange_does_not_hold(change: dict[str, str]) -> None:
    signed = sign(KEY, READER_POLICY, encode_reader_policy(replace(POLICY, **change)), context=EXCHANGE)  # type: ignore[arg-type]
    with pytest.raises(VerificationFailed):
        open_reader_policy(signed, lookup, exchange=EXCHANGE, party="XV")  # type: ignore[arg-type]


def test_another_signer_another_type_and_another_exchange_do_not_hold() -> None:
    payload = encode_reader_policy(POLICY)
    for signed in (
        sign(party_keys("XA").statement, READER_POLICY, payload, context=EXCHANGE),
        sign(KEY, "retraction", payload, context=EXCHANGE),
        sign(KEY, READER_POLICY, payload, context="other.example"),
    ):
        with pytest.raises(BadSignature):
            open_reader_policy(signed, lookup, exchange=EXCHANGE, party="XV")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"max_age_days": 0}, {"max_age_days": 3_651}, {"at_ms": 0}, {"salt": b"s"}, {"party": "xv"}, {"exchange": "A"}],
)
def test_a_policy_that_says_nothing_clear_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(ExchangeError):
        replace(POLICY, **change)  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": ["b", "a"]},
        {"attributes": ["a", "a"]},
        {"scales": [pb.ReaderScale(name="b", levels=["x"]), pb.ReaderScale(name="a", levels=["x"])]},
        {"scales": [pb.ReaderScale(name="a", levels=["x", "x"])]},
        {"scales": [pb.ReaderScale(name="a")]},
        {"scales": [pb.ReaderScale(levels=["x"])]},
    ],
)
def test_one_policy_has_one_encoding(change: dict[str, object]) -> None:
    fields = {"exchange": EXCHANGE, "party": "XV", "max_age_days": 1, "at_ms": NOW, "salt": bytes(16)}
    decode_reader_policy(serialise(pb.ReaderPolicy(**fields)))  # type: ignore[arg-type]  # any field
    with pytest.raises(MalformedInput):
        decode_reader_policy(serialise(pb.ReaderPolicy(**fields, **change)))  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_fail_in_another_way(data: bytes) -> None:
    try:
        policy = decode_reader_policy(data)
    except ExchangeError:
        return
    assert encode_reader_policy(policy) == data
