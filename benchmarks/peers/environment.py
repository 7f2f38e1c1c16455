"""The peers' environment, and processes that are started from it and do not outlive their block.

Each process is the head of a session of its own: Ctrl-C reaches the benchmark alone, which then ends that whole
session, a server's workers included.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cpu import seconds_by_name
from exchange.errors import Unavailable
from nodes.demo.enrol import free_address

HERE = Path(__file__).resolve().parent
DRIVERS = HERE / "drivers"
HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 10.0
LOOK_S = 0.05
READY = "ready"
"""What a driver says when it can begin."""

QUOTED = 3
"""Lines of a log that an error repeats."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the peers are installed."""

    path: Path = HERE.parents[1] / ".venv-peers"

    def program(self, name: str) -> str:
        """Return the path of a program.

        Raises:
            Unavailable: it is not there.
        """
        found = self.path / "bin" / name
        if not found.exists():
            raise Unavailable(f"{found} is missing", hint="`make bench-peers` fetches the peers first")
        return str(found)

    def driver(self, name: str, *arguments: object) -> list[str]:
        """Return the command of a driver; -P keeps its folder out of where it imports from."""
        return [self.program("python"), "-P", str(DRIVERS / name), *map(str, arguments)]


def port(asked: int, option: str) -> int:
    """Return the port that was asked for, or one that was free a moment ago when that is 0.

    Raises:
        Unavailable: somebody has it.
    """
    if asked == 0:
        return int(free_address().rpartition(":")[2])
    with socket.socket() as probe:
        # Connections of an earlier run that have ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, asked))
        except OSError as error:
            raise Unavailable(
                f"port {asked} of {HOST} cannot be had: {error.strerror}",
                hint=f"name another with {option}, or leave {option} away: a free one is taken",
            ) from error
    return asked


@dataclass(frozen=True, slots=True)
class Child:
    """One process that was started."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return when `ready` says so.

        Raises:
            Unavailable: the process ended meanwhile, or it takes too long.
        """
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None:
                raise self._ended()
            if time.monotonic() > deadline:
                raise Unavailable(f"{self.name} is not ready after {START_S:.0f} s{self._words()}")
            time.sleep(LOOK_S)

    def cpu_s(self) -> float:
        """Return the CPU seconds that it and its workers have used so far."""
        return seconds_by_name([(self.name, self.process.pid)]).get(self.name, 0.0)

    def line(self) -> str:
        """Return the next line of a driver, which bounds itself in time.

        Raises:
            Unavailable: it ended without one.
        """
        assert self.process.stdout is not None
        if line := self.process.stdout.readline().strip():
            return line
        self.process.wait()
        raise self._ended()

    def wait_until_ready(self) -> None:
        """Return when a driver can begin."""
        if (said := self.line()) != READY:
            raise Unavailable(f"{self.name} says {said!r} instead of {READY!r}")

    def _ended(self) -> Unavailable:
        return Unavailable(f"{self.name} ended with code {self.process.returncode}{self._words()}")

    def _words(self) -> str:
        last = self.log.read_text(errors="replace").strip().splitlines()[-QUOTED:]
        return f": {' / '.join(last)}" if last else ""


@contextmanager
def a_server(name: str, command: list[str], scratch: Path, settings: Mapping[str, str]) -> Iterator[Child]:
    """Run a server of the peers' with these variables and no others of ours; all that it says goes to its log."""
    log = scratch / f"{name}.log"
    with log.open("ab") as words:
        process = _popen(command, scratch, settings, stdout=words.fileno(), stderr=words.fileno())
    with _ends(process):
        yield Child(name, process, log)


@contextmanager
def a_driver(
    name: str, command: list[str], scratch: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run a driver, whose lines are read."""
    log = scratch / f"{name}.log"
    with log.open("ab") as words:
        process = _popen(command, scratch, settings or {}, stdout=subprocess.PIPE, stderr=words.fileno())
    with _ends(process):
        yield Child(name, process, log)


def _popen(
    command: list[str], scratch: Path, settings: Mapping[str, str], *, stdout: int, stderr: int
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=scratch,
        env={"PATH": os.defpath, "HOME": str(scratch), "PYTHONWARNINGS": "ignore", **settings},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


@contextmanager
def _ends(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the process and all that it started, whatever happens in the block."""
    try:
        yield
    finally:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        _signal(process, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
