"""Reports in keeping: exports, what is overdue, what waits for a person, on an open transaction."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import ColumnElement, Connection, insert, select, update

from exchange.envelope.model import EnvelopeKind
from exchange.runtime.upsert import next_number
from nodes.store import reports, tables
from nodes.store.rows import Direction, Event, Export, ItemState, Reach
from nodes.store.rule_tables import export


def add_export(connection: Connection, handed: Export) -> None:
    """Write down that content was handed out."""
    number = next_number(connection, export.c.number)
    connection.execute(insert(export), [{**asdict(handed), "number": number}])


def exports_of(connection: Connection, items: Sequence[bytes]) -> list[Export]:
    """Return every time that one of these items was handed out, in order."""
    wanted = select(export).where(export.c.item.in_(list(items))).order_by(export.c.number)
    return [Export(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


# -- what is overdue ---------------------------------------------------------------------------------------------------

_audience = tables.audience.c
_report = tables.report.c


@dataclass(frozen=True, slots=True)
class Late:
    """One item at one partner, and since when something is missing."""

    item: bytes
    partner: str
    since_ms: int
    why: str = ""


def unreceipted(connection: Connection, before_ms: int, *, limit: int, skip: int = 0) -> list[Late]:
    """Return what the relay took for a partner before a time and the partner has not receipted, longest first."""
    received = tables.promise.c.received_ms
    wanted = (
        select(_audience.item, _audience.recipient, received.label("since"), _audience.why)
        .join(tables.promise, tables.promise.c.envelope == _audience.envelope)
        .where(_audience.state == Reach.PROMISED, _audience.kind == int(EnvelopeKind.REPORT), received < before_ms)
        .order_by(received, _audience.recipient, _audience.item)
    )
    return [Late(*row) for row in connection.execute(wanted.limit(limit).offset(skip))]


def unsent(connection: Connection, before_ms: int, due_ms: int, *, limit: int, skip: int = 0) -> list[Late]:
    """Return what was pushed before a time and still waits for something else than a time after `due_ms`."""
    waits = (_audience.due_ms <= due_ms) | _audience.on_change
    wanted = (
        select(_audience.item, _audience.recipient, _report.stored_ms.label("since"), _audience.why)
        .join(tables.report, _report.item == _audience.item)
        .where(_audience.state == Reach.WAITING, waits, _report.stored_ms < before_ms)
        .order_by(_report.stored_ms, _audience.recipient, _audience.item)
    )
    return [Late(*row) for row in connection.execute(wanted.limit(limit).offset(skip))]


def unpurged(connection: Connection, before_ms: int, *, limit: int, skip: int = 0) -> list[Late]:
    """Return what partners must have destroyed before a time, by label or agreement, and have not confirmed."""
    ended = _audience.purge_by_ms
    wanted = (
        select(_audience.item, _audience.recipient, ended.label("since"), _audience.why)
        .where(_audience.state == Reach.RECEIPTED, ended > 0, ended < before_ms)
        .order_by(ended, _audience.recipient, _audience.item)
    )
    return [Late(*row) for row in connection.execute(wanted.limit(limit).offset(skip))]


# -- what waits for a person -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A report that a person must decide on, or look at again."""

    item: bytes
    sender: str
    ask_at_ms: int
    review_at_ms: int


def to_decide(connection: Connection, now_ms: int, *, limit: int, skip: int = 0) -> list[Asked]:
    """Return reports whose label asks a person what to do with them now, or whose review has come, longest first."""
    asked = (_report.ask_at_ms > 0) & (_report.ask_at_ms <= now_ms)
    reviewed = (_report.review_at_ms > 0) & (_report.review_at_ms <= now_ms)
    wanted = (
        select(_report.item, _report.sender, _report.ask_at_ms, _report.review_at_ms)
        .where(_report.state == ItemState.CURRENT, asked | reviewed)
        .order_by(_report.number)
    )
    return [Asked(*row) for row in connection.execute(wanted.limit(limit).offset(skip))]


