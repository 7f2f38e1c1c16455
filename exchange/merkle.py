"""Merkle trees over a list of leaves: root hashes, inclusion proofs, consistency proofs.

Pure: hashes in, hashes out. Leaves are hashed with a 0x00 prefix and nodes with 0x01, so that a node is never taken for
a leaf (RFC 6962 section 2.1, RFC 9162 section 2.1). Verifying returns nothing or raises BadProof, whatever it is given.
Used by batch signatures, by the recipients of an envelope, by the rosters of communities, and by both logs.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256

from exchange.errors import BadProof

HASH_BYTES = 32
PATH_MAX = 64
"""Steps of the longest path that is looked at: sizes are below 2^63."""

SIZE_MAX = (1 << 63) - 1
"""Leaves of the largest tree whose proofs are looked at."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf's content."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two hashes."""
    return sha256(b"\x01" + left + right).digest()


def empty_root() -> bytes:
    """Return the root hash of a tree without leaves."""
    return sha256(b"").digest()


class Tree:
    """All nodes of one tree, computed once; `root` is free and `path` O(log n) after that."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        """Compute every level; a last node without a sibling stands unchanged one level higher."""
        level = list(leaf_hashes)
        self._levels = [level]
        digest = sha256
        while (width := len(level)) > 1:
            # One join and slices of it: a third of the time of concatenating pair by pair.
            joined = b"".join(level)
            above = [digest(b"\x01" + joined[at : at + 64]).digest() for at in range(0, (width // 2) * 64, 64)]
            if width % 2:
                above.append(level[-1])
            self._levels.append(above)
            level = above

    @property
    def root(self) -> bytes:
        """Root hash."""
        top = self._levels[-1]
        return top[0] if top else empty_root()

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the inclusion path of one leaf, lowest first.

        Raises:
            IndexError: the tree has no such leaf.
        """
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(f"leaf {index} of a tree of {len(self._levels[0])}")
        steps = []
        for level in self._levels:
            sibling = index ^ 1
            if sibling < len(level):
                steps.append(level[sibling])
            index >>= 1
        return tuple(steps)

    def paths(self) -> list[tuple[bytes, ...]]:
        """Return the inclusion path of every leaf, in order."""
        # From the top down: the paths of two siblings share everything above them.
        tails: list[tuple[bytes, ...]] = [()] * len(self._levels[-1])
        for level in reversed(self._levels[:-1]):
            width = len(level)
            tails = [
                (level[at ^ 1], *tails[at >> 1]) if at ^ 1 < width else tails[at >> 1]  # the last has no sibling
                for at in range(width)
            ]
        return tails


def filled_tree(occupied: Mapping[int, bytes], places: int, prefix: bytes) -> Tree:
    """Return the tree over `places` leaf hashes: those given where they stand, dummies derived from `prefix` elsewhere.

    Whoever does not know the prefix cannot tell a dummy from a leaf hash, so that a path tells nothing of how many
    places are occupied.
    """
    return Tree([occupied.get(at) or sha256(prefix + name).digest() for at, name in enumerate(_place_names(places))])


@cache
def _place_names(places: int) -> tuple[bytes, ...]:
    return tuple(at.to_bytes(4, "big") for at in range(places))


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root hash of the tree over these leaf hashes."""
    return Tree(leaf_hashes).root


def paths_of(leaf_hashes: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Return the inclusion path of every leaf, in order; take a Tree when the root is wanted too."""
    return Tree(leaf_hashes).paths()


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the inclusion path of one leaf; take a Tree for more than one."""
    return Tree(leaf_hashes).path(index)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root hash of the tree of `size` leaves in which this path leads up from leaf hash `leaf`.

    RFC 9162 section 2.1.3.2.

    Raises:
        BadProof: no such leaf, or a path of the wrong length for it.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise BadProof(f"leaf {index} of a tree of {size}")
    _check_hashes(path, leaf)
    node, at, last = leaf, index, size - 1
    for step in path:
        if last == 0:
            raise BadProof("the inclusion path is too long")
        if at % 2 or at == last:
            node = node_hash(step, node)
            while not at % 2 and at:  # a last node without a sibling rises unchanged
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, step)
        at >>= 1
        last >>= 1
    if last:
        raise BadProof("the inclusion path is too short")
    return node


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash `leaf` stands at `index` of the tree of `size` leaves with this root hash.

    Raises:
        BadProof: it does not.
    """
    if root_from_path(leaf, index, size, path) != root:
        raise BadProof("the inclusion path leads to another root")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Check that the older tree is the beginning of the newer one (RFC 9162 section 2.1.4.2).

    From an empty tree nothing is proven, so that is refused; a caller that begins there has nothing to check.

    Raises:
        BadProof: it is not, or the proof is not one for these sizes.
    """
    if not 0 <= old_size <= new_size <= SIZE_MAX:
        raise BadProof(f"a tree of {new_size} cannot continue one of {old_size}")
    if old_size == new_size:
        if path or old_root != new_root or (old_size == 0 and old_root != empty_root()):
            raise BadProof("two trees of one size differ, or come with a proof")
        return
    _check_hashes(path, old_root, new_root)
    if old_size == 0 or not path:
        raise BadProof("the consistency proof is empty, or from an empty tree")
    steps = list(path)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)  # a whole older tree is a node of the newer one, and left out of the proof
    older, newer = _roots_from_consistency(old_size, new_size, steps)
    if older != old_root or newer != new_root:
        raise BadProof("the consistency proof leads to another root")


def _roots_from_consistency(old_size: int, new_size: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    at, last = old_size - 1, new_size - 1
    while at % 2:
        at >>= 1
        last >>= 1
    older = newer = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise BadProof("the consistency proof is too long")
        if at % 2 or at == last:
            older = node_hash(step, older)
            newer = node_hash(step, newer)
            while not at % 2 and at:
                at >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, step)
        at >>= 1
        last >>= 1
    if last:
        raise BadProof("the consistency proof is too short")
    return older, newer


def _check_hashes(path: Sequence[bytes], *others: bytes) -> None:
    if len(path) > PATH_MAX:
        raise BadProof("the proof has too many steps")
    if set(map(len, (*path, *others))) - {HASH_BYTES}:
        raise BadProof("a hash of the proof has the wrong length")
