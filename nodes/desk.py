"""Author and push a report: what people, sensors and the spool ask of the node, in one place.

A push is durable when it returns. Repeating it with the same key, or the same content and label, returns its item.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from exchange.envelope.model import Attachment
from exchange.errors import BadLabel, ConfigurationError, Conflict, ExchangeError, NotAllowed, NotFound
from exchange.limits import LABEL_BYTES
from exchange.names import PartyId
from exchange.policy.combine import Source
from exchange.policy.decision import Decision
from exchange.policy.model import CommunityTarget, Label
from exchange.policy.product import NO_SCALES
from exchange.policy.readers import Scales
from exchange.policy.strict_yaml import Node as YamlNode
from exchange.policy.strict_yaml import parse_yaml
from exchange.policy.text import parse_label
from nodes.attached import Attached
from nodes.author import AuthoredReport, Desk, Previous, author
from nodes.caller import Caller, check_ceiling, nobody
from nodes.communities import targets
from nodes.config import ReleaseRules
from nodes.core import Core
from nodes.deriving import Origin
from nodes.gathering import Gathering
from nodes.guard import Hint, History, check_confirmed, look
from nodes.guarding import history_of
from nodes.outbox import PUSHES_MOST, Accepted, Author, Looked, Outbox, getting, push_digest
from nodes.sensors import Scope, Sensors, permit, permit_audience, permit_bytes
from nodes.shelf import Shelf
from nodes.stix import read_report
from nodes.store import reports


@dataclass(frozen=True, slots=True)
class Draft:
    """A report file as it came, and the version that it replaces."""

    content: bytes
    label: bytes
    supersedes: str = ""
    """An item, a prefix or a STIX id; empty for a new report."""
    derived_from: tuple[str, ...] = ()
    """The reports that it is made of, by the same names."""
    attached: tuple[Attached, ...] = ()
    """Its files, sealed already."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """Who would get a report, and what a person should look at."""

    authored: AuthoredReport
    decisions: Sequence[tuple[PartyId, Decision]]
    hints: Sequence[Hint]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A sensor's report that lies within its scope."""

    authored: AuthoredReport
    files: Sequence[Attachment]
    digest: bytes
    looked: Looked | None
    """None when it repeats an earlier push."""


