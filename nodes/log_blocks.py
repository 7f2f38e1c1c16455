"""Entries of the traffic log by the block: one path proves all of them, where each would need a path of its own.

A node is promised many envelopes in one stretch of the log. The entries of a whole block give every hash inside it, so
the inclusion path of its first entry, as far as it lies outside, leads from any of them to the checkpoint's root. Two
calls then serve a block, and what they bring is verified before anybody uses it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from exchange.errors import BadProof
from exchange.merkle import Tree, leaf_hash, verify_inclusion
from exchange.tlog.checkpoint import Checkpoint
from nodes.relay_port import Log, Relay

BLOCK = 256
"""Entries of a block, which begins at a multiple of it: a complete subtree, or the log's right edge."""

Proven = tuple[bytes, tuple[bytes, ...]]
"""An entry and its path."""


def blocks_worth_reading(indices: Iterable[int], size: int) -> list[int]:
    """Return the first indices of the blocks in which several of these entries stand, below a size of the log."""
    found = groupby(sorted(index for index in indices if index < size), key=lambda index: index - index % BLOCK)
    return [first for first, inside in found if len(list(inside)) > 1]


async def read_block(relay: Relay, first: int, checkpoint: Checkpoint) -> Mapping[int, Proven]:
    """Return the entries of the block that begins at `first`, each with its path under the checkpoint.

    Raises:
        BadProof: what the relay shows is not what stands there.
        Unavailable, RateLimited: it may show it later.
    """
    entries = await relay.read_log(Log.TRAFFIC, first, min(BLOCK, checkpoint.size - first))
    _, path = await relay.inclusion_proof(Log.TRAFFIC, first, checkpoint.size)
    return proven_entries(entries, path, first, checkpoint)


def proven_entries(
    entries: Sequence[bytes], path: Sequence[bytes], first: int, checkpoint: Checkpoint
) -> dict[int, Proven]:
    """Return the entries by index, each with its path, given the path of the first one; BadProof if that fails."""
    if len(entries) != min(BLOCK, checkpoint.size - first):
        raise BadProof(f"{len(entries)} entries from {first} on are no block")
    leaves = [leaf_hash(entry) for entry in entries]
    paths = Tree(leaves).paths()
    outside = tuple(path[len(paths[0]) :])
    # The steps inside come from the entries themselves: if the first one's path holds, all of them stand there.
    verify_inclusion(leaves[0], first, checkpoint.size, paths[0] + outside, checkpoint.root)
    return {first + at: (entry, paths[at] + outside) for at, entry in enumerate(entries)}
