"""Blocks of the traffic log: one path proves every entry of a block, and nothing else passes for one."""

import pytest

from exchange.errors import BadProof
from exchange.merkle import inclusion_path, leaf_hash, root_of, verify_inclusion
from exchange.tlog.checkpoint import Checkpoint
from nodes.log_blocks import BLOCK, blocks_worth_reading, proven_entries

ENTRIES = [number.to_bytes(41, "big") for number in range(2 * BLOCK + 77)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def a_checkpoint(size: int) -> Checkpoint:
    """Return the checkpoint of the log when it had `size` entries."""
    return Checkpoint("log.example", size, root_of(LEAVES[:size]))


@pytest.mark.parametrize("size", [1, 2, 77, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 76, 2 * BLOCK + 77])
def test_every_entry_of_a_block_gets_the_path_that_the_relay_would_give_it(size: int) -> None:
    checkpoint = a_checkpoint(size)
    for first in range(0, size, BLOCK):
        entries = ENTRIES[first : min(first + BLOCK, size)]
        found = proven_entries(entries, inclusion_path(LEAVES[:size], first), first, checkpoint)
        assert list(found) == list(range(first, first + len(entries)))
        for index, (entry, path) in found.items():
            verify_inclusion(leaf_hash(entry), index, size, path, checkpoint.root)
            assert (entry, path) == (ENTRIES[index], inclusion_path(LEAVES[:size], index))


@pytest.mark.parametrize("spoilt", [0, 1, 200, BLOCK - 1])
def test_a_block_with_one_other_entry_fails_whole(spoilt: int) -> None:
    size, first = len(ENTRIES), BLOCK
    entries = ENTRIES[first : first + BLOCK]
    entries[spoilt] = b"\xff" * 41
    with pytest.raises(BadProof):
        proven_entries(entries, inclusion_path(LEAVES, first), first, a_checkpoint(size))


def test_a_block_that_is_not_whole_fails() -> None:
    first, path = BLOCK, inclusion_path(LEAVES, BLOCK)
    for count in (0, BLOCK - 1, BLOCK + 1):
        with pytest.raises(BadProof):
            proven_entries(ENTRIES[first : first + count], path, first, a_checkpoint(len(ENTRIES)))


def test_a_path_from_elsewhere_fails() -> None:
    first = BLOCK
    with pytest.raises(BadProof):
        proven_entries(ENTRIES[first : first + BLOCK], inclusion_path(LEAVES, 0), first, a_checkpoint(len(ENTRIES)))


def test_a_block_is_read_where_several_entries_of_it_are_wanted_and_stand_in_the_log() -> None:
    assert blocks_worth_reading([3, BLOCK + 9, 7, 2 * BLOCK, 2 * BLOCK + 1], 2 * BLOCK + 1) == [0]
    assert blocks_worth_reading([], 9) == []
