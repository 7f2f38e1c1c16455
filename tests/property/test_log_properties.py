"""Whatever the tree: its proofs verify, no altered proof does, and tiles tell the same story as the tree."""

import base64
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.logkeys import LogKeys
from exchange.crypto.signing import Ed25519Key, Mldsa44Key
from exchange.errors import BadInput, BadProof
from exchange.merkle import Tree, root_from_path, root_of, verify_consistency, verify_inclusion
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.cosignature import Cosigner, check_cosignature, cosign
from exchange.tlog.entry import EntryKind, TrafficEntry, decode_entry, encode_entry
from exchange.tlog.note import sign_note, verify_note
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from exchange.tlog.tiles import consistency_proof, inclusion_proof, root_at
from tests.support.logs import StoredLog, leaves, naive_consistency, naive_root

KEY = Ed25519Key.from_seed(bytes(32))
KEYS = LogKeys(KEY, Mldsa44Key.from_seed(bytes(32)))
ORIGIN = "demo.concord.example/dir"
LEAVES = leaves(2_000)
WITNESS = Cosigner("w", KEYS.mldsa.public)
COSIGNED_CHECKPOINT = Checkpoint(ORIGIN, 3, root_of(LEAVES[:3]))
COSIGNED = cosign(COSIGNED_CHECKPOINT, "w", KEYS.mldsa, 1_637_755_200)
SIZES = st.integers(1, 300)


@dataclass(frozen=True)
class Claim:
    """All that an inclusion check takes."""

    leaf: bytes
    index: int
    size: int
    path: tuple[bytes, ...]
    root: bytes

    def check(self) -> None:
        verify_inclusion(self.leaf, self.index, self.size, self.path, self.root)


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    size = draw(SIZES)
    index = draw(st.integers(0, size - 1))
    tree = Tree(LEAVES[:size])
    return Claim(LEAVES[index], index, size, tree.path(index), tree.root)


def flipped(value: bytes, bit: int) -> bytes:
    at, shift = divmod(bit, 8)
    return value[:at] + bytes([value[at] ^ (1 << shift)]) + value[at + 1 :]


@given(claims(), st.integers(0, 255), st.data())
def test_no_flipped_bit_passes_for_an_inclusion_proof(claim: Claim, bit: int, data: st.DataObject) -> None:
    claim.check()
    bad = [replace(claim, leaf=flipped(claim.leaf, bit)), replace(claim, root=flipped(claim.root, bit))]
    if claim.path:
        step = data.draw(st.integers(0, len(claim.path) - 1))
        path = list(claim.path)
        path[step] = flipped(path[step], bit)
        bad += [replace(claim, path=tuple(path)), replace(claim, path=claim.path[:step] + claim.path[step + 1 :])]
    bad.append(replace(claim, path=(*claim.path, claim.root)))
    for each in bad:
        with pytest.raises(BadProof):
            each.check()


@given(claims(), st.integers(0, 400))
def test_no_other_index_passes(claim: Claim, index: int) -> None:
    if index != claim.index:
        with pytest.raises(BadProof):
            replace(claim, index=index).check()


@given(claims(), st.integers(0, 400))
def test_another_size_fails_or_is_one_that_gives_the_leaf_the_same_path(claim: Claim, size: int) -> None:
    # The size is not hashed: sizes that lead this leaf up through the same turns share a proof by design, which is why
    # a checkpoint signs size and root together, and a batch signature likewise.
    if turns(claim.index, size) != turns(claim.index, claim.size):
        with pytest.raises(BadProof):
            replace(claim, size=size).check()


def turns(index: int, size: int) -> str | None:
    """Return on which side each step of a leaf's path joins, or None without such a leaf."""
    if index >= size:
        return None
    sides, last = "", size - 1
    while last:
        if index % 2:
            sides += "L"
        elif index < last:
            sides += "R"
        index, last = index >> 1, last >> 1
    return sides


@given(st.binary(min_size=32, max_size=32), st.integers(), st.integers(), st.lists(st.binary(max_size=33), max_size=70))
def test_any_path_gives_a_root_or_is_refused(leaf: bytes, index: int, size: int, path: list[bytes]) -> None:
    with suppress(BadProof):
        assert len(root_from_path(leaf, index, size, path)) == 32


