"""Tiles: the hashes of a log's tree in blocks of 256, and roots and proofs read from O(log n) of them.

Pure: tiles are read through a function, and handed to the caller to store. C2SP tlog-tiles: tile `index` of `level`
holds the hashes of 256 consecutive complete subtrees of 256^level entries each, concatenated. Tiles at the right edge
are partial; one that has grown is stored under the same name, and its beginning never changes, so the newest tiles
prove every size up to the newest.
What a reader gives is trusted for its hashes only as far as the caller compares the outcome with a signed checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Self

from exchange.errors import BadInput, BadProof
from exchange.merkle import HASH_BYTES, SIZE_MAX, empty_root, node_hash, root_of

TILE_HEIGHT = 8
"""Levels of the tree in one tile."""

TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES
"""Of a full tile."""

TileReader = Callable[[int, int], bytes]
"""Gives the hashes of tile (level, index), full or as far as it is stored; what it raises passes through."""

Tiles = dict[tuple[int, int], bytes]
"""Hashes by (level, index)."""


class TreeBuilder:
    """The right edge of a growing tree: at most 8 KiB a level, whatever the size.

    Not for use by several threads. A caller whose transaction fails drops the builder and loads it again.
    """

    __slots__ = ("_edge", "_peaks", "_size")

    def __init__(self, size: int, edge: Mapping[tuple[int, int], bytes]) -> None:
        """Take up a tree of `size` entries from its right-edge tiles, those that `edge_tiles` names; 0 and none begin.

        Compare `root()` with the newest checkpoint: the tiles' lengths are checked here, their hashes cannot be.

        Raises:
            BadProof: a tile is missing, or shorter than a tree of this size has it.
        """
        self._size = _checked_size(size)
        self._edge: list[bytearray] = [bytearray() for _ in range(_levels(size))]
        for level, index, width in edge_tiles(size):
            self._edge[level] += _checked_tile(edge.get((level, index), b""), level, index, width)
        # The complete subtrees, largest first: with them a leaf costs one hash on average, and the root a few.
        stored = self._edge
        self._peaks = [_subtree_hash(lambda at, _: bytes(stored[at]), *each) for each in _subtrees(0, size)]

    @classmethod
    def load(cls, reader: TileReader, size: int) -> Self:
        """Take up the tree of `size` entries from stored tiles, which may be fuller than that."""
        return cls(size, {(level, index): reader(level, index) for level, index, _ in edge_tiles(size)})

    @property
    def size(self) -> int:
        """Entries of the tree."""
        return self._size

    def root(self) -> bytes:
        """Return the root hash."""
        return _joined(self._peaks) if self._peaks else empty_root()

    def append(self, leaf_hashes: Sequence[bytes]) -> Tiles:
        """Add leaves and return every tile that changed, with all its hashes; the caller stores them.

        Raises:
            BadInput: a hash of the wrong length, or more than any tree holds; nothing was added.
        """
        if any(len(leaf) != HASH_BYTES for leaf in leaf_hashes):
            raise BadInput("a leaf hash has the wrong length")
        first = self._size
        _checked_size(first + len(leaf_hashes))
        added = [list(leaf_hashes)]
        for leaf in leaf_hashes:
            self._push(leaf, added)
        changed: Tiles = {}
        for level, hashes in enumerate(added):
            self._extend(level, first >> (TILE_HEIGHT * (level + 1)), hashes, changed)
        return changed

    def _push(self, leaf: bytes, added: list[list[bytes]]) -> None:
        """Add a leaf to the peaks; a subtree that fills a tile by that goes to `added`, by its level."""
        node, complete, height = leaf, self._size, 0
        while complete & 1:
            node = node_hash(self._peaks.pop(), node)
            complete >>= 1
            height += 1
            if height % TILE_HEIGHT == 0:
                level = height // TILE_HEIGHT
                if level == len(added):
                    added.append([])
                added[level].append(node)
        self._peaks.append(node)
        self._size += 1

    def _extend(self, level: int, index: int, hashes: Sequence[bytes], changed: Tiles) -> None:
        """Add hashes to the right edge of one level, from tile `index` on."""
        if level == len(self._edge):
            self._edge.append(bytearray())
        edge = self._edge[level]
        edge += b"".join(hashes)
        while len(edge) >= TILE_BYTES:
            changed[level, index] = bytes(edge[:TILE_BYTES])
            del edge[:TILE_BYTES]
            index += 1
        if edge and hashes:
            changed[level, index] = bytes(edge)


def tiles_of(leaf_hashes: Sequence[bytes]) -> TileReader:
    """Return a reader of the tiles of a whole tree that is in memory."""
    tiles = TreeBuilder(0, {}).append(leaf_hashes)
    return lambda level, index: tiles.get((level, index), b"")


def edge_tiles(size: int) -> list[tuple[int, int, int]]:
    """Return (level, index, width) of the partial tiles of a tree, lowest first: what its growth is taken up from."""
    edge = []
    for level in range(_levels(_checked_size(size))):
        complete = size >> (TILE_HEIGHT * level)
        if complete % TILE_WIDTH:
            edge.append((level, complete // TILE_WIDTH, complete % TILE_WIDTH))
    return edge


def root_at(reader: TileReader, size: int) -> bytes:
    """Return the root hash of the tree when it had `size` entries.

    Raises:
        BadProof: a tile is shorter than a tree of this size has it.
    """
    return _range_hash(_once(reader), 0, size) if _checked_size(size) else empty_root()


def inclusion_proof(reader: TileReader, index: int, size: int) -> tuple[bytes, ...]:
    """Return the path of entry `index` in the tree of `size` entries (RFC 9162 section 2.1.3.1).

    Raises:
        BadInput: there is no such entry.
        BadProof: a tile is shorter than a tree of this size has it.
    """
    if not 0 <= index < _checked_size(size):
        raise BadInput(f"a tree of {size} entries has no entry {index}")
    read = _once(reader)
    steps = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split_point(end - start)
        if index < middle:
            steps.append(_range_hash(read, middle, end))
            end = middle
        else:
            steps.append(_range_hash(read, start, middle))
            start = middle
    return tuple(reversed(steps))


def consistency_proof(reader: TileReader, old: int, new: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of `new` entries continues the one of `old` (RFC 9162 section 2.1.4.1).

    Empty when the sizes are equal. From an empty tree nothing is proven, so that is refused.

    Raises:
        BadInput: `old` is 0 or above `new`.
        BadProof: a tile is shorter than a tree of this size has it.
    """
    if not 0 < old <= _checked_size(new):
        raise BadInput(f"no proof leads from {old} entries to {new}")
    read = _once(reader)
    steps = []
    start, end = 0, new
    while end != old:
        middle = start + _split_point(end - start)
        if old <= middle:
            steps.append(_range_hash(read, middle, end))
            end = middle
        else:
            steps.append(_range_hash(read, start, middle))
            start = middle
    if start:  # the older tree is not a single node of the newer one: name its last node too
        steps.append(_range_hash(read, start, end))
    return tuple(reversed(steps))


