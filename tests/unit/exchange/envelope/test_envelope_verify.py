"""What the relay refuses, and at which of its numbered steps (docs/spec/envelope.md, relay's checks)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange.crypto.padme import frame
from exchange.crypto.signed import add_signature, sign
from exchange.crypto.signing import Ed25519Key
from exchange.envelope.codec import decode_leaf, encode_body, encode_leaf, encode_submission
from exchange.envelope.model import CONTROL_LABEL, BlobRef, Body, EnvelopeKind, SubmittedLeaf
from exchange.envelope.rules import CONTROL_CIPHERTEXT_BYTES
from exchange.envelope.seal import seal
from exchange.envelope.verify import verify_submission
from exchange.errors import BadEnvelope
from exchange.limits import CLOCK_AHEAD_MS, CLOCK_BEHIND_MS, ENVELOPE_LIFE_MS, SUBMISSION_BYTES
from exchange.merkle import leaf_hash, verify_inclusion
from exchange.names import PartyId
from exchange.policy.model import Tlp
from exchange.v1 import envelope_pb2 as pb
from tests.support.envelope_builders import (
    BASIS,
    DAY,
    EXCHANGE,
    NOW,
    XA,
    XM,
    XO,
    XV,
    Parts,
    a_report,
    a_sealed,
    a_statement,
    control_fields,
    envelope_key,
    prekey,
    relay_checks,
    resign,
    seed,
    statement_key,
    take_apart,
    to,
    unsafe_seal,
    verified,
)


@pytest.fixture
def parts() -> Parts:
    return take_apart(a_sealed())


def refused(submission: bytes, **changes: object) -> BadEnvelope:
    with pytest.raises(BadEnvelope) as caught:
        verify_submission(submission, context=relay_checks(**changes))
    return caught.value


def test_an_honest_submission_is_verified_with_a_proof_for_every_leaf() -> None:
    sealed = a_sealed()
    envelope = verified(sealed)
    assert envelope.envelope_hash == sealed.envelope_hash
    assert {leaf.leaf.recipient for leaf in envelope.leaves} == {XV, XO}
    for leaf, proof in zip(envelope.leaves, envelope.proofs, strict=True):
        assert len(proof) == 8
        assert decode_leaf(leaf.data) == leaf.leaf
        verify_inclusion(leaf_hash(leaf.data), leaf.index, 256, proof, envelope.header.recipients_root)


def test_a_changed_and_resigned_submission_is_otherwise_accepted(parts: Parts) -> None:
    """What the tests below change is therefore what they are refused for."""
    assert verified(resign(parts)).core == parts.core
    body = encode_body(Body(a_statement(a_report())))
    assert verified(unsafe_seal(parts.core, frame(body), [to(XV), to(XO)])).core == parts.core


def test_step_1_refuses_more_than_the_limit() -> None:
    assert refused(bytes(SUBMISSION_BYTES + 1)).step == 1


def test_step_2_refuses_what_does_not_parse_strictly(parts: Parts) -> None:
    whole = encode_submission(parts.submission)
    duplicate = pb.Submission(dummy_seed=parts.submission.dummy_seed).SerializeToString()
    for data in (b"", whole[:-1], whole + b"\x00", whole + duplicate, duplicate + whole, whole + b"\x7a\x00"):
        assert refused(data).step == 2
    core, header = parts.header.core, parts.submission.header.payload
    for extra in (b"\x78\x01", b"\x08\x01", b"\x50\x01"):
        assert refused(resign(parts, core=core + extra)).step == 2
        assert refused(resign(parts, header=header + extra)).step == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda core: setattr(core, "lane", 0),
        lambda core: setattr(core, "lane", 4),
        lambda core: setattr(core, "kind", 0),
        lambda core: setattr(core, "kind", 3),
        lambda core: setattr(core.label, "tlp", 0),
        lambda core: setattr(core.label, "tlp", 6),
        lambda core: setattr(core.label, "flags", 32),
        lambda core: setattr(core.label, "policy", ""),
        lambda core: core.label.categories.append(0),
        lambda core: core.label.categories.append(14),
        lambda core: core.label.categories.insert(0, 13),
        lambda core: core.label.categories.append(core.label.categories[-1]),
        lambda core: core.label.purposes.append(99),
        lambda core: core.label.purposes.append(core.label.purposes[-1]),
        lambda core: setattr(core.label, "label_sha256", b"short"),
        lambda core: core.ClearField("label"),
        lambda core: core.ClearField("directory"),
        lambda core: setattr(core.directory, "size", 0),
        lambda core: setattr(core.directory, "root", bytes(31)),
        lambda core: setattr(core, "envelope_id", bytes(15)),
        lambda core: setattr(core, "sender", "xa"),
        lambda core: setattr(core, "sender_key", bytes(33)),
        lambda core: setattr(core, "exchange", "Demo"),
        lambda core: setattr(core, "created_ms", 1 << 63),
        lambda core: setattr(core, "expires_ms", 0),
        lambda core: core.grants.append(bytes(31)),
        lambda core: core.grants.extend([bytes(32)] * 2),
        lambda core: core.grants.extend(bytes([number]) * 32 for number in range(65)),
        lambda core: core.blobs.add(blob_id=bytes(16), sha256=bytes(32), size=0),
        lambda core: core.blobs.add(blob_id=bytes(16), sha256=bytes(31), size=1),
        lambda core: [core.blobs.add(blob_id=bytes(16), sha256=bytes(32), size=1) for _ in range(2)],
        lambda core: [core.blobs.add(blob_id=bytes([n]) * 16, sha256=bytes(32), size=1) for n in range(65)],
    ],
)
def test_step_2_refuses_unspecified_unknown_and_misshapen_values(
    parts: Parts, change: Callable[[pb.EnvelopeCore], None]
) -> None:
    core = pb.EnvelopeCore.FromString(parts.header.core)
    change(core)
    assert refused(resign(parts, core=core.SerializeToString(deterministic=True))).step == 2


def test_step_3_refuses_another_exchange_suite_or_tree(parts: Parts) -> None:
    for suite in (0, 2):
        assert refused(resign(parts, core=replace(parts.core, suite=suite))).step == 3
    exercise = replace(parts.core, exchange=type(parts.core.exchange)("exercise.concord.example"))
    assert refused(resign(parts, core=exercise)).step == 3
    for slots in (0, 255, 512):
        assert refused(resign(parts, header=replace(parts.header, slots=slots))).step == 3


def test_step_3_refuses_a_label_that_does_not_belong_to_the_kind(parts: Parts) -> None:
    label = parts.core.label
    for changed in (
        replace(label, categories=()),
        replace(label, purposes=()),
        replace(label, expires_ms=0),
        replace(label, expires_ms=parts.core.expires_ms + 1),
    ):
        assert refused(resign(parts, core=replace(parts.core, label=changed))).step == 3
    assert refused(resign(parts, core=replace(parts.core, kind=EnvelopeKind.CONTROL))).step == 3
    assert refused(resign(parts, core=replace(parts.core, label=CONTROL_LABEL))).step == 3
    control = take_apart(seal(envelope_key(XA), **control_fields()))
    softer = replace(control.core, label=replace(CONTROL_LABEL, tlp=Tlp.CLEAR))
    assert refused(resign(control, core=softer)).step == 3
    for extra in ({"grants": (bytes(32),)}, {"blobs": (BlobRef(bytes(16), bytes(32), 1),)}):
        assert refused(resign(control, core=replace(control.core, **extra))).step == 3


def test_step_4_refuses_a_sender_who_is_not_the_peer() -> None:
    assert refused(a_sealed().submission_bytes, peer=XV).step == 4


def test_step_5_refuses_a_key_that_is_not_valid_now(parts: Parts) -> None:
    data = encode_submission(parts.submission)
    assert refused(data, envelope_key=lambda *_: None).step == 5
    # Neither a key of the directory that is made for other uses, nor one that the directory does not know.
    assert refused(data, envelope_key=lambda *_: statement_key(XA).public).step == 5
    stranger = Ed25519Key.generate()
    core = replace(parts.core, sender_key=stranger.public.key_id)
    assert refused(resign(parts, core=core, key=stranger)).step == 5


def test_step_6_refuses_whatever_the_envelope_key_did_not_sign(parts: Parts) -> None:
    signed = parts.submission.header
    lowered = replace(parts.core, label=replace(parts.core.label, tlp=Tlp.CLEAR))
    headers = [
        replace(signed, payload=take_apart_header(resign(parts, core=lowered))),
        replace(signed, payload_type="application/vnd.concord.report.v1+protobuf"),
        sign(envelope_key(XV), "envelope", signed.payload, context=EXCHANGE),
        sign(envelope_key(XA), "envelope", signed.payload, context="exercise.concord.example"),
        sign(envelope_key(XA), "promise", signed.payload, context=EXCHANGE),
        sign(statement_key(XA), "envelope", signed.payload, context=EXCHANGE),
        add_signature(signed, envelope_key(XV), context=EXCHANGE),
    ]
    for header in headers:
        assert refused(encode_submission(replace(parts.submission, header=header))).step == 6


def take_apart_header(submission: bytes) -> bytes:
    return pb.Submission.FromString(submission).header.payload


def test_step_7_refuses_what_lies_outside_the_clock_window(parts: Parts) -> None:
    data = encode_submission(parts.submission)
    for now_ms in (NOW - CLOCK_AHEAD_MS, NOW + CLOCK_BEHIND_MS):
        assert verified(data, now_ms=now_ms).core.created_ms == NOW
    assert refused(data, now_ms=NOW - CLOCK_AHEAD_MS - 1).step == 7
    assert refused(data, now_ms=NOW + CLOCK_BEHIND_MS + 1).step == 7
    label = replace(parts.core.label, expires_ms=NOW + 10)
    soon = replace(parts.core, label=label, expires_ms=NOW + 10)
    assert refused(resign(parts, core=soon), now_ms=NOW + 10).step == 7
    late = replace(parts.core, expires_ms=NOW + ENVELOPE_LIFE_MS + 1)
    assert refused(resign(parts, core=late)).step == 7
    past = replace(control_parts().core, expires_ms=NOW - DAY)
    assert refused(resign(control_parts(), core=past)).step == 7


def test_step_7_refuses_a_sender_that_names_more_of_the_directory_than_there_is(parts: Parts) -> None:
    """So a promise under fewer entries than its envelope names is the relay's own contradiction."""
    data, named = encode_submission(parts.submission), parts.core.directory.size
    assert verified(data, directory_size=named).core.directory.size == named
    assert refused(data, directory_size=named - 1).step == 7


