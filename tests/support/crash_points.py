"""Kill this process at a durable step, as kill -9 and a power cut do: only in a process that tests have made for it.

Nothing in relay or node knows of it: the writer of databases and the functions that change files are wrapped here, and
ask the source which step calls them (durable_steps). A step is killed twice: the first time that it is passed before
its transaction commits or the file changes, the next time right after, before anybody has been told.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection

from exchange.runtime import database
from exchange.runtime.database import Database
from tests.support.durable_steps import Step, step_at

BEFORE, AFTER = "before", "after"
Point = tuple[str, str]
"""A step's name, and BEFORE or AFTER."""

FRAMES = 2
"""A step calls what is wrapped itself, or has write_private do it."""


class Armed:
    """The points at which this process is killed; the first that it comes to ends it."""

    def __init__(self, points: Collection[Point], tell: Callable[[Point], None]) -> None:
        """`tell` is told which point it was."""
        self._points, self._tell = frozenset(points), tell
        self._dying = threading.Lock()

    def passes(self, step: str, when: str) -> None:
        """Die here, if this is a point."""
        if when == AFTER and (step, BEFORE) in self._points:
            return
        if (step, when) in self._points:
            self._dying.acquire()  # one point is enough; another thread that comes to one waits for its end
            self._tell((step, when))
            os.kill(os.getpid(), signal.SIGKILL)

    def arm(self) -> None:
        """Wrap what makes things durable, for the rest of this process."""
        _wrap_writers(self)
        for name in ("replace", "rename", "unlink", "hardlink_to", "write_bytes", "write_text"):
            _wrap(self, Path, name)
        _wrap(self, os, "fsync")


class _Marked:
    """A write function of a step, which dies before its transaction commits; one without a transaction, before it."""

    def __init__(self, armed: Armed, step: str, call: database._Call) -> None:
        self.armed, self.step, self._fn, self._alone = armed, step, call.fn, call.alone

    def __call__(self, connection: Connection) -> Any:  # Any: what the step's own function returns
        if self._alone:
            self.armed.passes(self.step, BEFORE)
        value = self._fn(connection)
        self.armed.passes(self.step, BEFORE)
        return value


def _wrap_writers(armed: Armed) -> None:
    put, resolve = Database._put, database._resolve

    def marking(self: Database, call: database._Call) -> None:
        step = _calling(sys._getframe(1), skip=Path(database.__file__))
        if step is not None:
            call.fn = _Marked(armed, step.name, call)
        put(self, call)

    def resolving(group: list[database._Call]) -> None:
        for call in group:
            if isinstance(call.fn, _Marked) and call.error is None:
                armed.passes(call.fn.step, AFTER)
        resolve(group)

    Database._put = marking  # type: ignore[method-assign]
    database._resolve = resolving


def _wrap(armed: Armed, owner: Any, name: str) -> None:
    function = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:  # Any: whatever it takes and returns
        step = _calling(sys._getframe(1))
        if step is not None:
            armed.passes(step.name, BEFORE)
        value = function(*arguments, **named)
        if step is not None:
            armed.passes(step.name, AFTER)
        return value

    setattr(owner, name, wrapped)


def _calling(frame: FrameType | None, *, skip: Path | None = None) -> Step | None:
    """Return the step that a frame, or who called it, is in the middle of."""
    while skip is not None and frame is not None and frame.f_code.co_filename == str(skip):
        frame = frame.f_back
    for _ in range(FRAMES):
        if frame is None:
            return None
        step = step_at(frame.f_code.co_filename, frame.f_lineno)
        if step is not None:
            return step
        frame = frame.f_back
    return None
