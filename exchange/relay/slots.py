"""The slots of one envelope as stored: each recipient's leaf, proof and wrapped key, in parts of 16 slots.

Stored once for all recipients beside the body, so that a mailbox row stays small; in parts, so that one slot of 140 is
read without the others. Written and read by the relay alone.
Layout of a part, big-endian: number of slots (2), the offset of each and of the end (4), then each slot: length of the
recipient (1) and it, index (2), length of the leaf (2) and it, number of steps (1) and 32 bytes a step, the wrap to the
end of the slot.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from exchange.limits import SLOTS
from exchange.names import HASH_BYTES, PartyId

PART = 16
"""Slots of a part."""

PARTS = SLOTS // PART

_COUNT = struct.Struct(">H")
_OFFSET = struct.Struct(">I")
_INDEX_AND_LEAF = struct.Struct(">HH")


@dataclass(frozen=True, slots=True)
class Slot:
    """What one recipient gets besides header, body and promise."""

    recipient: PartyId
    index: int
    leaf: bytes
    proof: tuple[bytes, ...]
    wrap: bytes = field(repr=False)


def encode_slots(slots: Sequence[Slot]) -> tuple[bytes, ...]:
    """Return the stored parts; a slot's place is its position in `slots`."""
    return tuple(_encode_part(slots[at : at + PART]) for at in range(0, len(slots), PART))


def part_key(envelope: int, place: int) -> int:
    """Return the number under which the part that holds a place is stored."""
    return envelope * PARTS + place // PART


def _encode_part(slots: Sequence[Slot]) -> bytes:
    parts = [_encode(slot) for slot in slots]
    at = _COUNT.size + _OFFSET.size * (len(parts) + 1)
    offsets = []
    for part in parts:
        offsets.append(_OFFSET.pack(at))
        at += len(part)
    return b"".join((_COUNT.pack(len(parts)), *offsets, _OFFSET.pack(at), *parts))


def slot_at(stored: bytes, place: int) -> Slot:
    """Return the slot at `place` of the envelope from the part that holds it."""
    start, end = struct.unpack_from(">II", stored, _COUNT.size + _OFFSET.size * (place % PART))
    recipient, at = _recipient(stored, start)
    index, length = _INDEX_AND_LEAF.unpack_from(stored, at)
    at += _INDEX_AND_LEAF.size
    leaf = stored[at : at + length]
    at += length
    steps = stored[at]
    at += 1
    wrap = at + HASH_BYTES * steps
    proof = tuple([stored[step : step + HASH_BYTES] for step in range(at, wrap, HASH_BYTES)])
    return Slot(recipient, index, leaf, proof, stored[wrap:end])


def recipients_of(stored: bytes) -> list[PartyId]:
    """Return the recipients of a part, by place."""
    (count,) = _COUNT.unpack_from(stored)
    starts = struct.unpack_from(f">{count}I", stored, _COUNT.size)
    return [_recipient(stored, start)[0] for start in starts]


def _encode(slot: Slot) -> bytes:
    name = slot.recipient.encode()
    return b"".join(
        (
            bytes((len(name),)),
            name,
            _INDEX_AND_LEAF.pack(slot.index, len(slot.leaf)),
            slot.leaf,
            bytes((len(slot.proof),)),
            *slot.proof,
            slot.wrap,
        )
    )


def _recipient(stored: bytes, start: int) -> tuple[PartyId, int]:
    end = start + 1 + stored[start]
    return PartyId(stored[start + 1 : end].decode()), end
