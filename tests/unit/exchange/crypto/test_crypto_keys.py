"""Public keys, their admission, ids and fingerprints; random bytes."""

import hashlib

import pytest

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key, fingerprint, key_id
from exchange.crypto.random import random_bytes, same, token, token_digest
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.xwing import XWingKey
from exchange.errors import BadInput, MalformedInput
from tests.support.crypto_vectors import own, unhex

SEED = bytes(range(64))
EVERY_KIND = pytest.mark.parametrize(
    "key",
    [CompositeKey.from_seed(SEED), Ed25519Key.from_seed(SEED[:32]), XWingKey.from_seed(SEED[:32])],
    ids=["composite", "ed25519", "xwing"],
)


def test_a_key_id_binds_label_algorithm_and_bytes() -> None:
    expected = hashlib.sha256(b"concord/v1/key" + b"\x00" + b"\x03" + b"k" * 32).digest()
    assert key_id(KeyAlgorithm.ED25519, b"k" * 32) == expected
    assert PublicKey(KeyAlgorithm.ED25519, b"k" * 32).key_id == expected
    assert key_id(KeyAlgorithm.XWING, b"k" * 32) != expected


def test_key_ids_have_not_changed() -> None:
    ids = own("key_ids")
    assert CompositeKey.from_seed(SEED).public.key_id.hex() == ids["composite"]
    assert Ed25519Key.from_seed(SEED[:32]).public.key_id.hex() == ids["ed25519"]
    assert XWingKey.from_seed(SEED[:32]).public.key_id.hex() == ids["xwing"]


@EVERY_KIND
def test_a_key_that_was_made_here_is_admitted(key: CompositeKey | Ed25519Key | XWingKey) -> None:
    assert admit_public_key(int(key.public.algorithm), key.public.raw) == key.public


@EVERY_KIND
def test_a_key_of_another_length_is_not_admitted(key: CompositeKey | Ed25519Key | XWingKey) -> None:
    for raw in (key.public.raw[:-1], key.public.raw + b"\x00", b""):
        with pytest.raises(MalformedInput):
            admit_public_key(key.public.algorithm, raw)


@pytest.mark.parametrize("algorithm", [0, 5, 6, 255, -1])
def test_an_unknown_algorithm_is_not_admitted(algorithm: int) -> None:
    with pytest.raises(BadInput):
        admit_public_key(algorithm, bytes(32))


LOW_ORDER_OR_NOT_CANONICAL = [
    bytes(32),
    b"\x01" + bytes(31),
    unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    b"\xff" * 32,
]


@pytest.mark.parametrize("point", LOW_ORDER_OR_NOT_CANONICAL, ids=bytes.hex)
def test_a_curve_point_that_libraries_disagree_on_is_not_admitted(point: bytes) -> None:
    with pytest.raises(MalformedInput):
        admit_public_key(KeyAlgorithm.ED25519, point)
    with pytest.raises(MalformedInput):
        admit_public_key(KeyAlgorithm.COMPOSITE_65, CompositeKey.from_seed(SEED).public.raw[:1952] + point)


def test_an_xwing_key_with_a_bad_half_is_not_admitted() -> None:
    raw = XWingKey.from_seed(SEED[:32]).public.raw
    with pytest.raises(MalformedInput):
        admit_public_key(KeyAlgorithm.XWING, raw[:1184] + bytes(32))
    with pytest.raises(MalformedInput):
        admit_public_key(KeyAlgorithm.XWING, b"\xff" * 1152 + raw[1152:])


def test_a_fingerprint_is_160_bits_in_eight_groups_of_four() -> None:
    root = CompositeKey.from_seed(SEED).public.raw
    text = fingerprint("XA", root)
    assert text == own("fingerprint")
    assert [len(group) for group in text.split(" ")] == [4] * 8
    number = 0
    for letter in text.replace(" ", ""):
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    assert number.to_bytes(20, "big") == hashlib.sha256(b"concord/v1/fingerprint\x00XA\x00" + root).digest()[:20]


def test_another_partner_or_root_has_another_fingerprint() -> None:
    assert len({fingerprint("XA", b"r"), fingerprint("XV", b"r"), fingerprint("XA", b"s")}) == 3


def test_random_bytes_and_tokens_do_not_repeat() -> None:
    assert len({random_bytes(16) for _ in range(100)}) == 100
    tokens = {token() for _ in range(100)}
    assert len(tokens) == 100 and all(len(text) == 43 and text.isascii() for text in tokens)


def test_a_token_is_stored_as_its_labelled_digest() -> None:
    assert token_digest("abc") == hashlib.sha256(b"concord/v1/token\x00abc").digest()


def test_same_compares_whole_values() -> None:
    assert same(b"abc", b"abc") and not same(b"abc", b"abd") and not same(b"abc", b"ab")
