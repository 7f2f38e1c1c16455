"""The files of reports at one node: taken in, uploaded, fetched, and how each stands."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from exchange.envelope.blob import open_blob
from exchange.envelope.model import Attachment, BlobKey
from exchange.errors import NotFound
from exchange.limits import MIB
from nodes import vault
from nodes.attached import key_of
from nodes.attaching import Attaching
from nodes.blob_files import BlobFiles
from nodes.core import Core
from nodes.fetching import Fetching
from nodes.relay_port import RelayBlobs
from nodes.rounds import Rounds
from nodes.store import blobs
from nodes.store.blobs import BlobState, KeptBlob, Way
from nodes.uploading import Uploading

_HERE = (BlobState.HERE, BlobState.KEPT)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one file of a report stands."""

    attachment: Attachment
    state: str
    """waiting, fetching, here, broken or lost."""
    done: int = 0
    """Of what travels: how much is here, or with the relay when the report was signed here."""
    total: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that is here."""

    attachment: Attachment
    row: KeptBlob
    key: BlobKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Everything that has to do with the files of reports."""

    core: Core
    disk: BlobFiles
    attaching: Attaching
    uploading: Uploading
    fetching: Fetching
    tidying: Rounds

    @classmethod
    def of(cls, core: Core, relay: RelayBlobs, home: Path, *, least_free_mib: int, wake: Callable[[], None]) -> Self:
        """Build them; `wake` tells the sender that something can be sealed."""
        disk = BlobFiles(home)
        least_free = least_free_mib * MIB
        attaching = Attaching(core, disk, least_free=least_free)
        uploading = Uploading(core, relay, disk, attaching, wake=wake)
        fetching = Fetching(core, relay, disk, attaching, least_free=least_free, on_here=uploading.hurry)
        failed = partial(attaching.log.error, "attachments.failed")
        tidying = Rounds(attaching.tidy, every_s=core.timing.obligations_s, failed=failed)
        return cls(core, disk, attaching, uploading, fetching, tidying)

    @property
    def lasting(self) -> list[Callable[[], Awaitable[None]]]:
        """What runs as long as the node does."""
        return [self.uploading.run, self.fetching.run, self.tidying.run]

    def changed(self) -> None:
        """Look again: a report came, or was destroyed."""
        self.fetching.hurry()
        self.tidying.hurry()

    async def standing(self, item: bytes, attachments: Sequence[Attachment]) -> list[Standing]:
        """Return how the files of a report stand, in their order."""
        rows = await self._rows(item) if attachments else {}
        return [self._standing(each, rows.get(place)) for place, each in enumerate(attachments)]

    async def held(self, item: bytes, name: str, opened: vault.Opened) -> Held:
        """Return a file that is here, by its name.

        Raises:
            NotFound: the report has no such file, or it has not come.
        """
        attachments, rows = opened.statement.attachments, await self._rows(item)
        keys = await self.core.keybox.keys([item])
        for place, each in enumerate(attachments):
            row = rows.get(place)
            if each.name != name:
                continue
            if row is None or item not in keys or not (row.way is Way.OUT or row.state in _HERE):
                raise NotFound("that attachment is not here", hint="concord report show tells how far it has come")
            return Held(each, row, key_of(row, each, keys[item]))
        raise NotFound(f"the report has no attachment {name[:80]!r}", hint="concord report show lists them")

    def open(self, held: Held) -> Iterator[bytes]:
        """Yield a file, for a thread; only when this ends without an error was it all, and intact."""
        return open_blob(held.key, self.disk.read(held.row.file))

    async def _rows(self, item: bytes) -> dict[int, KeptBlob]:
        """Return what stands for each attachment: what came, else what was made here."""
        found = await self.core.database.read(partial(blobs.of_item, item=item))
        return {row.place: row for row in sorted(found, key=lambda row: row.way is Way.IN)}

    def _standing(self, attachment: Attachment, row: KeptBlob | None) -> Standing:
        if row is None:
            return Standing(attachment, "lost", why="nothing is known of it here")
        if row.way is Way.OUT:
            sent = row.size if row.state is BlobState.KEPT else self.uploading.progress.get(row.file, 0)
            return Standing(attachment, "here", sent, row.size)
        if row.state in _HERE:
            return Standing(attachment, "here", row.size, row.size)
        if row.state is BlobState.WAITING:
            under_way = row.file in self.fetching.progress
            done = max(row.done, self.fetching.progress.get(row.file, 0))
            return Standing(attachment, "fetching" if under_way or done else "waiting", done, row.size, row.why)
        return Standing(attachment, row.state, 0, row.size, row.why)
