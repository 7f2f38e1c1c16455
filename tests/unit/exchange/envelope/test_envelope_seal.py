"""Sealing: what goes in comes out at every recipient, and nothing is sealed that others would refuse."""

from dataclasses import replace
from typing import Any

import pytest

from exchange.crypto.signed import VerifiedRoots, sign
from exchange.crypto.signing import Ed25519Key
from exchange.envelope.binding import item_hash
from exchange.envelope.blob import BLOB_BYTES, attachments_of, blob_size
from exchange.envelope.codec import decode_submission, encode_report
from exchange.envelope.model import BlobKey, BlobRef, Body, EnvelopeKind, Lane
from exchange.envelope.open import open_envelope
from exchange.envelope.rules import CONTROL_CIPHERTEXT_BYTES
from exchange.envelope.seal import envelope_hash, finish, prepare, seal, seal_all
from exchange.errors import BadInput
from exchange.limits import ENVELOPE_LIFE_MS, SLOTS, SUBMISSION_BYTES
from tests.support.envelope_builders import (
    BASIS,
    CONTENT,
    DAY,
    EXCHANGE,
    NOW,
    OPEN_RELEASE_BYTES,
    RELEASE_BYTES,
    XA,
    XO,
    XV,
    a_report,
    a_sealed,
    a_statement,
    an_open_report,
    control_fields,
    deliver,
    envelope_key,
    fields,
    open_checks,
    parties,
    prekey,
    relay_checks,
    relay_label_of,
    statement_key,
    to,
    verified,
)

ATTACHMENT = BlobRef(b"b" * 16, b"h" * 32, blob_size(65_000))
LARGE_GRANT = sign(statement_key(XV), "consent-grant", bytes(SUBMISSION_BYTES - 10_000), context=EXCHANGE)
ATTACHMENT_KEY = BlobKey(b"b" * 16, b"k" * 32, 65_000, b"p" * 32, "photo.jpg", "image/jpeg")


