"""Attachments as bytes: sealed piece by piece, opened piece by piece, called by names that mislead nobody."""

import unicodedata
from dataclasses import replace
from hashlib import sha256

import pytest

from exchange.envelope.attachments import check_attachments, file_name, media_type
from exchange.envelope.blob import BLOB_BYTES, BLOBS_BYTES, BlobSealing, blob_size, open_blob, padded_size
from exchange.envelope.model import Attachment, BlobKey
from exchange.errors import MalformedInput, TooLarge, VerificationFailed
from exchange.limits import ATTACHMENT_BYTES, ATTACHMENTS, ATTACHMENTS_BYTES, BLOB_FRAME_BYTES, GIB, MIB

CHUNK = 16 * 1024
ID, KEY = b"i" * 16, b"k" * 32


def sealed(data: bytes, *, blob_id: bytes = ID, key: bytes = KEY, piece: int = 10_000) -> tuple[bytes, BlobKey]:
    """Return the blob of a file and what opens it."""
    sealing = BlobSealing(blob_id, key)
    parts = [sealing.start, *(sealing.add(data[at : at + piece]) for at in range(0, len(data), piece)), *sealing.end()]
    blob = b"".join(parts)
    assert sealing.ref.sha256 == sha256(blob).digest() and sealing.ref.size == len(blob) == blob_size(len(data))
    return blob, BlobKey(blob_id, key, len(data), sha256(data).digest(), "a.bin", "application/octet-stream")


def opened(key: BlobKey, blob: bytes, *, piece: int = BLOB_FRAME_BYTES) -> bytes:
    return b"".join(open_blob(key, (blob[at : at + piece] for at in range(0, len(blob), piece))))


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, CHUNK, CHUNK + 1, 3 * CHUNK - 1, 100_000, 1_000_003])
def test_what_was_sealed_in_pieces_opens_in_other_pieces(size: int) -> None:
    data = bytes(at % 251 for at in range(size))
    blob, key = sealed(data)
    for piece in (1 if size < 3000 else 997, 16_400, BLOB_FRAME_BYTES, len(blob)):
        assert opened(key, blob, piece=piece) == data


def test_files_of_many_sizes_have_blobs_of_few() -> None:
    assert len({blob_size(size) for size in range(2048)}) == 1
    assert len({blob_size(size) for size in range(MIB, 2 * MIB, 1000)}) <= 33
    assert all(padded_size(size) <= size * 1.12 for size in (3000, MIB + 1, 100 * MIB + 1, GIB + 1))


def test_the_limits_leave_room_for_padding_and_sealing() -> None:
    assert blob_size(ATTACHMENT_BYTES) == BLOB_BYTES
    worst = [ATTACHMENTS_BYTES // ATTACHMENTS + 1] * ATTACHMENTS
    assert sum(map(blob_size, worst)) <= BLOBS_BYTES


def test_a_blob_that_is_cut_added_to_or_reordered_never_becomes_a_file() -> None:
    data = bytes(at % 251 for at in range(5 * CHUNK))
    blob, key = sealed(data)
    head, step = 56, CHUNK + 16
    chunks = [blob[at : at + step] for at in range(head, len(blob), step)]
    header = blob[:head]
    damaged = [
        b"",
        blob[:40],
        header,
        blob[:-1],
        header + b"".join(chunks[:-1]),
        header + b"".join(chunks[:2]),
        blob + b"\x00",
        blob + bytes(16),
        blob + chunks[-1],
        header + chunks[1] + chunks[0] + b"".join(chunks[2:]),
        header + chunks[0] + chunks[0] + b"".join(chunks[2:]),
        header + b"".join(chunks[1:]),
        bytes(1) + blob[1:],
        blob[:2000] + bytes([blob[2000] ^ 1]) + blob[2001:],
    ]
    for wrong in damaged:
        with pytest.raises(VerificationFailed):
            opened(key, wrong)


def test_a_blob_opens_for_no_other_attachment() -> None:
    data = bytes(3 * CHUNK)
    blob, key = sealed(data)
    other, other_key = sealed(data, blob_id=b"j" * 16, key=b"l" * 32)
    assert blob != other
    for wrong_key, wrong_blob in (
        (key, other),
        (other_key, blob),
        (replace(key, blob_id=b"j" * 16), blob),
        (replace(key, key=b"l" * 32), blob),
        (replace(key, size=key.size - 1), blob),
        (replace(key, size=key.size + 1), blob),
        (replace(key, size=0), blob),
        (replace(key, plain_sha256=sha256(b"another").digest()), blob),
    ):
        with pytest.raises(VerificationFailed):
            opened(wrong_key, wrong_blob)


def test_padding_that_is_not_zero_is_no_padding() -> None:
    data = b"x" * 3000
    blob, _ = sealed(data + b"\x01")
    hidden = BlobKey(ID, KEY, 3000, sha256(data).digest(), "a.bin", "application/octet-stream")
    assert padded_size(3000) == padded_size(3001)
    with pytest.raises(VerificationFailed):
        opened(hidden, blob)


@pytest.mark.parametrize(
    "name", ["map.pdf", "Lage 7.txt", "\u0646\u0642\u0634\u0647.png", "\u5730\u56f3.jpg", "a" * 255, "-rf", "a.tar.gz"]
)
def test_names_that_are_file_names(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".bashrc",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "a\nb",
        "a\x00b",
        "a\x1b[2J",
        "photo\u202egpj.exe",
        "a\u200fb",
        "a\ufeff",
        unicodedata.normalize("NFD", "\u00e9.txt"),
        " a",
        "a ",
        "a.",
        "CON",
        "nul.txt",
        "LPT1.doc",
        "a" * 256,
        "\u5730" * 86,
        "\ud800",
    ],
)
def test_names_that_are_paths_or_mislead(name: str) -> None:
    with pytest.raises(MalformedInput):
        file_name(name)


def test_a_media_type_is_declared_in_one_form() -> None:
    for good in ("application/pdf", "image/svg+xml", "application/vnd.ms-excel"):
        assert media_type(good) == good
    for wrong in (
        "",
        "pdf",
        "Image/PNG",
        "text/html; charset=x",
        "a/b/c",
        "a/",
        "/b",
        "text/\u0440df",
        "a" * 80 + "/b",
    ):
        with pytest.raises(MalformedInput):
            media_type(wrong)


def test_a_list_of_attachments_has_limits() -> None:
    one = Attachment("a", "text/plain", 1, bytes(32))
    many = [replace(one, name=str(number)) for number in range(ATTACHMENTS + 1)]
    check_attachments(many[:-1])
    for wrong, error in (
        (many, TooLarge),
        ([replace(one, size=ATTACHMENT_BYTES + 1)], TooLarge),
        ([replace(each, size=ATTACHMENT_BYTES) for each in many[:3]], TooLarge),
        ([one, one], MalformedInput),
        ([one, replace(one, name="A")], MalformedInput),
    ):
        with pytest.raises(error):
            check_attachments(wrong)
