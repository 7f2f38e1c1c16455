"""Wrap a report's key for many recipients on all cores.

HPKE holds the interpreter's lock, so threads would wrap one after the other and hold up the event loop meanwhile:
processes do it. They start with the first report for many, stay, and end with this process. For few recipients the way
there and back costs more than it saves, and whatever a process does not do is done here.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from exchange.crypto.xwing import wrap_each
from exchange.errors import Unavailable
from exchange.runtime.logs import get_logger
from nodes.wrapping_worker import decode_wraps, encode_wanted, read_frame, write_frame

WORTH_IT = 32
"""Wraps from which on a process of its own is worth the way: one costs a tenth of a millisecond, the way a few."""

PROCESSES_MOST = 8


class Wrapping:
    """Processes that wrap; close() after use. For any thread."""

    def __init__(self, processes: int | None = None) -> None:
        """Use so many processes, by default one for each core; none where there is one core."""
        cores = len(os.sched_getaffinity(0))
        self._most = processes if processes is not None else min(cores, PROCESSES_MOST) if cores > 1 else 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._turn = threading.Lock()
        self._log = get_logger(__name__)

    def __enter__(self) -> Self:
        """Return it; nothing is started yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the processes."""
        with self._turn:
            self._most = 0
            for worker in self._workers:
                _end(worker)
            self._workers = []

    def wrap_all(self, secret: bytes, wanted: Sequence[tuple[bytes, bytes]]) -> Sequence[bytes]:
        """Do as exchange.crypto.xwing.wrap_each, on several cores where that is quicker."""
        if len(wanted) < WORTH_IT or not self._most:
            return wrap_each(secret, wanted)
        with self._turn:
            self._start()
            size = -(-len(wanted) // max(1, len(self._workers)))
            shares = [wanted[at : at + size] for at in range(0, len(wanted), size)]
            asked = [(worker, share) for worker, share in zip(self._workers, shares, strict=False)]
            for worker, share in asked:
                _ask(worker, encode_wanted(secret, share))
            answers = [self._answer(worker, secret, share) for worker, share in asked]
        return [wrap for answer in answers for wrap in answer] if answers else wrap_each(secret, wanted)

    def _start(self) -> None:
        """Start what is missing; called by whoever's turn it is."""
        while len(self._workers) < self._most:
            try:
                worker = subprocess.Popen(
                    [sys.executable, "-m", "nodes.wrapping_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            except OSError as error:
                self._log.warning("wrapping.not-started", detail=str(error))
                self._most = len(self._workers)
                return
            self._workers.append(worker)

    def _answer(
        self, worker: subprocess.Popen[bytes], secret: bytes, share: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[bytes]:
        try:
            if worker.stdout is None:
                raise Unavailable("it has no voice")
            return decode_wraps(read_frame(worker.stdout), len(share))
        except (OSError, Unavailable) as error:
            self._log.warning("wrapping.lost", detail=str(error))
            self._workers.remove(worker)
            _end(worker)
            return wrap_each(secret, share)


def _ask(worker: subprocess.Popen[bytes], frame: bytes) -> None:
    # One that is gone gives no answer either: that is seen there.
    with contextlib.suppress(OSError):
        if worker.stdin is not None:
            write_frame(worker.stdin, frame)


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
