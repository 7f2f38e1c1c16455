"""Tiles against the tree that they stand for, across the sizes where tiles fill, restarts and overwritten edges."""

import pytest

from exchange.errors import BadInput, BadProof
from exchange.merkle import SIZE_MAX, Tree, empty_root, leaf_hash, root_of, verify_consistency, verify_inclusion
from exchange.tlog.tiles import (
    TILE_BYTES,
    TreeBuilder,
    consistency_proof,
    edge_tiles,
    inclusion_proof,
    root_at,
)
from tests.support.logs import StoredLog, leaves, naive_consistency, naive_path, naive_root, shared_vectors

LARGE = 66_100
EDGES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, LARGE]


@pytest.fixture(scope="module")
def hashes() -> list[bytes]:
    return leaves(LARGE)


@pytest.fixture(scope="module")
def log(hashes: list[bytes]) -> StoredLog:
    """A log grown in uneven steps, so that every partial tile was overwritten many times."""
    log = StoredLog()
    at, step = 0, 1
    while at < LARGE:
        log.append(hashes[at : at + step])
        at, step = at + step, step * 7 % 401 + 1
    return log


def test_the_first_leaf_makes_one_partial_tile(hashes: list[bytes]) -> None:
    log = StoredLog()
    assert log.builder.root() == empty_root()
    assert log.append(hashes[:1]) == {(0, 0): hashes[0]}
    assert log.builder.root() == hashes[0]
    assert log.append([]) == {}


def test_only_changed_tiles_are_handed_back(hashes: list[bytes]) -> None:
    log = StoredLog()
    log.append(hashes[:300])
    assert sorted(log.append(hashes[300:310])) == [(0, 1)]
    assert sorted(log.append(hashes[310:520])) == [(0, 1), (0, 2), (1, 0)]
    assert len(log.tiles[0, 1]) == TILE_BYTES
    assert log.tiles[1, 0] == root_of(hashes[:256]) + root_of(hashes[256:512])
    assert sorted(log.append(hashes[520:530])) == [(0, 2)]


def test_a_tile_that_is_just_full_leaves_no_empty_one_behind(hashes: list[bytes]) -> None:
    log = StoredLog()
    assert sorted(log.append(hashes[:256])) == [(0, 0), (1, 0)]
    assert edge_tiles(256) == [(1, 0, 1)]
    assert edge_tiles(70_000) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]  # the example of C2SP tlog-tiles
    assert edge_tiles(0) == []


@pytest.mark.parametrize("size", EDGES)
def test_every_earlier_size_has_its_root_and_proofs(log: StoredLog, hashes: list[bytes], size: int) -> None:
    tree = Tree(hashes[:size])
    assert root_at(log.read, size) == tree.root
    for index in {0, size // 3, size // 2, size - 1}:
        path = inclusion_proof(log.read, index, size)
        assert path == tree.path(index)
        verify_inclusion(hashes[index], index, size, path, tree.root)
    for old in [each for each in EDGES if each <= size]:
        proof = consistency_proof(log.read, old, size)
        verify_consistency(old, size, root_of(hashes[:old]), tree.root, proof)


def test_small_trees_have_the_proofs_of_the_rfc(log: StoredLog, hashes: list[bytes]) -> None:
    for new in range(1, 41):
        assert root_at(log.read, new) == naive_root(hashes[:new])
        for index in range(new):
            assert list(inclusion_proof(log.read, index, new)) == naive_path(index, hashes[:new])
        for old in range(1, new + 1):
            assert list(consistency_proof(log.read, old, new)) == naive_consistency(old, hashes[:new])


def test_a_proof_reads_few_tiles_and_each_of_them_once(log: StoredLog) -> None:
    for index in (0, 777, 65_535, LARGE - 1):
        log.reads = 0
        inclusion_proof(log.read, index, LARGE)
        assert log.reads <= 6
    log.reads = 0
    consistency_proof(log.read, 12_345, LARGE)
    assert log.reads <= 6
    log.reads = 0
    root_at(log.read, LARGE)
    assert log.reads == len(edge_tiles(LARGE)) == 3


@pytest.mark.parametrize("size", [0, *EDGES])
def test_a_log_taken_up_after_a_restart_continues_the_same(log: StoredLog, hashes: list[bytes], size: int) -> None:
    # The stored tiles are those of a fuller tree: only their beginnings count.
    resumed = TreeBuilder.load(log.read, size)
    assert (resumed.size, resumed.root()) == (size, root_at(log.read, size))
    changed = resumed.append(hashes[size:])
    assert resumed.root() == log.builder.root()
    assert all(log.tiles[name] == tile for name, tile in changed.items())


def test_a_missing_or_short_tile_is_refused(log: StoredLog) -> None:
    with pytest.raises(BadProof):
        TreeBuilder(300, {})
    edge = {(level, index): log.read(level, index) for level, index, _ in edge_tiles(300)}
    TreeBuilder(300, edge)
    for bad in (b"", edge[0, 1][: 43 * 32], edge[0, 1] + b"\0", edge[0, 1] + bytes(TILE_BYTES)):
        with pytest.raises(BadProof):
            TreeBuilder(300, {**edge, (0, 1): bad})
    with pytest.raises(BadProof):
        root_at(lambda _level, _index: b"", 5)


def test_a_lying_tile_gives_another_root(log: StoredLog) -> None:
    def lying(level: int, index: int) -> bytes:
        tile = bytearray(log.read(level, index))
        tile[5] ^= 1
        return bytes(tile)

    assert root_at(lying, 300) != root_at(log.read, 300)


def test_what_does_not_exist_is_not_proven(log: StoredLog) -> None:
    for index, size in [(-1, 5), (5, 5), (0, 0), (0, SIZE_MAX + 1)]:
        with pytest.raises(BadInput):
            inclusion_proof(log.read, index, size)
    for old, new in [(0, 5), (6, 5), (-1, 5), (1, SIZE_MAX + 1)]:
        with pytest.raises(BadInput):
            consistency_proof(log.read, old, new)
    assert consistency_proof(log.read, 5, 5) == ()
    with pytest.raises(BadInput):
        root_at(log.read, -1)


def test_a_batch_with_a_bad_hash_adds_nothing(hashes: list[bytes]) -> None:
    log = StoredLog()
    log.append(hashes[:10])
    with pytest.raises(BadInput):
        log.append([hashes[10], b"short"])
    assert (log.builder.size, log.builder.root()) == (10, root_of(hashes[:10]))


def test_the_published_tile_is_the_one_that_its_entries_give() -> None:
    vectors = shared_vectors("c2sp_tlog_small.json")
    bundle = bytes.fromhex(vectors["entries_000_p_15_hex"])
    log, at = StoredLog(), 0
    while at < len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        log.append([leaf_hash(bundle[at + 2 : at + 2 + length])])
        at += 2 + length
    assert log.builder.size == 15
    assert log.tiles == {(0, 0): bytes.fromhex(vectors["tile_0_000_p_15_hex"])}
