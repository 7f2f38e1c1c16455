"""What a recipient refuses, and at which of its numbered steps (docs/spec/envelope.md, recipient's checks).

The named attacks are those of crypto.md 1.7: each begins with what the attacker would really hold.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from exchange.crypto.chunked import decrypt
from exchange.crypto.codec import encode_signed
from exchange.crypto.padme import frame, unframe
from exchange.crypto.signed import add_signature, sign
from exchange.crypto.signing import MLDSA65_SIGNATURE_BYTES
from exchange.crypto.xwing import unwrap, wrap
from exchange.envelope import binding
from exchange.envelope.blob import BLOB_BYTES, attachments_of, blob_size
from exchange.envelope.codec import (
    decode_body,
    decode_core,
    decode_delivery,
    decode_header,
    decode_leaf,
    decode_submission,
    encode_body,
    encode_core,
    encode_delivery,
    encode_header,
    encode_leaf,
    encode_report,
)
from exchange.envelope.model import (
    CONTROL_TYPES,
    BlobKey,
    BlobRef,
    Body,
    EnvelopeCore,
    EnvelopeKind,
    RecipientLeaf,
    ReportStatement,
)
from exchange.envelope.open import open_envelope
from exchange.envelope.rules import CONTROL_CIPHERTEXT_BYTES
from exchange.envelope.seal import seal
from exchange.envelope.verify import Verified, VerifiedLeaf
from exchange.errors import BadEnvelope, ExchangeError
from exchange.limits import DELIVERY_BYTES, ENVELOPE_LIFE_MS, SLOTS
from exchange.merkle import leaf_hash
from exchange.names import ExchangeName, PartyId
from exchange.policy.codec import encode_release
from exchange.policy.model import RelayFlag, Tlp
from exchange.v1 import envelope_pb2 as pb
from tests.support.approvals import a_proof, pseudonym
from tests.support.envelope_builders import (
    BASIS,
    DIRECTORY_SIZE,
    EXCHANGE,
    NOW,
    OPEN_RELEASE,
    OPEN_RELEASE_BYTES,
    RELEASE_BYTES,
    XA,
    XH,
    XO,
    XV,
    Parts,
    a_label,
    a_promise,
    a_report,
    a_sealed,
    a_statement,
    an_open_report,
    control_fields,
    deliver,
    envelope_key,
    open_checks,
    prekey,
    promise_key,
    relay_label_of,
    resign,
    seed,
    statement_key,
    take_apart,
    to,
    unsafe_seal,
    verified,
)

EXERCISE = ExchangeName("exercise.concord.example")


@pytest.fixture
def honest() -> Verified:
    return verified(a_sealed())


@pytest.fixture
def parts() -> Parts:
    return take_apart(a_sealed())


def refused(delivery: bytes, me: str = XV, **changes: Any) -> BadEnvelope:
    with pytest.raises(BadEnvelope) as caught:
        open_envelope(delivery, context=open_checks(me, **changes))
    return caught.value


def accept(data: bytes) -> Verified:
    """Take a submission as a relay does that checks nothing: recipients do not rely on its checks."""
    submission = decode_submission(data)
    header = decode_header(submission.header.payload)
    tree = binding.slot_tree({each.index: leaf_hash(each.leaf) for each in submission.leaves}, submission.dummy_seed)
    leaves = tuple(VerifiedLeaf(each.index, each.leaf, decode_leaf(each.leaf), each.wrap) for each in submission.leaves)
    return Verified(
        core=decode_core(header.core),
        header=header,
        header_signed=submission.header,
        envelope_hash=binding.envelope_hash(submission.header.payload),
        leaves=leaves,
        proofs=tuple(tree.path(leaf.index) for leaf in leaves),
        body=submission.body,
    )


def sealed_as(core: EnvelopeCore, body: Body, recipients: list[Any] | None = None) -> bytes:
    """Return the delivery to XV of whatever this sender wrote, past a relay that checks nothing."""
    recipients = recipients or [to(XV), to(XO)]
    return deliver(accept(unsafe_seal(core, frame(encode_body(body)), recipients)))


def core_for(parts: Parts, report: ReportStatement, **changes: Any) -> EnvelopeCore:
    """Return a core whose relay label belongs to the report."""
    return replace(parts.core, **({"label": relay_label_of(report)} | changes))


# -- step 1 ------------------------------------------------------------------------------------------------------------


def test_step_1_refuses_what_does_not_parse_strictly(honest: Verified) -> None:
    whole = deliver(honest)
    assert refused(bytes(DELIVERY_BYTES + 1)).step == 1
    again = pb.Delivery(leaf_index=honest.leaves[0].index or 1).SerializeToString()
    for data in (b"", whole[:-1], whole + b"\x00", whole + again, whole + b"\x7a\x00", whole + whole):
        assert refused(data).step == 1
    leaf = honest.leaves[0]
    assert refused(deliver(honest, leaf.leaf.recipient, leaf=leaf.data + b"\x78\x01"), leaf.leaf.recipient).step == 1


def test_step_1_needs_the_relays_promise_for_this_envelope(honest: Verified) -> None:
    of_another = a_promise(seed("another envelope"))
    assert refused(deliver(honest, promise=of_another)).step == 1
    good = a_promise(honest.envelope_hash)
    assert refused(deliver(honest, promise=replace(good, payload=good.payload[:-1] + b"\x00"))).step == 1
    assert refused(deliver(honest, promise=sign(envelope_key(XA), "promise", good.payload, context=EXCHANGE))).step == 1
    assert refused(deliver(honest, promise=sign(promise_key(), "refusal", good.payload, context=EXCHANGE))).step == 1
    assert refused(deliver(honest, promise=sign(promise_key(), "promise", good.payload, context=EXERCISE))).step == 1
    without = pb.Delivery.FromString(deliver(honest))
    without.ClearField("promise")
    assert refused(without.SerializeToString(deterministic=True)).step == 1


# -- step 2 ------------------------------------------------------------------------------------------------------------


def test_lowering_the_tlp_on_the_way_is_refused_at_step_2(honest: Verified) -> None:
    core = pb.EnvelopeCore.FromString(honest.header.core)
    core.label.tlp = Tlp.CLEAR
    header = replace(honest.header, core=core.SerializeToString(deterministic=True))
    forged = replace(honest.header_signed, payload=encode_header(header))
    promise = a_promise(sha256(forged.payload).digest())
    assert refused(deliver(honest, header=encode_signed(forged), promise=promise)).step == 2


def test_step_2_takes_the_senders_key_as_of_the_promise(honest: Verified) -> None:
    for early in ({"directory_size": DIRECTORY_SIZE - 1}, {"received_ms": NOW - 1}):
        assert refused(deliver(honest, promise=a_promise(honest.envelope_hash, **early))).step == 2
    asked = []

    def revoked(party: PartyId, key_id: bytes, /, *, at_size: int, at_ms: int) -> None:
        asked.append((party, key_id, at_size, at_ms))

    assert refused(deliver(honest), envelope_key=revoked).step == 2
    assert asked == [(XA, envelope_key(XA).public.key_id, DIRECTORY_SIZE, NOW + 2000)]


def test_step_2_refuses_any_signature_but_the_one_of_the_senders_envelope_key(honest: Verified) -> None:
    payload = honest.header_signed.payload
    for forged in (
        sign(envelope_key(XV), "envelope", payload, context=EXCHANGE),
        sign(statement_key(XA), "envelope", payload, context=EXCHANGE),
        sign(envelope_key(XA), "promise", payload, context=EXCHANGE),
        add_signature(honest.header_signed, envelope_key(XV), context=EXCHANGE),
    ):
        assert refused(deliver(honest, header=encode_signed(forged))).step == 2
    # The core names the statement key and that key signs: it is a key of the sender, for other uses.
    core = replace(take_apart(a_sealed()).core, sender_key=statement_key(XA).public.key_id)
    framed = frame(encode_body(Body(a_statement(a_report()))))
    data = deliver(accept(unsafe_seal(core, framed, [to(XV)], header_key=statement_key(XA))))  # type: ignore[arg-type]  # the attack
    assert refused(data, envelope_key=open_checks().statement_key).step == 2


def test_a_live_envelope_replayed_as_an_exercise_is_refused(honest: Verified) -> None:
    """The signature is under the exchange's name; even signed again, the core names the other exchange."""
    facts = open_checks().verify_promise(a_promise(honest.envelope_hash), honest.envelope_hash)
    assert refused(deliver(honest), exchange=EXERCISE).step == 2
    signed = sign(envelope_key(XA), "envelope", honest.header_signed.payload, context=EXERCISE)
    replayed = deliver(honest, header=encode_signed(signed))
    assert refused(replayed, exchange=EXERCISE, verify_promise=lambda *_: facts).step == 3


