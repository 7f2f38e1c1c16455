"""A pytest plugin that finds what a test module leaves behind and what it costs: threads, descriptors, memory, time.

    CONCORD_PROBE=/tmp/probe PYTEST_ADDOPTS="-p tests.support.probe" make test

After each module a line of JSON goes to a file for each worker in that directory. What grows from module to module is a
leak, of the tests or of the program: a channel, a server, a loop that nobody closed.
"""

import asyncio
import gc
import json
import os
import resource
import threading
import time
from pathlib import Path

import pytest

import exchange.runtime  # noqa: F401 - sets the environment of gRPC

import grpc.aio  # isort: skip - after exchange.runtime

DIRECTORY = "CONCORD_PROBE"
LIVING = (grpc.aio.Channel, grpc.aio.Server)

_begun = (time.monotonic(), 0.0, 0.0)
"""Clock and CPU time, of this process and of those that it ended, when the module began."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Write a line when a module has ended."""
    if nextitem is not None and nextitem.path == item.path:
        return
    global _begun
    before, _begun = _begun, _now()
    wall, own, children = (round(now - then, 2) for now, then in zip(_begun, before, strict=True))
    line = {"module": str(item.path), "wall_s": wall, "cpu_s": own, "cpu_of_processes_s": children, **_standing()}
    place = Path(os.environ[DIRECTORY])
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _now() -> tuple[float, float, float]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def _standing() -> dict[str, int]:
    gc.collect()
    objects = [each for each in gc.get_objects() if issubclass(type(each), (asyncio.AbstractEventLoop, *LIVING))]
    loops = [each for each in objects if isinstance(each, asyncio.AbstractEventLoop)]
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "python_threads": threading.active_count(),
        "open_loops": sum(not loop.is_closed() for loop in loops),
        "channels_and_servers": len(objects) - len(loops),
        "memory_mib": int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20,
    }
