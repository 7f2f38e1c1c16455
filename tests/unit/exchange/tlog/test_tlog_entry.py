"""Entries of the traffic log: 41 bytes, one form."""

import pytest

from exchange.errors import MalformedInput
from exchange.tlog.entry import ENTRY_BYTES, EntryKind, TrafficEntry, decode_entry, encode_entry

HASH = bytes(range(32))


@pytest.mark.parametrize("kind", list(EntryKind))
def test_every_kind_comes_back_as_it_went(kind: EntryKind) -> None:
    entry = TrafficEntry(kind, HASH, 1_700_000_000_123)
    assert decode_entry(encode_entry(entry)) == entry


def test_the_layout_is_kind_hash_and_big_endian_time() -> None:
    data = encode_entry(TrafficEntry(EntryKind.ENVELOPE, HASH, 0x0102030405060708))
    assert data == b"\x01" + HASH + bytes(range(1, 9))
    assert len(data) == ENTRY_BYTES == 41


@pytest.mark.parametrize("kind", [0, 6, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(MalformedInput):
        decode_entry(bytes([kind]) + HASH + bytes(8))


def test_other_lengths_and_times_out_of_range_are_refused() -> None:
    good = encode_entry(TrafficEntry(EntryKind.DELETION, HASH, 5))
    for bad in (b"", good[:-1], good + b"\0", good[:33] + b"\xff" * 8):
        with pytest.raises(MalformedInput):
            decode_entry(bad)
    for entry in (
        TrafficEntry(EntryKind.DELETION, HASH[:31], 5),
        TrafficEntry(EntryKind.DELETION, HASH, -1),
        TrafficEntry(EntryKind.DELETION, HASH, 1 << 63),
    ):
        with pytest.raises(MalformedInput):
            encode_entry(entry)
