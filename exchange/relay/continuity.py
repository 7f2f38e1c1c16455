"""The logs never go back behind what was answered: a store that has lost entries stops the relay.

A replica that was promoted without the last commits, or an older copy that was put back, is a store like any other; to
go on with it would be to write a second history. So each process remembers, outside of the store, how far it saw each
log committed: in memory, and in its home the newest checkpoint of each log that it handed out. Nothing is appended to
a log that is shorter than what is remembered, and nothing signed that does not continue it.
docs/operations/production.md says what to do then.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exchange.errors import ConfigurationError, Unavailable, VerificationFailed
from exchange.relay.sequencer import Log, LogState, LogStore
from exchange.runtime.secrets import write_private
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.tiles import root_at

HINT = "stop every relay on it, and bring back the newest store: docs/operations/production.md"


class Continuity:
    """What is known to be committed. From any thread."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._seen: dict[Log, LogState] = {}
        self._lock = threading.Lock()
        self.broken = ""
        """Why the store cannot be gone on with; empty while all is well."""

    def seen(self, log: Log, state: LogState) -> None:
        """Remember a state that was read from what is committed, or whose transaction is durable."""
        with self._lock:
            known = self._seen.get(log)
            if known is None or state.size > known.size:
                self._seen[log] = state

    def check_size(self, log: Log, size: int) -> None:
        """Return when a log of `size` entries may be appended to; Unavailable when it was longer before."""
        known = self._seen.get(log)
        if self.broken or (known is not None and size < known.size):
            self._break(log, size)
            raise Unavailable(self.broken, hint=HINT)

    def check(self, store: LogStore, log: Log) -> None:
        """Return when the stored log continues what is known; reads O(log n) tiles.

        To be called before anything else is read in a transaction: an older view of the store looks like a loss.

        Raises:
            ConfigurationError: it does not.
        """
        known = self._seen.get(log)
        state = store.state(log)
        if known is not None and not _continues(store, log, known, state):
            self._break(log, state.size)
        if self.broken:
            raise ConfigurationError(self.broken, hint=HINT)

    def _break(self, log: Log, size: int) -> None:
        known = self._seen.get(log)
        if not self.broken and known is not None:
            self.broken = (
                f"the {log.name.lower()} log of the store has {size} entries and does not continue the {known.size}"
                " that were answered for: the store is damaged or an older copy"
            )


def _continues(store: LogStore, log: Log, known: LogState, state: LogState) -> bool:
    if state.size <= known.size:
        return state == known
    try:
        return root_at(lambda level, number: store.tile(log, level, number), known.size) == known.root
    except VerificationFailed:
        return False


@dataclass(frozen=True, slots=True)
class HandedOut:
    """The newest checkpoint of each log that this process handed out, in files beside the store."""

    folder: Path
    opened: Callable[[Log, str], Checkpoint]
    """Returns the checkpoint of a note that this relay signed, and raises for any other."""

    def tell(self, continuity: Continuity) -> None:
        """Let `continuity` know them.

        Raises:
            ConfigurationError: a file that this relay did not sign.
        """
        for log in Log:
            path = self._path(log)
            if not path.exists():
                continue
            try:
                found = self.opened(log, path.read_text())
            except (OSError, ValueError, VerificationFailed) as error:
                raise ConfigurationError(f"{path} is not a checkpoint of this relay", hint="restore it") from error
            continuity.seen(log, LogState(found.size, found.root))

    def keep(self, log: Log, note: str) -> None:
        """Write a checkpoint, durably."""
        write_private(self._path(log), note.encode())

    def _path(self, log: Log) -> Path:
        return self.folder / f"{log.name.lower()}.checkpoint"
