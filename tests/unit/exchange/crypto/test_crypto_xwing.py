"""Wrapping against the public vectors of X-Wing and HPKE, and what no wrap may do."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519

from exchange.crypto.keys import admit_public_key
from exchange.crypto.xwing import XWingKey, unwrap, wrap
from exchange.errors import MalformedInput, VerificationFailed
from tests.support.crypto_vectors import flipped, large, own, small, unhex

KEY = XWingKey.from_seed(bytes(range(32)))
SECRET = bytes(range(32, 64))
KDFS = {1: hpke.KDF.HKDF_SHA256, 0x11: hpke.KDF.SHAKE256}
AEADS = {1: hpke.AEAD.AES_128_GCM, 2: hpke.AEAD.AES_256_GCM, 3: hpke.AEAD.CHACHA20_POLY1305}


def opens(wrapped: bytes, key: XWingKey = KEY, info: bytes = b"info") -> bool:
    try:
        return unwrap(wrapped, key, info) == SECRET
    except VerificationFailed:
        return False


def open_vector(vector: dict[str, Any], key: Any) -> None:
    """Open the first text of an HPKE vector; it has associated data, which only the library's insides take."""
    suite = hpke.Suite(key[0], KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]])
    first = vector["encryptions"][0]
    opened = openssl.hpke._decrypt_with_aad(
        suite, unhex(vector["enc"]) + unhex(first["ct"]), key[1], unhex(vector["info"]), unhex(first["aad"])
    )
    assert opened == unhex(first["pt"])


def test_hpke_public_vector_of_our_suite_opens_with_our_key() -> None:
    vector = small("hpke_647a")
    key = XWingKey.from_seed(unhex(vector["skRm"]))
    assert key.public == admit_public_key(2, unhex(vector["pkRm"]))
    open_vector(vector, (hpke.KEM.MLKEM768_X25519, key.parsed))


def test_hpke_pq_vector_file() -> None:
    vectors = [vector for vector in large("hpke_pq.json") if vector["kem_id"] == 0x647A]
    for vector in vectors:
        key = XWingKey.from_seed(unhex(vector["skRm"]))
        assert key.public.raw == unhex(vector["pkRm"])
        open_vector(vector, (hpke.KEM.MLKEM768_X25519, key.parsed))
    assert len(vectors) == 2


def test_rfc_9180_vector_file() -> None:
    vectors = large("rfc9180_hpke_base.json")
    for vector in vectors:
        secret = unhex(vector["skRm"])
        if vector["kem_id"] == 0x20:
            open_vector(vector, (hpke.KEM.X25519, x25519.X25519PrivateKey.from_private_bytes(secret)))
        else:
            key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
            open_vector(vector, (hpke.KEM.P256, key))
    assert len(vectors) == 6


def check_xwing(vector: dict[str, str]) -> None:
    """Decapsulate by hand: the expansion of the seed is ours, the two halves are the library's."""
    seed, sealed = unhex(vector["sk"]), unhex(vector["ct"])
    public = XWingKey.from_seed(seed).public.raw
    assert public == unhex(vector["pk"])
    expanded = hashlib.shake_256(seed).digest(96)
    post = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(sealed[:1088])
    peer = x25519.X25519PublicKey.from_public_bytes(sealed[1088:])
    pre = x25519.X25519PrivateKey.from_private_bytes(expanded[64:]).exchange(peer)
    combined = hashlib.sha3_256(post + pre + sealed[1088:] + public[1184:] + b"\\.//^\\").digest()
    assert combined == unhex(vector["ss"])


def test_xwing_public_vector() -> None:
    check_xwing(small("xwing"))


def test_xwing_vector_file() -> None:
    vectors = large("xwing.json")
    for vector in vectors:
        check_xwing(vector)
    assert len(vectors) == 3


def test_what_was_wrapped_unwraps() -> None:
    wrapped = wrap(SECRET, KEY.public.raw, b"info")
    assert len(wrapped) == 1168 and opens(wrapped)


def test_a_wrap_of_long_ago_still_unwraps() -> None:
    golden = own("wrap")
    assert unwrap(unhex(golden["wrapped"]), KEY, unhex(golden["info"])) == unhex(golden["secret"])


def test_two_wraps_of_one_secret_differ() -> None:
    one, two = wrap(SECRET, KEY.public.raw, b"info"), wrap(SECRET, KEY.public.raw, b"info")
    assert one[:1120] != two[:1120] and one[1120:] != two[1120:]


def test_another_info_or_key_does_not_unwrap() -> None:
    wrapped = wrap(SECRET, KEY.public.raw, b"info")
    assert not opens(wrapped, info=b"infp") and not opens(wrapped, info=b"info\x00") and not opens(wrapped, info=b"")
    assert not opens(wrapped, key=XWingKey.generate())


def test_a_damaged_wrap_does_not_unwrap() -> None:
    wrapped = wrap(SECRET, KEY.public.raw, b"info")
    for at in {*range(0, 1168, 31), 1087, 1088, 1118, 1119, 1120, 1151, 1152, 1167}:
        assert not opens(flipped(wrapped, at)), at
    for other in (b"", wrapped[:-1], wrapped + b"\x00", bytes(1168)):
        assert not opens(other)


def test_a_wrap_must_be_bound_and_hold_32_bytes() -> None:
    for secret, info in ((SECRET, b""), (SECRET[:-1], b"info"), (SECRET + b"\x00", b"info"), (b"", b"info")):
        with pytest.raises(MalformedInput):
            wrap(secret, KEY.public.raw, info)


def test_a_wrap_that_is_bound_to_nothing_does_not_unwrap() -> None:
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    wrapped = suite.encrypt(SECRET, KEY.parsed.public_key(), b"")
    assert suite.decrypt(wrapped, KEY.parsed, b"") == SECRET
    assert not opens(wrapped, info=b"")


def test_nothing_is_wrapped_for_a_key_that_cannot_be_one() -> None:
    raw = KEY.public.raw
    for bad in (b"", raw[:-1], raw + b"\x00", raw[:1184] + bytes(32), b"\xff" * 1152 + raw[1152:]):
        with pytest.raises(MalformedInput):
            wrap(SECRET, bad, b"info")
