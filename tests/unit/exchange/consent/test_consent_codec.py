"""Consent requests and grants: one encoding, every limit, nothing unknown, and what does not fit does not exist."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.consent import codec
from exchange.consent.model import CONSENT_PARTNERS, CONSENT_SOURCES, CONSENT_TEXT_CHARS
from exchange.errors import BadInput, TooLarge
from exchange.limits import CONTROL_BODY_BYTES
from exchange.names import PartyId
from exchange.policy.model import Purpose
from exchange.v1 import consent_pb2 as pb
from exchange.wire import serialise
from tests.support.consent import DAY, ITEM, a_grant, a_refusal, a_request
from tests.support.envelope_builders import NOW, XA, XM, XO, XV

Codec = tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]
KINDS: list[Codec] = [
    (a_request(), codec.encode_request, codec.decode_request),
    (a_request(derived_from=(bytes(32), bytes([1]) * 32)), codec.encode_request, codec.decode_request),
    (a_grant(), codec.encode_grant, codec.decode_grant),
    (a_refusal(), codec.encode_grant, codec.decode_grant),
]
NAMES = ["request", "request for what derives from others", "grant", "refusal"]
LONGEST = [PartyId("XA." + f"{number:061}") for number in range(CONSENT_PARTNERS + 1)]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_kind_comes_back_as_it_went(kind: Codec) -> None:
    value, encode, decode = kind
    assert decode(encode(value)) == value


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_nothing_cut_off_appended_or_unknown_is_accepted(kind: Codec) -> None:
    value, encode, decode = kind
    data = encode(value)
    unknown_field = b"\xfa\x07\x00"
    for bad in (b"", data[:-1], data + b"\0", data + unknown_field, unknown_field + data, data + data):
        with pytest.raises(BadInput):
            decode(bad)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_kind_has_a_limit(kind: Codec) -> None:
    with pytest.raises(TooLarge):
        kind[2](bytes(codec.REQUEST_BYTES + 1))


def test_the_largest_of_each_fits_into_its_limit_and_a_control_envelope() -> None:
    text = "\U0001f6a8" * CONSENT_TEXT_CHARS
    sources = tuple(number.to_bytes(32, "big") for number in range(CONSENT_SOURCES))
    request = a_request(
        asker=LONGEST[-1], to=tuple(LONGEST[:-1]), derived_from=sources, reason=text, purposes=tuple(Purpose)
    )
    assert codec.decode_request(codec.encode_request(request)) == request
    refusal = a_refusal(*LONGEST[:-1], reason=text, holder=LONGEST[-1])
    assert codec.decode_grant(codec.encode_grant(refusal)) == refusal
    assert codec.REQUEST_BYTES + 8_000 < CONTROL_BODY_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"exchange": ""},
        {"item_hash": bytes(31)},
        {"derived_from": (ITEM,)},
        {"derived_from": (bytes(32), bytes(32))},
        {"derived_from": (b"",)},
        {"derived_from": tuple(number.to_bytes(32, "big") for number in range(CONSENT_SOURCES + 1))},
        {"asker": "no such"},
        {"asker": XO},
        {"to": ()},
        {"to": (XO, XM)},
        {"to": (XO, XO)},
        {"to": tuple(LONGEST)},
        {"purposes": ()},
        {"purposes": (Purpose.TRAINING, Purpose.CONSULAR)},
        {"until_ms": NOW},
        {"until_ms": 0},
        {"at_ms": 0},
        {"reason": "x" * (CONSENT_TEXT_CHARS + 1)},
        {"reason": "\x1b[31m"},
        {"salt": b""},
    ],
    ids=str,
)
def test_a_request_beyond_its_limits_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_request(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"exchange": "No Such"},
        {"request_sha256": b""},
        {"item_hash": b""},
        {"originator": XV},
        {"holder": ""},
        {"to": ()},
        {"to": (XM, XO)},
        {"to": (XV,)},
        {"purposes": ()},
        {"until_ms": NOW},
        {"hop": 0},
        {"hop": 256},
        {"reason": "x" * (CONSENT_TEXT_CHARS + 1)},
        {"at_ms": 0},
        {"salt": bytes(15)},
    ],
    ids=str,
)
def test_a_grant_beyond_its_limits_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_grant(), **change)


@pytest.mark.parametrize("change", [{"hop": 1}, {"until_ms": NOW + DAY}, {"purposes": (Purpose.CONSULAR,)}, {"to": ()}])
def test_a_refusal_grants_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_refusal(), **change)


def test_words_that_are_not_known_are_refused() -> None:
    message = pb.ConsentGrant.FromString(codec.encode_grant(a_grant()))
    for change in ({"answer": 0}, {"answer": 3}):
        other = pb.ConsentGrant.FromString(message.SerializeToString())
        setattr(other, *next(iter(change.items())))
        with pytest.raises(BadInput):
            codec.decode_grant(serialise(other))
    request = pb.ConsentRequest.FromString(codec.encode_request(a_request()))
    request.purposes.append(99)  # type: ignore[arg-type]  # a purpose that nobody knows
    with pytest.raises(BadInput):
        codec.decode_request(serialise(request))


def test_texts_and_salts_stay_out_of_reprs() -> None:
    shown = repr((a_request(), a_grant()))
    assert "embassy" not in shown
    assert XA in shown
