"""What the node asks of the relay, as values. nodes/relay_client.py speaks it over gRPC; tests play the other side.

Every method raises our errors only: Unavailable and RateLimited are worth trying again, the others say what is wrong.
Nothing that the relay returns is verified here.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from exchange.crypto.signed import Signed
from exchange.envelope.model import BlobRef, Lane
from exchange.names import PartyId


class Log(IntEnum):
    """The relay's two logs; numbers as in relay_service.proto."""

    DIRECTORY = 1
    TRAFFIC = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """Submissions that travel together; the answer repeats the number."""

    number: int
    submissions: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one submission: a promise with its decisions, or a refusal."""

    answer: Signed
    decisions: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcomes of one frame, in its order."""

    number: int
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One envelope that waited for this node."""

    lane: Lane
    position: int
    delivery: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Envelopes that came together; none is a sign of life. `now_ms` is the relay's clock."""

    waiting: Sequence[Waiting]
    now_ms: int


@dataclass(frozen=True, slots=True)
class DirectoryFrame:
    """Entries of the directory log from `start` on; `checkpoint` covers them, or is empty when more follows at once."""

    start: int
    entries: Sequence[bytes]
    checkpoint: str
    cosigned: str = ""
    """The newest checkpoint that a quorum of witnesses has cosigned, when the relay has a new one to show."""


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one log."""

    newest: str
    """Signed by the log alone."""
    cosigned: str
    """The newest that a quorum of witnesses has cosigned; empty when none has."""
    asked: str
    """What witnesses are asked to cosign now."""


@dataclass(frozen=True, slots=True)
class AgreementPart:
    """An agreement of this party, or what is new of it."""

    commitment: bytes
    """Of the view as its founders signed it."""
    view: bytes = field(repr=False)
    """Signed; empty when it is known here."""
    first: int
    """Number of the first change, from 0."""
    changes: Sequence[bytes] = field(repr=False)
    """Signed accessions and notices, in the order in which they were logged."""


class RelayBlobs(Protocol):
    """Attachments at the relay as one node sees them. Both directions go on from any offset; repeating is safe."""

    def upload(self, ref: BlobRef, read: Callable[[int], AsyncIterator[bytes]]) -> AsyncIterator[tuple[int, bool]]:
        """Send what `read` gives from where the relay is on; yield how much it holds, and whether that is all."""

    def fetch(self, sender: PartyId, blob_id: bytes, start: int) -> AsyncIterator[bytes]:
        """Yield a blob of this sender from an offset on; NotFound when there is none for this party."""

    async def acknowledge(self, sender: PartyId, blob_id: bytes) -> None:
        """Say that a blob is held durably, or not wanted any more."""


class Relay(Protocol):
    """The relay as one node sees it. Repeating any call is safe."""

    def submit(self, frames: AsyncIterator[Frame]) -> AsyncIterator[Answered]:
        """Send frames as they come and yield their answers."""

    def deliver(
        self, window_bytes: int, acknowledged: AsyncIterator[Sequence[tuple[Lane, int]]]
    ) -> AsyncIterator[Delivered]:
        """Yield what waits, all lanes, flash first, then what arrives; `acknowledged` yields positions held durably."""

    def follow_directory(self, start: int) -> AsyncIterator[DirectoryFrame]:
        """Yield the directory log from an index on, then live."""

    async def publish_statement(self, statement: bytes) -> int:
        """Append a statement; return its index."""

    async def publish_prekeys(self, bundle: bytes, statement: bytes) -> int:
        """Publish a bundle with the statement that names it; return the statement's index."""

    async def fetch_prekeys(self, hashes: Sequence[bytes]) -> Sequence[bytes]:
        """Return bundles by payload hash, at most 256; one that is unknown is left out."""

    async def publish_agreement(self, view: bytes) -> int:
        """Hand over a view that all parties signed; return the index of its commitment."""

    async def change_agreement(self, change: bytes) -> int:
        """Hand over an accession or a notice of this party; return the index of what it made of the agreement."""

    async def fetch_agreements(self, known: Mapping[bytes, int]) -> Sequence[AgreementPart]:
        """Return what is new of this party's agreements; `known` counts the changes held here, of 4,096 at most."""

    async def publish_community(self, notice: bytes) -> int:
        """Announce an epoch of an own community, or its end; return the index of the entry that shows it."""

    async def checkpoint(self, log: Log) -> str:
        """Return the newest checkpoint of a log."""

    async def notes(self, log: Log) -> Notes:
        """Return the newest checkpoint of a log, the newest with a quorum, and the one that witnesses are to cosign."""

    async def cosign(self, log: Log, size: int, line: str) -> None:
        """Hand over a cosignature of the checkpoint that is asked for; Conflict when another one is by now."""

    async def inclusion_proof(self, log: Log, index: int, size: int) -> tuple[bytes, Sequence[bytes]]:
        """Return an entry and its inclusion path under a tree size."""

    async def consistency_proof(self, log: Log, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the consistency path between two tree sizes."""

    async def read_log(self, log: Log, start: int, count: int) -> Sequence[bytes]:
        """Return at most `count` entries, at most 4,096, from an index on."""
