"""Wrapping on several cores gives what wrapping here gives, whatever becomes of the processes that do it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from exchange.crypto.random import random_bytes
from exchange.crypto.xwing import XWingKey, unwrap
from exchange.errors import MalformedInput
from nodes.wrapping import WORTH_IT, Wrapping

SECRET = bytes(range(32))
KEYS = [XWingKey.from_seed(bytes([number]) * 32) for number in range(WORTH_IT + 1)]
WANTED = [(key.public.raw, b"info %d" % number) for number, key in enumerate(KEYS)]
PATIENCE_S = 60


@pytest.fixture
def wrapping() -> Iterator[Wrapping]:
    with Wrapping(2) as made:
        yield made


def opened(wraps: Sequence[bytes]) -> list[bytes]:
    return [unwrap(wrap, key, info) for wrap, key, (_, info) in zip(wraps, KEYS, WANTED, strict=False)]


def test_each_wrap_opens_for_its_recipient_alone(wrapping: Wrapping) -> None:
    wraps = wrapping.wrap_all(SECRET, WANTED)
    assert opened(wraps) == [SECRET] * len(WANTED)
    assert len(set(wraps)) == len(WANTED)
    assert len(wrapping._workers) == 2


def test_few_are_wrapped_here_and_start_nothing(wrapping: Wrapping) -> None:
    assert opened(wrapping.wrap_all(SECRET, WANTED[:3])) == [SECRET] * 3
    assert wrapping._workers == []


def test_what_a_killed_process_does_not_wrap_is_wrapped_here_and_another_starts(wrapping: Wrapping) -> None:
    wrapping.wrap_all(SECRET, WANTED)
    killed = wrapping._workers[0]
    killed.kill()
    killed.wait()
    assert opened(wrapping.wrap_all(SECRET, WANTED)) == [SECRET] * len(WANTED)
    assert opened(wrapping.wrap_all(SECRET, WANTED)) == [SECRET] * len(WANTED)
    assert len(wrapping._workers) == 2
    assert killed not in wrapping._workers


def test_what_cannot_be_wrapped_is_an_error_as_it_is_here(wrapping: Wrapping) -> None:
    with pytest.raises(MalformedInput):
        wrapping.wrap_all(SECRET, [*WANTED, (random_bytes(3), b"info")])


def test_nothing_is_started_once_it_is_closed(wrapping: Wrapping) -> None:
    wrapping.close()
    assert opened(wrapping.wrap_all(SECRET, WANTED)) == [SECRET] * len(WANTED)
    assert wrapping._workers == []


PARENT = """
import time
from tests.unit.nodes.test_wrapping import SECRET, WANTED
from nodes.wrapping import Wrapping
wrapping = Wrapping(1)
wrapping.wrap_all(SECRET, WANTED)
print(wrapping._workers[0].pid, flush=True)
time.sleep(600)
"""


def test_the_processes_end_with_the_one_that_started_them_however_it_ends() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.kill(worker, 0)
            if _is_over(worker):
                return
            time.sleep(0.05)
        raise AssertionError("it goes on")


def _is_over(pid: int) -> bool:
    """Say whether a process that nobody waits for has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