# -- step 3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": 0},
        {"suite": 2},
        {"expires_ms": NOW},
        {"expires_ms": NOW + ENVELOPE_LIFE_MS + 1},
        {"kind": EnvelopeKind.CONTROL},
        {"label": replace(relay_label_of(a_report()), categories=())},
    ],
    ids=["suite lowered", "suite unknown", "expires at once", "lives too long", "not its kind", "no category"],
)
def test_step_3_refuses_a_core_that_does_not_hold_together(parts: Parts, changes: dict[str, Any]) -> None:
    core = replace(parts.core, **changes)
    basis = BASIS if core.kind is EnvelopeKind.REPORT else None
    assert refused(sealed_as(core, Body(a_statement(a_report())), [to(XV, basis=basis)])).step == 3


def test_step_3_refuses_a_leaf_that_is_not_of_the_kind(parts: Parts) -> None:
    body = Body(a_statement(a_report()))
    assert refused(sealed_as(parts.core, body, [to(XV, basis=None)])).step == 3
    control = take_apart(seal(envelope_key(XA), **control_fields()))
    assert refused(sealed_as(control.core, body, [to(XV, basis=BASIS)])).step == 3


# -- steps 4 and 5 -----------------------------------------------------------------------------------------------------


def test_another_partners_leaf_is_refused_at_step_4(honest: Verified) -> None:
    assert refused(deliver(honest, XO)).step == 4
    assert refused(deliver(honest), xwing_key=lambda _: None).step == 4
    assert refused(deliver(honest), xwing_key=lambda _: prekey(XO)).step == 4
    # Not even with the key: what was sent to XO was not sent to XV.
    assert refused(deliver(honest, XO), xwing_key=lambda _: prekey(XO)).step == 4


