"""What is asked at every round and every reading of the metrics does not read the rows of reports that arrived.

SQLite takes a partial index only where it can prove that the question is about the index's part: of what a query's
bound values may be it knows nothing, and of several states in one IN neither. So these questions are asked of a full
store as the node asks them, and SQLite is asked how it answers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from exchange.runtime import prepared
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import holding, reports, sending
from nodes.store.rows import Reach
from tests.contract.test_contract_node_store import a_report, an_addressee

ARRIVED = 40
"""Reports that have come to their recipients, beside a few that have not."""

STATES = (Reach.WAITING, Reach.AGAIN, Reach.SEALED, Reach.PROMISED)

QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "backlogs": reports.backlogs,
    "waiting": reports.count_waiting,
    "unreceipted": reports.count_unreceipted,
    "next due": reports.next_due_ms,
    "to seal": partial(reports.to_seal, now_ms=1, items=9),
    "decide again": reports.decide_again,
    "unanswered": sending.count_unanswered,
    "late receipts": partial(holding.unreceipted, before_ms=1, limit=9),
    "unsent": partial(holding.unsent, before_ms=1, due_ms=1, limit=9),
    "unpurged": partial(holding.unpurged, before_ms=1, limit=9),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("plans") / "node.db"
    upgrade(sqlite_url(path), MIGRATIONS)
    with Database(sqlite_url(path)) as database:

        def fill(connection: Connection) -> None:
            for number in range(ARRIVED):
                reports.add_report(connection, a_report(number))
            states = [*STATES, *[Reach.RECEIPTED] * (ARRIVED - len(STATES))]
            rows = [an_addressee(number, "XV", state=state) for number, state in enumerate(states)]
            reports.add_addressees(connection, rows)

        database.write_now(fill)
        yield database


@contextmanager
def asked() -> Iterator[list[tuple[str, Any]]]:
    """Collect what is asked of any database, prepared or not. Any: a statement's parameters."""
    found: list[tuple[str, Any]] = []
    fetch = prepared._fetch

    def note(_: object, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
        found.append((statement, parameters[0] if many else parameters))

    def note_prepared(connection: Connection, asked: prepared._Prepared, given: prepared.Row) -> list[prepared.Tuple]:
        found.append((asked.text, {**asked.fixed, **given}))
        return fetch(connection, asked, given)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prepared, "_fetch", note_prepared)
            yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("name", QUESTIONS)
def test_reports_that_arrived_are_not_read(store: Database, name: str) -> None:
    with asked() as statements:
        store.write_now(QUESTIONS[name])
    assert statements
    for statement, parameters in statements:
        if "audience" not in statement:
            continue
        explained = partial(_explained, statement=statement, parameters=parameters)
        for line in store.read_now(explained):
            reads = line.startswith(("SCAN audience", "SEARCH audience"))
            by_state = "ix_audience_" in line and "ix_audience_number" not in line
            assert not reads or by_state or "item=?" in line, (line, statement)


def _explained(connection: Connection, statement: str, parameters: Any) -> list[str]:
    found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [row[-1] for row in found]
