"""Connections to the two kinds of database, and their errors in our words.

SQLite: write-ahead log, synchronous=FULL, foreign keys on; transactions are begun by us (BEGIN IMMEDIATE), because the
driver's own habit of beginning them late breaks savepoints and transactional DDL. PostgreSQL: psycopg 3; a group of
writes holds one advisory lock to its commit, so that positions become visible in their order (PROTOCOL.md 5). It reads
what is committed when it has the lock, whatever the server's default is (READ COMMITTED), and its commits wait for the
disk: a server that does not is refused.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from exchange.errors import ConfigurationError, ExchangeError, StorageFull, Unavailable

BUSY_S = 5
"""How long SQLite waits for another process that holds the lock, a backup for example."""

WAL_PAGES = 4000
"""The write-ahead log is folded into the database after this many pages, 16 MiB."""

WAL_BYTES = 64 << 20
"""The write-ahead log is cut back to this size when it was longer."""

PAGE_CACHE_KIB = 2_000
"""Pages of the database that one connection keeps; at most so much is taken, little by little as the database grows."""

STATEMENTS_KEPT = 256
"""Prepared statements of one connection, some KB each. A list of another length is another statement: they fill up."""

POSITION_LOCK = 0x636F6E636F7264
"""Key of the PostgreSQL advisory lock: "concord" in ASCII. Each database has its own set of such locks."""


ALONE_LOCK = POSITION_LOCK + 1
"""Key of the lock that a service holds for as long as it writes, when it must be the only one."""

HOLDER_S = 20
"""A process that holds the lock and falls silent, frozen or cut off, loses it after this: others wait for it."""

_LIVENESS: dict[str, str | int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A server that vanished is missed within this, not when TCP gives up; the URL may say otherwise."""

_FORGETFUL = frozenset({"off", "local"})
"""Values of synchronous_commit under which a commit returns before it is where the server was told to keep it."""


class Use(Enum):
    """What a connection is for."""

    WRITE = "write"
    READ = "read"
    MIGRATE = "migrate"


def sqlite_url(path: Path) -> str:
    """Return the URL of an embedded database in a file."""
    return f"sqlite:///{path}"


def is_sqlite(url: str) -> bool:
    """Say whether `url` names an embedded database; ConfigurationError when it names none that we know."""
    return _parse(url).get_backend_name() == "sqlite"


def connect_arguments(url: str) -> dict[str, Any]:
    """Return what psycopg connects with for `url`, for a connection of its own. Any: libpq's parameters."""
    parsed = _parse(url)
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    return {**_LIVENESS, **arguments}


def make_engine(
    url: str, use: Use, *, secure_delete: bool = False, connections: int = 1, alone: bool = False
) -> sa.Engine:
    """Return an engine whose connections are set up for `use`; nothing is connected yet, but an SQLite file is made.

    `alone` lets nobody else connect to a server's database in the same way meanwhile; of an embedded one, the lock on
    the home that it lies in sees to that.

    Raises:
        ConfigurationError: no such database kind, a password in the URL, or a file that cannot be made.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, use, secure_delete=secure_delete, connections=connections)
    return _postgres(parsed, use, connections=connections, alone=alone)


@contextmanager
def our_errors(use: Use = Use.WRITE) -> Iterator[None]:
    """Raise what the database refuses in our words; IntegrityError and programming errors pass unchanged."""
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error, psycopg.Error) as error:
        known = translated(error, use)
        if known is error:
            raise
        raise known from error


def translated(error: BaseException, use: Use = Use.WRITE) -> BaseException:
    """Return our error for what a database says of its state, or `error` itself when it is about the statement."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if use is Use.READ and isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
        return error  # we said so ourselves
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause) or error
    if isinstance(cause, psycopg.Error):
        return _from_postgres(cause) or error
    if isinstance(error, exc.TimeoutError):
        return Unavailable("no database connection became free")
    return error


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        raise ConfigurationError(
            "the database URL does not parse", hint="for example sqlite:////var/lib/x.db"
        ) from error
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ConfigurationError(
            f"databases of kind {parsed.drivername} are not supported", hint="use sqlite:/// or postgresql+psycopg://"
        )
    if parsed.password:
        raise ConfigurationError(
            "the database URL holds a password",
            hint="leave it out and use a password file (~/.pgpass, or ?passfile=FILE), a certificate or a socket",
        )
    return parsed


def _sqlite(url: sa.URL, use: Use, *, secure_delete: bool, connections: int) -> sa.Engine:
    path = Path(url.database or "")
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("an embedded database needs a file", hint="sqlite:////absolute/path.db")
    try:
        # SQLite gives the -wal and -shm files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror}", hint="check the path") from error
    engine = sa.create_engine(
        url,
        poolclass=QueuePool if use is Use.READ else NullPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_S, "cached_statements": STATEMENTS_KEPT},
        **({"pool_size": connections, "max_overflow": connections} if use is Use.READ else {}),
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        _set_pragmas(connection, path, use, secure_delete=secure_delete)

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # Through the driver, which takes a tenth of the time; what it raises is known (our_errors).
        driver: Any = connection.connection.dbapi_connection
        driver.execute("BEGIN" if use is Use.READ else "BEGIN IMMEDIATE")

    return engine


