"""RFC 6962 trees against the RFC's own numbers, a slow second implementation, and published proof cases."""

import base64
from hashlib import sha256

import pytest

from exchange.errors import BadProof
from exchange.merkle import (
    SIZE_MAX,
    Tree,
    empty_root,
    inclusion_path,
    leaf_hash,
    node_hash,
    paths_of,
    root_from_path,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.support.logs import leaves, naive_consistency, naive_path, naive_root, shared_vectors

# The eight leaves and roots of Certificate Transparency's reference tree.
KNOWN_LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# RFC 9162's example tree of seven leaves: the path of leaf 0 and the proofs from 3, 4 and 6, by their shape.
SHAPES = {3: 4, 4: 1, 6: 3}


def known(size: int) -> list[bytes]:
    return [leaf_hash(bytes.fromhex(leaf)) for leaf in KNOWN_LEAVES[:size]]


@pytest.mark.parametrize("size", range(9))
def test_the_roots_of_the_reference_tree_come_out(size: int) -> None:
    assert root_of(known(size)).hex() == KNOWN_ROOTS[size]


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaves(2)
    assert leaf_hash(b"x") == sha256(b"\0x").digest()
    assert node_hash(left, right) == sha256(b"\1" + left + right).digest()
    assert leaf_hash(left + right) != node_hash(left, right)
    assert empty_root() == sha256(b"").digest()


@pytest.mark.parametrize("size", [*range(1, 35), 63, 64, 65, 140, 255, 256])
def test_every_path_is_the_one_of_the_rfc_and_verifies(size: int) -> None:
    hashes = leaves(size)
    tree = Tree(hashes)
    assert tree.root == root_of(hashes) == naive_root(hashes)
    assert tree.paths() == paths_of(hashes)
    for index, path in enumerate(tree.paths()):
        assert path == tree.path(index)
        verify_inclusion(hashes[index], index, size, path, tree.root)
    for index in {0, size // 2, size - 1}:
        assert list(inclusion_path(hashes, index)) == naive_path(index, hashes)


def test_a_tree_of_one_has_an_empty_path_and_an_empty_tree_has_none() -> None:
    assert paths_of(leaves(1)) == [()]
    assert paths_of([]) == []
    with pytest.raises(IndexError):
        Tree([]).path(0)
    with pytest.raises(IndexError):
        Tree(leaves(3)).path(-1)


def test_every_pair_of_small_sizes_is_consistent_by_the_proof_of_the_rfc() -> None:
    hashes = leaves(33)
    roots = [naive_root(hashes[:size]) for size in range(34)]
    for new in range(1, 34):
        for old in range(1, new + 1):
            verify_consistency(old, new, roots[old], roots[new], naive_consistency(old, hashes[:new]))


def test_proofs_from_the_rfcs_tree_of_seven_have_its_shapes() -> None:
    for old, steps in SHAPES.items():
        assert len(naive_consistency(old, known(7))) == steps


def test_a_history_that_was_rewritten_is_not_consistent() -> None:
    honest, forked = leaves(12), [leaf_hash(b"forged"), *leaves(12)[1:]]
    for old in range(1, 12):
        with pytest.raises(BadProof):
            verify_consistency(old, 12, naive_root(honest[:old]), naive_root(forked), naive_consistency(old, forked))


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (4, 3), (0, 0), (0, -1), (0, SIZE_MAX + 1)])
def test_a_leaf_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(BadProof):
        root_from_path(leaves(1)[0], index, size, ())


def test_hashes_of_another_length_and_endless_paths_are_refused() -> None:
    one, two = leaves(2)
    for leaf, path in [(one[:31], [two]), (one, [two + b"\0"]), (one, [b""]), (one, [two] * 65)]:
        with pytest.raises(BadProof):
            root_from_path(leaf, 0, 2, path)
    with pytest.raises(BadProof):
        verify_consistency(1, 2, one[:31], root_of([one, two]), [two])


def test_nothing_is_proven_from_an_empty_tree() -> None:
    root = root_of(leaves(3))
    with pytest.raises(BadProof):
        verify_consistency(0, 3, empty_root(), root, ())
    with pytest.raises(BadProof):
        verify_consistency(0, 0, root, root, ())
    verify_consistency(0, 0, empty_root(), empty_root(), ())
    with pytest.raises(BadProof):
        verify_consistency(3, 2, root, root, ())


def test_the_published_inclusion_cases_come_out() -> None:
    cases = shared_vectors("rfc6962_proofs.json")["inclusion"]
    assert len(cases) == 98
    for case in cases:
        path = [base64.b64decode(step) for step in case["proof"] or []]
        leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
        try:
            verify_inclusion(leaf, case["leafIdx"], case["treeSize"], path, root)
            refused = False
        except BadProof:
            refused = True
        assert refused == case["wantErr"], case["_file"]


def test_the_published_consistency_cases_come_out() -> None:
    cases = shared_vectors("rfc6962_proofs.json")["consistency"]
    assert len(cases) == 98
    for case in cases:
        path = [base64.b64decode(step) for step in case["proof"] or []]
        old, new = base64.b64decode(case["root1"] or ""), base64.b64decode(case["root2"] or "")
        try:
            verify_consistency(case["size1"], case["size2"], old, new, path)
            refused = False
        except BadProof:
            refused = True
        assert refused == case["wantErr"], case["_file"]
