"""What a person decides on a report in this node's keeping: keep it for some time more, or destroy it now.

Both are written into its story with who decided. Keeping never outlasts the date by which it must be destroyed, and
destroying what came from a partner is receipted to it like any other destruction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.errors import BadInput, Conflict, NotFound
from exchange.policy.fields import instant_text
from exchange.policy.model import RETENTION_DAYS_MAX
from exchange.policy.steps import DAY_MS
from nodes.core import Core
from nodes.store import holding, reports
from nodes.store.rows import Direction, Event, ItemState, Reach, Report

PENDING = frozenset({Reach.WAITING, Reach.SEALED, Reach.PROMISED, Reach.AGAIN})


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that stays; when a person is asked about it again, and by when it must be destroyed (0 for never)."""

    item: bytes
    until_ms: int
    purge_at_ms: int


async def keep(core: Core, item: bytes, *, days: int, who: str) -> Kept:
    """Return once it is written down that a person looked at a report and keeps it for `days` more.

    Raises:
        NotFound: no such report, or its content is destroyed.
        BadInput: nothing asks a person about it, or it must be destroyed earlier.
    """
    report = await _report(core, item)
    if not report.ask_at_ms and not report.review_at_ms:
        raise BadInput("nobody is asked about this report: it has no review date, and its expiry asks nobody")
    if not 1 <= days <= RETENTION_DAYS_MAX:
        raise BadInput(f"{days} days", hint=f"1 to {RETENTION_DAYS_MAX} days")
    now_ms = core.clock()
    until_ms = now_ms + days * DAY_MS
    if 0 < report.purge_at_ms < until_ms:
        raise BadInput(
            f"it must be destroyed by {instant_text(report.purge_at_ms)}",
            hint="fewer days; to keep it longer needs its originator's consent",
        )
    await core.database.write(partial(_keep, report=report, until_ms=until_ms, who=who, now_ms=now_ms))
    return Kept(item, until_ms, report.purge_at_ms)


async def purge(core: Core, item: bytes, *, who: str, hurry: Callable[[], None]) -> None:
    """Return once it is durable that a report is to be destroyed; `hurry` lets that happen at once.

    Raises:
        NotFound: no such report, or it is destroyed already.
        Conflict: it is this node's own and has not reached everybody yet.
    """
    report = await _report(core, item)
    if report.direction is Direction.SENT and report.state is not ItemState.WITHDRAWN:
        rows = await core.database.read(partial(reports.addressees_of, item=item))
        pending = [row.recipient for row in rows if row.state in PENDING]
        if pending:
            raise Conflict(
                f"it is still on its way to {', '.join(pending)}", hint="wait, or withdraw it: concord report retract"
            )
    await core.database.write(partial(_purge, item=item, who=who, now_ms=core.clock()))
    hurry()


async def _report(core: Core, item: bytes) -> Report:
    report = await core.database.read(partial(reports.report_of, item=item))
    if report is None:
        raise NotFound("no such report", hint="concord report list")
    if report.state is ItemState.PURGED:
        raise NotFound("it is destroyed already", hint="concord report trace")
    return report


def _keep(connection: Connection, report: Report, until_ms: int, who: str, now_ms: int) -> None:
    holding.keep_until(
        connection,
        report.item,
        ask_at_ms=until_ms if report.ask_at_ms else 0,
        review_at_ms=until_ms if report.review_at_ms else 0,
    )
    detail = f"by {who}, until {instant_text(until_ms)}"
    reports.add_events(connection, [Event(report.item, now_ms, "kept", detail=detail)])


def _purge(connection: Connection, item: bytes, who: str, now_ms: int) -> None:
    reports.purge_soon(connection, item, now_ms)
    reports.add_events(connection, [Event(item, now_ms, "to be destroyed", detail=f"by {who}")])
