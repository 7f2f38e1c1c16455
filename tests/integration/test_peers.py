"""benchmarks/peers: the drivers hand every report to every recipient of the real peers, and Ctrl-C leaves nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.environment import HOST, Environment
from benchmarks.peers.jetstream import JetStream
from benchmarks.peers.opentaxii import OpenTaxii
from nodes.admin.exit_codes import INTERRUPTED, UNAVAILABLE

ROOT = Path(__file__).resolve().parents[2]
PEERS = Environment()
LOOK_S = 0.05
BENCHMARK = [sys.executable, "-m", "benchmarks.peers"]

needs_peers = pytest.mark.skipif(
    not (PEERS.path / ".installed").exists(), reason="the peers are not installed: make bench-peers"
)


@needs_peers
def test_jetstream_hands_every_report_to_every_recipient() -> None:
    found = JetStream(PEERS).deliver(reports=20, size=4096, recipients=3)
    assert (found.delivered, found.expected, len(found.waits_ms)) == (60, 60, 60)
    assert found.speed > 0 and 0 < found.p50 <= found.p99 and found.cpu_ms > 0


@needs_peers
def test_jetstream_at_a_steady_rate_takes_its_time() -> None:
    found = JetStream(PEERS).deliver(reports=10, size=4096, recipients=2, rate=20.0)
    # Nine pauses of 50 ms, whatever the machine.
    assert found.delivered == 20 and found.speed < 20 / 0.45


@needs_peers
@pytest.mark.parametrize("batch", [1, 4])
def test_opentaxii_hands_every_report_to_every_recipient(batch: int) -> None:
    found = OpenTaxii(PEERS).deliver(reports=10, size=4096, recipients=3, batch=batch)
    assert (found.delivered, found.expected, found.failed) == (30, 30, 0)
    assert found.speed > 0 and found.cpu_ms > 0


def test_a_taken_port_ends_the_benchmark_before_it_starts_anything() -> None:
    with socket.socket() as somebody:
        somebody.bind((HOST, 0))
        somebody.listen()
        taken = str(somebody.getsockname()[1])
        ended = subprocess.run(
            [*BENCHMARK, "--jetstream-port", taken], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert ended.returncode == UNAVAILABLE
    assert ended.stderr.startswith(f"error: port {taken} of {HOST} cannot be had")
    assert "hint: name another with --jetstream-port" in ended.stderr


@needs_peers
@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_the_benchmark_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        BENCHMARK,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "founding" in process.stderr.readline()
        while process.poll() is None and not any(" relay serve" in command for command in commands_in(tmp_path)):
            time.sleep(LOOK_S)
        process.send_signal(number)
        words = process.stderr.read()
    assert process.returncode == INTERRUPTED, words
    assert "nothing of it runs any more" in words
    assert not list(commands_in(tmp_path))


def commands_in(directory: Path) -> Iterator[str]:
    """Every running command that works in this directory."""
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue  # it ended meanwhile
        if str(directory).encode() in command:
            yield command.replace(b"\0", b" ").decode()
