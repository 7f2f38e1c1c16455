"""Start, drain, stop; one process a home; ports and sockets."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from exchange.errors import ConfigurationError, Unavailable
from exchange.runtime.grpc_options import local_options, server_options
from exchange.runtime.lifecycle import Drain, HomeLock, bind_port, bind_socket, every, started
from exchange.runtime.tls import server_credentials
from tests.support.loopback import authority

SERVICE = """
import asyncio, resource, os, sys
from exchange.runtime.lifecycle import run

async def main(drain):
    print(type(asyncio.get_running_loop()).__module__, resource.getrlimit(resource.RLIMIT_CORE), os.umask(0o077))
    print("ready", flush=True)
    await drain.wait()
    print("drained", flush=True)
    await {after}
    print("stopped", flush=True)

run(main)
"""


class Service:
    """A service in a process of its own."""

    def __init__(self, after: str = "asyncio.sleep(0)") -> None:
        script = SERVICE.format(after=after)
        self.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        self.first = self.line()
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_a_drain_and_the_service_returns(number: signal.Signals) -> None:
    service = Service()
    service.process.send_signal(number)
    assert [service.line(), service.line()] == ["drained", "stopped"]
    assert service.end() == 0


def test_a_second_signal_ends_it_at_once() -> None:
    service = Service(after="asyncio.Event().wait()")
    service.process.send_signal(signal.SIGTERM)
    assert service.line() == "drained"
    service.process.send_signal(signal.SIGINT)
    assert service.end() == 128 + signal.SIGINT


def test_a_service_leaves_no_core_and_no_file_for_others() -> None:
    service = Service()
    service.process.send_signal(signal.SIGTERM)
    assert service.first == f"uvloop {(0, 0)} {0o077}"
    service.end()


async def test_periodic_work_goes_on_after_errors_until_the_drain() -> None:
    drain = Drain()
    rounds: list[int] = []

    async def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 4:
            drain.begin()
        raise Unavailable("x") if len(rounds) % 2 else ValueError("y")

    async with asyncio.timeout(10):
        await every(0.001, work, drain)
    assert rounds == [0, 1, 2, 3]


async def test_the_drain_ends_a_wait_early_and_a_wait_can_end_without_it() -> None:
    drain = Drain()
    assert not await drain.wait(0.001)
    waiting = asyncio.ensure_future(drain.wait(3600))
    await asyncio.sleep(0)
    drain.begin()
    assert await waiting and drain.begun


def test_a_second_process_is_kept_out_and_told_who_is_in(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    with lock:
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()}"):
            HomeLock(tmp_path).acquire()
        assert lock.held
    with HomeLock(tmp_path):
        assert not lock.held


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from exchange.runtime.lifecycle import HomeLock\n"
        "lock = HomeLock(Path(sys.argv[1])); lock.acquire(); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigurationError, match=f"process {holder.pid}"):
            HomeLock(tmp_path).acquire()
        holder.kill()
        holder.wait(30)
        with HomeLock(tmp_path):
            pass


def test_a_home_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        HomeLock(tmp_path / "missing").acquire()


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        yield busy.getsockname()[1]


def a_server() -> grpc.aio.Server:
    return grpc.aio.server(options=local_options())


async def test_a_port_in_use_is_said_so(busy_port: int) -> None:
    with pytest.raises(ConfigurationError, match="in use") as caught:
        bind_port(a_server(), f"127.0.0.1:{busy_port}", grpc.ssl_server_credentials([(b"", b"")]))
    assert "another port" in caught.value.hint


async def test_a_second_server_does_not_share_the_port_of_the_first() -> None:
    ca = authority()
    credentials = server_credentials(lambda: (*ca.leaf("concord://x/relay", server=True), b""), require_client=False)
    first = grpc.aio.server(options=server_options())
    port = bind_port(first, "127.0.0.1:0", credentials)
    await first.start()
    with pytest.raises(ConfigurationError, match="in use"):
        bind_port(grpc.aio.server(options=server_options()), f"127.0.0.1:{port}", credentials)
    await first.stop(None)


@pytest.mark.parametrize("address", ["192.0.2.1:7443", "127.0.0.1:nothing", "no colon", "127.0.0.1:99999", "127.0.0.1"])
async def test_an_address_that_is_not_ours_is_said_so(address: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        bind_port(a_server(), address, grpc.ssl_server_credentials([(b"", b"")]))


async def test_a_socket_lies_in_a_private_directory_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "run" / "node.sock"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with HomeLock(tmp_path) as lock:
        server = a_server()
        bind_socket(server, path, lock)
        await server.start()
        assert path.is_socket() and path.parent.stat().st_mode & 0o777 == 0o700
        async with grpc.aio.insecure_channel(f"unix:{path}", options=local_options()) as channel:
            await asyncio.wait_for(channel.channel_ready(), 10)
        await server.stop(None)


async def test_a_socket_is_not_touched_without_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run" / "node.sock"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        with pytest.raises(ConfigurationError, match="not locked"):
            bind_socket(a_server(), path, HomeLock(tmp_path))
        assert path.is_socket()


async def test_something_else_in_the_place_of_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "node.sock"
    path.parent.mkdir(mode=0o700)
    path.write_text("a file")
    with HomeLock(tmp_path) as lock, pytest.raises(ConfigurationError, match="not a socket"):
        bind_socket(a_server(), path, lock)
    assert path.read_text() == "a file"


async def test_a_path_that_is_too_long_for_a_socket_is_said_so(tmp_path: Path) -> None:
    with HomeLock(tmp_path) as lock, pytest.raises(ConfigurationError, match="too long"):
        bind_socket(a_server(), tmp_path / ("x" * 120), lock)


class Away:
    """A service whose database is away for its first starts."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.closed = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        try:
            if self.left:
                self.left -= 1
                raise Unavailable("the database server cannot be used now")
            yield "running"
        finally:
            self.closed += 1


async def test_a_service_that_cannot_start_now_starts_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.runtime.lifecycle.AGAIN_S", 0.01)
    service = Away(2)
    async with AsyncExitStack() as stack:
        assert await started(stack, service.running, Drain()) == "running"
        assert service.closed == 2, "what was begun of each start is closed before the next"
    assert service.closed == 3


async def test_a_service_that_waits_to_start_stops_when_it_is_told_to() -> None:
    drain, service = Drain(), Away(1_000)
    async with AsyncExitStack() as stack:
        waiting = asyncio.create_task(started(stack, service.running, drain))
        while not service.closed:
            await asyncio.sleep(0.01)
        drain.begin()
        assert await waiting is None


async def test_a_service_that_is_wrongly_configured_does_not_start_again_and_again() -> None:
    def misconfigured() -> AbstractAsyncContextManager[None]:
        raise ConfigurationError("no such store")

    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError):
            await started(stack, misconfigured, Drain())
