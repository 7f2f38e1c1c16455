"""Envelopes as bytes: one encoding for each value, and the relay's short cut makes the same one."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from exchange.crypto.codec import encode_signed
from exchange.envelope import codec
from exchange.envelope.binding import body_context, slot_tree, wrap_info
from exchange.envelope.blob import attachments_of
from exchange.envelope.codec import (
    decode_body,
    decode_core,
    decode_delivery,
    decode_header,
    decode_leaf,
    decode_report,
    decode_submission,
    delivery_bytes,
    encode_body,
    encode_core,
    encode_delivery,
    encode_header,
    encode_leaf,
    encode_report,
    encode_submission,
)
from exchange.envelope.model import BlobKey, BlobRef, Body, Delivery, EnvelopeKind, Lane
from exchange.errors import BadInput, MalformedInput, TooLarge
from exchange.limits import DELIVERY_BYTES, REPORT_BYTES, SUBMISSION_BYTES
from exchange.limits import RELEASE_BYTES as RELEASE_BYTES_MAX
from exchange.merkle import root_of
from exchange.v1 import envelope_pb2 as pb
from tests.support.envelope_builders import (
    RELEASE_BYTES,
    XV,
    a_promise,
    a_report,
    a_sealed,
    a_statement,
    deliver,
    seed,
    take_apart,
    verified,
)

DECODERS: list[Callable[[bytes], object]] = [
    decode_core,
    decode_header,
    decode_leaf,
    decode_submission,
    decode_delivery,
    decode_body,
    decode_report,
]


def test_every_message_reads_back_as_it_was_written() -> None:
    parts = take_apart(a_sealed())
    blob = BlobRef(seed("id")[:16], seed("hash"), 123)
    core = replace(parts.core, grants=(seed("a"), seed("b")), blobs=(blob,))
    assert decode_core(encode_core(core)) == core
    assert decode_header(encode_header(parts.header)) == parts.header
    for submitted in parts.submission.leaves:
        assert encode_leaf(decode_leaf(submitted.leaf)) == submitted.leaf
    assert decode_submission(encode_submission(parts.submission)) == parts.submission
    key = BlobKey(blob.blob_id, seed("key"), 100, seed("plain"), "map.pdf", "application/pdf")
    body = Body(a_statement(a_report()), grants=(a_promise(seed("x")),), blobs=(key,), release=RELEASE_BYTES)
    assert decode_body(encode_body(body)) == body
    report = a_report(supersedes=seed("before"), attachments=attachments_of([key]))
    assert decode_report(encode_report(report)) == report


def test_the_relays_short_cut_gives_the_codecs_bytes() -> None:
    envelope = verified(a_sealed())
    for leaf, proof in zip(envelope.leaves, envelope.proofs, strict=True):
        promise = a_promise(envelope.envelope_hash)
        whole = Delivery(envelope.header_signed, leaf.data, leaf.index, proof, leaf.wrap, envelope.body, promise)
        short = delivery_bytes(
            header=encode_signed(envelope.header_signed),
            leaf=leaf.data,
            leaf_index=leaf.index,
            proof=proof,
            wrap=leaf.wrap,
            body=envelope.body,
            promise=encode_signed(promise),
        )
        assert short == encode_delivery(whole)
        assert decode_delivery(short) == whole


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
def test_nothing_is_not_a_message(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(BadInput):
        decode(b"")


def test_limits_are_checked_before_anything_is_parsed() -> None:
    for decode, limit in (
        (decode_core, codec.CORE_BYTES),
        (decode_header, codec.HEADER_BYTES),
        (decode_leaf, codec.LEAF_BYTES),
        (decode_submission, SUBMISSION_BYTES),
        (decode_delivery, DELIVERY_BYTES),
        (decode_body, SUBMISSION_BYTES),
        (decode_report, codec.STATEMENT_PAYLOAD_BYTES),
    ):
        with pytest.raises(TooLarge):
            decode(b"\xff" * (limit + 1))
        with pytest.raises(MalformedInput):
            decode(b"\xff" * limit)


def test_counts_have_limits() -> None:
    message = pb.Submission.FromString(a_sealed().submission_bytes)
    message.leaves.extend([message.leaves[0]] * 255)
    with pytest.raises(TooLarge):
        decode_submission(message.SerializeToString(deterministic=True))
    del message.leaves[:]
    with pytest.raises(MalformedInput):
        decode_submission(message.SerializeToString(deterministic=True))
    body = pb.Body.FromString(encode_body(Body(a_statement(a_report()))))
    for field in ("grants", "blobs"):
        many = pb.Body.FromString(body.SerializeToString())
        getattr(many, field).extend([getattr(many, field).add()] * 64)
        with pytest.raises(TooLarge):
            decode_body(many.SerializeToString(deterministic=True))
    body.release = bytes(RELEASE_BYTES_MAX + 1)
    with pytest.raises(TooLarge):
        decode_body(body.SerializeToString(deterministic=True))


def test_the_largest_report_fits_and_one_byte_more_does_not() -> None:
    largest = a_report(content=bytes(REPORT_BYTES))
    assert decode_report(encode_report(largest)) == largest
    with pytest.raises(TooLarge):
        decode_report(encode_report(a_report(content=bytes(REPORT_BYTES + 1))))
    envelope = verified(a_sealed(body=Body(a_statement(largest))))
    assert len(decode_delivery(deliver(envelope)).body) > REPORT_BYTES


def test_enums_have_the_numbers_of_the_protocol() -> None:
    assert {f"LANE_{lane.name}": lane.value for lane in Lane} == {
        name: number for name, number in pb.Lane.items() if number
    }
    assert {f"ENVELOPE_KIND_{kind.name}": kind.value for kind in EnvelopeKind} == {
        name: number for name, number in pb.EnvelopeKind.items() if number
    }


def test_the_exact_bytes_of_crypto_md_1_4() -> None:
    """Written out apart from the product code, so that a changed label does not change both."""
    assert body_context(b"\x01" * 32) == b"concord/v1/body\x00" + b"\x01" * 32
    assert wrap_info(b"\x01" * 32, b"\x02" * 32, XV) == b"concord/v1/wrap\x00" + b"\x01" * 32 + b"\x02" * 32 + b"XV"
    hashes = [sha256(b"concord/v1/dummy\x00" + b"\x03" * 32 + bytes([0, 0, 0, index])).digest() for index in range(256)]
    assert slot_tree({}, b"\x03" * 32).root == root_of(hashes)
    hashes[7] = b"\x04" * 32
    assert slot_tree({7: b"\x04" * 32}, b"\x03" * 32).root == root_of(hashes)


@pytest.mark.parametrize("index", [0, 1, 127, 128, 255])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 70_000])
def test_the_relays_short_cut_has_the_codecs_lengths(index: int, size: int) -> None:
    envelope, promise = verified(a_sealed()), a_promise(seed("hash"))
    proof = (seed("step"),) * (size % 9)
    whole = Delivery(envelope.header_signed, b"leaf", index, proof, bytes(size), bytes(size), promise)
    short = delivery_bytes(
        header=encode_signed(envelope.header_signed),
        leaf=b"leaf",
        leaf_index=index,
        proof=proof,
        wrap=bytes(size),
        body=bytes(size),
        promise=encode_signed(promise),
    )
    assert short == encode_delivery(whole)