def control_parts() -> Parts:
    return take_apart(seal(envelope_key(XA), **control_fields()))


def test_step_8_refuses_another_body(parts: Parts) -> None:
    body = take_apart(a_sealed()).submission.body
    assert refused(encode_submission(replace(parts.submission, body=body))).step == 8
    assert refused(encode_submission(replace(parts.submission, body=b""))).step == 8
    wrong_size = replace(parts.header, body_size=parts.header.body_size + 1)
    assert refused(resign(parts, header=wrong_size)).step == 8


def test_step_8_refuses_a_control_envelope_that_is_too_large() -> None:
    control = control_parts()
    assert verified(resign(control, body=bytes(CONTROL_CIPHERTEXT_BYTES))).body
    assert refused(resign(control, body=bytes(CONTROL_CIPHERTEXT_BYTES + 1))).step == 8


def changed_leaf(parts: Parts, at: int, change: Callable[[pb.RecipientLeaf], None]) -> list[SubmittedLeaf]:
    leaves = list(parts.submission.leaves)
    leaf = pb.RecipientLeaf.FromString(leaves[at].leaf)
    change(leaf)
    leaves[at] = replace(leaves[at], leaf=leaf.SerializeToString(deterministic=True))
    return leaves


@pytest.mark.parametrize(
    "change",
    [
        lambda leaf: setattr(leaf, "salt", bytes(15)),
        lambda leaf: setattr(leaf, "recipient", "nobody"),
        lambda leaf: setattr(leaf, "kem_key", bytes(31)),
        lambda leaf: setattr(leaf, "wrap_sha256", bytes(32)),
        lambda leaf: setattr(leaf, "stream", 0),
        lambda leaf: setattr(leaf, "pair_seq", 0),
        lambda leaf: setattr(leaf, "pair_seq", 1 << 63),
        lambda leaf: leaf.ClearField("basis"),
        lambda leaf: setattr(leaf.basis, "version", 0),
        lambda leaf: setattr(leaf.basis, "id", bytes(15)),
        lambda leaf: setattr(leaf.basis, "commitment", b""),
        lambda leaf: setattr(leaf, "via", "x" * 129),
        lambda leaf: setattr(leaf, "via", "a\nb"),
        lambda leaf: setattr(leaf, "share_commitment", bytes(32)),
    ],
)
def test_step_9_refuses_a_leaf_that_is_not_of_its_form(
    parts: Parts, change: Callable[[pb.RecipientLeaf], None]
) -> None:
    for at in (0, 1):
        assert refused(resign(parts, leaves=changed_leaf(parts, at, change))).step == 9