def test_a_kem_key_swapped_by_the_sender_is_refused_at_step_4(parts: Parts) -> None:
    body = Body(a_statement(a_report()))
    assert refused(sealed_as(parts.core, body, [to(XV, kem=prekey(XO).public)])).step == 4


def test_surreptitious_forwarding_is_refused_at_step_5(honest: Verified) -> None:
    """XV opens what XA sent it, wraps the content key to XH, and hands XH the envelope as if XA had sent it there."""
    at = next(number for number, leaf in enumerate(honest.leaves) if leaf.leaf.recipient == XV)
    mine = honest.leaves[at]
    core_hash = binding.core_hash(honest.header.core)
    content_key = unwrap(mine.wrap, prekey(XV), binding.wrap_info(core_hash, mine.leaf.kem_key, XV))
    kem = prekey(XH).public
    wrapped = wrap(content_key, kem.raw, binding.wrap_info(core_hash, kem.key_id, XH))
    leaf = replace(mine.leaf, recipient=XH, kem_key=kem.key_id, wrap_sha256=sha256(wrapped).digest())
    forwarded = deliver(honest, XV, leaf=encode_leaf(leaf), wrap=wrapped)
    assert refused(forwarded, XH).step == 5


def test_a_swapped_wrap_is_refused_at_step_5(honest: Verified) -> None:
    other = next(leaf for leaf in honest.leaves if leaf.leaf.recipient == XO)
    assert refused(deliver(honest, wrap=other.wrap)).step == 5
    assert refused(deliver(honest, wrap=other.wrap + b"\x00")).step == 5


