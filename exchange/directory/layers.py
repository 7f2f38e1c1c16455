"""A mapping that is forked in a time that hardly depends on its size: what the fold keeps of every entry.

Forks share layers that nobody changes any more; what a fork is given goes into a layer of its own on top. When it is
forked itself, a top layer that is not much smaller than the one below is merged into that. So there are few layers,
each several times the one above it, and every item is copied a few times in its life. Nothing is ever deleted. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

GROWTH = 4
"""A layer that is forked is at least so many times smaller than the one below it."""


class Layers(Mapping[K, V], Generic[K, V]):
    """One owner changes it; older forks may be read by other threads meanwhile."""

    __slots__ = ("_below", "_top")

    def __init__(self, below: tuple[dict[K, V], ...] = ()) -> None:
        """`below` are layers, newest first, that nobody changes."""
        self._below = below
        self._top: dict[K, V] = {}

    def fork(self) -> "Layers[K, V]":
        """Return a copy that changes apart from this one."""
        if self._top:
            frozen, below = self._top, self._below
            while below and len(frozen) * GROWTH > len(below[0]):
                frozen, below = {**below[0], **frozen}, below[1:]
            # In this order: who reads meanwhile finds what is in both.
            self._below = (frozen, *below)
            self._top = {}
        return Layers(self._below)

    def __getitem__(self, key: K) -> V:
        """Return the newest value."""
        if key in self._top:
            return self._top[key]
        for layer in self._below:
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        """Say whether it was ever given."""
        return key in self._top or any(key in layer for layer in self._below)

    def __setitem__(self, key: K, value: V) -> None:
        """Give, or replace, a value."""
        self._top[key] = value

    def __iter__(self) -> Iterator[K]:
        """Yield every key in the order in which they were first given."""
        lower: list[dict[K, V]] = []
        for layer in (*reversed(self._below), self._top):
            yield from (key for key in layer if not any(key in each for each in lower))
            lower.append(layer)

    def __len__(self) -> int:
        """Count the keys: as long as it takes to look at each."""
        return sum(1 for _ in self)
