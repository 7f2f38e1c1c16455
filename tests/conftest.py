"""Fixtures of all suites, and how a test that is a coroutine runs. What only one suite needs stands in that suite."""

import asyncio
import dataclasses
import gc
import inspect
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, settings

# Before any test imports grpc: it reads its environment when it is loaded.
import exchange.runtime  # noqa: F401
from exchange.runtime.engine import sqlite_url
from tests.support import compiled, postgres, recorded

_numbers = count(1)

COROUTINE_S = 180.0
"""What waits longer than this waits for ever: it fails, and holds up nobody else."""

# A suite that a shell starts in the background ignores Ctrl-C, and so would each process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A property is about what holds, not about how long a loaded machine takes to think up an example.
settings.register_profile("concord", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("concord")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Keep the tests of a file together (`--dist loadfile`). Any: xdist's own, which not every run loads."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.support.spread import ByFile  # noqa: PLC0415 - as above

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collect no garbage while tests are collected: there is none, and looking for it takes a fifth of the time."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the collector pass over what lives to the end: a million objects of several thousand tests.

    Otherwise it holds up the event loop of a test for half a second each time.
    """
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), COROUTINE_S))
    return True


@pytest.fixture(autouse=True, scope="session")
def recorded_migrations() -> Iterator[None]:
    """New stores are made by statements that the migrations executed before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "upgrade", recorded.upgrade)
        yield


@pytest.fixture(autouse=True, scope="session")
def compiled_statements() -> Iterator[None]:
    """New engines know what others have compiled before."""
    with pytest.MonkeyPatch.context() as patch:
        compiled.share(patch)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server that runs for the whole session."""
    if postgres.wheel_is_missing():
        pytest.skip(f"the wheel {postgres.WHEEL} is not installed")
    with postgres.running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> str:
    """The URL of a new, empty PostgreSQL database."""
    return postgres_server.new_database(f"test_{next(_numbers)}")


@pytest.fixture
def another_postgres_url(postgres_server: postgres.Server) -> str:
    """The URL of another new, empty PostgreSQL database."""
    return postgres_server.new_database(f"test_{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database, of each kind in turn."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "test.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name values that hold random bytes by their argument: the workers of one run must collect the same names."""
    return argname if dataclasses.is_dataclass(val) or isinstance(val, bytes) else None