def test_step_9_refuses_unknown_fields_in_a_leaf(parts: Parts) -> None:
    first, second = parts.submission.leaves
    for extra in (b"\x78\x01", b"\x28\x01"):
        assert refused(resign(parts, leaves=[first, replace(second, leaf=second.leaf + extra)])).step == 9


def test_step_9_refuses_slots_that_repeat_descend_or_do_not_exist(parts: Parts) -> None:
    first, second = parts.submission.leaves
    for leaves in (
        [second, first],
        [first, replace(second, index=first.index)],
        [first, replace(second, index=256)],
        [first, replace(second, index=(1 << 32) - 1)],
    ):
        assert refused(resign(parts, leaves=leaves, root=False)).step == 9


def test_step_9_refuses_a_wrap_that_is_not_the_leafs(parts: Parts) -> None:
    first, second = parts.submission.leaves
    swapped = [replace(first, wrap=second.wrap), replace(second, wrap=first.wrap)]
    assert refused(resign(parts, leaves=swapped)).step == 9
    assert refused(resign(parts, leaves=[replace(first, wrap=b""), second])).step == 9
    # A wrap of another length, however well its hash fits.
    short = changed_leaf(parts, 0, lambda leaf: setattr(leaf, "wrap_sha256", seed("short")))
    assert refused(resign(parts, leaves=[replace(short[0], wrap=b"short"), short[1]])).step == 9


