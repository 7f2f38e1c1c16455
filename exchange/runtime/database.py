"""One database: many readers, one writer that commits in groups.

Store functions take an open transaction and promise nothing about durability; `await database.write(fn)` alone
promises it (PROTOCOL.md 5). One thread runs every write function, each in a savepoint, in the order of the calls. It
commits what it ran as one transaction and then resolves the calls in that order, so that one flush to disk serves all
that came in while the last one was under way. Nothing waits for company: an idle database commits a single write at
once.

A function that raises is rolled back alone. A commit that fails fails every call of its group, and the next group
starts afresh. A call that is cancelled is run nevertheless. After a crash a group is there as a whole or not at all.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from exchange.errors import ConfigurationError, ExchangeError, InternalError, Unavailable
from exchange.runtime.engine import Use, is_sqlite, make_engine, our_errors, translated

T = TypeVar("T")

GROUP_FUNCTIONS = 256
"""A group commits after this many functions at the latest."""

GROUP_S = 0.025
"""A group commits after this much work at the latest, so that the first call in it does not wait long."""


@dataclass(slots=True)
class _Call:
    """A function to run and whom to tell; `loop` is None for a thread that waits."""

    fn: Callable[[sa.Connection], Any]
    future: asyncio.Future[Any] | Future[Any]
    loop: asyncio.AbstractEventLoop | None
    alone: bool = False
    """Run outside any transaction, in a group of its own."""
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of an embedded database's file."""

    total: int
    free: int
    page_bytes: int


class _GroupLostError(Exception):
    """The database rolled back the whole transaction, not only the savepoint."""


class Database:
    """A database by URL: `sqlite:///FILE` or `postgresql+psycopg://...`; open() before use, close() after.

    Errors of all methods: StorageFull, Unavailable, ConfigurationError, or what the function raises. IntegrityError
    reaches the function's author, who knows what it means.
    """

    def __init__(self, url: str, *, readers: int = 2, secure_delete: bool = False, alone: bool = False) -> None:
        """`secure_delete` overwrites what is deleted, for SQLite files that hold keys; see checkpoint_truncate.

        `alone` keeps a second writer of this kind from a server's database: Unavailable for it.
        """
        self._sqlite = is_sqlite(url)
        self._writing = make_engine(url, Use.WRITE, secure_delete=secure_delete, alone=alone)
        self._reading = make_engine(url, Use.READ, connections=readers)
        self._readers = readers
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._held: _Call | None = None
        self._connection: sa.Connection | None = None
        self._gate = threading.Lock()
        self._writer: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._observe: Callable[[int, float], None] = lambda *_: None

    def observe(self, commits: Callable[[int, float], None]) -> None:
        """Tell `commits` of each commit from now on how many writes it had and how many seconds it took.

        It is called in the writer's thread.
        """
        self._observe = commits

    def open(self) -> None:
        """Connect, so that a database that cannot be used stops the start."""
        with our_errors():
            self._connection = self._writing.connect()
        self._pool = ThreadPoolExecutor(self._readers, thread_name_prefix="database-reader")
        self._writer = threading.Thread(target=self._serve, name="database-writer", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Finish the calls made so far, then let go of the database. Closing twice does nothing."""
        with self._gate:
            writer, self._writer = self._writer, None
            pool, self._pool = self._pool, None
            self._calls.put(None)
        if writer is not None:
            writer.join()
        if pool is not None:
            pool.shutdown()
        self._writing.dispose()
        self._reading.dispose()

    def __enter__(self) -> Self:
        """Open it."""
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    @property
    def waiting(self) -> int:
        """About how many writes wait for their group."""
        return self._calls.qsize()

    async def write(self, fn: Callable[[sa.Connection], T]) -> T:
        """Run `fn` in the writer's transaction; return its value once it is on disk. `fn` neither commits nor waits."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Call(fn, future, loop))
        return await future

    def write_now(self, fn: Callable[[sa.Connection], T]) -> T:
        """Do as `write`, and wait here: for command-line tools and tests, never on an event loop."""
        future: Future[T] = Future()
        self._put(_Call(fn, future, None))
        return future.result()

    async def read(self, fn: Callable[[sa.Connection], T]) -> T:
        """Run `fn` in a reader's thread, on one unchanging view of what is committed; it cannot write."""
        if self._pool is None:
            raise Unavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, fn)

    def read_now(self, fn: Callable[[sa.Connection], T]) -> T:
        """Do as `read`, in this thread."""
        if self._pool is None:
            raise Unavailable("the database is closed")
        with our_errors(Use.READ), self._reading.connect() as connection, connection.begin():
            return fn(connection)

    async def checkpoint_truncate(self) -> None:
        """Fold the write-ahead log into the file and empty it: what was deleted before is then gone from both.

        Only on SQLite with secure_delete; Unavailable while a reader still needs the log.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._put(_Call(self._truncate, future, loop, alone=True))
        await future

    def checkpoint_truncate_now(self) -> None:
        """Do as `checkpoint_truncate`, and wait here."""
        future: Future[None] = Future()
        self._put(_Call(self._truncate, future, None, alone=True))
        future.result()

    async def free_pages(self) -> "Pages | None":
        """Return how much of an embedded database's file is free; None for a server, which sees to its space itself."""
        return await self.read(_pages) if self._sqlite else None

    async def give_back(self, pages: int) -> None:
        """Return at most so many free pages of an embedded database's file to the file system."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._put(_Call(partial(_give_back, pages=pages), future, loop, alone=True))
        await future

    def _truncate(self, connection: sa.Connection) -> None:
        if not self._sqlite:
            raise ConfigurationError("only an embedded database has a log to empty")
        (busy, _, _) = _raw(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Unavailable("a reader still needs the database's log", hint="try again")

    def _put(self, call: _Call) -> None:
        with self._gate:
            if self._writer is None:
                raise Unavailable("the database is closed")
            self._calls.put(call)

    # What follows runs in the writer's thread.

    def _serve(self) -> None:
        while (call := self._next(wait=True)) is not None:
            group = [call]
            try:
                if call.alone:
                    call.value = call.fn(self._connected())
                else:
                    began = time.monotonic()
                    self._transact(group)
                    self._observe(len(group), time.monotonic() - began)
            except BaseException as error:  # noqa: BLE001 - the writer outlives every failure and tells the callers
                self._disconnect()
                for failed in group:
                    failed.error = _failure(error)
            _resolve(group)
        self._disconnect()

    def _next(self, *, wait: bool) -> _Call | None:
        if self._held is not None:
            call, self._held = self._held, None
            return call
        try:
            call_or_stop = self._calls.get(block=wait)
        except queue.Empty:
            return None
        if call_or_stop is None and not wait:
            # Met within a group: commit first, stop then.
            self._calls.put(None)
        return call_or_stop

    def _transact(self, group: list[_Call]) -> None:
        """Run the calls of one group, adding to it what arrives meanwhile, and commit."""
        connection = self._connected()
        until = time.monotonic() + GROUP_S
        with connection.begin():
            raw = _raw(connection)
            while True:
                _run(group[-1], connection, raw)
                if len(group) >= GROUP_FUNCTIONS or time.monotonic() > until:
                    break
                call = self._next(wait=False)
                if call is None:
                    break
                if call.alone:
                    self._held = call
                    break
                group.append(call)

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._writing.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sa.exc.SQLAlchemyError:
                connection.invalidate()


def _pages(connection: sa.Connection) -> Pages:
    numbers = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return Pages(*numbers)


def _give_back(connection: sa.Connection, pages: int) -> None:
    # Read to its end: each row is a page that went.
    _raw(connection).execute(f"PRAGMA incremental_vacuum({pages})").fetchall()


def _raw(connection: sa.Connection) -> Any:
    """Return the driver's connection: a savepoint through it costs a tenth. Any: two drivers, one method."""
    return connection.connection.dbapi_connection