class Authoring:
    """The author's step of one node, and what follows it."""

    def __init__(
        self,
        core: Core,
        outbox: Outbox,
        shelf: Shelf,
        sensors: Sensors,
        *,
        defaults: Mapping[str, Any],
        rules: ReleaseRules | None = None,
        scales: Scales = NO_SCALES,
    ) -> None:
        """`defaults` are label fields that this node fills in, `rules` what it asks for before release.

        `scales` are those by which this party compares the clearances that sources of a report ask for.
        """
        self._core = core
        self._outbox = outbox
        self._shelf = shelf
        self._sensors = sensors
        self._defaults = defaults
        self._rules = rules or ReleaseRules()
        self._scales = scales
        self._approvals = self._rules.approvals_by_tlp()
        self._before: Gathering[tuple[bytes, str], tuple[bytes | None, History]] = Gathering(
            self._look_back, most=PUSHES_MOST
        )

    async def check(
        self, draft: Draft, *, caller: Caller, sensor_label: bytes = b"", repeated: bool = False
    ) -> AuthoredReport:
        """Return what would be signed; nothing is stored. Raises BadInput in words for the author.

        A correction that is `repeated` is judged as the new report that it was once.
        """
        core = self._core
        previous = await self._previous(draft.supersedes, caller) if draft.supersedes else None
        origin = await self._origin(draft.derived_from, previous, caller)
        partners = [record.party for record in core.trust.now.directory.parties()]
        return author(
            draft.content,
            draft.label,
            desk=Desk(core.me, partners, self._defaults, self._communities(), self._approvals),
            now_ms=core.clock(),
            sensor_label=sensor_label,
            previous=None if repeated else previous,
            origin=origin,
            attached=draft.attached,
        )

    def label(self, text: bytes) -> Label:
        """Return the label that a sensor's default makes of itself; BadLabel when it is none."""
        core = self._core
        return parse_label(
            text,
            originator=core.me,
            now_ms=core.clock(),
            defaults=self._defaults,
            communities=self._communities(),
        ).label

    def _communities(self) -> Mapping[str, CommunityTarget]:
        core = self._core
        return targets(core.trust.rules_now(), core.me, core.clock())

    async def look(self, draft: Draft, *, caller: Caller) -> DryRun:
        """Return what a push of this draft would sign, who would get it, and what is unusual; nothing is stored."""
        authored = await self._checked(draft, caller, _digest(draft, caller))
        decisions = await self._outbox.rehearse(authored)
        history = await self._core.database.read(partial(history_of, kind=authored.kind))
        return DryRun(authored, decisions, self._hints(authored, decisions, history))

    async def push(
        self,
        draft: Draft,
        *,
        caller: Caller,
        key: str = "",
        confirmed: Collection[str] = (),
        purge_left_out: bool = False,
    ) -> Accepted:
        """Sign a person's report and place it in the outbox.

        `confirmed` is what is unusual, with its partners (nodes/guard.py); `purge_left_out` as for Outbox.accept.

        Raises:
            PolicyDenied: above the caller's ceiling.
            NeedsConfirmation: something is unusual that is not among `confirmed`.
            Conflict: the key was used for other content.
        """
        digest = _digest(draft, caller, key)
        authored = await self._checked(draft, caller, digest)
        check_ceiling(caller, authored.label.tlp)
        by, looked = Author(caller.name), None
        before, history = await self._before.ask((digest, authored.kind))
        if before is None:
            looked = await self._outbox.look(authored)
            hints = self._hints(authored, looked.decisions, history)
            check_confirmed(hints, confirmed)
            by = Author(caller.name, [hint.accept for hint in hints], frozenset(getting(looked.decisions)))
        accepted = await self._outbox.accept(authored, digest, by=by, purge_left_out=purge_left_out, looked=looked)
        return await self._same(authored, accepted, _files_of(draft.attached))

    async def push_from(
        self, scope: Scope, content: bytes, label: bytes, *, key: str = "", attached: tuple[Attached, ...] = ()
    ) -> Accepted:
        """Push a sensor's report, if it lies within the sensor's scope.

        Raises:
            PolicyDenied: outside the scope.
            Conflict: the key was used for other content.
            RateLimited: the hour's allowance is spent; a repeat of an accepted push does not count.
        """
        async with self._counted(scope):
            judged = await self._judged(scope, Draft(content, label, attached=attached), _files_of(attached), key)
            if judged.looked is not None:
                self._sensors.spend(scope)
            accepted = await self._accepted(judged, scope)
        if not accepted.repeated:
            await self._sensors.count(scope, accepted=True)
        return accepted

    async def judge_from(
        self, scope: Scope, content: bytes, label: bytes, *, key: str = "", files: Sequence[Attachment]
    ) -> Accepted | None:
        """Judge a sensor's report of which files are still to come; return the push that it repeats, if it does.

        Nothing is stored, and nothing counted unless it is refused. Raises as `push_from`.
        """
        async with self._counted(scope):
            judged = await self._judged(scope, Draft(content, label), files, key)
            return await self._accepted(judged, scope) if judged.looked is None else None

    async def _judged(self, scope: Scope, draft: Draft, files: Sequence[Attachment], key: str) -> "_Judged":
        digest = push_digest(key, draft.content, draft.label + _said(files), who=scope.who)
        authored = await self.check(draft, caller=nobody(), sensor_label=scope.default_label)
        permit(scope, authored.label)
        for each in files:
            permit_bytes(scope, each.size)
        looked = None
        if await self._outbox.pushed_before(digest) is None:
            looked = await self._outbox.look(authored)
            permit_audience(scope, getting(looked.decisions), self._rules.wide_audience)
        return _Judged(authored, files, digest, looked)

    async def _accepted(self, judged: "_Judged", scope: Scope) -> Accepted:
        authored, digest = judged.authored, judged.digest
        accepted = await self._outbox.accept(authored, digest, by=Author(scope.who), looked=judged.looked)
        return await self._same(authored, accepted, judged.files)

    @asynccontextmanager
    async def _counted(self, scope: Scope) -> AsyncIterator[None]:
        """Count a push that is refused, for the operator; what may be tried again is not."""
        try:
            yield
        except ExchangeError as error:
            if not error.retryable:
                await self._sensors.count(scope, accepted=False)
            raise

    async def _look_back(self, asked: Sequence[tuple[bytes, str]]) -> Sequence[tuple[bytes | None, History]]:
        """Return for pushes that came together, by digest and kind, what the store knows."""
        return await self._core.database.read(partial(_before, asked=asked))

    def _hints(
        self, authored: AuthoredReport, decisions: Sequence[tuple[PartyId, Decision]], history: History
    ) -> list[Hint]:
        """Return what is unusual about a report that goes to whom these decisions let have it."""
        reached = sorted(getting(decisions))
        return look(authored.label, authored.release, reached, history, wide_audience=self._rules.wide_audience)

    async def _same(self, authored: AuthoredReport, accepted: Accepted, files: Sequence[Attachment]) -> Accepted:
        """Return `accepted`, unless it repeats a push of something else: that would lose this report silently."""
        if accepted.repeated:
            opened = await self._shelf.opened(accepted.item)
            told = (authored.content, tuple(files))
            if opened is not None and (opened.statement.content, opened.statement.attachments) != told:
                raise Conflict("this key was used for another report", hint="give every report a key of its own")
        return accepted

    async def _checked(self, draft: Draft, caller: Caller, digest: bytes) -> AuthoredReport:
        """Return what is to be signed."""
        repeated = bool(draft.supersedes) and await self._outbox.pushed_before(digest) is not None
        return await self.check(draft, caller=caller, repeated=repeated)

    async def _origin(self, names: Sequence[str], previous: Previous | None, caller: Caller) -> Origin | None:
        """Return what a report is made of. What a version was made of binds the version that corrects it."""
        items = dict.fromkeys([await self._shelf.cleared(caller, name) for name in names])
        sources = [await self._shelf.source(item) for item in items]
        if previous is not None and previous.source is not None:
            sources.append(previous.source)
        return Origin.of(list(items), sources, me=self._core.me, scales=self._scales) if sources else None

    async def _previous(self, name: str, caller: Caller) -> Previous:
        core = self._core
        item = await self._shelf.cleared(caller, name)
        report = await core.database.read(partial(reports.report_of, item=item))
        if report is None:
            raise NotFound("no such report", hint="concord report list")
        if report.originator != core.me:
            raise NotAllowed(
                f"{report.originator} originated this report", hint="only its originator can correct a report"
            )
        opened = await self._shelf.opened(item)
        if opened is None:
            raise NotFound("that version is destroyed", hint="push a new report")
        stix = read_report(opened.statement.content)
        source = Source(opened.label, opened.release) if opened.label.derived_from else None
        return Previous(item, report.thread, stix.stix_id, stix.modified_ms, source)