def test_step_5_refuses_a_wrap_of_another_length_even_from_the_sender(parts: Parts) -> None:
    leaves = []
    for each in parts.submission.leaves:
        leaf = replace(decode_leaf(each.leaf), wrap_sha256=sha256(b"short").digest())
        leaves.append(replace(each, leaf=encode_leaf(leaf), wrap=b"short"))
    assert refused(deliver(accept(resign(parts, leaves=leaves)))).step == 5


def test_step_5_refuses_a_proof_of_another_length_place_or_tree(honest: Verified) -> None:
    at = next(number for number, leaf in enumerate(honest.leaves) if leaf.leaf.recipient == XV)
    proof, slot = honest.proofs[at], honest.leaves[at].index
    for changes in (
        {"proof": proof[:-1]},
        {"proof": (*proof, bytes(32))},
        {"proof": ()},
        {"proof": (*proof[:-1], proof[-1][:-1])},
        {"proof": honest.proofs[1 - at]},
        {"leaf_index": slot ^ 1},
        {"leaf_index": slot + SLOTS},
    ):
        assert refused(deliver(honest, **changes)).step == 5


def test_a_leaf_cannot_pass_for_a_node_of_the_tree(honest: Verified) -> None:
    """A leaf's hash is not one of a node: a proof that begins one level higher has seven steps."""
    at = next(number for number, leaf in enumerate(honest.leaves) if leaf.leaf.recipient == XV)
    assert refused(deliver(honest, proof=honest.proofs[at][1:], leaf_index=honest.leaves[at].index >> 1)).step == 5


# -- steps 6 and 7 -----------------------------------------------------------------------------------------------------


def test_a_swapped_body_is_refused_at_step_6(honest: Verified) -> None:
    other = verified(a_sealed())
    assert refused(deliver(honest, body=other.body)).step == 6
    assert refused(deliver(honest, body=honest.body + b"\x00")).step == 6
    assert refused(deliver(honest, body=b"")).step == 6


def test_step_6_refuses_a_size_that_is_not_the_bodys_or_not_the_kinds(parts: Parts) -> None:
    wrong_size = replace(parts.header, body_size=parts.header.body_size + 1)
    assert refused(deliver(accept(resign(parts, header=wrong_size)))).step == 6
    control = take_apart(seal(envelope_key(XA), **control_fields()))
    assert refused(deliver(accept(resign(control, body=bytes(CONTROL_CIPHERTEXT_BYTES + 1))))).step == 6
    assert refused(deliver(accept(resign(control, body=bytes(CONTROL_CIPHERTEXT_BYTES))))).step == 7


def test_an_invisible_salamander_is_refused_at_step_7(parts: Parts) -> None:
    """The sender gives XO another content key than XV: one body must not open under both."""
    framed = frame(encode_body(Body(a_statement(a_report()))))
    keys = [seed("first"), seed("second")]
    envelope = accept(unsafe_seal(parts.core, framed, [to(XV), to(XO)], content_keys=keys))
    assert open_envelope(deliver(envelope, XV), context=open_checks(XV)).report == a_report()
    assert refused(deliver(envelope, XO), XO).step == 7


