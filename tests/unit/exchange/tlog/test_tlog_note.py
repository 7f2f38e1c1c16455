"""Signed notes and checkpoints: the form that C2SP gives them, and nothing else."""

import base64
from collections.abc import Callable

import pytest

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.logkeys import LogKeys
from exchange.crypto.signing import Ed25519Key, Mldsa44Key
from exchange.errors import BadInput, BadProof
from exchange.merkle import empty_root, root_of
from exchange.tlog.checkpoint import Checkpoint, checkpoint_text, directory_origin, read_checkpoint, traffic_origin
from exchange.tlog.cosignature import cosign
from exchange.tlog.note import NOTE_BYTES, NOTE_SIGNATURES, key_hash, sign_note, verify_note, with_lines
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from tests.support.logs import leaves, shared_vectors

ORIGIN = "demo.concord.example/traffic"
KEY = Ed25519Key.from_seed(bytes(range(32)))
KEYS = LogKeys(KEY, Mldsa44Key.from_seed(bytes(range(32))))
OTHER = Ed25519Key.from_seed(bytes(32))
TEXT = "first line\n\nthird line\n"

# The examples of C2SP signed-note.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def key_of(vkey: str) -> tuple[str, PublicKey]:
    name, stated, encoded = vkey.split("+", 2)
    raw = base64.b64decode(encoded)
    assert raw[0] == 1
    public = admit_public_key(KeyAlgorithm.ED25519, raw[1:])
    assert key_hash(name, public).hex() == stated
    return name, public


def line(name: str, value: bytes) -> str:
    return f"— {name} {base64.b64encode(value).decode()}\n"


def test_the_example_of_the_specification_verifies() -> None:
    name, public = key_of(EXAMPLE_VKEY)
    assert verify_note(EXAMPLE_NOTE, name, public) == "This is an example message.\n"
    with pytest.raises(BadProof):
        verify_note(EXAMPLE_NOTE.replace("an example", "no example"), name, public)


def test_a_note_comes_back_as_it_went_even_with_empty_lines_in_it() -> None:
    for text in (TEXT, "\n", "a\n\n", "\n\n\n", "è subito sera\n"):
        assert verify_note(sign_note(text, ORIGIN, KEY), ORIGIN, KEY.public) == text


def test_only_the_expected_name_and_key_count() -> None:
    note = sign_note(TEXT, ORIGIN, KEY)
    for name, public in [(ORIGIN, OTHER.public), ("demo.concord.example/dir", KEY.public)]:
        with pytest.raises(BadProof):
            verify_note(note, name, public)


def test_lines_of_other_keys_are_ignored_but_well_formed() -> None:
    note = sign_note(TEXT, ORIGIN, KEY)
    witnesses = "".join(line(f"witness.example/{number}", bytes(2500)) for number in range(15))
    same_name, same_hash = line(ORIGIN, bytes(68)), line("x.example", key_hash(ORIGIN, KEY.public) + bytes(64))
    for extra in (witnesses, same_name, same_hash):
        assert verify_note(note + extra, ORIGIN, KEY.public) == TEXT
        text, _, signature = note.rpartition("\n\n")
        assert verify_note(f"{text}\n\n{extra}{signature}", ORIGIN, KEY.public) == TEXT
    for extra in ("junk\n", "— name\n", "— na+me AAAAAAAA\n", "- name AAAAAAAA\n", "— n AAAA=\n", line("n", bytes(4))):
        with pytest.raises(BadProof):
            verify_note(note + extra, ORIGIN, KEY.public)


def test_a_wrong_or_second_signature_of_the_known_key_refuses_the_note() -> None:
    note = sign_note(TEXT, ORIGIN, KEY)
    for bad in (line(ORIGIN, key_hash(ORIGIN, KEY.public) + bytes(64)), note.rpartition("\n\n")[2]):
        with pytest.raises(BadProof):
            verify_note(note + bad, ORIGIN, KEY.public)


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note[:0],
        lambda note: note[:-1],
        lambda note: note + "\n",
        lambda note: note.replace("\n\n—", "\n—"),
        lambda note: note.replace("—", "-"),
        lambda note: note.replace("first", "fi\trst"),
        lambda note: note.replace("first", "fi\x00rst"),
        lambda note: note.replace("\n", "\r\n"),
        lambda note: note.replace("first", "\ud800"),
        lambda note: note.replace("— ", "—\u00a0"),
        lambda note: note.rstrip("\n") + "=\n",
        lambda note: note.replace("\n\n— ", "\n\n—  "),
        lambda note: "x" * NOTE_BYTES + note,
        lambda note: note + line("w", bytes(9)) * NOTE_SIGNATURES,
    ],
)
def test_anything_but_a_note_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(BadProof):
        verify_note(change(sign_note(TEXT, ORIGIN, KEY)), ORIGIN, KEY.public)


def test_base64_with_bits_left_over_is_refused() -> None:
    note = sign_note(TEXT, ORIGIN, KEY)  # 68 bytes: the last character before the padding carries two unused bits
    assert note.endswith("=\n") and not note.endswith("==\n")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = note[-3]
    twin = alphabet[alphabet.index(last) | 1]
    assert twin != last
    with pytest.raises(BadProof):
        verify_note(f"{note[:-3]}{twin}=\n", ORIGIN, KEY.public)


