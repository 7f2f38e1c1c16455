"""Trees, logs and signed receipts for the tests: the RFC's definitions written out slowly, and tiles in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from exchange.merkle import empty_root, leaf_hash, node_hash
from exchange.tlog.tiles import Tiles, TreeBuilder

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"


def shared_vectors(name: str) -> Any:
    """Return a file of test vectors that other projects publish, or skip the test."""
    path = VECTORS / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: these vectors are kept beside the project")
    return json.loads(path.read_text())


def leaves(count: int) -> list[bytes]:
    """Return distinct leaf hashes."""
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """Return MTH(D[n]) of RFC 6962 section 2.1, by its own recursion."""
    if not hashes:
        return empty_root()
    if len(hashes) == 1:
        return hashes[0]
    middle = split(len(hashes))
    return node_hash(naive_root(hashes[:middle]), naive_root(hashes[middle:]))


def naive_path(index: int, hashes: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) of RFC 6962 section 2.1.1."""
    if len(hashes) == 1:
        return []
    middle = split(len(hashes))
    if index < middle:
        return [*naive_path(index, hashes[:middle]), naive_root(hashes[middle:])]
    return [*naive_path(index - middle, hashes[middle:]), naive_root(hashes[:middle])]


def naive_consistency(old: int, hashes: list[bytes], *, whole: bool = True) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2; PROOF(m, D[n]) with b true."""
    if old == len(hashes):
        return [] if whole else [naive_root(hashes)]
    middle = split(len(hashes))
    if old <= middle:
        return [*naive_consistency(old, hashes[:middle], whole=whole), naive_root(hashes[middle:])]
    return [*naive_consistency(old - middle, hashes[middle:], whole=False), naive_root(hashes[:middle])]


def split(size: int) -> int:
    """Return the largest power of two below `size`."""
    middle = 1
    while middle * 2 < size:
        middle *= 2
    return middle


class StoredLog:
    """A log whose tiles lie in a dictionary: each append overwrites the partial tiles that have grown."""

    def __init__(self) -> None:
        """Begin empty."""
        self.tiles: Tiles = {}
        self.builder = TreeBuilder(0, {})
        self.reads = 0

    def append(self, hashes: list[bytes]) -> Tiles:
        """Append and store; return what changed."""
        changed = self.builder.append(hashes)
        self.tiles.update(changed)
        return changed

    def restart(self) -> None:
        """Forget the builder and load it again from what is stored."""
        self.builder = TreeBuilder.load(self.read, self.builder.size)

    def read(self, level: int, index: int) -> bytes:
        """Read one tile, and count it."""
        self.reads += 1
        return self.tiles[level, index]
