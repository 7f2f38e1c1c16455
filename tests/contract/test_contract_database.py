"""What runtime.database promises, on SQLite and on PostgreSQL."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from exchange.errors import ConfigurationError, NotFound, Unavailable
from exchange.runtime.database import Database

METADATA = sa.MetaData()
ROWS = sa.Table("rows", METADATA, sa.Column("n", sa.Integer, primary_key=True), sa.Column("word", sa.Text))
LINKS = sa.Table("links", METADATA, sa.Column("n", sa.Integer, sa.ForeignKey("rows.n"), primary_key=True))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        opened.write_now(METADATA.create_all)
        yield opened


def insert(connection: sa.Connection, n: int) -> int:
    connection.execute(sa.insert(ROWS).values(n=n, word=f"word {n}"))
    return n


def inserting(n: int) -> Callable[[sa.Connection], int]:
    return lambda connection: insert(connection, n)


def numbers(connection: sa.Connection) -> list[int]:
    return list(connection.scalars(sa.select(ROWS.c.n).order_by(ROWS.c.n)))


def fail_after_insert(connection: sa.Connection) -> None:
    insert(connection, 999)
    raise NotFound("on purpose")


class Gate:
    """Holds the writer inside a function, so that a test decides what forms one group."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self, _: sa.Connection) -> None:
        self.entered.set()
        assert self.leave.wait(30)


async def test_calls_return_what_their_functions_return(database: Database) -> None:
    assert await asyncio.gather(*(database.write(inserting(n)) for n in range(50))) == list(range(50))
    assert await database.read(numbers) == list(range(50))


async def test_calls_are_run_and_resolved_in_their_order(database: Database) -> None:
    resolved: list[int] = []
    gate = Gate()
    held = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    ran: list[int] = []

    def noting(n: int) -> Callable[[sa.Connection], None]:
        return lambda _: ran.append(n)

    def noticing(n: int) -> Callable[[asyncio.Future[None]], None]:
        return lambda _: resolved.append(n)

    calls = [asyncio.ensure_future(database.write(noting(n))) for n in range(20)]
    for n, call in enumerate(calls):
        call.add_done_callback(noticing(n))
    await asyncio.sleep(0)
    gate.leave.set()
    await asyncio.gather(held, *calls)
    await asyncio.sleep(0)
    assert ran == list(range(20)) == resolved


async def test_what_waits_together_is_committed_together(database: Database) -> None:
    """A reader sees all of a group or nothing of it, and a later function sees what an earlier one wrote."""
    gate = Gate()
    first = asyncio.ensure_future(database.write(inserting(1)))
    held = asyncio.ensure_future(database.write(gate))
    second = asyncio.ensure_future(database.write(numbers))
    await asyncio.to_thread(gate.entered.wait, 30)
    seen_within = await database.read(numbers)
    gate.leave.set()
    await asyncio.gather(first, held)
    assert await second == [1]
    assert seen_within in ([], [1])
    assert await database.read(numbers) == [1]


async def test_a_function_that_raises_is_rolled_back_alone(database: Database) -> None:
    first, failed, seen = await asyncio.gather(
        database.write(inserting(1)),
        database.write(fail_after_insert),
        database.write(numbers),
        return_exceptions=True,
    )
    assert first == 1 and isinstance(failed, NotFound) and seen == [1]
    assert database.read_now(numbers) == [1]


async def test_a_broken_rule_of_the_schema_reaches_the_author_of_the_function(database: Database) -> None:
    calls = [database.write(inserting(1)), database.write(inserting(1))]
    first, failed = await asyncio.gather(*calls, return_exceptions=True)
    assert first == 1 and isinstance(failed, IntegrityError)
    with pytest.raises(IntegrityError):
        await database.write(lambda c: c.execute(sa.insert(LINKS).values(n=12345)))


def test_a_function_may_use_savepoints_of_its_own(database: Database) -> None:
    def twice(connection: sa.Connection) -> int:
        insert(connection, 1)
        try:
            with connection.begin_nested():
                insert(connection, 2)
                insert(connection, 1)
        except IntegrityError:
            return insert(connection, 3)
        return 0

    assert database.write_now(twice) == 3
    assert database.read_now(numbers) == [1, 3]