def test_what_is_no_note_is_not_signed() -> None:
    for text in ("", "no newline", "tab\there\n", "x\n" * NOTE_BYTES):
        with pytest.raises(BadInput):
            sign_note(text, ORIGIN, KEY)
    for name in ("", "a b", "a+b", "a\u2003b", "a\nb", "x" * 256):
        with pytest.raises(BadInput):
            sign_note(TEXT, name, KEY)


def test_a_checkpoint_comes_back_as_it_went() -> None:
    for size in (0, 1, 300, (1 << 63) - 1):
        checkpoint = Checkpoint(ORIGIN, size, empty_root() if size == 0 else root_of(leaves(3)))
        note = sign_checkpoint(checkpoint, KEYS)
        assert open_checkpoint(note, ORIGIN, KEYS.public) == checkpoint


def test_the_two_logs_of_an_exchange_never_pass_for_each_other() -> None:
    directory, traffic = directory_origin("demo.concord.example"), traffic_origin("demo.concord.example")
    assert (directory, traffic) == ("demo.concord.example/dir", "demo.concord.example/traffic")
    checkpoint = Checkpoint(directory, 1, leaves(1)[0])
    with pytest.raises(BadProof):
        open_checkpoint(sign_checkpoint(checkpoint, KEYS), traffic, KEYS.public)
    # The same keys, the right key name, but a text that names the other log.
    mixed = with_lines(
        sign_note(checkpoint_text(checkpoint), traffic, KEY), [cosign(checkpoint, traffic, KEYS.mldsa, 0)]
    )
    with pytest.raises(BadProof):
        open_checkpoint(mixed, traffic, KEYS.public)


def test_a_checkpoint_with_one_of_the_two_signatures_of_its_log_does_not_hold() -> None:
    checkpoint = Checkpoint(ORIGIN, 1, leaves(1)[0])
    text, others = checkpoint_text(checkpoint), LogKeys(OTHER, Mldsa44Key.from_seed(bytes(32)))
    for lines in (
        sign_note(text, ORIGIN, KEY),
        f"{text}\n{cosign(checkpoint, ORIGIN, KEYS.mldsa, 0)}",
        with_lines(sign_note(text, ORIGIN, KEY), [cosign(checkpoint, ORIGIN, others.mldsa, 0)]),
        with_lines(sign_note(text, ORIGIN, OTHER), [cosign(checkpoint, ORIGIN, KEYS.mldsa, 0)]),
    ):
        with pytest.raises(BadProof):
            open_checkpoint(lines, ORIGIN, KEYS.public)


ROOT = base64.b64encode(root_of(leaves(3))).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n03\n{ROOT}\n",
        f"{ORIGIN}\n+3\n{ROOT}\n",
        f"{ORIGIN}\n-3\n{ROOT}\n",
        f"{ORIGIN}\n3 \n{ROOT}\n",
        f"{ORIGIN}\n\u0663\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n9223372036854775808\n{ROOT}\n",
        f"{ORIGIN}\n99999999999999999999\n{ROOT}\n",
        f"{ORIGIN}\n0\n{ROOT}\n",
        f"{ORIGIN}\n3\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n3\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n3\n {ROOT}\n",
        f"{ORIGIN}\n3\n\n",
        f"{ORIGIN}\n3\n",
        f"{ORIGIN}\n3\n{ROOT}\nextension\n",
        f"{ORIGIN}\n3\n{ROOT}\n\n",
    ],
)
def test_a_checkpoint_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(BadProof):
        read_checkpoint(text, ORIGIN)


def test_what_is_no_checkpoint_is_not_signed() -> None:
    root = leaves(1)[0]
    for bad in (
        Checkpoint("two words", 1, root),
        Checkpoint(ORIGIN, -1, root),
        Checkpoint(ORIGIN, 1 << 63, root),
        Checkpoint(ORIGIN, 1, root[:31]),
        Checkpoint(ORIGIN, 0, root),
    ):
        with pytest.raises(BadInput):
            sign_checkpoint(bad, KEYS)


def test_a_key_of_another_algorithm_verifies_nothing() -> None:
    note = sign_note(TEXT, ORIGIN, KEY)
    with pytest.raises(BadProof):
        verify_note(note, ORIGIN, PublicKey(KeyAlgorithm.MLDSA_44, KEY.public.raw))


def test_the_published_checkpoints_open_and_agree_with_their_tile() -> None:
    vectors = shared_vectors("c2sp_tlog_small.json")
    name, public = key_of(vectors["vkey"])
    tile = bytes.fromhex(vectors["tile_0_000_p_15_hex"])
    hashes = [tile[at : at + 32] for at in range(0, len(tile), 32)]
    assert len(vectors["checkpoints"]) == 16
    for size, note in vectors["checkpoints"].items():
        checkpoint = read_checkpoint(verify_note(note, name, public), name)
        assert checkpoint == Checkpoint(name, int(size), root_of(hashes[: int(size)]))