def keep_until(connection: Connection, item: bytes, *, ask_at_ms: int, review_at_ms: int) -> None:
    """Change when a person is asked about a report again."""
    rows = update(tables.report).where(_report.item == item)
    connection.execute(rows.values(ask_at_ms=ask_at_ms, review_at_ms=review_at_ms))


# -- agreements that end -----------------------------------------------------------------------------------------------

ENDED = "agreement ended"


@dataclass(frozen=True, slots=True)
class Under:
    """An agreement under which reports went between this node and a partner."""

    commitment: bytes
    partner: str


def under_agreements(connection: Connection) -> list[Under]:
    """Return every agreement and partner of which reports are held here, or are held there."""
    received = select(_report.basis_commitment, _report.sender).where(
        _report.direction == Direction.RECEIVED, _report.state != ItemState.PURGED, _report.basis_commitment != b""
    )
    sent = select(_audience.basis_commitment, _audience.recipient).where(_audience.state == Reach.RECEIPTED)
    rows = {*connection.execute(received.distinct()), *connection.execute(sent.distinct())}
    return [Under(commitment, partner) for commitment, partner in sorted(rows)]


def must_go(connection: Connection, under: Under, *, by_ms: int, now_ms: int, detail: str) -> int:
    """Let what is held under an agreement be destroyed by a time, or earlier where it must; return how many changed."""
    later = (_report.purge_at_ms == 0) | (_report.purge_at_ms > by_ms)
    return _change(connection, under, later, {"purge_at_ms": by_ms}, Event(b"", now_ms, ENDED, under.partner, detail))


def ask_from(connection: Connection, under: Under, *, ask_at_ms: int, now_ms: int, detail: str) -> int:
    """Let a person be asked about what is held under an agreement that ended; return how many changed.

    Once a person has decided to keep a report for longer, the agreement asks no more.
    """
    told = select(tables.event.c.item).where(tables.event.c.item == _report.item, tables.event.c.event == ENDED)
    event = Event(b"", now_ms, ENDED, under.partner, detail)
    return _change(connection, under, ~told.exists(), {"ask_at_ms": ask_at_ms}, event)


def _change(
    connection: Connection, under: Under, which: ColumnElement[bool], values: dict[str, int], event: Event
) -> int:
    wanted = select(_report.item).where(
        _report.direction == Direction.RECEIVED,
        _report.basis_commitment == under.commitment,
        _report.sender == under.partner,
        _report.state != ItemState.PURGED,
        which,
    )
    items = list(connection.execute(wanted).scalars())
    for item in items:
        connection.execute(update(tables.report).where(_report.item == item).values(values))
    reports.add_events(connection, [replace(event, item=item) for item in items])
    return len(items)


def sent_must_go(connection: Connection, under: Under, *, by_ms: int) -> None:
    """Write down by when a partner must have destroyed what it holds of ours under an agreement."""
    later = (_audience.purge_by_ms == 0) | (_audience.purge_by_ms > by_ms)
    rows = update(tables.audience).where(
        _audience.basis_commitment == under.commitment,
        _audience.recipient == under.partner,
        _audience.state == Reach.RECEIPTED,
        later,
    )
    connection.execute(rows.values(purge_by_ms=by_ms))


# -- what one partner holds of ours ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class There:
    """An own report at one partner."""

    item: bytes
    kind: str
    tlp: int
    state: str
    basis: bytes
    """Commitment of the agreement that it went under."""
    clause: str
    purge_by_ms: int


def held_by(connection: Connection, partner: str, states: Collection[Reach]) -> list[There]:
    """Return own reports that stand so with a partner, newest first."""
    wanted = (
        select(
            _report.item,
            _report.kind,
            _report.tlp,
            _audience.state,
            _audience.basis_commitment,
            _audience.clause,
            _audience.purge_by_ms,
        )
        .join(tables.report, _report.item == _audience.item)
        .where(_audience.recipient == partner, _audience.state.in_(sorted(states)), _report.direction == Direction.SENT)
        # What was stopped before it was sealed never was there.
        .where((_audience.envelope != b"") | _audience.state.not_in((Reach.RETRACTED, Reach.PURGED)))
        .order_by(_report.number.desc())
    )
    return [There(*row) for row in connection.execute(wanted)]
