"""What holds of the primitives for any input."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.crypto.chunked import decrypt, encrypt
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.crypto.padme import frame, padme, unframe
from exchange.crypto.signed import VerifiedRoots, sign_batch, verify_signed
from exchange.crypto.signing import Ed25519Key, sign_raw_ed25519, verify_raw_ed25519
from exchange.errors import BadInput, BadSignature, ExchangeError, VerificationFailed

KEY = Ed25519Key.from_seed(bytes(range(32)))
LIMIT = 1 << 20


def verify(data: bytes, seen: VerifiedRoots | None) -> bytes:
    signed = decode_signed(data, limit=LIMIT, what="a promise")
    known = {KEY.public.key_id: KEY.public}
    return verify_signed(signed, known.get, expected_type="promise", context="a.b", seen=seen)


@given(payloads=st.lists(st.binary(max_size=200), min_size=1, max_size=40), data=st.data())
def test_any_leaf_of_any_batch_verifies_and_any_change_of_it_does_not(
    payloads: list[bytes], data: st.DataObject
) -> None:
    batch = sign_batch(KEY, [("promise", payload) for payload in payloads], context="a.b")
    at = data.draw(st.integers(0, len(batch) - 1))
    encoded = encode_signed(batch[at])
    seen = VerifiedRoots()
    assert verify(encoded, seen) == verify(encoded, None) == payloads[at]
    position = data.draw(st.integers(0, len(encoded) - 1))
    mask = data.draw(st.integers(1, 255))
    damaged = encoded[:position] + bytes((encoded[position] ^ mask,)) + encoded[position + 1 :]
    for cache in (seen, None):
        try:
            # A changed payload that equals a sibling's would need the sibling's path as well.
            verify(damaged, cache)
        except ExchangeError:
            continue
        raise AssertionError(f"byte {position} xor {mask} is accepted")


@given(junk=st.binary(max_size=300))
def test_junk_never_decodes_with_another_error_than_ours(junk: bytes) -> None:
    try:
        signed = decode_signed(junk, limit=LIMIT, what="junk")
    except BadInput:
        return
    assert encode_signed(signed) == junk


@given(
    algorithm=st.integers(-2, 300),
    raw=st.binary(max_size=64) | st.sampled_from([32, 1216, 1312, 1952, 1984]).map(bytes),
)
def test_junk_is_never_admitted_with_another_error_than_ours(algorithm: int, raw: bytes) -> None:
    try:
        public = admit_public_key(algorithm, raw)
    except BadInput:
        return
    assert public.raw == raw and public.algorithm == algorithm


@settings(max_examples=300)
@given(
    seed=st.binary(min_size=32, max_size=32),
    message=st.binary(max_size=100),
    position=st.integers(0, 63),
    mask=st.integers(0, 255),
)
def test_two_libraries_agree_on_ed25519(seed: bytes, message: bytes, position: int, mask: int) -> None:
    ours, theirs = Ed25519Key.from_seed(seed), Ed25519PrivateKey.from_private_bytes(seed)
    signature = sign_raw_ed25519(ours, message)
    assert signature == theirs.sign(message)
    assert ours.public.raw == theirs.public_key().public_bytes_raw()
    altered = signature[:position] + bytes((signature[position] ^ mask,)) + signature[position + 1 :]
    admitted = admit_public_key(KeyAlgorithm.ED25519, ours.public.raw)
    try:
        verify_raw_ed25519(admitted, altered, message)
        held = True
    except BadSignature:
        held = False
    try:
        Ed25519PublicKey.from_public_bytes(ours.public.raw).verify(altered, message)
        theirs_held = True
    except InvalidSignature:
        theirs_held = False
    assert held == theirs_held == (mask == 0)


@given(length=st.integers(0, 100_000), context=st.binary(max_size=40))
def test_any_text_opens_in_its_own_context(length: int, context: bytes) -> None:
    key, text = bytes(range(32)), b"\x5a" * length
    sealed = encrypt(key, text, context)
    assert decrypt(key, sealed, context) == text


@given(sealed=st.binary(max_size=400))
def test_junk_never_opens(sealed: bytes) -> None:
    with pytest.raises(VerificationFailed):
        decrypt(bytes(32), sealed, b"")
    with pytest.raises(VerificationFailed):
        unframe(b"\xff" + sealed)


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_padme_covers_keeps_order_and_costs_at_most_an_eighth(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert low <= padme(low) <= padme(high)
    assert padme(padme(low)) == padme(low)
    assert padme(low) - low <= max(low / 8, 1)


@given(st.binary(max_size=5000))
def test_any_body_survives_its_frame(body: bytes) -> None:
    assert unframe(frame(body)) == body