def test_stolen_authorship_is_refused_at_step_7(honest: Verified) -> None:
    """XV puts XA's body and wraps under a header of its own: they are bound to XA's core."""
    core = replace(take_apart(a_sealed()).core, sender=XV, sender_key=envelope_key(XV).public.key_id)
    header = replace(honest.header, core=encode_core(core))
    signed = sign(envelope_key(XV), "envelope", encode_header(header), context=EXCHANGE)
    promise = a_promise(sha256(signed.payload).digest())
    stolen = deliver(honest, XO, header=encode_signed(signed), promise=promise)
    assert refused(stolen, XO).step == 7


def test_step_7_refuses_padding_and_bodies_in_another_encoding(parts: Parts) -> None:
    body = encode_body(Body(a_statement(a_report())))
    framed = frame(body)
    bodies = [
        framed[:-1] + b"\x01",
        framed + bytes(64),
        framed[:-64],
        frame(body + b"\x78\x01"),
        frame(body + body),
        frame(b""),
        b"",
    ]
    for bad in bodies:
        assert refused(deliver(accept(unsafe_seal(parts.core, bad, [to(XV)])))).step == 7


# -- step 8 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", ["ML-DSA-65", "Ed25519"])
def test_half_of_a_composite_signature_zeroed_is_refused_at_step_8(parts: Parts, half: str) -> None:
    report = a_report()
    statement = a_statement(report)
    signature = statement.signatures[0]
    cut = MLDSA65_SIGNATURE_BYTES
    sig = bytes(cut) + signature.sig[cut:] if half == "ML-DSA-65" else signature.sig[:cut] + bytes(64)
    forged = replace(statement, signatures=(replace(signature, sig=sig),))
    assert refused(sealed_as(core_for(parts, report), Body(forged))).step == 8


def test_step_8_refuses_a_report_that_its_originator_did_not_sign(parts: Parts) -> None:
    report = a_report()
    payload = encode_report(report)
    statements = [
        sign(statement_key(XV), "report", payload, context=EXCHANGE),
        sign(statement_key(XA), "report", payload, context=EXERCISE),
        sign(statement_key(XA), "consent-grant", payload, context=EXCHANGE),
        sign(envelope_key(XA), "report", payload, context=EXCHANGE),
        add_signature(a_statement(report), statement_key(XV), context=EXCHANGE),
        replace(a_statement(report), payload=encode_report(replace(report, kind="guidance"))),
    ]
    for statement in statements:
        assert refused(sealed_as(core_for(parts, report), Body(statement))).step == 8


def test_step_8_takes_the_originators_key_as_of_the_promise(honest: Verified) -> None:
    def revoked(party: PartyId, key_id: bytes, /, *, at_size: int, at_ms: int) -> None:
        assert (party, at_size, at_ms) == (XA, DIRECTORY_SIZE, NOW + 2000)

    assert refused(deliver(honest), statement_key=revoked).step == 8
    # A key of the directory that is quick, not lasting, signs no statement.
    assert refused(deliver(honest), statement_key=open_checks().envelope_key).step == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": EXERCISE},
        {"originator": XV},
        {"kind": "rumour"},
        {"media_type": "text/html"},
        {"content": b""},
        {"label": b""},
        {"label": b"not a label"},
        {"thread_id": bytes(15)},
        {"supersedes": bytes(31)},
        {"authored_ms": 0},
        {"salt": b""},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_step_8_refuses_a_report_statement_that_does_not_hold(parts: Parts, changes: dict[str, Any]) -> None:
    report = a_report()
    body = Body(a_statement(replace(report, **changes), statement_key(XA)))
    assert refused(sealed_as(core_for(parts, report), body)).step == 8