def _range_hash(reader: TileReader, start: int, end: int) -> bytes:
    """Return the hash over the leaves start..end-1, where `start` is a multiple of a power of two not below the range.

    Such a range falls into complete subtrees, largest first, as the bits of its length say; they join from the right.
    """
    return _joined([_subtree_hash(reader, at, height) for at, height in _subtrees(start, end)])


def _joined(peaks: Sequence[bytes]) -> bytes:
    """Return the hash over complete subtrees, given largest first."""
    return reduce(lambda right, left: node_hash(left, right), reversed(peaks))


def _subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        height = (end - start).bit_length() - 1
        yield start, height
        start += 1 << height


def _subtree_hash(reader: TileReader, start: int, height: int) -> bytes:
    """Return the hash of the complete subtree of 2^height leaves from `start`, read from one tile."""
    level, inside = divmod(height, TILE_HEIGHT)
    first = start >> (TILE_HEIGHT * level)
    index, at = divmod(first, TILE_WIDTH)
    tile = _checked_tile(reader(level, index), level, index, at + (1 << inside))
    return root_of(_split(tile[at * HASH_BYTES :]))


def _checked_tile(tile: bytes, level: int, index: int, width: int) -> bytes:
    """Return the first `width` hashes of a tile."""
    if len(tile) < width * HASH_BYTES or len(tile) > TILE_BYTES or len(tile) % HASH_BYTES:
        raise BadProof(f"tile {index} of level {level} has {len(tile)} bytes; {width} hashes are needed")
    return tile[: width * HASH_BYTES]


def _once(reader: TileReader) -> TileReader:
    """Read each tile once for one root or proof."""
    tiles: Tiles = {}

    def read(level: int, index: int) -> bytes:
        tile = tiles.get((level, index))
        if tile is None:
            tile = tiles[level, index] = reader(level, index)
        return tile

    return read


def _split(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def _split_point(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _levels(size: int) -> int:
    """Return how many levels of tiles a tree has."""
    return -(-size.bit_length() // TILE_HEIGHT)


def _checked_size(size: int) -> int:
    if not 0 <= size <= SIZE_MAX:
        raise BadInput(f"no tree has {size} entries")
    return size
