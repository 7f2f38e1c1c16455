"""Requests for what never came and their answers: what they hold, one encoding, signatures, promises that hold."""

from dataclasses import replace

import pytest

from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import Ed25519Key
from exchange.errors import BadInput, VerificationFailed
from exchange.receipts.codec import encode_promise
from exchange.receipts.verify import open_promise
from exchange.resend.codec import (
    ANSWER_BYTES,
    decode_resend_answer,
    decode_resend_request,
    encode_resend_answer,
    encode_resend_request,
)
from exchange.resend.model import RESEND_NUMBERS, MissingNumbers, ResendAnswer, ResendLine, ResendOutcome
from exchange.resend.verify import open_resend_answer, open_resend_request
from exchange.v1 import resend_pb2 as pb
from exchange.wire import serialise
from tests.support.receipts import ENVELOPE, EXCHANGE, ITEM, NOW_MS, a_promise, a_resend_answer, a_resend_request

RELAY = Ed25519Key.from_seed(b"r" * 32)
PARTNER = Ed25519Key.from_seed(b"p" * 32)


def promised(envelope: bytes = ENVELOPE) -> Signed:
    return sign(RELAY, "promise", encode_promise(replace(a_promise(), envelope_hash=envelope)), context=EXCHANGE)


def opened(answer: ResendAnswer) -> ResendAnswer:
    signed = sign(PARTNER, "resend-answer", encode_resend_answer(answer), context=EXCHANGE)
    return open_resend_answer(
        signed,
        lambda _: PARTNER.public,
        promise_of=lambda promise: open_promise(promise, RELAY.public, EXCHANGE),
        exchange=EXCHANGE,
        from_party="XA",
        to_party="XV",
    )


def test_they_come_back_as_they_went() -> None:
    request, answer = a_resend_request(), a_resend_answer(promised())
    assert decode_resend_request(encode_resend_request(request)) == request
    assert decode_resend_answer(encode_resend_answer(answer)) == answer


def test_an_answer_to_the_largest_request_fits_into_a_control_envelope() -> None:
    lines = tuple(
        ResendLine(3, 2**32 - 1, 2**62 + number, ResendOutcome.RESENT, ENVELOPE, NOW_MS, promised())
        for number in range(RESEND_NUMBERS)
    )
    assert len(encode_resend_answer(replace(a_resend_answer(), lines=lines))) < ANSWER_BYTES


def test_a_request_asks_for_at_least_one_number_and_for_at_most_fifty() -> None:
    request = a_resend_request()
    with pytest.raises(BadInput):
        replace(request, gaps=())
    with pytest.raises(BadInput):
        replace(request, gaps=(MissingNumbers(1, 1, (1,)), MissingNumbers(1, 1, (2,))))
    half = tuple(range(1, RESEND_NUMBERS // 2 + 2))
    with pytest.raises(BadInput):
        replace(request, gaps=(MissingNumbers(1, 1, half), MissingNumbers(2, 1, half)))
    for numbers in ((), (0,), (2, 1), (1, 1), tuple(range(1, RESEND_NUMBERS + 2)), (2**63,)):
        with pytest.raises(BadInput):
            MissingNumbers(1, 1, numbers)


def test_a_void_number_has_no_envelope_and_every_other_has_one() -> None:
    for outcome in (ResendOutcome.RESENT, ResendOutcome.GONE):
        with pytest.raises(BadInput):
            ResendLine(1, 1, 1, outcome)
    for fields in ({"envelope_hash": ENVELOPE}, {"expires_ms": NOW_MS}, {"promise": promised()}):
        with pytest.raises(BadInput):
            ResendLine(1, 1, 1, ResendOutcome.VOID, **fields)


def test_no_number_is_answered_twice() -> None:
    answer = a_resend_answer()
    for lines in ((answer.lines[0], answer.lines[0]), tuple(reversed(answer.lines)), ()):
        with pytest.raises(BadInput):
            replace(answer, lines=lines)


def test_an_outcome_that_is_unknown_is_refused() -> None:
    for outcome in (0, 4):
        message = pb.ResendAnswer.FromString(encode_resend_answer(a_resend_answer()))
        message.lines[0].outcome = outcome  # type: ignore[assignment]  # what a stranger may send
        with pytest.raises(BadInput):
            decode_resend_answer(serialise(message))


def test_a_request_counts_from_the_party_that_misses_something_to_its_sender_only() -> None:
    signed = sign(PARTNER, "resend-request", encode_resend_request(a_resend_request()), context=EXCHANGE)

    def open_as(from_party: str, to_party: str, exchange: str = EXCHANGE) -> object:
        return open_resend_request(
            signed, lambda _: PARTNER.public, exchange=exchange, from_party=from_party, to_party=to_party
        )

    assert open_as("XV", "XA") == a_resend_request()
    for wrong in (("XA", "XV"), ("XV", "XO"), ("XO", "XA")):
        with pytest.raises(VerificationFailed):
            open_as(*wrong)
    with pytest.raises(VerificationFailed):
        open_as("XV", "XA", "other.concord.example")


def test_the_promises_in_an_answer_hold_under_the_relays_key_for_the_envelope_of_their_line() -> None:
    answer = a_resend_answer(promised())
    assert opened(answer) == answer
    with pytest.raises(VerificationFailed):
        opened(a_resend_answer(promised(ITEM)))
    with pytest.raises(VerificationFailed):
        opened(a_resend_answer(sign(PARTNER, "promise", encode_promise(a_promise()), context=EXCHANGE)))