@pytest.mark.parametrize("count", [1, 8, 140, 256])
def test_every_recipient_opens_what_was_sealed(count: int) -> None:
    names = parties(count)
    sealed = a_sealed(recipients=[to(name, pair_seq=number + 1) for number, name in enumerate(names)])
    envelope = verified(sealed)
    for name in {names[0], names[len(names) // 2], names[-1]}:
        opened = open_envelope(deliver(envelope, name), context=open_checks(name))
        assert opened.report == a_report()
        assert opened.report.content == CONTENT
        assert opened.item_hash == item_hash(encode_report(a_report()))
        assert opened.leaf.recipient == name
        assert opened.leaf.pair_seq == names.index(name) + 1
        assert opened.leaf.basis == BASIS
        assert opened.core.sender == XA
        assert opened.envelope_hash == sealed.envelope_hash == envelope_hash(opened.header_signed.payload)
        assert opened.promise_facts.directory_size == 40


def test_the_size_of_a_delivery_says_nothing_of_the_audience() -> None:
    """The number of the slot takes 0 to 2 bytes more, and slots are drawn at random whatever the audience is."""
    sizes = set()
    for count in (1, 8, 140, 256):
        envelope = verified(a_sealed(recipients=[to(name) for name in parties(count)]))
        slot = next(leaf.index for leaf in envelope.leaves if leaf.leaf.recipient == XV)
        sizes.add(len(deliver(envelope)) - (0 if slot == 0 else 2 if slot < 128 else 3))
    assert len(sizes) == 1


def test_bodies_of_many_lengths_have_few_sizes() -> None:
    sizes = {
        len(verified(a_sealed(body=Body(a_statement(a_report(content=b"x" * size))))).body)
        for size in range(1, 257, 16)
    }
    assert len(sizes) <= 3


def test_two_sealings_of_one_report_share_nothing_that_the_relay_could_match() -> None:
    first, second = verified(a_sealed()), verified(a_sealed())
    assert first.envelope_hash != second.envelope_hash
    assert first.body != second.body
    assert not {leaf.wrap for leaf in first.leaves} & {leaf.wrap for leaf in second.leaves}
    assert not {leaf.data for leaf in first.leaves} & {leaf.data for leaf in second.leaves}


def test_slots_are_drawn_from_all_256_and_ascend() -> None:
    sealed = [a_sealed() for _ in range(60)]
    used = {slot for each in sealed for slot, _ in each.slots}
    assert all([slot for slot, _ in each.slots] == sorted({slot for slot, _ in each.slots}) for each in sealed)
    assert used <= set(range(SLOTS))
    assert len(used) > 60  # 120 draws from 256 hit about 96 slots
    orders = {tuple(party for _, party in each.slots) for each in sealed}
    assert orders == {(XV, XO), (XO, XV)}


def test_slots_say_who_stands_where() -> None:
    sealed = a_sealed()
    assert sealed.slots == tuple((leaf.index, leaf.leaf.recipient) for leaf in verified(sealed).leaves)


def test_many_headers_take_one_signature_and_each_stands_alone() -> None:
    prepared = [prepare(**fields(), sender_key=envelope_key(XA).public.key_id) for _ in range(5)]
    sealed = seal_all(prepared, envelope_key(XA))
    seen = VerifiedRoots()
    for each in sealed:
        envelope = verified(each, seen=seen)
        assert envelope.header_signed.signatures[0].size == 5
        assert open_envelope(deliver(envelope), context=open_checks()).report == a_report()
    assert len(seen) == 1


def test_a_header_signed_elsewhere_is_finished_here() -> None:
    prepared = prepare(**fields(), sender_key=envelope_key(XA).public.key_id)
    signed = sign(envelope_key(XA), "envelope", prepared.header_bytes, context=EXCHANGE)
    submission = finish(prepared, signed)
    assert submission.header == signed
    with pytest.raises(BadInput):
        finish(prepared, sign(envelope_key(XA), "envelope", prepared.header_bytes + b"x", context=EXCHANGE))
    with pytest.raises(BadInput):
        finish(prepared, sign(envelope_key(XV), "envelope", prepared.header_bytes, context=EXCHANGE))


def test_a_batch_is_of_one_exchange_and_one_key() -> None:
    prepared = prepare(**fields(), sender_key=envelope_key(XA).public.key_id)
    with pytest.raises(BadInput):
        seal_all([], envelope_key(XA))
    with pytest.raises(BadInput):
        seal_all([prepared], Ed25519Key.generate())
    other = prepare(**fields(exchange="exercise.concord.example"), sender_key=envelope_key(XA).public.key_id)
    with pytest.raises(BadInput):
        seal_all([prepared, other], envelope_key(XA))


def test_a_control_envelope_needs_no_agreement_and_says_nothing() -> None:
    envelope = verified(seal(envelope_key(XA), **control_fields()))
    assert envelope.core.kind is EnvelopeKind.CONTROL
    opened = open_envelope(deliver(envelope), context=open_checks())
    assert opened.payload == b"a retraction"
    assert opened.statement.payload_type == "application/vnd.concord.retraction.v1+protobuf"
    assert opened.report is None
    assert opened.label is None
    assert opened.leaf.basis is None


def test_the_largest_control_body_is_64_kib_padded() -> None:
    def control(size: int) -> bytes:
        statement = sign(statement_key(XA), "receipts", bytes(size), context=EXCHANGE)
        return verified(seal(envelope_key(XA), **control_fields(body=Body(statement)))).body

    assert len(control(61_440)) == CONTROL_CIPHERTEXT_BYTES
    with pytest.raises(BadInput):
        control(63_000)


def test_attachments_release_community_and_display_only_travel_with_the_report() -> None:
    report = replace(an_open_report(), attachments=attachments_of([ATTACHMENT_KEY]))
    body = Body(a_statement(report), blobs=(ATTACHMENT_KEY,), release=OPEN_RELEASE_BYTES)
    sealed = a_sealed(
        body=body,
        label=relay_label_of(report),
        blobs=[ATTACHMENT],
        recipients=[to(XV, via="community/1", display_only=True)],
    )
    opened = open_envelope(deliver(verified(sealed)), context=open_checks())
    assert opened.core.blobs == (ATTACHMENT,)
    assert opened.body == body
    assert opened.leaf.via == "community/1"
    assert opened.leaf.display_only


@pytest.mark.parametrize(
    "changes",
    [
        {"recipients": []},
        {"recipients": [to(XV), to(XV)]},
        {"recipients": [to(name) for name in parties(257)]},
        {"recipients": [to(XV, basis=None)]},
        {"recipients": [to(XV, kem=envelope_key(XV).public)]},
        {"expires_ms": NOW},
        {"expires_ms": NOW + ENVELOPE_LIFE_MS + 1},
        {"expires_ms": NOW + DAY},  # before its label
        {"created_ms": 0},
        {"exchange": "Not An Exchange"},
        {"kind": EnvelopeKind.CONTROL},
        {"body": Body(sign(statement_key(XA), "retraction", b"a retraction", context=EXCHANGE))},
        {"blobs": [ATTACHMENT]},  # without its key
        {  # of another size than its file gives
            "blobs": [replace(ATTACHMENT, size=70_000)],
            "body": Body(a_statement(a_report()), blobs=(ATTACHMENT_KEY,)),
        },
        {  # larger than any
            "blobs": [replace(ATTACHMENT, size=BLOB_BYTES + 1)],
            "body": Body(a_statement(a_report()), blobs=(replace(ATTACHMENT_KEY, size=2 << 30),)),
        },
        {  # too large together
            "blobs": [replace(ATTACHMENT, blob_id=bytes([n]) * 16, size=BLOB_BYTES) for n in range(3)],
            "body": Body(
                a_statement(a_report()),
                blobs=tuple(replace(ATTACHMENT_KEY, blob_id=bytes([n]) * 16, size=2 << 30) for n in range(3)),
            ),
        },
        {"body": Body(a_statement(a_report()), grants=(LARGE_GRANT,))},
        {"body": Body(a_statement(a_report()), blobs=(ATTACHMENT_KEY,))},  # without its reference
    ],
)
def test_nothing_is_sealed_that_others_would_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        seal(envelope_key(XA), **fields(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"recipients": [to(XV)]},  # with an agreement
        {"recipients": [to(XV, basis=None, via="community/1")]},
        {"recipients": [to(XV, basis=None, display_only=True)]},
        {"label": fields()["label"]},
        {"blobs": [ATTACHMENT]},
        {"body": Body(a_statement(a_report()))},
        {"body": Body(sign(statement_key(XA), "receipts", b"x", context=EXCHANGE), release=RELEASE_BYTES)},
        {
            "body": Body(
                sign(statement_key(XA), "receipts", b"x", context=EXCHANGE),
                grants=(sign(statement_key(XV), "consent-grant", b"x", context=EXCHANGE),),
            )
        },
    ],
)
def test_a_control_envelope_carries_nothing_of_a_report(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        seal(envelope_key(XA), **control_fields(**changes))


def test_keys_and_contents_are_in_no_repr() -> None:
    body = Body(a_statement(a_report(attachments=attachments_of([ATTACHMENT_KEY]))), blobs=(ATTACHMENT_KEY,))
    prepared = prepare(**fields(body=body, blobs=[ATTACHMENT]), sender_key=envelope_key(XA).public.key_id)
    sealed = seal_all([prepared], envelope_key(XA))[0]
    opened = open_envelope(deliver(verified(sealed)), context=open_checks())
    submission = decode_submission(sealed.submission_bytes)
    shown = "".join(map(repr, (body, ATTACHMENT_KEY, prepared, sealed, submission, opened, opened.report)))
    for secret in (ATTACHMENT_KEY.key, CONTENT, submission.dummy_seed, submission.leaves[0].wrap):
        assert repr(secret)[2:-1] not in shown
    assert "photo.jpg" not in shown


def test_the_relay_needs_no_key_of_a_recipient() -> None:
    checks = relay_checks()
    assert checks.prekey_ids(XV, NOW) == prekey(XV).public.key_id
    assert checks.envelope_key(XA, statement_key(XA).public.key_id) is None
    assert verified(a_sealed(lane=Lane.FLASH)).core.lane is Lane.FLASH
