"""Whom a correction leaves out is asked to withdraw what it holds of the versions before.

Every partner that holds an earlier version of a report gets the newest one, or is asked to withdraw what it has: at
once, in the transaction of the push, when the correction is not for it; and later, when the rules have changed between
push and sealing and deny it what it was to get. What waits of an earlier version is not sent any more.
The others keep the earlier version as replaced. To whom is asked, it is a retraction like any other.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import ExchangeError
from exchange.names import ID_BYTES
from exchange.receipts.codec import encode_retraction
from exchange.receipts.model import Retraction, RetractionAction
from exchange.receipts.verify import RETRACTION
from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.receipts import add_control
from nodes.store import consent, recalls, reports
from nodes.store.rows import Addressee, Event, ItemState, Reach, Recall

REASON = "over-shared"

REACHED = frozenset({Reach.SEALED, Reach.PROMISED, Reach.RECEIPTED, Reach.REFUSED, Reach.ONWARD, Reach.AGAIN})
"""Recipients in these states may hold the report. One that refused it may still have it from another partner."""


_NOT_SENT = frozenset({Reach.WAITING, Reach.ONWARD})
"""Of a report in these states no envelope of ours was sealed."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Signed retractions of earlier versions, by item; whom they go to is found when they are stored."""

    keep: frozenset[str]
    """Partners that get the newest version."""
    signed: Mapping[bytes, tuple[Retraction, Signed]]


def left_out(connection: Connection, thread: bytes, originator: str, keep: Collection[str]) -> dict[bytes, list[str]]:
    """Return, by version before, the partners that may hold it and do not get the newest: to be asked, and not yet."""
    found = {}
    for version in reports.versions(connection, thread, originator):
        if version.state is ItemState.WITHDRAWN:
            continue
        partners = [row.recipient for row in _rows(connection, version.item, REACHED) if row.recipient not in keep]
        asked = {each.partner for each in recalls.of_items(connection, [version.item])}
        if set(partners) - asked:
            found[version.item] = [partner for partner in partners if partner not in asked]
    return found


async def prepare(core: Core, thread: bytes, keep: Collection[str], *, purge: bool) -> Narrowed:
    """Return what narrowing takes: a signed retraction of every version that somebody may have to give back."""
    read = partial(_may_be_left_out, thread=thread, originator=core.me, keep=keep)
    items = await core.database.read(read)
    action = RetractionAction.PURGE if purge else RetractionAction.WITHDRAW
    return Narrowed(frozenset(keep), await sign_retractions(core, items, action))


def apply(connection: Connection, narrowed: Narrowed, thread: bytes, originator: str, now_ms: int) -> None:
    """Ask whom the newest version leaves out, and stop what waits; before that version is stored."""
    for version in reports.versions(connection, thread, originator):
        waiting = [row.recipient for row in _rows(connection, version.item, {Reach.WAITING})]
        words = "a correction took its place before it was sent"
        reports.change_addressees(connection, version.item, waiting, state=Reach.RETRACTED, why=words)
    for item, partners in left_out(connection, thread, originator, narrowed.keep).items():
        ask(connection, *narrowed.signed[item], partners, now_ms)


class Narrowing:
    """Asks later whom the newest version was denied after all. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Ask in the name of this node."""
        self._core = core
        self._due = asyncio.Event()
        self._log = get_logger(__name__)

    def hurry(self) -> None:
        """Look at once: somebody was denied or refused something."""
        self._due.set()

    async def run(self, *, wake: Callable[[], None]) -> None:
        """Look at the start, and whenever asked to, until cancelled; `wake` tells the sender that there is work."""
        while True:
            self._due.clear()
            try:
                if await self.settle():
                    wake()
            except ExchangeError as error:
                self._log.error("narrowing.failed", reason=error.reason, detail=str(error))
            await self._due.wait()

    async def settle(self) -> int:
        """Ask whoever holds an earlier version and was denied the newest; return how many that were."""
        core = self._core
        denied = await core.database.read(_denied_the_newest)
        if not denied:
            return 0
        signed = await sign_retractions(core, sorted(denied), RetractionAction.WITHDRAW)
        await core.database.write(partial(_ask_all, signed=signed, now_ms=core.clock()))
        return sum(len(partners) for partners in denied.values())


async def sign_retractions(
    core: Core, items: Sequence[bytes], action: RetractionAction, *, reason: str = REASON, text: str = ""
) -> dict[bytes, tuple[Retraction, Signed]]:
    """Return a signed retraction of each of these own items, for those partners that will be asked."""
    made = [
        Retraction(
            exchange=core.exchange,
            originator=core.me,
            item_hash=item,
            reason_code=reason,
            text=text,
            action=action,
            at_ms=core.clock(),
            salt=random_bytes(ID_BYTES),
        )
        for item in items
    ]
    signed = await core.signer.sign_each(RETRACTION, [encode_retraction(each) for each in made])
    return {each.item_hash: (each, statement) for each, statement in zip(made, signed, strict=True)}


def _may_be_left_out(connection: Connection, thread: bytes, originator: str, keep: Collection[str]) -> list[bytes]:
    """Return the versions of which somebody may have to give something back: what waits may be sealed meanwhile."""
    states = {*REACHED, Reach.WAITING}
    return [
        version.item
        for version in reports.versions(connection, thread, originator)
        if any(row.recipient not in keep for row in _rows(connection, version.item, states))
    ]


def _rows(connection: Connection, item: bytes, states: Collection[Reach]) -> list[Addressee]:
    rows = reports.addressees_of(connection, item)
    return [
        row
        for row in rows
        if row.kind == EnvelopeKind.REPORT and row.state in states and (row.envelope or row.state in _NOT_SENT)
    ]


def _ask_all(connection: Connection, signed: Mapping[bytes, tuple[Retraction, Signed]], now_ms: int) -> None:
    for item, partners in _denied_the_newest(connection).items():
        if item in signed:
            ask(connection, *signed[item], partners, now_ms)


def ask(
    connection: Connection,
    retraction: Retraction,
    signed: Signed,
    partners: Sequence[str],
    now_ms: int,
    *,
    words: str = "a correction leaves it out",
) -> None:
    """Ask partners to withdraw an item, each of them once for the same; they hear it in the flash lane."""
    item = retraction.item_hash
    onward = {each.recipient for each in consent.onward_of(connection, item)}
    statement, action = encode_signed(signed), int(retraction.action)
    asked = [
        Recall(item, partner, action, retraction.reason_code, now_ms, onward=partner in onward, statement=statement)
        for partner in partners
    ]
    changed = [each.partner for each in recalls.ask(connection, asked)]
    reports.add_events(connection, [Event(item, now_ms, "recalled", partner, words) for partner in changed])
    if changed:
        add_control(connection, signed, changed, lane=Lane.FLASH, now_ms=now_ms)


def _denied_the_newest(connection: Connection) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for item, partner in reports.held_without_newest(connection, REACHED):
        found.setdefault(item, []).append(partner)
    return found
