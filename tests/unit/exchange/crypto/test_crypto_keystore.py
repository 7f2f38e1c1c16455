"""The keystore file: what opens it, what does not, and what it must never do."""

import struct

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from exchange.crypto import keystore
from exchange.crypto.keystore import change_passphrase, open_keystore, seal_keystore
from exchange.errors import BadInput, MalformedInput, TooLarge, WrongPassphrase
from tests.support.crypto_vectors import flipped, own, unhex

LEAST = 64 * 1024
ENTRIES = {"statement": b"s" * 64, "envelope": b"e" * 32, "prekey/2026-11-23": b""}
PASSPHRASE = b"correct horse"
HEADER = 52
"""Label (20), memory, passes, lanes (4 each), salt (16), entries (4)."""


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal_keystore(ENTRIES, PASSPHRASE, memory_kib=LEAST)


def with_header(data: bytes, **values: int) -> bytes:
    """Return the file with other numbers in its header."""
    label, memory, passes, lanes, salt, count = struct.unpack(">20sIII16sI", data[:HEADER])
    numbers = {"memory": memory, "passes": passes, "lanes": lanes, "count": count} | values
    return (
        struct.pack(
            ">20sIII16sI", label, numbers["memory"], numbers["passes"], numbers["lanes"], salt, numbers["count"]
        )
        + data[HEADER:]
    )


def test_argon2id_vector_of_rfc_9106() -> None:
    kdf = Argon2id(
        salt=b"\x02" * 16, length=32, iterations=3, lanes=4, memory_cost=32, ad=b"\x04" * 12, secret=b"\x03" * 8
    )
    assert kdf.derive(b"\x01" * 32).hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"


def test_what_was_sealed_opens(sealed: bytes) -> None:
    assert open_keystore(sealed, PASSPHRASE) == ENTRIES


def test_a_keystore_without_entries_opens() -> None:
    assert open_keystore(seal_keystore({}, PASSPHRASE, memory_kib=LEAST), PASSPHRASE) == {}


def test_a_keystore_of_long_ago_still_opens() -> None:
    golden = own("keystore")
    entries = open_keystore(unhex(golden["data"]), unhex(golden["passphrase"]))
    assert entries == {"envelope": b"e" * 32, "statement": b"s" * 64}


def test_another_passphrase_opens_nothing(sealed: bytes) -> None:
    for wrong in (b"", b"correct hors", b"correct horse "):
        with pytest.raises(WrongPassphrase):
            open_keystore(sealed, wrong)


def test_neither_passphrase_nor_entries_stand_in_the_file_or_the_error(sealed: bytes) -> None:
    assert PASSPHRASE not in sealed and b"s" * 16 not in sealed
    with pytest.raises(WrongPassphrase) as caught:
        open_keystore(sealed, b"a wrong guess")
    assert "guess" not in f"{caught.value!r} {caught.value.hint}"


def test_the_cost_has_a_floor_and_a_cap_when_sealing() -> None:
    for memory_kib in (0, 8, LEAST - 1, 4 * 1024 * 1024 + 1):
        with pytest.raises(MalformedInput):
            seal_keystore(ENTRIES, PASSPHRASE, memory_kib=memory_kib)


@pytest.mark.parametrize(
    "values",
    [
        {"memory": 0},
        {"memory": LEAST - 1},
        {"memory": 4 * 1024 * 1024 + 1},
        {"memory": 0xFFFFFFFF},
        {"passes": 0},
        {"passes": 2},
        {"passes": 11},
        {"passes": 0xFFFFFFFF},
        {"lanes": 0},
        {"lanes": 17},
        {"count": 2},
        {"count": 4},
        {"count": 0xFFFFFFFF},
    ],
    ids=str,
)
def test_a_hostile_header_is_refused_before_any_work(sealed: bytes, values: dict[str, int]) -> None:
    with pytest.raises(MalformedInput):
        open_keystore(with_header(sealed, **values), PASSPHRASE)


@pytest.mark.parametrize("values", [{"passes": 4}, {"lanes": 5}, {"memory": LEAST + 4}], ids=str)
def test_a_header_with_other_costs_opens_nothing(sealed: bytes, values: dict[str, int]) -> None:
    with pytest.raises(WrongPassphrase):
        open_keystore(with_header(sealed, **values), PASSPHRASE)


