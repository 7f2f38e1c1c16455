"""Promises, refusals, receipts and the like: one encoding, every limit, nothing unknown."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.crypto.signing import Ed25519Key
from exchange.errors import BadInput, BadName, MalformedInput, TooLarge
from exchange.receipts import codec
from exchange.receipts.model import (
    RECEIPT_LINES_SAFE,
    ReceiptBatch,
    ReceiptStatus,
    RelayDecision,
)
from exchange.receipts.streams import STREAM_START, next_running_hash
from exchange.v1 import receipt_pb2 as pb
from exchange.wire import serialise
from tests.support.receipts import (
    ENVELOPE,
    ITEM,
    SALT,
    a_batch,
    a_decision_record,
    a_line,
    a_notice_delivery,
    a_promise,
    a_refusal,
    a_refused_line,
    a_retraction,
    a_stream_head,
    a_tail,
    an_acknowledgement,
    an_agreement_text,
)

Codec = tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]
KINDS: list[Codec] = [
    (a_promise(), codec.encode_promise, codec.decode_promise),
    (a_refusal(), codec.encode_refusal, codec.decode_refusal),
    (a_decision_record(), codec.encode_decisions, codec.decode_decisions),
    (a_batch(), codec.encode_receipts, codec.decode_receipts),
    (a_retraction(), codec.encode_retraction, codec.decode_retraction),
    (a_stream_head(), codec.encode_stream_head, codec.decode_stream_head),
    (an_agreement_text(Ed25519Key.from_seed(bytes(32))), codec.encode_agreement_text, codec.decode_agreement_text),
    (a_notice_delivery(Ed25519Key.from_seed(bytes(32))), codec.encode_notice_delivery, codec.decode_notice_delivery),
    (an_acknowledgement(), codec.encode_acknowledgement, codec.decode_acknowledgement),
]
NAMES = [type(kind[0]).__name__ for kind in KINDS]


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
        kind[2](bytes(codec.AGREEMENT_TEXT_BYTES + 1))


@pytest.mark.parametrize(
    "make", [a_promise, a_refusal, a_decision_record, a_batch, a_retraction, a_stream_head, an_acknowledgement]
)
def test_every_kind_names_the_exchange_and_carries_random_bytes(make: Callable[[], Any]) -> None:
    for change in ({"exchange": ""}, {"exchange": "No Such"}, {"salt": b""}, {"salt": SALT + b"\0"}):
        with pytest.raises(BadInput):
            replace(make(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"envelope_hash": b""},
        {"envelope_hash": bytes(31)},
        {"log_index": -1},
        {"log_index": 1 << 63},
        {"received_ms": 0},
        {"received_ms": 253_402_300_800_000},
        {"directory_size": 0},
        {"decisions_sha256": b""},
    ],
)
def test_a_promise_that_lacks_something_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_promise(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"reason": ""},
        {"reason": "lower"},
        {"reason": "A" * 65},
        {"reason": "A\n"},
        {"step": -1},
        {"step": 256},
        {"clause": "x" * 201},
        {"clause": "é" * 101},
        {"clause": "two\nlines"},
        {"clause": "\ud800"},
        {"clause": "\x1b[31m"},
        {"recipient": "no-such"},
        {"recipient": "XA." + "x" * 62},
        {"directory_size": -1},
        {"refused_ms": 0},
    ],
)
def test_a_refusal_beyond_its_limits_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_refusal(), **change)


def test_every_refusal_has_one_length() -> None:
    least = replace(
        a_refusal(), exchange="abc", reason="A", step=0, clause="", recipient="", directory_size=0, refused_ms=1
    )
    most = replace(
        a_refusal(),
        exchange="a" * 100,
        reason="A" * 64,
        step=255,
        clause="é" * 100,
        recipient="XA." + "x" * 61,
        directory_size=(1 << 63) - 1,
        refused_ms=253_402_300_799_999,
    )
    for refusal in (least, a_refusal(), most):
        data = codec.encode_refusal(refusal)
        assert len(data) == codec.REFUSAL_BYTES
        assert codec.decode_refusal(data) == refusal


def test_a_refusal_that_hides_something_in_its_padding_is_refused() -> None:
    message = pb.Refusal.FromString(codec.encode_refusal(a_refusal()))
    length = len(message.padding)
    for padding in (bytes(length - 1) + b"\1", bytes(length - 1), b""):
        message.padding = padding
        with pytest.raises(MalformedInput):
            codec.decode_refusal(serialise(message))
    message.padding = bytes(length + 1)
    with pytest.raises(TooLarge):
        codec.decode_refusal(serialise(message))


def test_decisions_stand_in_order_and_once_a_slot() -> None:
    first, last = a_decision_record().decisions
    for decisions in ((), (last, first), (first, first), (*(RelayDecision(at, b"") for at in range(256)), last)):
        with pytest.raises(BadInput):
            replace(a_decision_record(), decisions=decisions)
    full = replace(a_decision_record(), decisions=tuple(RelayDecision(at, bytes(32)) for at in range(256)))
    assert codec.decode_decisions(codec.encode_decisions(full)) == full
    for slot, commitment in [(256, b""), (-1, b""), (0, bytes(31))]:
        with pytest.raises(BadInput):
            RelayDecision(slot, commitment)


@pytest.mark.parametrize(
    "change",
    [
        {"item_hash": b""},
        {"item_hash": bytes(16)},
        {"envelope_hash": b""},
        {"at_ms": 0},
        {"step": 3},
        {"reason": "POLICY_DENIED"},
        {"status": ReceiptStatus.REFUSED},
        {"status": ReceiptStatus.REFUSED, "reason": "bad"},
        {"status": ReceiptStatus.REFUSED, "reason": "POLICY_DENIED", "item_hash": bytes(5)},
        {"status": ReceiptStatus.REFUSED, "reason": "POLICY_DENIED", "step": 256},
    ],
)
def test_a_receipt_gives_a_reason_when_it_refuses_and_only_then(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_line(), **change)


def test_a_refused_item_that_opened_is_named() -> None:
    assert replace(a_refused_line(), item_hash=ITEM).item_hash == ITEM


def test_a_batch_holds_one_to_five_hundred_lines() -> None:
    with pytest.raises(MalformedInput):
        replace(a_batch(), lines=())
    with pytest.raises(TooLarge):
        a_batch(*[a_line()] * 501)
    full = a_batch(*[a_line()] * 500)
    assert codec.decode_receipts(codec.encode_receipts(full)) == full


def test_four_hundred_lines_fit_whatever_they_say_and_more_are_refused_before_they_are_signed() -> None:
    longest = replace(a_refused_line("A" * 64, 255), item_hash=ITEM, at_ms=253_402_300_799_999)
    parties: dict[str, Any] = {"exchange": "a" * 100, "from_party": "XA." + "x" * 61, "to_party": "XV." + "x" * 61}
    safe: ReceiptBatch = replace(a_batch(*[longest] * RECEIPT_LINES_SAFE), **parties)
    assert codec.decode_receipts(codec.encode_receipts(safe)) == safe
    with pytest.raises(TooLarge):
        codec.encode_receipts(a_batch(*[longest] * 500))


@pytest.mark.parametrize("number", [0, 5, 99])
def test_an_unknown_or_missing_enum_value_is_refused(number: int) -> None:
    batch = pb.ReceiptBatch.FromString(codec.encode_receipts(a_batch()))
    batch.lines[0].status = pb.ReceiptStatus.ValueType(number)
    with pytest.raises(MalformedInput):
        codec.decode_receipts(serialise(batch))
    retraction = pb.Retraction.FromString(codec.encode_retraction(a_retraction()))
    retraction.action = pb.RetractionAction.ValueType(number)
    with pytest.raises(MalformedInput):
        codec.decode_retraction(serialise(retraction))


def test_the_parties_are_partners() -> None:
    changes: list[dict[str, Any]] = [{"from_party": ""}, {"to_party": "council"}, {"to_party": ""}]
    for change in changes:
        with pytest.raises(BadName):
            replace(a_batch(), **change)
        with pytest.raises(BadName):
            replace(a_stream_head(), **change)
    with pytest.raises(BadName):
        replace(a_retraction(), originator="relay")


@pytest.mark.parametrize(
    "change",
    [
        {"reason_code": ""},
        {"reason_code": "bored"},
        {"text": "x" * 2001},
        {"text": "\x1b]0;title\x07"},
        {"text": "\r"},
        {"text": "\udfff"},
        {"item_hash": b""},
        {"at_ms": 0},
    ],
)
def test_a_retraction_outside_its_vocabulary_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_retraction(), **change)


def test_a_retraction_may_say_two_thousand_characters_of_any_alphabet() -> None:
    long = replace(a_retraction(), text="\U0001f6d1" * 2000)
    assert codec.decode_retraction(codec.encode_retraction(long)) == long
    assert replace(a_retraction(), text="").text == ""


@pytest.mark.parametrize(
    "change",
    [
        {"lane": 0},
        {"lane": 4},
        {"stream": -1},
        {"stream": 1 << 32},
        {"last_seq": 0},
        {"running_hash": b""},
        {"voided": (2, 1)},
        {"voided": (1, 1)},
        {"voided": (0, 1)},
        {"voided": (301,)},
        {"voided": tuple(range(1, 1026)), "last_seq": 9999},
    ],
)
def test_a_tail_beyond_its_limits_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(a_tail(), **change)


def test_a_stream_head_names_each_stream_once() -> None:
    for tails in ((), (a_tail(), a_tail()), tuple(replace(a_tail(), stream=number) for number in range(65))):
        with pytest.raises(BadInput):
            replace(a_stream_head(), tails=tails)
    crowded = tuple(
        replace(a_tail(), stream=number, last_seq=1 << 62, voided=tuple(range(1 << 61, (1 << 61) + 1024)))
        for number in range(8)
    )
    with pytest.raises(TooLarge):
        codec.encode_stream_head(replace(a_stream_head(), tails=crowded))


def test_an_agreement_without_signatures_is_refused() -> None:
    with pytest.raises(MalformedInput):
        codec.decode_agreement_text(b"\n\x00\x12\x00")


def test_the_running_hash_covers_number_order_and_envelope() -> None:
    other = bytes([9]) * 32
    first = next_running_hash(STREAM_START, 1, ENVELOPE)
    assert first.hex() == "7638639843f0fb1e02755c6ac6633ef1c4dfa3ceb1a65f39446e9eebeeb4c8a0"
    assert len({first, next_running_hash(STREAM_START, 2, ENVELOPE), next_running_hash(STREAM_START, 1, other)}) == 3
    there = next_running_hash(next_running_hash(STREAM_START, 1, ENVELOPE), 2, other)
    back = next_running_hash(next_running_hash(STREAM_START, 1, other), 2, ENVELOPE)
    assert there != back
    for running, seq, envelope in [(b"", 1, ENVELOPE), (STREAM_START, 0, ENVELOPE), (STREAM_START, 1, b"")]:
        with pytest.raises(BadInput):
            next_running_hash(running, seq, envelope)
