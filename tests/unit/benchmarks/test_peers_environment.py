"""benchmarks/peers/environment.py: clear words when something is missing, and no process stays."""

import contextlib
import socket
import time
from pathlib import Path

import pytest

from benchmarks.peers.environment import HOST, Environment, a_driver, a_server, port
from exchange.errors import Unavailable

WAIT_S = 30.0
WITH_A_WORKER = ["/bin/sh", "-c", "sleep 1000 & echo $!; wait"]


def runs(pid: int) -> bool:
    """Whether this process runs; one that ended and was not asked for yet does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_port_that_somebody_has_is_refused_and_the_option_named() -> None:
    with socket.socket() as somebody:
        somebody.bind((HOST, 0))
        somebody.listen()
        number = somebody.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {number} of {HOST} cannot be had") as refused:
            port(number, "--some-port")
    assert "--some-port" in refused.value.hint
    assert port(number, "--some-port") == number


def test_a_port_that_nobody_asked_for_is_a_free_one() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, port(0, "--some-port")))


def test_without_the_peers_it_says_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nats-server is missing") as refused:
        Environment(tmp_path).program("nats-server")
    assert "make bench-peers" in refused.value.hint


def test_a_server_that_ends_is_quoted(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo address already in use >&2; exit 3"]
    with a_server("peer", command, tmp_path, {}) as server, pytest.raises(Unavailable, match="code 3: address already"):
        server.wait_until(lambda: False)


def test_a_driver_that_ends_without_its_figures_is_quoted(tmp_path: Path) -> None:
    with (
        a_driver("sender", ["/bin/sh", "-c", "echo no such stream >&2; exit 1"], tmp_path) as driver,
        pytest.raises(Unavailable, match="sender ended with code 1: no such stream"),
    ):
        driver.line()


def test_a_driver_that_says_something_else_is_not_ready(tmp_path: Path) -> None:
    with (
        a_driver("sender", ["/bin/sh", "-c", "echo steady"], tmp_path) as driver,
        pytest.raises(Unavailable, match="'steady'"),
    ):
        driver.wait_until_ready()


def test_nothing_of_ours_reaches_a_peer_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with a_driver("driver", ["/bin/sh", "-c", 'echo "<$PYTHONPATH>$GIVEN"'], tmp_path, {"GIVEN": "this"}) as driver:
        assert driver.line() == "<>this"


def test_ctrl_c_ends_a_process_and_what_that_started(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), a_driver("peer", WITH_A_WORKER, tmp_path) as peer:
        own, worker = peer.process.pid, int(peer.line())
        assert runs(own) and runs(worker)
        raise KeyboardInterrupt
    until = time.monotonic() + WAIT_S
    while runs(worker) and time.monotonic() < until:
        time.sleep(0.01)
    assert not runs(own) and not runs(worker)