def test_step_9_refuses_the_same_recipient_twice(parts: Parts) -> None:
    twice = unsafe_seal(parts.core, frame(encode_body(Body(a_statement(a_report())))), [to(XV), to(XO), to(XV)])
    assert refused(twice).step == 9


def test_step_9_refuses_an_agreement_in_a_control_envelope() -> None:
    control = control_parts()

    def with_basis(leaf: pb.RecipientLeaf) -> None:
        leaf.basis.CopyFrom(pb.AgreementRef(id=BASIS.id, version=1, commitment=BASIS.commitment))

    for change in (
        with_basis,
        lambda leaf: setattr(leaf, "via", "community/1"),
        lambda leaf: setattr(leaf, "display_only", True),
    ):
        assert refused(resign(control, leaves=changed_leaf(control, 0, change))).step == 9


def test_step_10_refuses_a_key_that_is_not_the_recipients_of_that_day(parts: Parts) -> None:
    others = {XV: prekey(XO).public.key_id, XO: prekey(XV).public.key_id}

    def swap(leaf: pb.RecipientLeaf) -> None:
        leaf.kem_key = others[PartyId(leaf.recipient)]

    for at in (0, 1):
        assert refused(resign(parts, leaves=changed_leaf(parts, at, swap))).step == 10
    asked: list[tuple[str, int]] = []

    def of_yesterday(party: str, created_ms: int) -> bytes:
        asked.append((party, created_ms))
        return seed(party, "yesterday")

    assert refused(encode_submission(parts.submission), prekey_ids=of_yesterday).step == 10
    assert asked[0][1] == NOW


def test_step_10_answers_the_same_for_an_unknown_recipient_and_one_without_a_prekey(parts: Parts) -> None:
    answers = set()
    for party in ("XX", XM):
        framed = frame(encode_body(Body(a_statement(a_report()))))
        error = refused(unsafe_seal(parts.core, framed, [to(party)]))
        answers.add((error.step, str(error), error.reason, error.public, error.hint))
    assert len(answers) == 1
    assert answers.pop()[0] == 10


def test_step_11_refuses_leaves_that_are_not_those_of_the_root(parts: Parts) -> None:
    first, second = parts.submission.leaves
    free = next(index for index in range(256) if index not in {first.index, second.index})
    moved = sorted([first, replace(second, index=free)], key=lambda leaf: leaf.index)
    renumbered = replace(decode_leaf(second.leaf), pair_seq=8)
    for leaves in ([first], [second], moved, [first, replace(second, leaf=encode_leaf(renumbered))]):
        assert refused(resign(parts, leaves=leaves, root=False)).step == 11
    other_seed = replace(parts.submission, dummy_seed=bytes(32))
    assert refused(encode_submission(other_seed)).step == 11
