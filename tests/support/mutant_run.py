"""Run tests in a process of its own that has loaded pytest, the libraries, and of the project what no mutant changes.

A fork of a server that loaded them starts in a fraction of the time that a new interpreter takes.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

PRELOADED = (
    "tests.support.mutant_run",
    "hypothesis.strategies",
    "sqlalchemy",
    "cryptography.hazmat.primitives.asymmetric.mldsa",
    "cryptography.hazmat.primitives.hpke",
    "nacl.bindings",
    "google.protobuf.descriptor_pool",
    "pydantic_settings",
    "structlog",
    "yaml",
    "psycopg",
    "alembic.command",
    "exchange.runtime.migrate",
    "exchange.crypto.codec",
    "exchange.crypto.x509",
    "exchange.policy.model",
    "exchange.policy.strict_yaml",
    "exchange.v1.policy_pb2",
    "exchange.v1.directory_pb2",
    "exchange.v1.envelope_pb2",
)
"""Not gRPC: it has threads of its own, which no fork takes along. A mutant of what is loaded here says so and fails."""

BROKEN = 70
"""Exit code when pytest itself broke."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(PRELOADED))


def run_pytest(
    arguments: Sequence[str], *, root: Path, environment: Mapping[str, str], output: Path, limit_s: float
) -> int:
    """Run pytest and return its exit code; what it prints goes to `output`. TimeoutError after `limit_s`."""
    process = _context.Process(target=_run, args=(list(arguments), str(root), dict(environment), str(output)))
    process.start()
    process.join(limit_s)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{arguments} took longer than {limit_s} s")
    return process.exitcode


def _run(arguments: list[str], root: str, environment: dict[str, str], output: str) -> None:
    os.chdir(root)
    os.environ.update(environment)
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.dont_write_bytecode = True
    if root not in sys.path:
        sys.path.insert(0, root)
    code = BROKEN
    try:
        code = int(pytest.main([*arguments, "-W", "ignore::pytest.PytestAssertRewriteWarning"]))
    finally:
        # What escapes would end the process with 1, which is pytest's word for tests that failed.
        sys.stdout.flush()
        os._exit(code)
