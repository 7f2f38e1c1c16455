"""Positions in both logs: append entries, keep the trees, inside the caller's transaction.

What is appended is durable when the transaction is. The tree in memory is only a cache of the store: before every
append it is compared with the size and root hash that the open transaction reads, and loaded anew when they differ, as
they do after a rollback, and when another process has appended. So the tree can never run ahead of what was committed,
and two histories cannot come to be. The writer's transaction holds the database's lock, so appends are one after the
other whoever makes them.
Used by the writer thread alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from exchange.errors import InternalError
from exchange.merkle import leaf_hash
from exchange.tlog.tiles import TreeBuilder


class Log(IntEnum):
    """The relay's two logs; numbers as in relay_service.proto."""

    DIRECTORY = 1
    TRAFFIC = 2


@dataclass(frozen=True, slots=True)
class LogState:
    """Size and root hash of a log."""

    size: int
    root: bytes


class LogStore(Protocol):
    """Both logs as stored, within one open transaction."""

    def state(self, log: Log) -> LogState:
        """Return size and root hash; an empty log has size 0 and the empty tree's root."""

    def set_state(self, log: Log, state: LogState) -> None:
        """Replace size and root hash."""

    def tile(self, log: Log, level: int, number: int) -> bytes:
        """Return the hashes of a tile as far as it is stored; nothing when it is not."""

    def put_tiles(self, log: Log, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles by (level, number); one that exists is replaced."""

    def append(self, log: Log, first: int, entries: Sequence[bytes]) -> None:
        """Store entries from index `first` on. An index that is taken fails the transaction."""

    def directory_mark(self) -> int:
        """Return the directory size of the newest head in the traffic log; 0 when there is none."""

    def set_directory_mark(self, size: int) -> None:
        """Remember the directory size that was logged."""


class Sequencer:
    """Appends to both logs; one object for one store, in each process that works on it."""

    def __init__(self, check_size: Callable[[Log, int], None] = lambda _log, _size: None) -> None:
        """Begin with nothing in memory; the first append loads what it needs.

        `check_size` raises when a log of this size must not be appended to.
        """
        self._check_size = check_size
        self._trees: dict[Log, tuple[LogState, TreeBuilder]] = {}

    def append(self, store: LogStore, log: Log, entries: Sequence[bytes]) -> int:
        """Append entries within the open transaction and return the index of the first.

        Raises:
            InternalError: the store's tiles do not give the root hash that the store states.
            Unavailable: the store has lost entries (continuity.py).
        """
        state = store.state(log)
        self._check_size(log, state.size)
        tree = self._tree(store, log, state)
        tiles = tree.append([leaf_hash(entry) for entry in entries])
        after = LogState(tree.size, tree.root())
        store.append(log, state.size, entries)
        store.put_tiles(log, tiles)
        store.set_state(log, after)
        self._trees[log] = (after, tree)
        return state.size

    def head(self, log: Log) -> LogState | None:
        """Return what the last append of this process came to; it is durable when its transaction is."""
        known = self._trees.get(log)
        return known[0] if known is not None else None

    def _tree(self, store: LogStore, log: Log, state: LogState) -> TreeBuilder:
        # Taken out while it changes: an append that fails half-way leaves nothing behind.
        known, tree = self._trees.pop(log, (None, None))
        if tree is not None and known == state:
            return tree
        loaded = TreeBuilder.load(lambda level, number: store.tile(log, level, number), state.size)
        if loaded.root() != state.root:
            raise InternalError(f"the tiles of the {log.name.lower()} log do not give its root hash")
        return loaded
