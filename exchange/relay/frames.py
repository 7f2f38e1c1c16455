"""Frames of a delivery stream: what one is made of, and one of rows that were just placed and need not be read.

A frame takes lanes by urgency, within what room each has, and ends at its own size.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from exchange.envelope.codec import delivery_bytes
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.limits import MIB
from exchange.relay.mailbox import Placed, Row, Sealed
from exchange.relay.slots import slot_at

DELIVER_ITEMS = 64
"""Envelopes of one frame: few enough that a flash report does not wait long behind a routine frame."""

DELIVER_BYTES = 1 * MIB
"""A frame is cut at this size, unless one envelope alone is larger."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One envelope on its way."""

    lane: Lane
    position: int
    size: int
    delivery: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LaneState:
    """How far one lane has been sent, and what room it has."""

    lane: Lane
    sent: int
    room: int
    alone: bool
    """Nothing of it is under way."""


@dataclass(frozen=True, slots=True)
class Found:
    """A frame, and whether it had no place for more, or a lane no room."""

    frame: Sequence[Waiting]
    more: bool
    held_back: bool


class Fresh:
    """What was placed in one mailbox since the store was looked into, a frame's bytes of it at most."""

    def __init__(self) -> None:
        """There is nothing."""
        self._rows: dict[Lane, deque[Placed]] = {lane: deque() for lane in Lane}
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many rows there are."""
        return sum(map(len, self._rows.values()))

    @property
    def urgent(self) -> bool:
        """Whether one of them is flash."""
        return bool(self._rows[Lane.FLASH])

    @property
    def control_only(self) -> bool:
        """Whether none of them is a report."""
        return all(each.kind == EnvelopeKind.CONTROL for rows in self._rows.values() for each in rows)

    def add(self, placed: Placed) -> bool:
        """Take a row, or return False when there is no place for it."""
        if self._bytes and self._bytes + placed.row.size > DELIVER_BYTES:
            return False
        self._rows[placed.lane].append(placed)
        self._bytes += placed.row.size
        return True

    def clear(self) -> None:
        """Forget all of it."""
        for rows in self._rows.values():
            rows.clear()
        self._bytes = 0

    def take(self, lanes: Sequence[LaneState]) -> tuple[Sequence[Waiting], bool]:
        """Return the next frame, and whether only the store can tell what comes behind it.

        A lane that is not among `lanes` has no room.
        """
        frame: list[Waiting] = []
        by_lane = {state.lane: state for state in lanes}
        for lane, rows in self._rows.items():
            state = by_lane.get(lane)
            if rows and state is None:
                return frame, True
            sent, room, alone = (state.sent, state.room, state.alone) if state else (0, 0, False)
            while rows:
                placed = rows[0]
                if placed.row.position > sent:
                    if placed.after > sent or (placed.row.size > room and not alone):
                        return frame, True
                    if len(frame) == DELIVER_ITEMS:
                        return frame, False
                    frame.append(waiting(lane, placed.row, placed.sealed))
                    sent, room, alone = placed.row.position, room - placed.row.size, False
                self._bytes -= rows.popleft().row.size
        return frame, False


def waiting(lane: Lane, row: Row, sealed: Sealed) -> Waiting:
    """Return a row with the bytes of its delivery."""
    return Waiting(lane, row.position, row.size, build_delivery(sealed, row.place))


def build_delivery(sealed: Sealed, place: int) -> bytes:
    """Return the Delivery bytes for the recipient whose slot is at `place`."""
    slot = slot_at(sealed.slots, place)
    return delivery_bytes(
        header=sealed.header,
        leaf=slot.leaf,
        leaf_index=slot.index,
        proof=slot.proof,
        wrap=slot.wrap,
        body=sealed.body,
        promise=sealed.promise,
    )
