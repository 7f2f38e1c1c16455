"""A loss file says what the relay promised and both ends signed; whatever does not fit together fails."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import Ed25519Key
from exchange.names import exchange_name, party_id
from exchange.receipts.codec import encode_promise
from exchange.receipts.model import Promise
from exchange.resend.codec import encode_resend_answer, encode_resend_request
from exchange.resend.model import MissingNumbers, ResendAnswer, ResendLine, ResendOutcome, ResendRequest
from nodes.evidence_check import Result
from nodes.withheld import Withheld, check_withheld, read_withheld, write_withheld
from tests.support.directory_builders import EXCHANGE, a_council, ed25519

TAKEN_MS = 1_700_000_000_000
ASKED_MS = TAKEN_MS + 60_000
UNTIL_MS = TAKEN_MS + 86_400_000
ENVELOPE = b"e" * 32
SALT = b"s" * 16
XA = Ed25519Key.from_seed(b"a" * 32)
XV = Ed25519Key.from_seed(b"v" * 32)


def a_promise(envelope: bytes = ENVELOPE) -> Signed:
    promise = Promise(EXCHANGE, envelope, 7, TAKEN_MS, 3, bytes(32), SALT)
    return sign(ed25519("relay/promise"), "promise", encode_promise(promise), context=EXCHANGE)


def a_request(seq: int = 4, *, at_ms: int = ASKED_MS, key: Ed25519Key = XV) -> Signed:
    request = ResendRequest(EXCHANGE, "XV", "XA", (MissingNumbers(3, 1, (seq,)),), at_ms, SALT)
    return sign(key, "resend-request", encode_resend_request(request), context=EXCHANGE)


def an_answer(**changes: object) -> Signed:
    line = ResendLine(3, 1, 4, ResendOutcome.RESENT, ENVELOPE, UNTIL_MS, a_promise())
    answer = ResendAnswer(EXCHANGE, "XA", "XV", (replace(line, **changes),), ASKED_MS, SALT)  # type: ignore[arg-type]
    return sign(XA, "resend-answer", encode_resend_answer(answer), context=EXCHANGE)


@pytest.fixture(scope="module")
def found() -> Withheld:
    """A loss that holds."""
    return Withheld(
        exchange=exchange_name(EXCHANGE),
        made_by=party_id("XV"),
        made_ms=ASKED_MS,
        genesis=encode_signed(a_council().genesis()),
        relay_keys=(),
        sender=party_id("XA"),
        recipient=party_id("XV"),
        stream=1,
        lane=3,
        seq=4,
        request=a_request(),
        request_key=XV.public,
        answer=an_answer(),
        answer_key=XA.public,
    )


def test_a_loss_that_both_ends_signed_holds_and_says_what_it_cannot_prove(found: Withheld) -> None:
    found = read_withheld(write_withheld(found))
    checks = {check.what: check for check in check_withheld(found)}
    assert {name for name, check in checks.items() if check.result is Result.HOLDS} == {
        "promise",
        "sender",
        "recipient",
    }
    assert {name for name, check in checks.items() if check.result is Result.NOT_CHECKED} == {
        "delivery",
        "genesis",
        "key of XA",
        "key of XV",
    }


FALSE: dict[str, Callable[[Withheld], Withheld]] = {
    "asked before the relay had it": lambda found: replace(found, request=a_request(at_ms=TAKEN_MS)),
    "asked when the relay need not hold it": lambda found: replace(found, request=a_request(at_ms=UNTIL_MS)),
    "another number was asked for": lambda found: replace(found, request=a_request(5)),
    "another signed the request": lambda found: replace(found, request=a_request(key=XA)),
    "another number was answered": lambda found: replace(found, answer=an_answer(seq=5)),
    "no promise": lambda found: replace(found, answer=an_answer(promise=None)),
    "a promise for another envelope": lambda found: replace(found, answer=an_answer(promise=a_promise(bytes(32)))),
    "void": lambda found: replace(
        found, answer=an_answer(outcome=ResendOutcome.VOID, envelope_hash=b"", expires_ms=0, promise=None)
    ),
    "other parties": lambda found: replace(found, sender=party_id("XO")),
    "another exchange": lambda found: replace(found, exchange=exchange_name("other.concord.example")),
    "another genesis": lambda found: replace(found, genesis=b"genesis"),
}


@pytest.mark.parametrize("wrong", FALSE.values(), ids=FALSE.keys())
def test_what_does_not_fit_together_is_no_loss(found: Withheld, wrong: Callable[[Withheld], Withheld]) -> None:
    results = {check.result for check in check_withheld(wrong(found))}
    assert Result.FAILS in results