def test_re_sealing_a_report_as_ones_own_is_refused_at_step_8(parts: Parts) -> None:
    """XV opens XA's report and sends it on under its own header: without a grant of XA that goes nowhere."""
    report = a_report()
    label = relay_label_of(report, sender=XV)
    assert label.flags & RelayFlag.NOT_ORIGINATOR
    core = core_for(parts, report, sender=XV, sender_key=envelope_key(XV).public.key_id, label=label)
    assert refused(sealed_as(core, Body(a_statement(report)))).step == 8
    # Hiding that it is not the originator does not help, nor does signing XA's words with its own key.
    lying = replace(core, label=relay_label_of(report))
    assert refused(sealed_as(lying, Body(a_statement(report)))).step == 8
    assert refused(sealed_as(core, Body(a_statement(report, statement_key(XV))))).step == 8


def test_a_report_of_another_originator_comes_with_grants_that_step_9_judges(parts: Parts) -> None:
    report = a_report()
    grant = sign(statement_key(XA), "consent-grant", b"XV may pass it to XO", context=EXCHANGE)
    core = core_for(
        parts,
        report,
        sender=XV,
        sender_key=envelope_key(XV).public.key_id,
        label=relay_label_of(report, sender=XV),
        grants=(sha256(grant.payload).digest(),),
    )
    body = Body(a_statement(report), grants=(grant,))
    opened = open_envelope(sealed_as(core, body), context=open_checks())
    assert opened.body.grants == (grant,)
    assert opened.report is not None
    assert (opened.report.originator, opened.core.sender) == (XA, XV)
    # The flag is part of what the relay judged: without it the header lies.
    assert refused(sealed_as(replace(core, label=relay_label_of(report)), body)).step == 8


def test_step_8_refuses_grants_that_are_not_those_of_the_header(parts: Parts) -> None:
    report = a_report()
    first, second = (sign(statement_key(XV), "consent-grant", word, context=EXCHANGE) for word in (b"a", b"b"))
    hashes = tuple(sha256(grant.payload).digest() for grant in (first, second))
    core = core_for(parts, report, grants=hashes)
    for grants in ((), (first,), (second, first), (first, second, first)):
        assert refused(sealed_as(core, Body(a_statement(report), grants=grants))).step == 8
    assert open_envelope(sealed_as(core, Body(a_statement(report), grants=(first, second))), context=open_checks())


def test_step_8_refuses_a_label_that_names_another_originator(parts: Parts) -> None:
    label = a_label(XV)
    report = a_report(label=label)
    core = core_for(parts, report, label=relay_label_of(report, label=label))
    assert refused(sealed_as(core, Body(a_statement(report)))).step == 8


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"tlp": Tlp.CLEAR},
        lambda _: {"policy": "concord/2"},
        lambda label: {"categories": label.categories[:1]},
        lambda label: {"purposes": (*label.purposes, type(label.purposes[0]).STATISTICS)},
        lambda _: {"flags": int(RelayFlag.ORCON)},
        lambda _: {"label_sha256": seed("another label")},
    ],
    ids=["tlp", "policy", "categories", "purposes", "flags", "hash"],
)
def test_a_relay_label_that_is_not_the_full_labels_is_refused_at_step_8(
    parts: Parts, change: Callable[[Any], dict[str, Any]]
) -> None:
    """The sender shows the relay a softer label than the one that it signed for the recipient."""
    report = a_report()
    honest = relay_label_of(report)
    core = core_for(parts, report, label=replace(honest, **change(honest)))
    assert refused(sealed_as(core, Body(a_statement(report)))).step == 8


def test_step_8_refuses_a_release_that_the_label_does_not_name(parts: Parts) -> None:
    report = an_open_report()
    core = core_for(parts, report)
    opened = open_envelope(
        sealed_as(core, Body(a_statement(report), release=OPEN_RELEASE_BYTES)), context=open_checks()
    )
    assert opened.body.release == OPEN_RELEASE_BYTES
    another = encode_release(replace(OPEN_RELEASE, except_=(XO,)))
    for release in (OPEN_RELEASE_BYTES[:-1], RELEASE_BYTES, another, b"nobody"):
        assert refused(sealed_as(core, Body(a_statement(report), release=release))).step == 8


