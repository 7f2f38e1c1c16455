"""What the node's store promises about operators, sessions and the audit, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import operators as store
from nodes.store.operators import AuditLine, OperatorRow, SessionRow

NOW = 1_700_000_000_000
ADA = OperatorRow("ada", bytes(16), b"key", bytes([1]) * 32, "{}", NOW + 1_000, NOW, "owner")
BOB = replace(ADA, name="bob", key_id=bytes([2]) * 32)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def session(number: int, operator: str = "ada", *, start: int = NOW, until: int = NOW + 500) -> SessionRow:
    return SessionRow(bytes([number]) * 32, operator, start + number, until)


def begin(database: Database, row: SessionRow, *, most: int = 8) -> None:
    database.write_now(partial(store.add_session, row=row, most=most))


def who(database: Database, number: int, now_ms: int = NOW) -> str:
    found = database.read_now(lambda c: store.operator_of_session(c, bytes([number]) * 32, now_ms))
    return found.name if found else ""


def test_operators_are_found_by_name_and_key_and_stay_when_revoked(database: Database) -> None:
    for row in (BOB, ADA):
        database.write_now(partial(store.put_operator, row=row))
    assert database.read_now(store.all_operators) == [ADA, BOB]
    assert database.read_now(lambda c: store.operator_by_name(c, "ada")) == ADA
    assert database.read_now(lambda c: store.operator_by_name(c, "eve")) is None
    assert database.read_now(lambda c: store.operators_with_key(c, BOB.key_id)) == [BOB]
    for at_ms in (NOW + 1, NOW + 2):
        database.write_now(partial(store.revoke_operator, name="ada", now_ms=at_ms))
    revoked = database.read_now(lambda c: store.operator_by_name(c, "ada"))
    assert revoked == replace(ADA, revoked_ms=NOW + 1) and not revoked.is_active(NOW)
    assert database.read_now(store.count_operators) == 2


def test_a_session_ends_by_time_by_logout_with_its_operator_and_with_a_new_key(database: Database) -> None:
    database.write_now(partial(store.put_operator, row=ADA))
    for number in (1, 2, 3):
        begin(database, session(number))
    assert [who(database, number) for number in (1, 2, 3, 4)] == ["ada", "ada", "ada", ""]
    assert who(database, 1, NOW + 499) == "ada" and who(database, 1, NOW + 500) == ""
    for _ in range(2):
        database.write_now(partial(store.drop_session, digest=bytes([1]) * 32))
    assert [who(database, number) for number in (1, 2)] == ["", "ada"]
    database.write_now(partial(store.put_operator, row=replace(ADA, key=b"new")))
    assert who(database, 2) == ""
    begin(database, session(5))
    database.write_now(partial(store.revoke_operator, name="ada", now_ms=NOW + 1))
    assert who(database, 5) == ""


def test_an_operator_whose_time_is_over_has_no_session(database: Database) -> None:
    database.write_now(partial(store.put_operator, row=ADA))
    begin(database, session(1, until=NOW + 5_000))
    assert who(database, 1, NOW + 999) == "ada" and who(database, 1, NOW + 1_000) == ""


def test_the_oldest_sessions_of_an_operator_give_way_and_those_of_others_stay(database: Database) -> None:
    for row in (ADA, BOB):
        database.write_now(partial(store.put_operator, row=row))
    begin(database, session(9, "bob"))
    for number in (1, 2, 3):
        begin(database, session(number), most=2)
    assert [who(database, number) for number in (1, 2, 3, 9)] == ["", "ada", "ada", "bob"]
    assert database.read_now(lambda c: store.operator_by_name(c, "ada")) == replace(ADA, login_ms=NOW + 3)


def test_the_audit_keeps_its_order_and_cuts_what_is_too_long(database: Database) -> None:
    for number in range(5):
        line = AuditLine(NOW, "ada", "refused", "x" * 1_000, f"line {number}")
        database.write_now(partial(store.add_audit, line=line))
    newest = database.read_now(lambda c: store.audit_lines(c, limit=2))
    assert [line.detail for line in newest] == ["line 4", "line 3"]
    assert len(newest[0].subject) == store.TEXT_CHARS
    older = database.read_now(lambda c: store.audit_lines(c, limit=9, before=newest[-1].number))
    assert [line.detail for line in older] == ["line 2", "line 1", "line 0"]