def test_every_cut_and_every_addition_is_refused(sealed: bytes) -> None:
    for other in [sealed[:at] for at in range(len(sealed))] + [sealed + b"\x00", b"junk", b"\xff" * 300]:
        with pytest.raises(MalformedInput):
            open_keystore(other, PASSPHRASE)


def test_a_flipped_byte_of_salt_or_data_key_looks_like_a_wrong_passphrase(sealed: bytes) -> None:
    for at in (32, 47, HEADER, HEADER + 11, HEADER + 12, HEADER + 59):
        with pytest.raises(WrongPassphrase):
            open_keystore(flipped(sealed, at), PASSPHRASE)


def test_a_flipped_byte_of_an_entry_is_named_as_damage(sealed: bytes) -> None:
    first = HEADER + 60
    name, box = first + 2, first + 2 + len("envelope") + 4
    for at in (name, name + 7, box, box + 11, box + 12, box + 43, box + 44, box + 59, len(sealed) - 1):
        with pytest.raises(MalformedInput):
            open_keystore(flipped(sealed, at), PASSPHRASE)


def test_a_flipped_byte_anywhere_else_is_refused(sealed: bytes) -> None:
    first = HEADER + 60
    for at in [*range(20), *range(48, 52), first, first + 1, *range(first + 10, first + 14)]:
        with pytest.raises(BadInput):
            open_keystore(flipped(sealed, at, 0x80), PASSPHRASE)


def test_entries_cannot_be_moved_swapped_or_taken_from_an_older_file() -> None:
    older = seal_keystore({"a": b"old", "b": b"two"}, PASSPHRASE, memory_kib=LEAST)
    newer = seal_keystore({"a": b"new", "b": b"two"}, PASSPHRASE, memory_kib=LEAST)
    size = 2 + 1 + 4 + 12 + 3 + 16
    start = HEADER + 60
    first, second = newer[start : start + size], newer[start + size :]
    swapped = first[:7] + second[7:] + second[:7] + first[7:]
    for entries in (older[start : start + size] + second, swapped, second + first, first + first):
        with pytest.raises(MalformedInput):
            open_keystore(newer[:start] + entries, PASSPHRASE)


def test_changing_the_passphrase_keeps_the_entries_and_shuts_the_old_one_out(sealed: bytes) -> None:
    changed = change_passphrase(sealed, PASSPHRASE, b"battery staple", memory_kib=LEAST)
    assert open_keystore(changed, b"battery staple") == ENTRIES
    with pytest.raises(WrongPassphrase):
        open_keystore(changed, PASSPHRASE)
    with pytest.raises(WrongPassphrase):
        change_passphrase(sealed, b"battery staple", PASSPHRASE, memory_kib=LEAST)


def test_two_files_of_the_same_entries_share_nothing_but_the_label(sealed: bytes) -> None:
    again = seal_keystore(ENTRIES, PASSPHRASE, memory_kib=LEAST)
    assert again[:32] == sealed[:32] and again[32:48] != sealed[32:48] and again[HEADER:] != sealed[HEADER:]


def test_what_is_too_large_or_has_no_name_is_not_sealed() -> None:
    with pytest.raises(MalformedInput):
        seal_keystore(ENTRIES, b"", memory_kib=LEAST)
    for name in ("", "n" * 129):
        with pytest.raises(MalformedInput):
            seal_keystore({name: b""}, PASSPHRASE, memory_kib=LEAST)
    with pytest.raises(TooLarge):
        seal_keystore({"a": bytes(keystore.VALUE_BYTES + 1)}, PASSPHRASE, memory_kib=LEAST)
    with pytest.raises(TooLarge):
        seal_keystore({str(at): b"" for at in range(keystore.ENTRIES + 1)}, PASSPHRASE, memory_kib=LEAST)
    with pytest.raises(TooLarge):
        seal_keystore({str(at): bytes(keystore.VALUE_BYTES) for at in range(16)}, PASSPHRASE, memory_kib=LEAST)
    with pytest.raises(TooLarge):
        open_keystore(bytes(keystore.KEYSTORE_BYTES + 1), PASSPHRASE)