def test_step_8_refuses_the_release_of_a_hidden_roster_whoever_sends_it_along(parts: Parts) -> None:
    report = a_report()
    core = core_for(parts, report)
    assert refused(sealed_as(core, Body(a_statement(report), release=RELEASE_BYTES))).step == 8


def test_step_8_refuses_attachment_keys_that_are_not_of_the_headers_attachments(parts: Parts) -> None:
    refs = tuple(BlobRef(seed(name)[:16], seed(name), blob_size(90)) for name in ("a", "b"))
    keys = tuple(
        BlobKey(ref.blob_id, seed("key"), 90, seed("plain"), f"{name}.txt", "text/plain")
        for ref, name in zip(refs, "ab", strict=True)
    )
    report = a_report(attachments=attachments_of(keys))
    core = core_for(parts, report, blobs=refs)
    for given in ((), keys[:1], keys[::-1]):
        assert refused(sealed_as(core, Body(a_statement(report), blobs=given))).step == 8
    assert open_envelope(sealed_as(core, Body(a_statement(report), blobs=keys)), context=open_checks())


def test_step_8_refuses_attachments_that_the_originator_did_not_sign_for(parts: Parts) -> None:
    ref = BlobRef(seed("a")[:16], seed("a"), blob_size(90))
    key = BlobKey(ref.blob_id, seed("key"), 90, seed("plain"), "a.txt", "text/plain")
    signed = attachments_of([key])
    lies = [
        (),
        (replace(signed[0], name="b.txt"),),
        (replace(signed[0], media_type="text/html"),),
        (replace(signed[0], size=91),),
        (replace(signed[0], sha256=seed("another")),),
        (*signed, replace(signed[0], name="b.txt")),
    ]
    for attachments in lies:
        report = a_report(attachments=attachments)
        core = core_for(parts, report, blobs=(ref,))
        assert refused(sealed_as(core, Body(a_statement(report), blobs=(key,)))).step == 8
    bare = a_report(attachments=signed)
    assert refused(sealed_as(core_for(parts, bare), Body(a_statement(bare)))).step == 8


def test_step_8_refuses_a_statement_that_names_an_attachment_twice(parts: Parts) -> None:
    refs = tuple(BlobRef(seed(name)[:16], seed(name), blob_size(90)) for name in ("a", "b"))
    keys = tuple(
        BlobKey(ref.blob_id, seed("key"), 90, seed("plain"), name, "text/plain")
        for ref, name in zip(refs, ("plan.txt", "PLAN.txt"), strict=True)
    )
    report = a_report(attachments=attachments_of(keys))
    core = core_for(parts, report, blobs=refs)
    assert refused(sealed_as(core, Body(a_statement(report), blobs=keys))).step == 8


def test_step_3_refuses_a_blob_that_no_attachment_gives(parts: Parts) -> None:
    for size in (BLOB_BYTES + 1, blob_size(0) - 1):
        core = core_for(parts, a_report(), blobs=(BlobRef(seed("a")[:16], seed("a"), size),))
        assert refused(sealed_as(core, Body(a_statement(a_report())))).step == 3


def test_approvals_of_exactly_this_report_come_along_and_are_counted(parts: Parts) -> None:
    report = a_report()
    item = sha256(encode_report(report)).digest()
    proofs = (a_proof("rana", item), a_proof("sami", item))
    opened = open_envelope(
        sealed_as(core_for(parts, report), Body(a_statement(report), approvals=proofs)), context=open_checks()
    )
    assert [each.operator for each in opened.approvals] == [pseudonym("rana"), pseudonym("sami")]
    bare = open_envelope(sealed_as(core_for(parts, report), Body(a_statement(report))), context=open_checks())
    assert bare.approvals == () and bare.item_hash == opened.item_hash == item