def test_without_a_loop_the_synchronous_twins_do_the_same(database: Database) -> None:
    assert database.write_now(inserting(7)) == 7
    assert database.read_now(numbers) == [7]
    with pytest.raises(NotFound):
        database.write_now(fail_after_insert)
    assert database.read_now(numbers) == [7]


async def test_threads_and_the_loop_share_one_writer(database: Database) -> None:
    many = [asyncio.to_thread(database.write_now, inserting(n)) for n in range(0, 40, 2)]
    others = [database.write(inserting(n)) for n in range(1, 40, 2)]
    await asyncio.gather(*many, *others)
    assert await database.read(numbers) == list(range(40))


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((sa.exc.DBAPIError, ConfigurationError)):
        database.read_now(inserting(1))
    assert database.read_now(numbers) == []


def test_a_reader_sees_one_state_while_the_writer_goes_on(database: Database) -> None:
    database.write_now(inserting(1))

    def look_twice(connection: sa.Connection) -> tuple[list[int], list[int]]:
        before = numbers(connection)
        database.write_now(inserting(2))
        return before, numbers(connection)

    assert database.read_now(look_twice) == ([1], [1])
    assert database.read_now(numbers) == [1, 2]


async def test_a_cancelled_call_is_run_nevertheless(database: Database) -> None:
    gate = Gate()
    held = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    call = asyncio.ensure_future(database.write(inserting(5)))
    await asyncio.sleep(0)
    call.cancel()
    gate.leave.set()
    await held
    assert await database.write(numbers) == [5]
    assert call.cancelled()


async def test_an_exception_that_futures_do_not_take_is_passed_on_as_our_bug(database: Database) -> None:
    def stop(_: sa.Connection) -> None:
        raise StopIteration

    with pytest.raises(Exception, match="StopIteration"):
        await database.write(stop)
    assert await database.write(numbers) == []


async def test_closing_finishes_what_was_called_and_refuses_what_comes_later(database: Database) -> None:
    calls = [asyncio.ensure_future(database.write(inserting(n))) for n in range(500)]
    await asyncio.sleep(0)
    database.close()
    assert await asyncio.gather(*calls) == list(range(500))
    for refused in (database.write(numbers), database.read(numbers)):
        with pytest.raises(Unavailable):
            await refused
    with pytest.raises(Unavailable):
        database.write_now(numbers)
    database.close()
    database.open()
    assert database.read_now(numbers) == list(range(500))


CHILD = """
import asyncio, sys
import sqlalchemy as sa
from exchange.runtime.database import Database

async def write(database, start):
    for n in range(start, 10**9, 8):
        await database.write(lambda c: c.execute(sa.text("INSERT INTO rows VALUES (:n, 'x')"), {"n": n}))
        print(n, flush=True)

async def main():
    with Database(sys.argv[1]) as database:
        await asyncio.gather(*(write(database, start) for start in range(8)))

asyncio.run(main())
"""


def test_what_was_answered_survives_a_kill(database_url: str) -> None:
    with Database(database_url) as database:
        database.write_now(METADATA.create_all)
    with subprocess.Popen([sys.executable, "-c", CHILD, database_url], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        answered = [int(child.stdout.readline()) for _ in range(300)]
        child.kill()
        answered += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    with Database(database_url) as database:
        stored = set(database.read_now(numbers))
    assert len(answered) >= 300
    assert set(answered) <= stored
    # At most one write of each of the eight was under way.
    assert len(stored) <= len(answered) + 8


def test_a_server_that_drops_us_makes_it_unavailable_once(postgres_url: str) -> None:
    def drop_all(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with Database(postgres_url) as database:
        database.write_now(METADATA.create_all)
        with pytest.raises(Unavailable):
            database.write_now(drop_all)
        database.write_now(inserting(1))
        assert database.read_now(numbers) == [1]


def test_a_server_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable), Database(f"postgresql+psycopg://postgres@/postgres?host={tmp_path}"):
        pass
