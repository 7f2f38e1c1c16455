"""Signed statements, batches, and their bytes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange.crypto.codec import decode_signed, encode_signed, signed_from_proto, signed_to_proto
from exchange.crypto.dsse import pae
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import (
    Signature,
    Signed,
    VerifiedRoots,
    add_signature,
    payload_type,
    sign,
    sign_batch,
    verified_signers,
    verify_signed,
)
from exchange.crypto.signing import CompositeKey, Ed25519Key, sign_bytes
from exchange.crypto.xwing import XWingKey
from exchange.errors import BadSignature, ExchangeError, MalformedInput, TooLarge
from exchange.merkle import leaf_hash
from exchange.v1 import signing_pb2
from exchange.wire import serialise
from tests.support.crypto_vectors import flipped, large, own, unhex

COMPOSITE = CompositeKey.from_seed(bytes(range(64)))
ED25519 = Ed25519Key.from_seed(bytes(range(32)))
BOTH = pytest.mark.parametrize("key", [COMPOSITE, ED25519], ids=["composite", "ed25519"])
CONTEXT = "a.b"
LIMIT = 64 * 1024

Key = CompositeKey | Ed25519Key


def knows(*keys: Key) -> Callable[[bytes], PublicKey | None]:
    return {key.public.key_id: key.public for key in keys}.get


def opens(signed: Signed, *keys: Key, seen: VerifiedRoots | None = None, context: str = CONTEXT) -> bool:
    try:
        verify_signed(signed, knows(*keys), expected_type="promise", context=context, seen=seen)
    except BadSignature:
        return False
    return True


def batch(key: Key, count: int) -> list[Signed]:
    return sign_batch(key, [("promise", b"payload %d" % at) for at in range(count)], context=CONTEXT)


def test_dsse_encodes_as_its_specification_shows() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("", b"") == b"DSSEv1 0  0 "
    assert pae("é", b"\x00") == b"DSSEv1 2 \xc3\xa9 1 \x00"


def test_dsse_public_vector_file() -> None:
    vector = large("dsse_pae.json")
    assert pae(vector["payload_type"], vector["body"].encode()) == vector["pae"].encode()


def test_the_type_and_the_payload_cannot_shift_into_each_other() -> None:
    assert pae("a", b"b 1 c") != pae("a 1 b", b"c")


def test_payload_types_name_the_project_and_the_version() -> None:
    assert payload_type("stream-head") == "application/vnd.concord.stream-head.v1+protobuf"


@pytest.mark.parametrize("name", ["", "Promise", "a/b", "a--b", "-a", "a-", "a b", "a\n", "é"])
def test_a_name_that_is_none_has_no_payload_type(name: str) -> None:
    with pytest.raises(MalformedInput):
        payload_type(name)


@BOTH
def test_a_signed_statement_gives_back_its_payload(key: Key) -> None:
    signed = sign(key, "promise", b"payload", context=CONTEXT)
    assert verify_signed(signed, knows(key), expected_type="promise", context=CONTEXT) == b"payload"
    assert verify_signed(signed, knows(key), expected_type=payload_type("promise"), context=CONTEXT) == b"payload"
    assert signed == replace(signed, payload_type=payload_type("promise"))


def test_the_signed_message_is_the_one_of_the_protocol() -> None:
    signed = sign(ED25519, "promise", b"payload", context=CONTEXT)
    root = leaf_hash(b"DSSEv1 43 application/vnd.concord.promise.v1+protobuf 7 payload")
    message = b"DSSEv1 41 application/vnd.concord.batch.v1+protobuf 36 " + root + b"\x00\x00\x00\x01"
    assert signed.signatures == (Signature(ED25519.public.key_id, sign_bytes(ED25519, message, b"a.b"), 0, 1, ()),)


@BOTH
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 100, 1024])
def test_every_leaf_of_a_batch_verifies_alone(key: Key, count: int) -> None:
    for seen in (VerifiedRoots(), None) if count < 100 else (VerifiedRoots(),):
        for at, signed in enumerate(batch(key, count)):
            payload = verify_signed(signed, knows(key), expected_type="promise", context=CONTEXT, seen=seen)
            assert payload == b"payload %d" % at


def test_a_batch_has_1_to_1024_statements() -> None:
    with pytest.raises(MalformedInput):
        sign_batch(ED25519, [], context=CONTEXT)
    with pytest.raises(TooLarge):
        sign_batch(ED25519, [("promise", b"")] * 1025, context=CONTEXT)


def test_the_statements_of_a_batch_may_have_different_types() -> None:
    promise, refusal = sign_batch(ED25519, [("promise", b"p"), ("refusal", b"r")], context=CONTEXT)
    assert verify_signed(refusal, knows(ED25519), expected_type="refusal", context=CONTEXT) == b"r"
    assert opens(promise, ED25519) and not opens(refusal, ED25519)


@BOTH
def test_another_type_context_or_key_is_refused(key: Key) -> None:
    signed = sign(key, "promise", b"payload", context=CONTEXT)
    assert not opens(replace(signed, payload_type=payload_type("refusal")), key)
    with pytest.raises(BadSignature):
        verify_signed(
            replace(signed, payload_type=payload_type("refusal")),
            knows(key),
            expected_type="refusal",
            context=CONTEXT,
        )
    assert not opens(signed, key, context="a.c")
    assert not opens(signed)
    assert not opens(signed, type(key).generate())


def test_a_key_that_is_not_the_one_named_is_refused() -> None:
    signed = sign(ED25519, "promise", b"payload", context=CONTEXT)
    with pytest.raises(BadSignature):
        verify_signed(signed, lambda _: COMPOSITE.public, expected_type="promise", context=CONTEXT)


def test_a_signature_does_not_count_for_a_key_that_did_not_make_it() -> None:
    other = Ed25519Key.generate()
    seen = VerifiedRoots()
    signed = sign(ED25519, "promise", b"payload", context=CONTEXT)
    assert opens(signed, ED25519, other, seen=seen)
    renamed = replace(signed, signatures=(replace(signed.signatures[0], key_id=other.public.key_id),))
    assert not opens(renamed, ED25519, other, seen=seen) and not opens(renamed, ED25519, other)
    with pytest.raises(BadSignature):
        verified_signers(renamed, lambda _: ED25519.public, expected_type="promise", context=CONTEXT)


def test_a_key_for_wrapping_signs_nothing() -> None:
    wrapping = XWingKey.generate().public
    signed = sign(ED25519, "promise", b"payload", context=CONTEXT)
    named = replace(signed, signatures=(replace(signed.signatures[0], key_id=wrapping.key_id),))
    with pytest.raises(BadSignature):
        verify_signed(named, lambda _: wrapping, expected_type="promise", context=CONTEXT)


def test_one_signature_means_exactly_one() -> None:
    signed = sign(ED25519, "promise", b"payload", context=CONTEXT)
    assert not opens(replace(signed, signatures=()), ED25519)
    assert not opens(replace(signed, signatures=signed.signatures * 2), ED25519)
    assert not opens(add_signature(signed, COMPOSITE, context=CONTEXT), ED25519, COMPOSITE)


@BOTH
def test_a_leaf_of_one_batch_does_not_verify_under_another(key: Key) -> None:
    seen = VerifiedRoots()
    ours, theirs = batch(key, 5), sign_batch(key, [("promise", b"other %d" % at) for at in range(5)], context=CONTEXT)
    assert all(opens(signed, key, seen=seen) for signed in ours + theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert not opens(replace(one, signatures=other.signatures), key, seen=seen)
        assert not opens(replace(one, signatures=other.signatures), key)


def test_a_leaf_does_not_verify_at_another_place_of_its_batch() -> None:
    seen = VerifiedRoots()
    statements = batch(ED25519, 8)
    assert all(opens(signed, ED25519, seen=seen) for signed in statements)
    for at, signed in enumerate(statements):
        for other in range(8):
            moved = replace(signed.signatures[0], index=other)
            assert opens(replace(signed, signatures=(moved,)), ED25519, seen=seen) == (at == other)
        for size in (0, 1, 7, 9, 1025, 1 << 32):
            resized = replace(signed.signatures[0], size=size)
            assert not opens(replace(signed, signatures=(resized,)), ED25519, seen=seen)


def test_the_root_of_a_batch_is_no_statement_of_its_own() -> None:
    signed = batch(ED25519, 2)[0]
    for path in ((), signed.signatures[0].path * 2, (b"short",)):
        damaged = replace(signed.signatures[0], path=path)
        assert not opens(replace(signed, signatures=(damaged,)), ED25519)


@BOTH
def test_a_known_batch_lends_nothing_to_a_flipped_signature(key: Key) -> None:
    seen = VerifiedRoots()
    first, second = batch(key, 2)
    assert opens(first, key, seen=seen) and len(seen) == 1
    assert opens(second, key, seen=seen) and len(seen) == 1
    for at in (0, len(second.signatures[0].sig) - 1):
        forged = replace(second.signatures[0], sig=flipped(second.signatures[0].sig, at))
        assert not opens(replace(second, signatures=(forged,)), key, seen=seen)
    assert not opens(second, key, seen=seen, context="a.c")
    assert not opens(second, seen=seen)
    assert len(seen) == 1


def test_what_did_not_hold_is_not_kept() -> None:
    seen = VerifiedRoots()
    signed = sign(ED25519, "promise", b"payload", context=CONTEXT)
    assert not opens(replace(signed, payload=b"other"), ED25519, seen=seen)
    assert len(seen) == 0


def test_verified_roots_stay_bounded_and_keep_what_is_used() -> None:
    seen = VerifiedRoots(capacity=3)
    for entry in (b"a", b"b", b"c"):
        seen.add(entry)
    assert seen.holds(b"a")
    seen.add(b"d")
    assert len(seen) == 3 and seen.holds(b"a") and seen.holds(b"d") and not seen.holds(b"b")


def test_signatures_of_several_parties_all_count() -> None:
    keys: list[Key] = [CompositeKey.generate(), COMPOSITE, ED25519]
    signed = sign(keys[0], "agreement", b"terms", context=CONTEXT)
    for key in keys[1:]:
        signed = add_signature(signed, key, context=CONTEXT)
    for seen in (None, VerifiedRoots()):
        signers = verified_signers(signed, knows(*keys), expected_type="agreement", context=CONTEXT, seen=seen)
        assert signers == {key.public.key_id for key in keys}


def test_one_signature_that_does_not_hold_spoils_all() -> None:
    other = CompositeKey.generate()
    signed = add_signature(sign(COMPOSITE, "agreement", b"terms", context=CONTEXT), ED25519, context=CONTEXT)
    foreign = sign(other, "agreement", b"other terms", context=CONTEXT).signatures
    for signatures, keys in (
        (signed.signatures + foreign, (COMPOSITE, ED25519, other)),
        (signed.signatures, (COMPOSITE,)),
        (signed.signatures + signed.signatures[:1], (COMPOSITE, ED25519)),
        ((), (COMPOSITE,)),
        (signed.signatures[:1] * 257, (COMPOSITE,)),
    ):
        with pytest.raises(BadSignature):
            verified_signers(
                replace(signed, signatures=signatures), knows(*keys), expected_type="agreement", context=CONTEXT
            )


def test_a_key_adds_one_signature_only() -> None:
    signed = sign(ED25519, "agreement", b"terms", context=CONTEXT)
    with pytest.raises(MalformedInput):
        add_signature(signed, ED25519, context=CONTEXT)
    full = replace(signed, signatures=signed.signatures * 256)
    with pytest.raises(TooLarge):
        add_signature(full, COMPOSITE, context=CONTEXT)


@BOTH
def test_bytes_and_back(key: Key) -> None:
    for signed in batch(key, 3):
        assert decode_signed(encode_signed(signed), limit=LIMIT, what="a promise") == signed
        assert signed_from_proto(signed_to_proto(signed)) == signed


def test_statements_signed_long_ago_still_verify() -> None:
    for part, key, kind, payload in (
        ("signed_composite", COMPOSITE, "promise", b"second"),
        ("signed_ed25519", ED25519, "refusal", b"third"),
    ):
        data = unhex(own(part))
        signed = decode_signed(data, limit=LIMIT, what="a golden statement")
        assert verify_signed(signed, knows(key), expected_type=kind, context=own("context")) == payload
        assert encode_signed(signed) == data


def test_an_ed25519_batch_has_the_same_bytes_as_long_ago() -> None:
    statements = [("promise", b"first"), ("promise", b"second"), ("refusal", b"third")]
    signed = sign_batch(ED25519, statements, context=own("context"))
    assert encode_signed(signed[2]).hex() == own("signed_ed25519")


def wire(**changes: object) -> signing_pb2.Signed:
    message = signed_to_proto(batch(ED25519, 2)[1])
    for name, value in changes.items():
        if name in {"payload_type", "payload"}:
            setattr(message, name, value)
        elif name == "path":
            message.signatures[0].ClearField("path")
            message.signatures[0].path.extend(value)  # type: ignore[arg-type]
        else:
            setattr(message.signatures[0], name, value)
    return message


@pytest.mark.parametrize(
    "changes",
    [
        {"payload_type": ""},
        {"payload_type": "x" * 129},
        {"key_id": b""},
        {"key_id": bytes(31)},
        {"key_id": bytes(33)},
        {"sig": b""},
        {"sig": bytes(65)},
        {"sig": bytes(3372)},
        {"size": 0},
        {"size": 1025},
        {"index": 2},
        {"index": 1 << 31},
        {"path": [bytes(31)]},
        {"path": [bytes(32)] * 11},
    ],
    ids=str,
)
def test_impossible_parts_are_refused_before_anything_is_verified(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedInput):
        decode_signed(serialise(wire(**changes)), limit=LIMIT, what="a promise")


def test_the_number_of_signatures_and_bytes_is_capped() -> None:
    message = wire()
    signature = message.signatures[0]
    del message.signatures[:]
    with pytest.raises(MalformedInput):
        decode_signed(serialise(message), limit=LIMIT, what="a promise")
    message.signatures.extend([signature] * 257)
    with pytest.raises(TooLarge):
        decode_signed(serialise(message), limit=LIMIT * 4, what="a promise")
    with pytest.raises(TooLarge):
        decode_signed(serialise(message), limit=1000, what="a promise")


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\xff" * 40, b"\x0a\x05"], ids=["empty", "zero", "ones", "cut"])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_signed(junk, limit=LIMIT, what="junk")


def test_unknown_fields_and_other_encodings_are_refused() -> None:
    data = encode_signed(batch(ED25519, 1)[0])
    for other in (data + b"\x20\x01", data + b"\x12\x00", data + data):
        with pytest.raises(MalformedInput):
            decode_signed(other, limit=LIMIT, what="a promise")


@BOTH
def test_every_flipped_byte_of_a_signed_statement_is_refused(key: Key) -> None:
    seen = VerifiedRoots()
    statements = batch(key, 5)
    assert all(opens(signed, key, seen=seen) for signed in statements)
    data = encode_signed(statements[3])
    for at in range(0, len(data), 1 if key is ED25519 else 13):
        for mask in (1, 0x80, 0xFF):
            with pytest.raises(ExchangeError):
                damaged = decode_signed(flipped(data, at, mask), limit=LIMIT, what="a promise")
                verify_signed(damaged, knows(key), expected_type="promise", context=CONTEXT, seen=seen)
