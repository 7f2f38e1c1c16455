"""A service's life: start, one lock on its home, its sockets, periodic work, drain, stop.

SIGTERM or SIGINT asks for a drain: finish what is under way, take nothing new, return. A second one ends the process at
once; nothing is lost by that, because every step is durable before it is acknowledged.
"""

import asyncio
import errno
import fcntl
import gc
import os
import re
import resource
import signal
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import uvloop

from exchange.errors import ConfigurationError, ExchangeError, Unavailable
from exchange.runtime.logs import get_logger
from exchange.runtime.secrets import private_dir

if TYPE_CHECKING:
    import grpc
    import grpc.aio

RESTART_S = 5.0
"""A part that failed is started again after this."""

AGAIN_S = 1.0
"""A service that cannot start now tries again after this."""

SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux."""

GARBAGE_OBJECTS = 10_000
"""Objects that are made before those that hold each other are looked for."""

T = TypeVar("T")

_HOST_PORT = re.compile(r"(\[[\w:.%]+\]|[^\[\]:/]+):[0-9]{1,5}")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = get_logger(__name__)


class Drain:
    """Says that the service is to stop; once begun it does not end. Everything that loops watches it."""

    def __init__(self) -> None:
        """Not begun."""
        self._event = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the service is to stop."""
        return self._event.is_set()

    def begin(self) -> None:
        """Ask the service to stop."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the drain, at most `timeout_s`; return whether it has begun."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        return self.begun


def run(main: Callable[[Drain], Awaitable[None]]) -> None:
    """Run a service until it returns; what it raises is raised here. Only in the main thread."""
    harden()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_watched(main))


def harden() -> None:
    """Leave no core file, which would hold keys, and no file that others can read."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


def spare_what_stays() -> None:
    """Look through what a start has made for garbage once more and then never again, and through the rest more rarely.

    Modules, tables and the replayed directory stay: going through them again and again brings nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


async def started(
    stack: AsyncExitStack, service: Callable[[], AbstractAsyncContextManager[T]], drain: Drain
) -> T | None:
    """Enter a service and return what it yields; as long as it cannot be entered now, try again.

    So a service outlives that its database is away, or its disk full, while it starts. None when the drain came first.
    """
    while not drain.begun:
        try:
            return await stack.enter_async_context(service())
        except Unavailable as error:
            _log.warning("cannot start yet", reason=error.reason, detail=str(error), hint=error.hint)
            await drain.wait(AGAIN_S)
    return None


async def every(seconds: float, fn: Callable[[], Awaitable[object]], drain: Drain) -> None:
    """Call `fn` now and then `seconds` after each end of it, until the drain; what it raises is logged."""
    while not drain.begun:
        try:
            await fn()
        except ExchangeError as error:
            _log.warning("periodic work failed", work=_name(fn), reason=error.reason, detail=str(error))
        except Exception:  # noqa: BLE001 - the next round may work, and the service must not stop silently
            _log.exception("periodic work failed", work=_name(fn))
        await drain.wait(seconds)


async def supervised(fn: Callable[[], Awaitable[None]]) -> None:
    """Run `fn` until it returns; what it should never raise is logged, and it is started again."""
    while True:
        try:
            await fn()
        except Exception:  # noqa: BLE001 - a bug in one part must not stop the others in silence
            _log.exception("part.failed", part=_name(fn))
            await asyncio.sleep(RESTART_S)
        else:
            return


class HomeLock:
    """Keeps a second process out of a service's home; the kernel lets go of it when this one ends, however it ends."""

    def __init__(self, home: Path) -> None:
        """Nothing is locked yet."""
        self._path = home / "lock"
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self) -> None:
        """Take the lock; ConfigurationError, which names the process that has it, instead of waiting."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise ConfigurationError(
                f"{self._path.parent} is in use by process {pid}", hint="stop it first, or ask it instead"
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Let go of it. The file stays: removing it would let two processes lock two files of one name."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __enter__(self) -> Self:
        """Take it."""
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go of it."""
        self.release()


def bind_port(server: "grpc.aio.Server", address: str, credentials: "grpc.ServerCredentials") -> int:
    """Let `server` listen on `host:port` and return the port; port 0 takes a free one.

    Raises:
        ConfigurationError: the port is in use, or cannot be had.
    """
    if not _HOST_PORT.fullmatch(address):
        # gRPC would take port 443 of every interface for an address without a port.
        raise ConfigurationError(f"cannot listen on {address[:100]}: not HOST:PORT", hint="as in 127.0.0.1:7001")
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise _no_port(address) from error
    if port == 0:
        raise _no_port(address)
    return port


def bind_socket(server: "grpc.aio.Server", path: Path, lock: HomeLock) -> None:
    """Let `server` listen on a Unix socket in a directory of its own, which only we may enter.

    A socket that a dead process left there is removed: `lock` says that no living one owns it.

    Raises:
        ConfigurationError: the home is not locked, the path is too long, or something else lies there.
    """
    if not lock.held:
        raise ConfigurationError("the home is not locked", hint="take its lock before its sockets")
    check_socket_path(path)
    private_dir(path.parent)
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError(f"{path} is not a socket", hint="move it away")
        path.unlink()
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise ConfigurationError(f"no socket can be made at {path}") from error


def check_socket_path(path: Path) -> None:
    """Return when a Unix socket can have this path; ConfigurationError when it is too long."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise ConfigurationError(f"the path {path} is too long for a socket", hint="choose a home with a shorter path")


async def _watched(main: Callable[[Drain], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    drain = Drain()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _on_signal, number, drain)
    try:
        await main(drain)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _on_signal(number: signal.Signals, drain: Drain) -> None:
    if drain.begun:
        os._exit(128 + number)
    _log.info("draining", signal=number.name)
    drain.begin()


def _no_port(address: str) -> ConfigurationError:
    """Say why, which gRPC does not: try the same once more without it."""
    host, _, port = address.rpartition(":")
    hint = "check the address"
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
        why = "gRPC cannot listen there"
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            why, hint = "the port is in use", "stop the other service, or configure another port"
        elif getattr(error, "errno", None) == errno.EACCES:
            hint = "ports below 1024 need a privilege; configure another port"
    return ConfigurationError(f"cannot listen on {address}: {why}", hint=hint)


def _name(fn: Callable[[], Awaitable[object]]) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__name__))
