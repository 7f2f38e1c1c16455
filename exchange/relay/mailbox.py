"""What waits for whom: sealed envelopes, stored once, and a slim row for every recipient.

A mailbox is ordered by lane and position; a position is the envelope's index in the traffic log, so it rises with gaps.
A row leaves when its recipient has acknowledged it or the envelope expires; the ciphertext leaves with its last row.
`Bells` wakes delivery streams of this process; the rows are the truth, a bell only saves the wait.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from exchange.envelope.model import Lane
from exchange.names import PartyId
from exchange.relay.slots import PART, Slot, part_key

UNKNOWN = (1 << 63) - 1
"""A position that no log reaches."""

DELIVERY_OVERHEAD = 1400
"""Bytes that a delivery needs at most besides header, leaf, wrap and body: proof, promise, lengths."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An envelope as the relay stores it. Signed parts are the bytes that travelled."""

    id: int
    """Its index in the traffic log, and its position in every mailbox."""
    hash: bytes
    sender: PartyId
    envelope_id: bytes
    lane: Lane
    kind: int
    expires_ms: int
    header: bytes
    slots: tuple[Slot, ...]
    parts: tuple[bytes, ...] = field(repr=False)
    """The same slots as encode_slots gives them."""
    body: bytes = field(repr=False)
    promise: bytes
    decisions: bytes

    def delivery_size(self, slot: Slot) -> int:
        """Return what delivering it to one recipient takes at most, in bytes."""
        return len(self.header) + len(slot.leaf) + len(slot.wrap) + len(self.body) + DELIVERY_OVERHEAD

    @property
    def size(self) -> int:
        """Bytes that it takes in the store while it waits, about."""
        return len(self.header) + len(self.body) + sum(map(len, self.parts))

    def sealed(self) -> "list[Sealed]":
        """Return what deliveries are built from, one for each part of the slots."""
        return [
            Sealed(part_key(self.id, PART * number), self.header, part, self.body, self.promise)
            for number, part in enumerate(self.parts)
        ]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the deliveries of one envelope to the recipients of one part of its slots are built from."""

    key: int
    """As part_key gives it."""
    header: bytes
    slots: bytes = field(repr=False)
    body: bytes = field(repr=False)
    promise: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return len(self.header) + len(self.slots) + len(self.body) + len(self.promise)


@dataclass(frozen=True, slots=True)
class Row:
    """One envelope waiting for one recipient."""

    position: int
    place: int
    size: int

    @property
    def key(self) -> int:
        """Number of the stored part that holds its slot."""
        return part_key(self.position, self.place)


@dataclass(frozen=True, slots=True)
class Placed:
    """A row that has just come to be, with what its delivery is built from."""

    recipient: PartyId
    lane: Lane
    kind: int
    row: Row
    after: int
    """Who has sent all up to here of this mailbox and lane misses nothing by sending this row next."""
    sealed: "Sealed"


class Tails:
    """The last row that was placed in each mailbox and lane, for the writer's thread of the only process on a store.

    What a transaction placed that came to nothing stands here too: then the next row seems to come after one that is
    nowhere, and whoever is asked to send it looks into the store instead.
    """

    def __init__(self) -> None:
        """Nothing is known of what was placed before."""
        self._last: dict[tuple[PartyId, Lane], int] = {}

    def place(self, envelopes: Sequence[Accepted]) -> list[Placed]:
        """Return the rows of these envelopes, which stand in the order of their positions."""
        placed = []
        for each in envelopes:
            sealed = each.sealed()
            for place, slot in enumerate(each.slots):
                mine = (slot.recipient, each.lane)
                row = Row(each.id, place, each.delivery_size(slot))
                after = self._last.get(mine, UNKNOWN)
                placed.append(Placed(slot.recipient, each.lane, each.kind, row, after, sealed[place // PART]))
                self._last[mine] = each.id
        return placed


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one recipient in one lane."""

    waiting: int
    since_ms: int
    """When the oldest of it was logged."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A ciphertext that is gone: whose it was, and how many bytes it took."""

    hash: bytes
    sender: PartyId
    size: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered when an envelope came first."""

    answer: bytes
    decisions: bytes


class MailboxStore(Protocol):
    """Sealed envelopes waiting for their recipients, within one open transaction."""

    def answered(self, sender: PartyId, hashes: Sequence[bytes]) -> Mapping[bytes, Answered]:
        """Return the answers that the sender was given for these envelope hashes, promises and final refusals."""

    def taken(self, sender: PartyId, envelope_ids: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the envelope hash under which the sender has used each of these envelope ids."""

    def deposit(self, envelopes: Sequence[Accepted]) -> None:
        """Store envelopes and place each in every recipient's mailbox. None of them may be stored already."""

    def refuse(self, sender: PartyId, hash_: bytes, answer: bytes, at_ms: int) -> None:
        """Remember the final refusal of an envelope; a repeat changes nothing."""

    def keep_evidence(self, hash_: bytes, sender: PartyId, envelope_id: bytes, header: bytes, at_ms: int) -> None:
        """Keep a signed header that reuses an id; a repeat changes nothing."""

    def waiting(
        self, recipient: PartyId, lane: Lane, *, after: int, limit: int, kind: int | None = None
    ) -> Sequence[Row]:
        """Return what waits behind position `after`, in order; of one kind only when given."""

    def sealed(self, keys: Sequence[int]) -> Mapping[int, Sealed]:
        """Return what is stored under these keys of parts; what is gone is left out."""

    def acknowledge(self, recipient: PartyId, lane: Lane, position: int, *, kind: int | None = None) -> int:
        """Free everything up to `position`, of one kind only when given, and return how many rows went.

        A repeat frees nothing.
        """

    def drop(self, recipient: PartyId, *, kind: int, limit: int) -> int:
        """Free at most `limit` rows of one kind that wait, as if acknowledged, and return how many went.

        Cursors stay. Once 0 went, a repeat drops nothing.
        """

    def cursors(self, recipient: PartyId) -> Mapping[Lane, int]:
        """Return the highest position acknowledged in each lane that has one."""

    def has_gone(self, now_ms: int, *, refusals_before_ms: int) -> bool:
        """Say whether there is something for `delete_done`, `delete_expired` or `forget_refusals`."""

    def delete_done(self, limit: int, most_bytes: int) -> Sequence[Deleted]:
        """Delete ciphertexts that every recipient has; return what went, oldest first.

        At most `limit` of them, and `most_bytes` of their bodies unless one alone has more.
        """

    def delete_expired(self, now_ms: int, limit: int, most_bytes: int) -> Sequence[Deleted]:
        """Delete ciphertexts whose time has come, and their rows, as `delete_done`; return what went."""

    def held_bytes(self) -> Mapping[PartyId, int]:
        """Return how many bytes of each sender wait; `Accepted.size` and `Deleted.size` add up to it."""

    def held_bytes_of(self, sender: PartyId) -> int:
        """Return how many bytes of one sender wait."""

    def forget_refusals(self, before_ms: int) -> int:
        """Delete refusals given before a time at which the envelopes themselves are too old; return how many."""


class Bells:
    """Wakes the tasks that wait for something to happen to a party. For one event loop."""

    def __init__(self) -> None:
        """Begin with nobody listening."""
        self._events: dict[PartyId, asyncio.Event] = {}

    def listen(self, party: PartyId) -> asyncio.Event:
        """Return a new bell for the party; its last one is rung no more.

        The listener clears it before it looks for what is there, and forgets it at the end.
        """
        event = self._events[party] = asyncio.Event()
        return event

    def forget(self, party: PartyId, event: asyncio.Event) -> None:
        """Drop a bell, unless another listener has put up its own since."""
        if self._events.get(party) is event:
            del self._events[party]

    def ring(self, parties: Iterable[PartyId]) -> None:
        """Wake those of the parties that listen."""
        for party in parties:
            event = self._events.get(party)
            if event is not None:
                event.set()
