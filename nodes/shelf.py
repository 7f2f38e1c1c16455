"""Read what the node holds: find a report by any of its names, open it, list titles, tell its story.

Whoever asks is a caller, and sees only what reader rules let this caller read (nodes/clearing.py). `cleared` turns a
name into an item, `among` sifts a list; the other methods take items that came out of one of these.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from sqlalchemy import Connection

from exchange.envelope.model import EnvelopeKind
from exchange.errors import BadName, Conflict, NotFound, PolicyDenied
from exchange.names import HASH_BYTES
from exchange.policy.combine import Source
from exchange.policy.model import Label
from nodes import vault
from nodes.caller import Caller
from nodes.clearing import NOBODY, Candidate, Clearing, candidates
from nodes.core import Core
from nodes.store import consent, readers, recalls, reports
from nodes.store.consent_rows import Onward
from nodes.store.provenance import provenances_of
from nodes.store.rows import Addressee, Direction, Event, ItemState, Reach, Recall, Report, Withdrawal
from nodes.suspects import suspicion

PREFIX_LEAST = 6
LIST_DEFAULT = 50
LIST_MOST = 1_000
CANDIDATES = 64
"""Versions of one name that are looked at together."""

_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_STIX = re.compile(r"[a-z][a-z0-9-]{1,250}--[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A report with its title, empty when it is hidden or destroyed, and how many recipients have receipted it."""

    report: Report
    title: str
    receipted: int
    recipients: int
    suspect: str = ""
    """Why people should look at it again; empty when nothing speaks for that."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One report, opened; `opened` is None when its content is withdrawn or destroyed."""

    listed: Listed
    opened: vault.Opened | None
    versions: Sequence[Listed]
    withdrawal: Withdrawal | None

    @property
    def before(self) -> Listed | None:
        """The version before it, of those that the caller may read."""
        earlier = [version for version in self.versions if _age(version) < _age(self.listed)]
        return max(earlier, key=_age, default=None)


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to one report."""

    listed: Listed
    events: Sequence[Event]
    recipients: Sequence[Addressee]
    recalls: Sequence[Recall]
    """Who was asked to withdraw it."""


class Shelf:
    """Reports of one node, for reading by those who may read them."""

    def __init__(self, core: Core, clearing: Clearing) -> None:
        """Read the node's stores."""
        self._core = core
        self._clearing = clearing

    async def load(self) -> None:
        """Write down the reader rules of reports that an earlier version of this program stored."""
        while items := await self._core.database.read(partial(readers.without_row, limit=LIST_DEFAULT)):
            rules = {}
            for item in items:
                opened = await self.opened(item)
                # Without its key it is as good as purged, and its rule is lost.
                rule = opened.label.readers if opened is not None else NOBODY
                rules[item] = vault.seal_readers(self._core.keys.master, item, rule)
            await self._core.database.write(partial(readers.put_rules, rules=rules))

    async def cleared(self, caller: Caller, name: str) -> bytes:
        """Return the item that `name` means: its hash, a prefix of 6 digits or more, or a STIX id (newest version).

        Every method that is given a report's name begins here. What the caller may not read is as good as absent: the
        answer is the same, and so are the reads and checks that lead to it, which a decoy takes when there is nothing.

        Raises:
            BadName: none of these.
            NotFound: nothing has this name here, or nothing that the caller may read.
            Conflict: a prefix of several.
        """
        look, by_prefix = self._look(name), bool(_PREFIX.fullmatch(name))
        items = await self._first_readable(caller, look, most=2 if by_prefix else 1)
        if not items:
            raise NotFound(f"no report {name[:80]}", hint="concord report list")
        if len(items) > 1:
            raise Conflict(
                f"{name} begins several items", hint=f"give more than {len(name)} of {2 * HASH_BYTES} digits"
            )
        return items[0]

    async def _first_readable(self, caller: Caller, look: "_Look", *, most: int) -> list[bytes]:
        """Return the first so many that the caller may read of all that a name means; others hide none of them."""
        items: list[bytes] = []
        for skip in count(step=CANDIDATES):
            found = await self._core.database.read(partial(self._candidates, look=partial(look, skip=skip)))
            items += [each.item for each in found if self._clearing.permits(caller, each)]
            if len(found) < CANDIDATES or len(items) >= most:
                break
        return items[:most]

    def _look(self, name: str) -> "_Look":
        if _PREFIX.fullmatch(name):
            return partial(reports.with_prefix, prefix=name, limit=CANDIDATES)
        if _STIX.fullmatch(name):
            return partial(reports.with_stix, digest=vault.stix_digest(self._core.keys.master, name), limit=CANDIDATES)
        raise BadName(
            f"{name[:80]!r} names no report", hint=f"an item, {PREFIX_LEAST} or more of its digits, or a STIX id"
        )

    def _candidates(self, connection: Connection, look: "_Look") -> Sequence[Candidate]:
        found = look(connection)
        decoy = self._clearing.decoy
        asked = candidates(connection, found or {decoy.item: decoy.tlp})
        return asked if found else [decoy]

    async def among(self, caller: Caller, items: Collection[bytes]) -> set[bytes]:
        """Return those of these items that are here and that the caller may read: for lists, whatever they are of."""
        return await self._core.database.read(partial(self.sift, caller, items=items))

    def sift(self, caller: Caller, connection: Connection, items: Collection[bytes]) -> set[bytes]:
        """Return the same as `among`, on an open transaction."""
        found = _candidates_among(connection, list(items))
        return {each.item for each in found if self._clearing.permits(caller, each)}

    def reads(self, caller: Caller, label: Label) -> bool:
        """Whether the caller could read a report under this label: for what is told of a report that is not here."""
        return self._clearing.reads(caller, label.tlp, label.readers)

    async def about(self, caller: Caller, found: Mapping[bytes, bytes]) -> list[bytes]:
        """Return those of these things, each with the item that it is about, whose item the caller may read.

        For what is found by a name of its own: with nothing found, the same is done with a decoy.
        """
        decoy = self._clearing.decoy
        readable = await self.among(caller, set(found.values()) or {decoy.item})
        if not found:
            self._clearing.permits(caller, decoy)
        return [thing for thing, item in found.items() if item in readable]

    async def list_(
        self, caller: Caller, *, direction: Direction | None, limit: int, before: bytes | None, current_only: bool
    ) -> list[Listed]:
        """Return reports that the caller may read, newest arrival first."""
        core = self._core
        number = 0
        if before is not None:
            found = await core.database.read(partial(reports.report_of, item=before))
            number = found.number if found is not None else 0
        limit = min(limit or LIST_DEFAULT, LIST_MOST)
        page = partial(reports.list_reports, direction=direction, limit=limit)
        shown: list[Report] = []
        while len(shown) < limit:
            rows = await core.database.read(partial(page, before=number))
            readable = await self.among(caller, [row.item for row in rows])
            seen = await self._as_seen(caller, [row for row in rows if row.item in readable])
            shown += [row for row in seen if not (current_only and row.state is ItemState.REPLACED)]
            if len(rows) < limit:
                break
            number = rows[-1].number
        return await self._with_titles(shown[:limit])

    async def _as_seen(self, caller: Caller, rows: Sequence[Report]) -> list[Report]:
        """Return these versions, all of which the caller may read, as it sees them.

        What took the place of a version counts for whoever may read it: for others the version is current.
        """
        replaced = [row for row in rows if row.state is ItemState.REPLACED]
        later = await self._core.database.read(partial(_later, older=replaced))
        current = {item for item, found in later.items() if not any(self._clearing.permits(caller, it) for it in found)}
        return [replace(row, state=ItemState.CURRENT) if row.item in current else row for row in rows]

    async def show(self, caller: Caller, item: bytes) -> Shown:
        """Return one report, and its versions that the caller may read; NotFound when it is not here."""
        core = self._core
        (report,) = await self._as_seen(caller, [await self._report(item)])
        known = await core.database.read(partial(reports.versions, thread=report.thread, originator=report.originator))
        withdrawal = await core.database.read(partial(reports.withdrawal_of, item=item, originator=report.originator))
        readable = await self.among(caller, [version.item for version in known])
        listed = await self._with_titles([report])
        versions = await self._with_titles(
            await self._as_seen(caller, [version for version in known if version.item in readable])
        )
        return Shown(listed[0], await self._open(report), versions, withdrawal)

    async def story(self, caller: Caller, item: bytes) -> Story:
        """Return what happened to one report; NotFound when it is not here."""
        core = self._core
        (report,) = await self._as_seen(caller, [await self._report(item)])
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

    async def shown(self, item: bytes) -> vault.Opened | None:
        """Return a version as it may be shown; None when it is withdrawn or destroyed."""
        return await self._open(await self._report(item))

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
        came = await core.database.read(partial(provenances_of, items=[row.item for row in rows]))
        listed = []
        for row in rows:
            key = keys.get(row.item)
            hidden = row.state is ItemState.WITHDRAWN and row.direction is Direction.RECEIVED
            title = vault.open_title(key, row.item, row.title) if key and row.title and not hidden else ""
            receipted, recipients = counts[row.item]
            suspect = suspicion(core.trust.now.directory, came.get(row.item))
            listed.append(Listed(row, title, receipted, recipients, suspect))
        return listed


