"""Read what the node holds: find a report by any of its names, open it, list titles, tell its story."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind
from exchange.errors import BadName, Conflict, NotFound, PolicyDenied
from exchange.names import HASH_BYTES
from exchange.policy.combine import Source
from nodes import vault
from nodes.core import Core
from nodes.store import consent, recalls, reports
from nodes.store.consent_rows import Onward
from nodes.store.rows import Addressee, Direction, Event, ItemState, Reach, Recall, Report, Withdrawal

PREFIX_LEAST = 6
LIST_DEFAULT = 50
LIST_MOST = 1_000

_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_STIX = re.compile(r"[a-z][a-z0-9-]{1,250}--[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A report with its title, empty when it is hidden or destroyed, and how many recipients have receipted it."""

    report: Report
    title: str
    receipted: int
    recipients: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One report, opened; `opened` is None when its content is withdrawn or destroyed."""

    listed: Listed
    opened: vault.Opened | None
    versions: Sequence[Listed]
    withdrawal: Withdrawal | None


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to one report."""

    listed: Listed
    events: Sequence[Event]
    recipients: Sequence[Addressee]
    recalls: Sequence[Recall]
    """Who was asked to withdraw it."""


class Shelf:
    """Reports of one node, for reading."""

    def __init__(self, core: Core) -> None:
        """Read the node's stores."""
        self._core = core

    async def find(self, name: str) -> bytes:
        """Return the item that `name` means: its hash, a prefix of 6 digits or more, or a STIX id (newest version).

        Raises:
            BadName: none of these.
            NotFound: nothing has this name here.
            Conflict: a prefix of several.
        """
        core = self._core
        if _PREFIX.fullmatch(name):
            found = await core.database.read(partial(reports.items_with_prefix, prefix=name))
        elif _STIX.fullmatch(name):
            digest = vault.stix_digest(core.keys.master, name)
            newest = await core.database.read(partial(reports.newest_with_stix, digest=digest))
            found = [newest] if newest is not None else []
        else:
            raise BadName(
                f"{name[:80]!r} names no report", hint=f"an item, {PREFIX_LEAST} or more of its digits, or a STIX id"
            )
        if not found:
            raise NotFound(f"no report {name[:80]}", hint="concord report list")
        if len(found) > 1:
            raise Conflict(
                f"{name} begins several items", hint=f"give more than {len(name)} of {2 * HASH_BYTES} digits"
            )
        return found[0]

    async def list_(
        self, *, direction: Direction | None, limit: int, before: bytes | None, current_only: bool
    ) -> list[Listed]:
        """Return reports, newest arrival first."""
        number = 0
        if before is not None:
            found = await self._core.database.read(partial(reports.report_of, item=before))
            number = found.number if found is not None else 0
        rows = await self._core.database.read(
            partial(
                reports.list_reports,
                direction=direction,
                limit=min(limit or LIST_DEFAULT, LIST_MOST),
                before=number,
                current_only=current_only,
            )
        )
        return await self._with_titles(rows)

    async def show(self, item: bytes) -> Shown:
        """Return one report; NotFound when it is not here."""
        core = self._core
        report = await self._report(item)
        known = await core.database.read(partial(reports.versions, thread=report.thread, originator=report.originator))
        withdrawal = await core.database.read(partial(reports.withdrawal_of, item=item, originator=report.originator))
        listed = await self._with_titles([report])
        return Shown(listed[0], await self._open(report), await self._with_titles(known), withdrawal)

    async def story(self, item: bytes) -> Story:
        """Return what happened to one report; NotFound when it is not here."""
        core = self._core
        report = await self._report(item)
        events = await core.database.read(partial(reports.events_of, item=item))
        rows = await core.database.read(partial(reports.addressees_of, item=item))
        asked = await core.database.read(partial(recalls.of_items, items=[item]))
        onward = await core.database.read(partial(consent.onward_of, item=item))
        (listed,) = await self._with_titles([report])
        return Story(
            listed, events, _with_ways([row for row in rows if row.kind == EnvelopeKind.REPORT], onward), asked
        )

    async def opened(self, item: bytes) -> vault.Opened | None:
        """Return a report, opened, whatever its state; None when it is destroyed."""
        report = await self._report(item)
        keys = await self._core.keybox.keys([item])
        if item not in keys or not report.record:
            return None
        return vault.open_report(keys[item], item, report.record)

    async def source(self, item: bytes) -> Source:
        """Return a report as something that another is made of.

        Raises:
            NotFound: it is not here, or its content is destroyed.
            PolicyDenied: its originator has withdrawn it.
        """
        report = await self._report(item)
        if report.state is ItemState.WITHDRAWN:
            raise PolicyDenied(f"{item.hex()[:12]} is withdrawn", hint="nothing may be made of it any more")
        opened = await self.opened(item)
        if opened is None:
            raise NotFound(f"{item.hex()[:12]} is destroyed", hint="concord report list")
        duties = opened.holding.obligations if opened.holding else None
        if duties is not None:
            # The row may have come to an earlier end since: the agreement ended.
            duties = replace(duties, purge_at_ms=report.purge_at_ms)
        return Source(opened.label, opened.release, duties)

    async def _report(self, item: bytes) -> Report:
        report = await self._core.database.read(partial(reports.report_of, item=item))
        if report is None:
            raise NotFound("no such report", hint="concord report list")
        return report

    async def _open(self, report: Report) -> vault.Opened | None:
        # Hidden content stays hidden here; its originator keeps seeing what it wrote.
        hidden = report.state is ItemState.WITHDRAWN and report.direction is Direction.RECEIVED
        if hidden or report.state is ItemState.PURGED:
            return None
        return await self.opened(report.item)

    async def _with_titles(self, rows: Sequence[Report]) -> list[Listed]:
        core = self._core
        keys = await core.keybox.keys([row.item for row in rows])
        counts = await core.database.read(partial(_receipted, items=[row.item for row in rows]))
        listed = []
        for row in rows:
            key = keys.get(row.item)
            hidden = row.state is ItemState.WITHDRAWN and row.direction is Direction.RECEIVED
            title = vault.open_title(key, row.item, row.title) if key and row.title and not hidden else ""
            receipted, recipients = counts[row.item]
            listed.append(Listed(row, title, receipted, recipients))
        return listed


def _with_ways(rows: Sequence[Addressee], onward: Sequence[Onward]) -> list[Addressee]:
    """Say of each partner that did not get it from here by way of whom it may have it."""
    ways: dict[str, list[str]] = {}
    for each in onward:
        way = f"by way of {each.holder} (grant {each.grant.hex()[:12]}, hop {each.hop})"
        ways.setdefault(each.recipient, []).append(way)
    return [replace(row, why="; ".join(filter(None, [*ways.get(row.recipient, []), row.why]))) for row in rows]


def _receipted(connection: Connection, items: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    counts = {}
    for item in items:
        rows = reports.addressees_of(connection, item)
        reaching = [row for row in rows if row.state not in (Reach.DENIED, Reach.ONWARD)]
        counts[item] = (sum(1 for row in reaching if row.receipted_ms), len(reaching))
    return counts