def test_step_8_refuses_an_approval_that_does_not_hold_whatever_the_others_say(parts: Parts) -> None:
    report = a_report()
    item = sha256(encode_report(report)).digest()
    good = a_proof("rana", item)
    for wrong in (good, a_proof("sami"), replace(a_proof("sami", item), cert=good.cert)):
        body = Body(a_statement(report), approvals=(good, wrong))
        assert refused(sealed_as(core_for(parts, report), body)).step == 8
    control = take_apart(seal(envelope_key(XA), **control_fields())).core
    body = Body(sign(statement_key(XA), "receipts", b"x", context=EXCHANGE), approvals=(good,))
    assert refused(sealed_as(control, body, [to(XV, basis=None)])).step == 8
    many = Body(a_statement(report), approvals=(good,) * 17)
    assert refused(sealed_as(core_for(parts, report), many)).step == 7


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", "a\nb", "x" * 256, "gpj.\u202eexe", "e\u0301"])
def test_an_attachments_name_is_never_a_path(parts: Parts, name: str) -> None:
    report = a_report()
    ref = BlobRef(seed("a")[:16], seed("a"), blob_size(90))
    key = BlobKey(ref.blob_id, seed("key"), 90, seed("plain"), name, "text/plain")
    core = core_for(parts, report, blobs=(ref,))
    assert refused(sealed_as(core, Body(a_statement(report), blobs=(key,)))).step == 7


def test_step_8_refuses_a_control_statement_of_another_type_or_signer() -> None:
    core = take_apart(seal(envelope_key(XA), **control_fields())).core
    recipients = [to(XV, basis=None)]
    for name in sorted(CONTROL_TYPES):
        body = Body(sign(statement_key(XA), name, b"x", context=EXCHANGE))
        assert open_envelope(sealed_as(core, body, recipients), context=open_checks()).payload == b"x"
        assert (
            refused(sealed_as(core, Body(sign(statement_key(XV), name, b"x", context=EXCHANGE)), recipients)).step == 8
        )
        assert (
            refused(sealed_as(core, Body(sign(envelope_key(XA), name, b"x", context=EXCHANGE)), recipients)).step == 8
        )
    for name in ("report", "envelope", "promise", "unheard-of"):
        body = Body(sign(statement_key(XA), name, encode_report(a_report()), context=EXCHANGE))
        assert refused(sealed_as(core, body, recipients)).step == 8


def test_step_8_refuses_a_control_statement_in_a_report_envelope(parts: Parts) -> None:
    body = Body(sign(statement_key(XA), "retraction", b"x", context=EXCHANGE))
    assert refused(sealed_as(parts.core, body)).step == 8


# -- what an attacker may still do, and what does not fail -------------------------------------------------------------


def test_the_bytes_that_are_delivered_are_what_the_codec_would_make(honest: Verified) -> None:
    data = deliver(honest)
    assert encode_delivery(decode_delivery(data)) == data


def test_a_refusal_names_its_step_and_shows_no_content(honest: Verified) -> None:
    error = refused(deliver(honest, body=verified(a_sealed()).body))
    assert isinstance(error, ExchangeError)
    assert error.reason == "BAD_ENVELOPE"
    assert str(error).startswith("step 6:")


def test_the_body_is_padded_and_opens_only_under_its_own_core(honest: Verified) -> None:
    at = next(number for number, leaf in enumerate(honest.leaves) if leaf.leaf.recipient == XV)
    mine: RecipientLeaf = honest.leaves[at].leaf
    core_hash = binding.core_hash(honest.header.core)
    key = unwrap(honest.leaves[at].wrap, prekey(XV), binding.wrap_info(core_hash, mine.kem_key, XV))
    framed = decrypt(key, honest.body, binding.body_context(core_hash))
    assert decode_body(unframe(framed)).statement.payload == encode_report(a_report())
    assert len(framed) == len(frame(unframe(framed)))
    with pytest.raises(ExchangeError):
        decrypt(key, honest.body, binding.body_context(bytes(32)))
