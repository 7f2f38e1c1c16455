"""What holds of attachments for any file, any pieces and any damage."""

import itertools
from hashlib import sha256
from unicodedata import category

from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.chunked import (
    CHUNK_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    Opening,
    Sealing,
    decrypt,
    encrypt,
    sealed_size,
)
from exchange.envelope.attachments import file_name
from exchange.envelope.blob import BlobSealing, blob_size, open_blob
from exchange.envelope.model import BlobKey
from exchange.errors import MalformedInput, VerificationFailed

KEY = bytes(range(32))
SIZES = st.integers(0, 4 * CHUNK_BYTES + 100) | st.sampled_from([0, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def a_file(size: int) -> bytes:
    return (sha256(size.to_bytes(4, "big")).digest() * (size // 32 + 1))[:size]


@given(
    size=SIZES,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=12),
    others=st.lists(st.integers(0, 1 << 20), max_size=12),
)
def test_sealing_in_any_pieces_is_what_sealing_whole_is(size: int, cuts: list[int], others: list[int]) -> None:
    text = a_file(size)
    sealing = Sealing(KEY, b"context")
    sealed = b"".join([sealing.start, *map(sealing.add, pieces(text, cuts)), sealing.end()])
    assert len(sealed) == sealed_size(size)
    assert decrypt(KEY, sealed, b"context") == text
    opening = Opening(KEY, b"context")
    assert b"".join([*map(opening.add, pieces(encrypt(KEY, text, b"context"), others)), opening.end()]) == text


@given(size=SIZES, cuts=st.lists(st.integers(0, 1 << 20), max_size=8), data=st.data())
def test_no_blob_with_its_chunks_in_another_order_number_or_form_becomes_a_file(
    size: int, cuts: list[int], data: st.DataObject
) -> None:
    text, blob_id = a_file(size), b"b" * 16
    sealing = BlobSealing(blob_id, KEY)
    blob = b"".join([sealing.start, sealing.add(text), *sealing.end()])
    key = BlobKey(blob_id, KEY, size, sha256(text).digest(), "a", "text/plain")
    assert len(blob) == blob_size(size) and b"".join(open_blob(key, pieces(blob, cuts))) == text
    step = CHUNK_BYTES + TAG_BYTES
    chunks = [blob[at : at + step] for at in range(HEADER_BYTES, len(blob), step)]
    changed = data.draw(st.permutations(chunks)) if data.draw(st.booleans()) else list(chunks)
    match data.draw(st.sampled_from(["drop", "twice", "flip", "cut", "none"])):
        case "drop":
            changed.pop(data.draw(st.integers(0, len(changed) - 1)))
        case "twice":
            changed.insert(data.draw(st.integers(0, len(changed))), data.draw(st.sampled_from(chunks)))
        case "flip":
            place = data.draw(st.integers(0, len(changed) - 1))
            at = data.draw(st.integers(0, len(changed[place]) - 1))
            chunk = changed[place]
            changed[place] = chunk[:at] + bytes([chunk[at] ^ data.draw(st.integers(1, 255))]) + chunk[at + 1 :]
        case "cut":
            changed[-1] = changed[-1][: data.draw(st.integers(0, len(changed[-1]) - 1))]
    other = blob[:HEADER_BYTES] + b"".join(changed)
    try:
        opened = b"".join(open_blob(key, pieces(other, cuts)))
    except VerificationFailed:
        assert other != blob
        return
    assert other == blob and opened == text


@given(st.text(max_size=300))
def test_a_name_that_is_accepted_has_nothing_that_a_terminal_or_a_file_system_obeys(name: str) -> None:
    try:
        accepted = file_name(name)
    except MalformedInput:
        return
    assert accepted == name and 1 <= len(name.encode()) <= 255
    assert not any(category(char) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} or char in "/\\" for char in name)
