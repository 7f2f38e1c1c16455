"""Start, watch and stop the demo's relay and nodes.

Every process is a session of its own, so that Ctrl-C reaches the demo alone, which then stops them in order. Ids
are in HOME/processes.json as soon as each is started: `concord demo stop` finds them from there. A process id that has
since gone to another program is recognised by its command line and left alone.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from exchange.errors import Unavailable

REGISTER = "processes.json"
STOP_SECONDS = 10.0
START_SECONDS = 30.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Started:
    """One process of the demo."""

    name: str
    pid: int
    home: str
    """Its home directory, which stands on its command line."""


class Processes:
    """The processes of one demo home."""

    def __init__(self, home: Path) -> None:
        """Read which processes an earlier run left."""
        self._register = home / REGISTER
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def started(self) -> list[Started]:
        """Return the processes that were started, running or not."""
        if not self._register.exists():
            return []
        return [Started(**row) for row in json.loads(self._register.read_text())]

    def running(self) -> list[Started]:
        """Return those that still run."""
        return [process for process in self.started() if self._runs(process)]

    def start(
        self, name: str, home: Path, arguments: Sequence[str], *, module: str = "nodes", before: Sequence[str] = ()
    ) -> Started:
        """Start `concord ARGUMENTS`, or another module that takes them; its words go to HOME/log.

        `before` stands before the command, and becomes it (as `nice` does).
        """
        with (home / "log").open("ab") as log:
            child = subprocess.Popen(
                [*before, sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[child.pid] = child
        process = Started(name, child.pid, str(home))
        self._write([*self.started(), process])
        return process

    def wait_until(self, ready: Callable[[], bool], what: str, *, seconds: float = START_SECONDS) -> None:
        """Wait until `ready` answers yes.

        Raises:
            Unavailable: a process ended meanwhile, or it took too long.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self._none_ended()
            if time.monotonic() > deadline:
                raise Unavailable(f"{what}: not ready after {seconds:.0f} seconds", hint="look at the log files")
            time.sleep(POLL_SECONDS)

    def stop(self) -> list[str]:
        """Stop every process, nodes before the relay; return the names of those that ran."""
        processes = list(reversed(self.running()))
        self._end(processes)
        self._register.unlink(missing_ok=True)
        return [process.name for process in processes]

    def stop_one(self, name: str) -> None:
        """Stop the process of this name."""
        self._end([process for process in self.running() if process.name == name])
        self._write([process for process in self.started() if process.name != name])

    def kill_one(self, name: str) -> None:
        """Kill the process of this name, as a power cut would."""
        for process in self.running():
            if process.name == name:
                _signal(process.pid, signal.SIGKILL)
                while self._runs(process):
                    time.sleep(POLL_SECONDS)
        self._write([process for process in self.started() if process.name != name])

    def _end(self, processes: Sequence[Started]) -> None:
        """Ask them to stop, then make sure."""
        for process in processes:
            _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(self._runs(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for process in processes:
            if self._runs(process):
                _signal(process.pid, signal.SIGKILL)

    def _none_ended(self) -> None:
        for process in self.started():
            child = self._children.get(process.pid)
            if child is not None and child.poll() is not None:
                tail = (Path(process.home) / "log").read_text(errors="replace").strip().splitlines()[-3:]
                raise Unavailable(
                    f"{process.name} ended with code {child.returncode}: {' / '.join(tail)}",
                    hint=f"the whole log is {process.home}/log",
                )

    def _runs(self, process: Started) -> bool:
        child = self._children.get(process.pid)
        if child is not None:
            return child.poll() is None
        try:
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except OSError:
            return False
        return process.home.encode() in command

    def _write(self, processes: Sequence[Started]) -> None:
        scratch = self._register.with_suffix(".new")
        scratch.write_text(json.dumps([asdict(process) for process in processes], indent=1))
        scratch.replace(self._register)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
