"""Operators, their sessions and the audit, on an open transaction; `profile` is text that nodes/operators.py reads."""

from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, delete, func, insert, select, update

from exchange.runtime.upsert import next_number
from nodes.store.rule_tables import audit, operator, session

TEXT_CHARS = 400
"""Of one text in the audit; the rest is cut."""


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator as stored."""

    name: str
    pseudonym: bytes
    """16 random bytes that stand for this operator where partners see them."""
    key: bytes
    """Public key."""
    key_id: bytes
    profile: str
    until_ms: int
    added_ms: int
    added_by: str
    revoked_ms: int = 0
    login_ms: int = 0

    def is_active(self, now_ms: int) -> bool:
        """Whether this operator may log in and call."""
        return not self.revoked_ms and now_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One login as stored."""

    digest: bytes = field(repr=False)
    operator: str
    started_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit; `number` is given by the store."""

    at_ms: int
    operator: str
    """Who did it, or tried to; empty when nobody was known."""
    action: str
    subject: str = ""
    detail: str = ""
    number: int = 0


# -- operators ---------------------------------------------------------------------------------------------------------


def put_operator(connection: Connection, row: OperatorRow) -> None:
    """Add an operator in place of one of the same name, whose sessions end."""
    drop_sessions_of(connection, row.name)
    connection.execute(delete(operator).where(operator.c.name == row.name))
    connection.execute(insert(operator), [asdict(row)])


def operator_by_name(connection: Connection, name: str) -> OperatorRow | None:
    """Return the operator of this name."""
    found = connection.execute(select(operator).where(operator.c.name == name)).one_or_none()
    return None if found is None else OperatorRow(**found._mapping)  # noqa: SLF001 - the documented way


def operators_with_key(connection: Connection, key_id: bytes) -> list[OperatorRow]:
    """Return every operator that has or had this key."""
    wanted = select(operator).where(operator.c.key_id == key_id).order_by(operator.c.name)
    return [OperatorRow(**row._mapping) for row in connection.execute(wanted)]  # noqa: SLF001


def all_operators(connection: Connection) -> list[OperatorRow]:
    """Return every operator by name, revoked ones too."""
    rows = connection.execute(select(operator).order_by(operator.c.name))
    return [OperatorRow(**row._mapping) for row in rows]  # noqa: SLF001


def count_operators(connection: Connection) -> int:
    """Return how many operators there are or ever were."""
    return int(connection.execute(select(func.count()).select_from(operator)).scalar_one())


def revoke_operator(connection: Connection, name: str, now_ms: int) -> None:
    """Revoke an operator, once, and end the sessions."""
    drop_sessions_of(connection, name)
    rows = update(operator).where(operator.c.name == name, operator.c.revoked_ms == 0)
    connection.execute(rows.values(revoked_ms=now_ms))


# -- sessions ----------------------------------------------------------------------------------------------------------


def add_session(connection: Connection, row: SessionRow, *, most: int) -> None:
    """Start a session; those that have ended go, and of the operator's others the oldest over `most`."""
    connection.execute(delete(session).where(session.c.until_ms <= row.started_ms))
    own = select(session.c.digest).where(session.c.operator == row.operator).order_by(session.c.started_ms.desc())
    kept = list(connection.execute(own).scalars())
    connection.execute(delete(session).where(session.c.digest.in_(kept[most - 1 :])))
    connection.execute(insert(session), [asdict(row)])
    connection.execute(update(operator).where(operator.c.name == row.operator).values(login_ms=row.started_ms))


def operator_of_session(connection: Connection, digest: bytes, now_ms: int) -> OperatorRow | None:
    """Return who is logged in with this token; None when nobody is, or not any more."""
    wanted = (
        select(operator)
        .join(session, session.c.operator == operator.c.name)
        .where(session.c.digest == digest, session.c.until_ms > now_ms)
    )
    found = connection.execute(wanted).one_or_none()
    row = None if found is None else OperatorRow(**found._mapping)  # noqa: SLF001
    return row if row is not None and row.is_active(now_ms) else None


def drop_session(connection: Connection, digest: bytes) -> None:
    """End one session; repeating it changes nothing."""
    connection.execute(delete(session).where(session.c.digest == digest))


def drop_sessions_of(connection: Connection, name: str) -> None:
    """End all sessions of an operator."""
    connection.execute(delete(session).where(session.c.operator == name))


# -- audit -------------------------------------------------------------------------------------------------------------


def add_audit(connection: Connection, line: AuditLine) -> None:
    """Write a line behind all others."""
    row = asdict(line) | {
        "number": next_number(connection, audit.c.number),
        "subject": line.subject[:TEXT_CHARS],
        "detail": line.detail[:TEXT_CHARS],
    }
    connection.execute(insert(audit), [row])


def audit_lines(connection: Connection, *, limit: int, before: int = 0) -> list[AuditLine]:
    """Return lines, newest first; `before` is a line's number, 0 for none."""
    wanted = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if before:
        wanted = wanted.where(audit.c.number < before)
    return [AuditLine(**row._mapping) for row in connection.execute(wanted)]  # noqa: SLF001
