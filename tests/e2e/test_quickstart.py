"""docs/quickstart.md and the guide to joining, executed as they stand: every command of both terminals."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes.demo.enrol import free_address

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```sh(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESSES = ("127.0.0.1:7411", "127.0.0.1:7412", "127.0.0.1:7421")
START_S = 30.0
SETTLE_S = 20.0


@contextmanager
def terminal(directory: Path) -> Iterator[tuple[dict[str, str], list[subprocess.Popen[bytes]]]]:
    """An empty directory with the environment of a shell in it, and the processes that were left running."""
    beside = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{beside}:{os.environ['PATH']}", "P": "--passphrase-file passphrase"}
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield environment, running
    finally:
        for process in reversed(running):
            os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            process.wait(timeout=20)


def until(done: "subprocess.Popen[bytes]", command: str, directory: Path, environment: dict[str, str]) -> None:
    """Wait until a command succeeds, as a person would who tries again."""
    deadline = time.monotonic() + START_S
    while subprocess.run(["bash", "-c", command], cwd=directory, env=environment, capture_output=True).returncode:
        assert done.poll() is None, (directory / "log").read_text()
        assert time.monotonic() < deadline, (directory / "log").read_text()
        time.sleep(0.2)


@pytest.mark.processes
@pytest.mark.parametrize("page", ["quickstart", "guides/join"])
def test_a_page_works_as_it_is_written(page: str, tmp_path: Path) -> None:
    text = (DOCS / f"{page}.md").read_text()
    for address in ADDRESSES:
        text = text.replace(address, free_address())
    # A guess at a passphrase costs a gigabyte in earnest, and so does each of the forty times that one is typed here.
    text = re.sub(r"concord (root|relay|node) init", r"concord \1 init --memory-mib 64", text)
    blocks = BLOCK.findall(text)
    assert len(blocks) >= 10
    with terminal(tmp_path) as (environment, running):
        for kind, script in blocks:
            if kind == "serve":
                _serve(script, tmp_path, environment, running)
            else:
                _run(script, tmp_path, environment, patient=kind == "settle")


def _serve(script: str, directory: Path, environment: dict[str, str], running: list[subprocess.Popen[bytes]]) -> None:
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {script}"],
            cwd=directory,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running.append(process)
    noun, home = re.findall(r"concord (\w+) serve --home (\w+)", script)[0]
    until(process, f"concord {noun} status --home {home}", directory, environment)
    if noun == "node":
        until(process, f"concord node status --home {home} --json | grep -q connected", directory, environment)


def _run(script: str, directory: Path, environment: dict[str, str], *, patient: bool) -> None:
    """Run a block; what settles by itself may need another try."""
    deadline = time.monotonic() + (SETTLE_S if patient else 0.0)
    while True:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"umask 077\n{script}"],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return
        if time.monotonic() >= deadline:
            pytest.fail(f"{script}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        time.sleep(0.3)
