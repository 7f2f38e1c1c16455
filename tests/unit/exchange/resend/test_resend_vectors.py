"""Golden bytes of resend requests and answers: they open, say what is written beside them, and encode to themselves."""

import json
from functools import partial
from typing import Any

import pytest

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.crypto.signed import only
from exchange.errors import BadInput
from exchange.limits import KIB
from exchange.receipts.verify import open_promise
from exchange.resend.codec import (
    decode_resend_answer,
    decode_resend_request,
    encode_resend_answer,
    encode_resend_request,
)
from exchange.resend.verify import open_resend_answer, open_resend_request
from tests.support.make_resend_vectors import PATH, fields_of_answer, fields_of_request

GOLDEN: dict[str, Any] = json.loads(PATH.read_text())
REQUEST, ANSWER = GOLDEN["statements"]


def parts(golden: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    signed = decode_signed(bytes.fromhex(golden["signed"]), limit=64 * KIB, what="a golden statement")
    key = admit_public_key(KeyAlgorithm.COMPOSITE_65, bytes.fromhex(golden["statement_key"]))
    said = golden["fields"]
    return signed, only(key), {"exchange": said["exchange"], "from_party": said["from"], "to_party": said["to"]}


def test_the_golden_request_opens_and_says_what_stands_beside_it() -> None:
    assert REQUEST["type"] == "resend-request"
    signed, key, between = parts(REQUEST)
    request = open_resend_request(signed, key, **between)
    assert fields_of_request(request) == REQUEST["fields"]
    assert signed.payload == encode_resend_request(request) == bytes.fromhex(REQUEST["payload"])


def test_the_golden_answer_opens_with_the_promise_in_it_and_says_what_stands_beside_it() -> None:
    assert ANSWER["type"] == "resend-answer"
    signed, key, between = parts(ANSWER)
    relay = admit_public_key(KeyAlgorithm.ED25519, bytes.fromhex(GOLDEN["relay_promise_key"]))
    promise_of = partial(open_promise, promise_key=relay, exchange=between["exchange"])
    answer = open_resend_answer(signed, key, promise_of=promise_of, **between)
    assert fields_of_answer(answer) == ANSWER["fields"]
    assert {line["outcome"] for line in ANSWER["fields"]["lines"]} == {"RESENT", "VOID", "GONE"}
    assert signed.payload == encode_resend_answer(answer) == bytes.fromhex(ANSWER["payload"])


@pytest.mark.parametrize(("golden", "decode"), [(REQUEST, decode_resend_request), (ANSWER, decode_resend_answer)])
def test_no_other_encoding_of_a_golden_payload_is_taken(golden: dict[str, Any], decode: Any) -> None:
    payload = bytes.fromhex(golden["payload"])
    for other in (payload + b"\x78\x01", payload + payload, payload[:-1], b""):
        with pytest.raises(BadInput):
            decode(other)