@given(SIZES, SIZES, st.integers(0, 255), st.data())
def test_no_flipped_bit_or_other_size_passes_for_a_consistency_proof(
    one: int, two: int, bit: int, data: st.DataObject
) -> None:
    old, new = sorted((one, two))
    old_root, new_root = naive_root(LEAVES[:old]), naive_root(LEAVES[:new])
    proof = naive_consistency(old, LEAVES[:new])
    verify_consistency(old, new, old_root, new_root, proof)
    bad: list[tuple[bytes, bytes, list[bytes]]] = [
        (flipped(old_root, bit), new_root, proof),
        (old_root, flipped(new_root, bit), proof),
        (old_root, new_root, [*proof, old_root]),
    ]
    if proof:
        step = data.draw(st.integers(0, len(proof) - 1))
        bad.append((old_root, new_root, [*proof[:step], flipped(proof[step], bit), *proof[step + 1 :]]))
        bad.append((old_root, new_root, proof[:step] + proof[step + 1 :]))
    for case in bad:
        with pytest.raises(BadProof):
            verify_consistency(old, new, *case)
    if old != new:
        with pytest.raises(BadProof):
            verify_consistency(new, old, new_root, old_root, proof)


@given(
    st.lists(st.integers(0, 600), min_size=1, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6), st.data()
)
def test_tiles_tell_the_same_as_the_tree_however_it_grew(
    batches: list[int], restarts: list[bool], data: st.DataObject
) -> None:
    log, size = StoredLog(), 0
    for count, restart in zip(batches, restarts, strict=False):
        log.append(LEAVES[size : min(size + count, len(LEAVES))])
        size = min(size + count, len(LEAVES))
        if restart:
            log.restart()
    assert (log.builder.size, log.builder.root()) == (size, root_of(LEAVES[:size]))
    then = data.draw(st.integers(0, size))
    root = root_of(LEAVES[:then])
    assert root_at(log.read, then) == root
    if then:
        index, old = data.draw(st.integers(0, then - 1)), data.draw(st.integers(1, then))
        verify_inclusion(LEAVES[index], index, then, inclusion_proof(log.read, index, then), root)
        verify_consistency(old, then, root_of(LEAVES[:old]), root, consistency_proof(log.read, old, then))


@given(st.text(max_size=400))
def test_any_text_is_refused_as_a_note(text: str) -> None:
    with pytest.raises(BadProof):
        verify_note(text, ORIGIN, KEY.public)


@given(st.text(max_size=200).map(lambda text: text + "\n"))
def test_what_can_be_signed_as_a_note_verifies(text: str) -> None:
    try:
        note = sign_note(text, ORIGIN, KEY)
    except BadInput:
        return
    assert verify_note(note, ORIGIN, KEY.public) == text


@given(st.integers(1, (1 << 63) - 1), st.binary(min_size=32, max_size=32), st.data())
def test_no_altered_checkpoint_opens_as_another(size: int, root: bytes, data: st.DataObject) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    note = sign_checkpoint(checkpoint, KEYS)
    assert open_checkpoint(note, ORIGIN, KEYS.public) == checkpoint
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters())
    if other != note[at]:
        with pytest.raises(BadProof):
            open_checkpoint(note[:at] + other + note[at + 1 :], ORIGIN, KEYS.public)


@given(st.binary(max_size=45) | st.binary(min_size=41, max_size=41))
def test_any_bytes_are_one_entry_or_refused(data: bytes) -> None:
    try:
        entry = decode_entry(data)
    except BadInput:
        return
    assert encode_entry(entry) == data


@given(st.sampled_from(EntryKind), st.binary(min_size=32, max_size=32), st.integers(0, (1 << 63) - 1))
def test_every_entry_comes_back(kind: EntryKind, digest: bytes, at_ms: int) -> None:
    entry = TrafficEntry(kind, digest, at_ms)
    assert decode_entry(encode_entry(entry)) == entry


@given(st.integers(0, 2419 + 12), st.integers(1, 255))
def test_no_altered_byte_of_a_cosignature_passes(at: int, flip: int) -> None:
    head, _, encoded = COSIGNED.rpartition(" ")
    value = bytearray(base64.b64decode(encoded))
    value[at] ^= flip
    with pytest.raises(BadProof):
        check_cosignature(f"{head} {base64.b64encode(value).decode()}\n", COSIGNED_CHECKPOINT, WITNESS)


@given(
    st.text(max_size=80).map(lambda text: text + "\n") | st.binary(max_size=60).map(lambda data: f"\u2014 w {data!r}\n")
)
def test_any_text_is_refused_as_a_cosignature(line: str) -> None:
    with pytest.raises(BadProof):
        check_cosignature(line, COSIGNED_CHECKPOINT, WITNESS)