def _age(version: Listed) -> tuple[int, bytes]:
    """Return what orders versions, as the store does."""
    return version.report.authored_ms, version.report.item


def _with_ways(rows: Sequence[Addressee], onward: Sequence[Onward]) -> list[Addressee]:
    """Say of each partner that did not get it from here by way of whom it may have it."""
    ways: dict[str, list[str]] = {}
    for each in onward:
        way = f"by way of {each.holder} (grant {each.grant.hex()[:12]}, hop {each.hop})"
        ways.setdefault(each.recipient, []).append(way)
    return [replace(row, why="; ".join(filter(None, [*ways.get(row.recipient, []), row.why]))) for row in rows]


_Look = Callable[..., dict[bytes, int]]
"""From a connection and how many to skip."""


def _later(connection: Connection, older: Sequence[Report]) -> dict[bytes, Sequence[Candidate]]:
    found = reports.later_versions(connection, older)
    return {item: candidates(connection, later) for item, later in found.items()}


def _candidates_among(connection: Connection, items: Sequence[bytes]) -> Sequence[Candidate]:
    return candidates(connection, reports.lights_of(connection, items))


def _receipted(connection: Connection, items: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    counts = {}
    for item in items:
        rows = reports.addressees_of(connection, item)
        reaching = [row for row in rows if row.state not in (Reach.DENIED, Reach.ONWARD)]
        counts[item] = (sum(1 for row in reaching if row.receipted_ms), len(reaching))
    return counts
