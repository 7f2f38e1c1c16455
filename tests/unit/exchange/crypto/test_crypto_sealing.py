"""Chunked encryption, Padmé frames and seals at rest."""

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from exchange.crypto import chunked
from exchange.crypto.atrest import open_record, seal_record, unwrap_key, wrap_key
from exchange.crypto.chunked import decrypt, encrypt
from exchange.crypto.padme import frame, padme, unframe
from exchange.errors import MalformedInput, VerificationFailed
from tests.support.crypto_vectors import flipped, large, own, small, unhex

KEY = bytes(range(32))
CHUNK = 16 * 1024


def check_chunked(vector: dict[str, Any]) -> None:
    key, context, sealed = unhex(vector["key"]), unhex(vector["ctx"]), zlib.decompress(unhex(vector["ct"]))
    if vector["result"] != "valid":
        with pytest.raises(VerificationFailed):
            decrypt(key, sealed, context)
        return
    text = decrypt(key, sealed, context)
    assert hashlib.sha512(text).hexdigest() == vector["msgSha512"]
    assert chunked._encrypt(key, text, context, sealed[:24]) == sealed


@pytest.mark.parametrize("vector", small("chunked"), ids=lambda vector: str(vector["comment"]))
def test_chunked_encryption_public_vectors(vector: dict[str, Any]) -> None:
    check_chunked(vector)


def test_chunked_encryption_vector_file() -> None:
    vectors = [vector for group in large("wycheproof_chunked_aes256.json")["testGroups"] for vector in group["tests"]]
    for vector in vectors:
        check_chunked(vector)
    assert len(vectors) == 35


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_what_was_sealed_opens_and_costs_what_it_should(length: int) -> None:
    text = bytes(at % 251 for at in range(length))
    sealed = encrypt(KEY, text, b"context")
    assert len(sealed) == 56 + length + 16 * (length // CHUNK + 1)
    assert decrypt(KEY, sealed, b"context") == text


def test_two_seals_of_one_text_differ_everywhere() -> None:
    one, two = encrypt(KEY, bytes(100), b""), encrypt(KEY, bytes(100), b"")
    assert one[:24] != two[:24] and one[24:56] != two[24:56] and one[56:] != two[56:]


def test_another_key_or_context_opens_nothing() -> None:
    sealed = encrypt(KEY, b"text", b"context")
    for key, context in ((flipped(KEY, 0), b"context"), (KEY, b"contexu"), (KEY, b""), (KEY[:31], b"context")):
        with pytest.raises(VerificationFailed):
            decrypt(key, sealed, context)


def test_a_key_of_another_length_seals_nothing() -> None:
    for length in (0, 16, 31, 33):
        with pytest.raises(MalformedInput):
            encrypt(bytes(length), b"text", b"")


def test_every_flipped_byte_and_every_cut_is_refused() -> None:
    sealed = encrypt(KEY, b"a short text", b"context")
    damaged = [flipped(sealed, at) for at in range(len(sealed))] + [sealed[:at] for at in range(len(sealed))]
    for other in [*damaged, sealed + b"\x00", sealed + bytes(16)]:
        with pytest.raises(VerificationFailed):
            decrypt(KEY, other, b"context")


def test_chunks_that_are_moved_doubled_or_missing_are_refused() -> None:
    sealed = encrypt(KEY, bytes(3 * CHUNK), b"")
    step = CHUNK + 16
    head, parts = sealed[:56], [sealed[at : at + step] for at in range(56, len(sealed), step)]
    one, two, three, last = parts
    for order in ([two, one, three, last], [one, two, last], [one, two, three], [one, one, two, three, last], [last]):
        with pytest.raises(VerificationFailed):
            decrypt(KEY, head + b"".join(order), b"")


def test_padme_sizes_are_those_of_the_paper() -> None:
    sizes = {0: 0, 1: 1, 2: 2, 3: 3, 7: 7, 8: 8, 9: 10, 15: 16, 17: 18, 100: 104, 1000: 1024, 2049: 2176, 4097: 4352}
    assert {size: padme(size) for size in sizes} == sizes
    # crypto.md 1.4: e = floor(log2 n), s = floor(log2 e) + 1, round up to a multiple of 2^(e - s).
    for size in range(2, 5000):
        exponent = size.bit_length() - 1
        step = 2 ** (exponent - (exponent.bit_length() - 1) - 1)
        assert padme(size) % step == 0 and size <= padme(size) < size + step


@pytest.mark.parametrize("length", [0, 1, 2043, 2044, 2045, 4000, 100_000])
def test_what_was_framed_unframes(length: int) -> None:
    framed = frame(b"\x07" * length)
    assert len(framed) == max(2048, padme(length + 4))
    assert unframe(framed) == b"\x07" * length


def test_small_bodies_look_alike() -> None:
    assert {len(frame(bytes(length))) for length in range(2045)} == {2048}


def test_a_frame_that_frame_did_not_make_is_refused() -> None:
    framed = frame(b"body")
    big = frame(b"b" * 3000)
    for other in (
        b"",
        framed[:-1],
        framed + b"\x00",
        flipped(framed, 8),
        flipped(framed, 2047),
        b"\xff" * 2048,
        frame(bytes(3000))[:2048],
        big + bytes(64),
        big[:-64],
        b"\x00\x00\x00\x04body" + bytes(2168),
    ):
        with pytest.raises(VerificationFailed):
            unframe(other)


def test_keys_and_records_at_rest_open_in_their_own_place_only() -> None:
    master, key = bytes(32), bytes(range(32))
    wrapped, sealed = wrap_key(master, key, b"row 1"), seal_record(key, b"a record", b"row 1")
    assert len(wrapped) == 104
    assert unwrap_key(master, wrapped, b"row 1") == key and open_record(key, sealed, b"row 1") == b"a record"
    attempts: list[Callable[[], bytes]] = [
        lambda: unwrap_key(master, wrapped, b"row 2"),
        lambda: unwrap_key(key, wrapped, b"row 1"),
        lambda: unwrap_key(master, wrapped[:-1], b"row 1"),
        lambda: unwrap_key(master, flipped(wrapped, 60), b"row 1"),
        lambda: open_record(key, sealed, b"row 2"),
        lambda: open_record(master, sealed, b"row 1"),
        lambda: open_record(key, flipped(sealed, 60), b"row 1"),
        lambda: open_record(master, wrapped, b"row 1"),
        lambda: unwrap_key(key, seal_record(key, bytes(32), b"row 1"), b"row 1"),
    ]
    for attempt in attempts:
        with pytest.raises(VerificationFailed):
            attempt()
    with pytest.raises(MalformedInput):
        wrap_key(master, key[:31], b"row 1")


def test_what_was_sealed_at_rest_long_ago_still_opens() -> None:
    seed = unhex(own("seed"))
    assert unwrap_key(seed[:32], unhex(own("wrapped_key")), b"row 1") == seed[32:]
    assert open_record(seed[32:], unhex(own("record")), b"row 1") == b"a record"
