"""Evidence that the relay dated an envelope back: read by anybody, worth nothing once anything in it is changed."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, sign
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_submission
from exchange.errors import BadInput
from exchange.names import party_id
from exchange.policy.strict_json import write_json
from exchange.receipts.codec import encode_promise
from exchange.receipts.model import Promise
from exchange.runtime.armour import read_armour, write_armour
from nodes.evidence_check import Result
from nodes.outdated import KIND, Outdated, check_outdated, read_outdated, write_outdated
from tests.support.directory_builders import EXCHANGE, NOON, a_council, ed25519
from tests.support.envelope_builders import HEAD, a_sealed

STRANGE: st.SearchStrategy[object] = st.one_of(
    st.none(), st.integers(-2, 2**63), st.text(max_size=8), st.just([]), st.just("00" * 32)
)
HEADER = decode_submission(a_sealed().submission_bytes).header.payload
GENESIS = encode_signed(a_council().genesis())


def a_promise(size: int, header: bytes = HEADER, key: str = "relay/promise") -> Signed:
    promise = Promise(EXCHANGE, envelope_hash(header), 17, NOON, size, bytes(32), bytes(16))
    return sign(ed25519(key), "promise", encode_promise(promise), context=EXCHANGE)


def found(promise: Signed, **changes: object) -> Outdated:
    made = Outdated(EXCHANGE, party_id("XV"), NOON, GENESIS, HEADER, promise)
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields


def results(evidence: Outdated) -> list[Result]:
    read = read_outdated(write_outdated(evidence))
    assert read == evidence
    return [each.result for each in check_outdated(read)]


def test_a_promise_under_fewer_entries_than_its_envelope_names_proves_the_relay_wrong() -> None:
    assert results(found(a_promise(HEAD.size - 1))) == [Result.HOLDS, Result.WRONG, Result.NOT_CHECKED]


def test_an_honest_promise_proves_nothing() -> None:
    for size in (HEAD.size, HEAD.size + 9):
        assert results(found(a_promise(size))) == [Result.HOLDS, Result.FAILS, Result.NOT_CHECKED]


def test_nobody_makes_such_a_file_against_a_relay_that_did_not_sign_it() -> None:
    size = HEAD.size - 1
    other = decode_submission(a_sealed().submission_bytes).header.payload
    for evidence in (
        found(a_promise(size, key="XV/envelope")),
        found(a_promise(size, other)),
        found(a_promise(size), header=HEADER[:-1]),
        found(a_promise(size), genesis=GENESIS[:-1]),
        found(a_promise(size), exchange="other.concord.example"),
    ):
        assert results(evidence) == [Result.FAILS]


@given(st.data(), STRANGE)
def test_a_file_with_any_value_replaced_is_refused_by_name_or_checked(data: st.DataObject, value: object) -> None:
    plain = json.loads(read_armour(write_outdated(found(a_promise(1))), {KIND})[1])
    plain[data.draw(st.sampled_from(sorted(plain)))] = value
    try:
        read = read_outdated(write_armour(KIND, write_json(plain)))
    except BadInput:
        return
    assert check_outdated(read)


@pytest.mark.parametrize("change", [lambda text: text.replace("PROMISE", "LOSS"), lambda text: text[:-40], str.lower])
def test_what_is_no_such_file_is_refused(change: object) -> None:
    text = write_outdated(found(a_promise(1)))
    with pytest.raises(BadInput):
        read_outdated(change(text))  # type: ignore[operator]  # one of the functions above
