"""The spool: a directory into which other programs drop reports (PROTOCOL 7).

`spool/NAME.json`, with `spool/NAME.label.yaml` when it has a label, is pushed under the scope of the sensor that is
named `spool`; without such a sensor the spool is closed and files wait. What was pushed moves to `spool/sent/` beside
NAME.item with its id; what was refused moves to `spool/rejected/` beside NAME.reason.json. What may be tried again
stays.

A crash at any point loses nothing and sends nothing twice: a file leaves only after its push is durable, and pushing
the same content and label again gives the first answer.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import orjson

from exchange.errors import ExchangeError, PolicyDenied, RateLimited, StorageFull
from exchange.runtime.logs import get_logger
from nodes.reportfile import label_beside, read_report_file
from nodes.sensors import Scope, Sensors

SENSOR = "spool"
"""Name of the sensor whose scope holds here."""

POLL_S = 1.0
REPORT_SUFFIX = ".json"
NAME_CHARS = 60
"""Of a report's name that are kept when it moves: at four bytes each they leave room for a suffix in a file name."""

Push = Callable[[Scope, bytes, bytes], Awaitable[str]]
"""Push content and label under a scope; return the item's id."""

log = get_logger("spool")


@dataclass(frozen=True, slots=True)
class Spool:
    """The spool of one node."""

    directory: Path
    sensors: Sensors
    push: Push
    told: dict[str, str] = field(default_factory=dict, init=False)
    """What the log says of the files that stay here, by name."""

    def prepare(self) -> None:
        """Make the directories, for their owner alone, and finish what a crash left half moved."""
        for path in (self.directory, self.sent, self.rejected):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for label in self.directory.glob("*.label.yaml"):
            report = label.with_name(label.name.removesuffix(".label.yaml") + REPORT_SUFFIX)
            if label.stat().st_nlink > 1 and not report.exists():
                label.unlink()

    @property
    def sent(self) -> Path:
        """Where pushed reports go."""
        return self.directory / "sent"

    @property
    def rejected(self) -> Path:
        """Where refused reports go."""
        return self.directory / "rejected"

    async def watch(self, drain: asyncio.Event) -> None:
        """Take what comes until `drain` is set."""
        while not drain.is_set():
            await self.run_once()
            try:
                await asyncio.wait_for(drain.wait(), POLL_S)
            except TimeoutError:
                continue

    async def run_once(self) -> int:
        """Push every report that waits, oldest first; return how many left the spool."""
        waiting = await asyncio.to_thread(lambda: list(self._waiting()))
        for gone in self.told.keys() - {path.name for path in waiting}:
            del self.told[gone]
        scope = await self.sensors.named(SENSOR) if waiting else None
        if scope is None:
            return 0
        done = 0
        for path in waiting:
            try:
                done += await self._take(path, scope)
            except (RateLimited, StorageFull) as error:
                # What stops this one stops the others too.
                self._say_once("spool.waits", path.name, error.reason)
                break
            except OSError as error:
                self._say_once("spool.stuck", path.name, error.strerror or type(error).__name__)
        return done

    def _say_once(self, event: str, file: str, why: str) -> None:
        """Log what keeps a file here when that is news: it is looked at every second."""
        if self.told.get(file) != why:
            self.told[file] = why
            log.warning(event, reason=why, file=file)

    def _waiting(self) -> Iterator[Path]:
        """Yield reports under their final names. Names that begin with a dot are still being written."""
        found = [
            (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
            for entry in os.scandir(self.directory)
            if entry.name.endswith(REPORT_SUFFIX)
            and not entry.name.startswith(".")
            and entry.is_file(follow_symlinks=False)
        ]
        for _, name in sorted(found):
            yield self.directory / name

    async def _take(self, path: Path, scope: Scope) -> bool:
        """Push one report and move its files; say whether it left."""
        try:
            content, label = await asyncio.to_thread(partial(read_report_file, path, follow=False))
            item = await self.push(scope, content, label)
        except (RateLimited, StorageFull):
            raise
        except ExchangeError as error:
            if error.retryable:
                self._say_once("spool.waits", path.name, error.reason)
                return False
            log.warning("spool.rejected", reason=error.reason, file=path.name)
            await asyncio.to_thread(self._move, path, self.rejected, ".reason.json", _why(error))
            return True
        log.info("spool.sent", item=item, file=path.name)
        await asyncio.to_thread(self._move, path, self.sent, ".item", f"{item}\n".encode())
        return True

    def _move(self, path: Path, to: Path, suffix: str, note: bytes) -> None:
        """Move a report with its label, and add a note.

        The label stays readable beside the report until the report has moved: it is linked first and unlinked last. A
        label with two links and no report beside it is therefore one whose report has left.
        """
        name = _free_name(to, path.name.removesuffix(REPORT_SUFFIX)[:NAME_CHARS])
        (to / f"{name}{suffix}").write_bytes(note)
        label, moved = label_beside(path), to / f"{name}.label.yaml"
        if label.exists():
            moved.unlink(missing_ok=True)
            moved.hardlink_to(label)
        path.replace(to / f"{name}{REPORT_SUFFIX}")
        label.unlink(missing_ok=True)


def _free_name(directory: Path, name: str) -> str:
    """Return `name`, or the first of NAME-2, NAME-3, … that no report of this directory has."""
    names = itertools.chain((name,), (f"{name}-{number}" for number in itertools.count(2)))
    return next(free for free in names if not (directory / f"{free}{REPORT_SUFFIX}").exists())


def _why(error: ExchangeError) -> bytes:
    hint = error.hint or ("concord sensor list" if isinstance(error, PolicyDenied) else "")
    found = {"reason": error.reason, "message": str(error), "place": error.place, "hint": hint}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n"
