"""Hand content out for use elsewhere: the one way by which a report leaves this node's keeping.

1. the report is here, and its content is not destroyed
2. of another's report: the use lies within what this node holds it under; exchange/policy/use.py names every obstacle
3. what is handed out is written down, durably, before a byte leaves
What this node signed itself is its own, and only written down. Showing a report on the screen is no export.
"""

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from exchange.errors import BadInput, NotFound, PolicyDenied
from exchange.policy.holding import Holding
from exchange.policy.shape import is_place
from exchange.policy.use import Hindrance, Use, may_use
from nodes.core import Core
from nodes.handling_file import Handed
from nodes.shelf import Shelf
from nodes.store import holding as store
from nodes.store import reports
from nodes.store.rows import Event, Export, ItemState, Report


async def export(core: Core, shelf: Shelf, item: bytes, use: Use, *, who: str, what: str = "") -> Handed:
    """Return the report, opened, once its export is written down; `what` says which part of it, if not its content.

    Raises:
        NotFound: no such report, or its content is destroyed.
        PolicyDenied: it may not be used so; the detail names every obstacle by its code.
        BadInput: the place is no country.
    """
    if use.place and not is_place(use.place):
        raise BadInput(f"{use.place[:20]!r} is no country", hint="two capital letters, as in PK (ISO 3166-1)")
    # 1
    report = await core.database.read(partial(reports.report_of, item=item))
    opened = await shelf.opened(item) if report is not None else None
    if report is None:
        raise NotFound("no such report", hint="concord report list")
    if opened is None:
        raise NotFound(f"the content is {report.state}", hint="concord report trace")
    # 2
    now_ms = core.clock()
    hindrances = _hindrances(report, opened.holding, use, now_ms)
    if hindrances:
        raise PolicyDenied(
            "; ".join(f"{each.code}: {each.text}" for each in hindrances),
            hint="; ".join(dict.fromkeys(each.hint for each in hindrances if each.hint)),
        )
    # 3
    await core.database.write(partial(_store, item=item, use=use, who=who, what=what, now_ms=now_ms))
    return Handed(item, opened, use, who, now_ms)


def _hindrances(report: Report, holding: Holding | None, use: Use, now_ms: int) -> tuple[Hindrance, ...]:
    if holding is None:
        return ()
    # The row may have come to an earlier end since: the agreement ended, or a retraction asks for destruction.
    obligations = replace(holding.obligations, purge_at_ms=report.purge_at_ms)
    return may_use(obligations, use, now_ms=now_ms, withdrawn=report.state is ItemState.WITHDRAWN)


def _store(connection: Connection, *, item: bytes, use: Use, who: str, what: str, now_ms: int) -> None:
    row = Export(item, now_ms, who, int(use.action), int(use.purpose), use.place, use.as_evidence)
    where, evidence = f", in {use.place}" if use.place else "", ", as evidence" if use.as_evidence else ""
    part = f"{what}, " if what else ""
    detail = f"by {who}: {part}{use.action.word}, {use.purpose.word}{where}{evidence}"
    store.add_export(connection, row)
    reports.add_events(connection, [Event(item, now_ms, "exported", detail=detail)])
