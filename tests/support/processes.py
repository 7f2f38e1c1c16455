"""The relay as a process of its own, to be stopped, killed and started again. Ends only what it started, by its id."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange.errors import ExchangeError
from exchange.relay.app import Listening
from exchange.relay.home import RelayHome, RelaySecrets
from exchange.runtime.relay_info import read_relay_info
from exchange.runtime.secrets import write_private

START_S = 30.0
STOP_S = 30.0
PASSPHRASE = b"correct horse battery staple"
LEAST_MEMORY_KIB = 64 * 1024


def prepare(home: RelayHome, secrets: RelaySecrets, exchange: str, *, settings: str = "") -> Path:
    """Write configuration, keystore and passphrase file into a home; return the passphrase file."""
    if not home.keys.exists():
        secrets.save(home.keys, PASSPHRASE, memory_kib=LEAST_MEMORY_KIB)
    text = f'exchange = "{exchange}"\naddress = "127.0.0.1:0"\njoin_address = "127.0.0.1:0"\n{settings}'
    write_private(home.config, text.encode())
    file = home.root / "passphrase"
    write_private(file, PASSPHRASE)
    return file


@dataclass(slots=True)
class RelayProcess:
    """`concord relay serve`; a context manager that kills what is still running."""

    home: RelayHome
    passphrase_file: Path
    log: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Keep the log beside the home's files."""
        self.log = self.home.root / "relay.log"

    def start(self) -> Listening:
        """Start it and return where it listens."""
        self.home.info.unlink(missing_ok=True)
        command = [sys.executable, "-m", "nodes", "relay", "serve", "--home", str(self.home.root)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--passphrase-file", str(self.passphrase_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )
        return self._wait_until_it_listens(self.process)

    @property
    def pid(self) -> int:
        """Process id."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to drain, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_S)

    def __enter__(self) -> Self:
        """Return itself, not started."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> Listening:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if process.poll() is not None:
                raise AssertionError(f"the relay ended with {process.returncode}:\n{self.log.read_text()}")
            # The file is written whole, after the ports are open.
            with suppress(OSError, ExchangeError):
                info = read_relay_info(self.home.info.read_text())
                return Listening(info.address, info.join_address, info)
            time.sleep(0.02)
        raise AssertionError(f"the relay does not listen:\n{self.log.read_text()}")