def _run(call: _Call, connection: sa.Connection, raw: Any) -> None:
    raw.execute("SAVEPOINT call")
    try:
        call.value = call.fn(connection)
    except BaseException as error:  # noqa: BLE001 - it belongs to the caller
        call.error = _failure(error)
        try:
            raw.execute("ROLLBACK TO SAVEPOINT call")
        except Exception:  # noqa: BLE001 - whatever it is, the savepoint is gone
            # On a full disk SQLite may have given up the whole transaction: all of the group fails as this call did.
            raise _GroupLostError from error
    raw.execute("RELEASE SAVEPOINT call")


def _failure(error: BaseException) -> BaseException:
    """Return the error that a caller gets: ours where we know it."""
    if isinstance(error, _GroupLostError) and error.__cause__ is not None:
        error = error.__cause__
    known = translated(error)
    if isinstance(known, StopIteration):
        # A future does not take it.
        known = InternalError("a write function raised StopIteration")
    if isinstance(known, ExchangeError) and known is not error:
        known.__cause__ = error
    return known


def _resolve(group: list[_Call]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in group:
        if call.loop is not None:
            loops.setdefault(call.loop, []).append(call)
        else:
            _tell(call)
    for loop, calls in loops.items():
        try:
            loop.call_soon_threadsafe(_tell_all, calls)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            continue


def _tell_all(calls: list[_Call]) -> None:
    for call in calls:
        _tell(call)


def _tell(call: _Call) -> None:
    if call.future.done():
        return
    if call.error is not None:
        call.future.set_exception(call.error)
    else:
        call.future.set_result(call.value)
