"""A person at a terminal: runs what a page shows, types the passphrase when asked for it, and says yes when asked."""

import fcntl
import os
import pty
import selectors
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 120.0
PIECE = 65_536
QUESTIONS = {b"[y/N]: ": b"y\n"}


@dataclass(frozen=True, slots=True)
class Said:
    """What a script did: its exit code, and what stands on the screen."""

    code: int
    screen: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """One person's shell: where it is, what its environment holds, and the passphrase that this person knows."""

    directory: Path
    environment: Mapping[str, str]
    passphrase: bytes

    def run(self, script: str) -> Said:
        """Run a script to its end; a command in it that fails ends it."""
        with _keyboard() as (keyboard, its_end), _bash(script, self, its_end) as bash:
            screen = b"".join(self._answering(bash, keyboard))
            return Said(bash.wait(timeout=PATIENCE_S), screen.decode())

    def _answering(self, bash: "subprocess.Popen[bytes]", keyboard: int) -> Iterator[bytes]:
        """Yield what appears on the screen, and answer what is asked there or, where nothing is echoed, beside it."""
        assert bash.stdout is not None
        deadline, asked = time.monotonic() + PATIENCE_S, b""
        with selectors.DefaultSelector() as both:
            both.register(bash.stdout, selectors.EVENT_READ)
            both.register(keyboard, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                for key, _ in both.select(timeout=1.0):
                    piece = os.read(key.fd, PIECE)
                    if key.fd == keyboard:
                        # What is asked on the terminal itself, not on the screen, is a passphrase.
                        if piece.endswith(b": "):
                            os.write(keyboard, self.passphrase + b"\n")
                        continue
                    if not piece:
                        return
                    yield piece
                    asked = (asked + piece)[-80:]
                    answer = next((answer for question, answer in QUESTIONS.items() if asked.endswith(question)), b"")
                    if answer:
                        os.write(keyboard, answer)
                        # A terminal shows what is typed.
                        yield answer
        raise AssertionError(f"it takes longer than {PATIENCE_S:.0f} seconds; last: {asked.decode()}")


@contextmanager
def _keyboard() -> Iterator[tuple[int, int]]:
    ours, its_end = pty.openpty()
    try:
        yield ours, its_end
    finally:
        os.close(ours)
        os.close(its_end)


def _bash(script: str, at: Terminal, keyboard: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"umask 077\n{script}"],
        cwd=at.directory,
        env=dict(at.environment),
        stdin=keyboard,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # Who asks for a passphrase asks on the terminal of the session.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the tests run no threads
    )