def _set_pragmas(connection: sqlite3.Connection, path: Path, use: Use, *, secure_delete: bool) -> None:
    if use is Use.MIGRATE:
        # Before anything is written: a file that is not new keeps what it has. Lets free pages be given back.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise ConfigurationError(f"{path}: no write-ahead log here", hint="put it on a local file system, not a share")
    for pragma in (
        "synchronous=FULL",
        # A migration rebuilds tables, which foreign keys would forbid; it checks them at its end.
        f"foreign_keys={'OFF' if use is Use.MIGRATE else 'ON'}",
        f"secure_delete={'ON' if secure_delete else 'OFF'}",
        f"query_only={'ON' if use is Use.READ else 'OFF'}",
        f"wal_autocheckpoint={WAL_PAGES}",
        f"journal_size_limit={WAL_BYTES}",
        "trusted_schema=OFF",
        "temp_store=MEMORY",
        f"cache_size=-{PAGE_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _postgres(url: sa.URL, use: Use, *, connections: int, alone: bool) -> sa.Engine:
    liveness = {name: value for name, value in _LIVENESS.items() if name not in url.query}
    if use is Use.READ:
        reading = sa.create_engine(
            url,
            pool_size=connections,
            max_overflow=connections,
            isolation_level="REPEATABLE READ",
            connect_args=liveness,
        )

        @event.listens_for(reading, "connect")
        def read_only(connection: "psycopg.Connection[Any]", _: ConnectionPoolEntry) -> None:
            connection.read_only = True

        return reading
    # A snapshot that was taken before the lock would show neither the newest size nor the newest answers.
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="READ COMMITTED", connect_args=liveness)

    @event.listens_for(engine, "connect")
    def durable(connection: "psycopg.Connection[Any]", _: ConnectionPoolEntry) -> None:
        _demand_durability(connection)
        if use is Use.WRITE:
            _let_go_when_silent(connection)
        if alone:
            _demand_to_be_alone(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({POSITION_LOCK})")

    return engine


def _demand_durability(connection: "psycopg.Connection[Any]") -> None:
    """Let commits on this connection wait for the disk, and for the synchronous replicas if the server names any."""
    found = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
    fsync, commit = found or ("off", "off")
    if fsync != "on":
        raise ConfigurationError("the database server runs without fsync", hint="set fsync = on in postgresql.conf")
    if commit in _FORGETFUL:
        connection.execute("SELECT set_config('synchronous_commit', 'on', false)")
    # It would cut the wait for a replica short.
    connection.execute("SELECT set_config('statement_timeout', '0', false)")
    connection.commit()


def _let_go_when_silent(connection: "psycopg.Connection[Any]") -> None:
    """Let the server end a transaction in which nothing is said any more."""
    milliseconds = str(int(HOLDER_S * 1000))
    connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", (milliseconds,))
    connection.commit()


def _demand_to_be_alone(connection: "psycopg.Connection[Any]") -> None:
    """Hold a lock for as long as the connection lives."""
    try:
        # A moment's patience: what a lost connection of our own held is let go only when the server has seen its end.
        connection.execute("SELECT set_config('lock_timeout', '3000', false)")
        connection.execute("SELECT pg_advisory_lock(%s)", (ALONE_LOCK,))
        connection.execute("SELECT set_config('lock_timeout', '0', false)")
        connection.commit()
    except psycopg.errors.LockNotAvailable as error:
        connection.close()
        raise Unavailable(
            "another process works on this database", hint="stop it; a node has one process and a database of its own"
        ) from error


def _from_sqlite(error: sqlite3.Error) -> ExchangeError | None:
    # The low byte is the kind, the rest says more.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFull("the database's disk is full", hint="make room; nothing was lost")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(
                "another process holds the database", hint="wait for the backup, or stop the other process"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return ConfigurationError("the database file is damaged", hint="stop, keep a copy of it, restore a backup")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
            return ConfigurationError(f"the database file cannot be used: {error}", hint="check the path and its owner")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_INTERRUPT:
            return Unavailable(f"the database file cannot be used now: {error}", hint="check the disk")
    return None


def _from_postgres(error: psycopg.Error) -> ExchangeError | None:
    state = error.sqlstate or ""
    if state == "53100":
        return StorageFull("the database server's disk is full", hint="make room; nothing was lost")
    if state == "25006":
        return Unavailable(
            "the database server is a replica", hint="name both servers and target_session_attrs=primary"
        )
    if state == "25P03":
        return Unavailable("the database server ended a transaction in which nothing was said", hint="try again")
    if state[:2] in ("28", "3D"):
        return ConfigurationError(f"the database server refuses us: {error}", hint="check the database URL")
    # Connection lost, resources, transaction rolled back by the server, shutdown, I/O error, or no answer at all.
    if state[:2] in ("08", "53", "40", "57", "58") or (not state and isinstance(error, psycopg.OperationalError)):
        return Unavailable(f"the database server cannot be used now: {error}", hint="check that it runs")
    return None