def _before(connection: Connection, asked: Sequence[tuple[bytes, str]]) -> list[tuple[bytes | None, History]]:
    """Return for each digest the item of an earlier push with it, and for its kind what was sent before."""
    known = reports.pushed_before(connection, [digest for digest, _ in asked])
    histories = {kind: history_of(connection, kind) for kind in {kind for _, kind in asked}}
    return [(known.get(digest), histories[kind]) for digest, kind in asked]


def _digest(draft: Draft, caller: Caller, key: str = "") -> bytes:
    about = " ".join((draft.supersedes, *draft.derived_from)) if draft.derived_from else draft.supersedes
    label = draft.label + about.encode() + _said(_files_of(draft.attached))
    # By caller: nobody learns from a repeat what another has pushed.
    return push_digest(key, draft.content, label, who=caller.name)


def _files_of(attached: Sequence[Attached]) -> tuple[Attachment, ...]:
    return tuple(each.attachment for each in attached)


def _said(files: Sequence[Attachment]) -> bytes:
    """Return what tells files from others, whenever they were sealed."""
    return b"".join(b"".join((b"\x00", each.sha256, each.name.encode())) for each in files)


def load_defaults(path: str, home: Path) -> dict[str, Any]:
    """Return the label fields in a YAML file, its path relative to the home; none when there is no path.

    Raises:
        ConfigurationError: it cannot be read, or is not a map of fields.
    """
    if not path:
        return {}
    try:
        root = parse_yaml((home / path).read_bytes(), limit=LABEL_BYTES, error=BadLabel)
    except (OSError, BadLabel) as error:
        raise ConfigurationError(
            f"the label defaults in {path} cannot be used: {error}", hint="see label_defaults in node.toml"
        ) from error
    plain = _plain(root)
    return plain if isinstance(plain, dict) else {}


def _plain(node: YamlNode) -> Any:
    """Return a part of a YAML text as plain data; Any: it nests."""
    value = node.value
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value
