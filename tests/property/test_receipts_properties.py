"""Whatever a refusal says, it has one length; whatever bytes arrive, they are one value or refused."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import BadInput
from exchange.receipts import codec
from exchange.receipts.model import (
    DecisionRecord,
    Promise,
    ReceiptBatch,
    ReceiptLine,
    ReceiptStatus,
    Refusal,
    RelayDecision,
)
from exchange.resend.codec import (
    decode_resend_answer,
    decode_resend_request,
    encode_resend_answer,
    encode_resend_request,
)
from exchange.resend.model import MissingNumbers, ResendAnswer, ResendLine, ResendOutcome, ResendRequest
from tests.support.receipts import (
    a_batch,
    a_decision_record,
    a_promise,
    a_refusal,
    a_resend_answer,
    a_resend_request,
    a_retraction,
    a_stream_head,
)

EXCHANGES = st.from_regex(r"[a-z0-9][a-z0-9./-]{1,98}[a-z0-9]", fullmatch=True)
PARTIES = st.from_regex(r"[A-Z]{2}(\.[a-z0-9]{1,30}){0,2}", fullmatch=True)
REASONS = st.from_regex(r"[A-Z][A-Z0-9_]{0,63}", fullmatch=True)
CLAUSES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=200).filter(
    lambda text: len(text.encode()) <= 200
)
HASHES = st.binary(min_size=32, max_size=32)
SALTS = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(0, (1 << 63) - 1)
TIMES = st.integers(1, 253_402_300_799_999)

refusals = st.builds(
    Refusal,
    exchange=EXCHANGES,
    envelope_hash=HASHES,
    reason=REASONS,
    step=st.integers(0, 255),
    clause=CLAUSES,
    recipient=st.just("") | PARTIES,
    directory_size=NUMBERS,
    refused_ms=TIMES,
    salt=SALTS,
)
promises = st.builds(
    Promise,
    exchange=EXCHANGES,
    envelope_hash=HASHES,
    log_index=NUMBERS,
    received_ms=TIMES,
    directory_size=st.integers(1, (1 << 63) - 1),
    decisions_sha256=HASHES,
    salt=SALTS,
)
records = st.builds(
    DecisionRecord,
    exchange=EXCHANGES,
    envelope_hash=HASHES,
    decisions=st.sets(st.integers(0, 255), min_size=1, max_size=20).map(
        lambda slots: tuple(RelayDecision(slot, b"" if slot % 2 else bytes(32)) for slot in sorted(slots))
    ),
    salt=SALTS,
)
accepted = st.builds(
    ReceiptLine,
    envelope_hash=HASHES,
    item_hash=HASHES,
    status=st.sampled_from([ReceiptStatus.STORED, ReceiptStatus.RETRACTED, ReceiptStatus.PURGED]),
    at_ms=TIMES,
)
refused = st.builds(
    ReceiptLine,
    envelope_hash=HASHES,
    item_hash=st.just(b"") | HASHES,
    status=st.just(ReceiptStatus.REFUSED),
    at_ms=TIMES,
    step=st.integers(0, 255),
    reason=REASONS,
)
batches = st.builds(
    ReceiptBatch,
    exchange=EXCHANGES,
    from_party=PARTIES,
    to_party=PARTIES,
    lines=st.lists(accepted | refused, min_size=1, max_size=10).map(tuple),
    at_ms=TIMES,
    salt=SALTS,
)


SEQUENCES = st.lists(st.integers(1, (1 << 63) - 1), min_size=1, max_size=10, unique=True).map(sorted)
requests = st.builds(
    ResendRequest,
    exchange=EXCHANGES,
    from_party=PARTIES,
    to_party=PARTIES,
    gaps=st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 9)), SEQUENCES, min_size=1, max_size=5).map(
        lambda gaps: tuple(MissingNumbers(lane, stream, tuple(found)) for (lane, stream), found in gaps.items())
    ),
    at_ms=TIMES,
    salt=SALTS,
)
answers = st.builds(
    ResendAnswer,
    exchange=EXCHANGES,
    from_party=PARTIES,
    to_party=PARTIES,
    lines=st.dictionaries(SEQUENCES.map(lambda found: found[0]), st.sampled_from(ResendOutcome), min_size=1).map(
        lambda lines: tuple(
            ResendLine(1, 1, seq, outcome, b"" if outcome is ResendOutcome.VOID else bytes(32))
            for seq, outcome in sorted(lines.items())[:50]
        )
    ),
    at_ms=TIMES,
    salt=SALTS,
)


@given(refusals)
def test_every_refusal_has_the_same_length(refusal: Refusal) -> None:
    """Invariant 8: no error, count or size bucket differs between "absent" and "not cleared"."""
    data = codec.encode_refusal(refusal)
    assert len(data) == codec.REFUSAL_BYTES
    assert codec.decode_refusal(data) == refusal


@given(promises, records, batches)
def test_every_value_comes_back_as_it_went(promise: Promise, record: DecisionRecord, batch: ReceiptBatch) -> None:
    assert codec.decode_promise(codec.encode_promise(promise)) == promise
    assert codec.decode_decisions(codec.encode_decisions(record)) == record
    assert codec.decode_receipts(codec.encode_receipts(batch)) == batch


@given(requests, answers)
def test_every_resend_request_and_answer_comes_back_as_it_went(request: ResendRequest, answer: ResendAnswer) -> None:
    assert decode_resend_request(encode_resend_request(request)) == request
    assert decode_resend_answer(encode_resend_answer(answer)) == answer


CODECS: list[tuple[Callable[[Any], bytes], Callable[[bytes], Any], Any]] = [
    (codec.encode_promise, codec.decode_promise, a_promise()),
    (codec.encode_refusal, codec.decode_refusal, a_refusal()),
    (codec.encode_decisions, codec.decode_decisions, a_decision_record()),
    (codec.encode_receipts, codec.decode_receipts, a_batch()),
    (codec.encode_retraction, codec.decode_retraction, a_retraction()),
    (codec.encode_stream_head, codec.decode_stream_head, a_stream_head()),
    (encode_resend_request, decode_resend_request, a_resend_request()),
    (encode_resend_answer, decode_resend_answer, a_resend_answer()),
]


@pytest.mark.parametrize(("encode", "decode", "value"), CODECS, ids=[type(each[2]).__name__ for each in CODECS])
@given(data=st.data())
def test_altered_bytes_are_refused_or_are_the_one_encoding_of_another_value(
    encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], value: object, data: st.DataObject
) -> None:
    bad = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(bad) - 1))
        bad[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        other = decode(bytes(bad))
    except BadInput:
        return
    assert encode(other) == bytes(bad)


UNFRAMED: list[Callable[[bytes], Any]] = [
    codec.decode_agreement_text,
    codec.decode_notice_delivery,
    codec.decode_acknowledgement,
]


@pytest.mark.parametrize("decode", [each[1] for each in CODECS] + UNFRAMED)
@given(junk=st.binary(max_size=300))
def test_any_bytes_are_a_value_or_refused(decode: Callable[[bytes], Any], junk: bytes) -> None:
    with pytest.raises(BadInput):
        decode(junk)
