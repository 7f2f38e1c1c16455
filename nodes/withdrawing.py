"""Withdraw a report that this node originated: a signed retraction to everybody whom it has, or may have, reached.

A version is withdrawn together with those before it, each by a retraction of its own. What still waits is not sent any
more. What is sealed and on its way goes on; the retraction travels in the flash lane, and a recipient that has it first
keeps a tombstone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import NotAllowed, NotFound
from exchange.names import ID_BYTES
from exchange.receipts.codec import encode_retraction
from exchange.receipts.model import Retraction, RetractionAction
from exchange.receipts.verify import RETRACTION
from nodes.core import Core
from nodes.narrowing import REACHED
from nodes.passing import end_passing_on
from nodes.receipts import add_control
from nodes.store import consent, recalls, reports
from nodes.store.rows import Direction, Event, ItemState, Reach, Recall, Report, Withdrawal


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A retraction that is durable in the outbox."""

    item: bytes
    recipients: tuple[str, ...]


async def withdraw(
    core: Core, item: bytes, *, reason_code: str, text: str, purge: bool, wake: Callable[[], None]
) -> Withdrawn:
    """Return once the retraction is durable; repeating it changes nothing, unless the repeat asks for destruction.

    Raises:
        NotFound: no such report.
        NotAllowed: another partner originated it.
        BadInput: the reason or the text is not acceptable.
    """
    report = await core.database.read(partial(reports.report_of, item=item))
    if report is None:
        raise NotFound("no such report", hint="concord report list")
    if report.direction is not Direction.SENT or report.originator != core.me:
        raise NotAllowed(
            f"{report.originator} originated this report", hint="only its originator can withdraw a report"
        )
    versions = await core.database.read(partial(_up_to, report=report))
    now_ms = core.clock()
    retractions = [
        Retraction(
            exchange=core.exchange,
            originator=core.me,
            item_hash=version,
            reason_code=reason_code,
            text=text,
            action=RetractionAction.PURGE if purge else RetractionAction.WITHDRAW,
            at_ms=now_ms,
            salt=random_bytes(ID_BYTES),
        )
        for version in versions
    ]
    signed = await core.signer.sign_each(RETRACTION, [encode_retraction(each) for each in retractions])
    pairs = list(zip(retractions, signed, strict=True))
    recipients = await core.database.write(partial(_store_all, pairs=pairs, now_ms=now_ms))
    wake()
    return Withdrawn(item, recipients)


def _up_to(connection: Connection, report: Report) -> list[bytes]:
    """Return the version that is withdrawn and those before it: whoever has it may have these."""
    known = reports.versions(connection, report.thread, report.originator)
    return [each.item for each in known if each.authored_ms <= report.authored_ms]


def _store_all(connection: Connection, pairs: Sequence[tuple[Retraction, Signed]], now_ms: int) -> tuple[str, ...]:
    reached: set[str] = set()
    for retraction, signed in pairs:
        reached.update(_store(connection, retraction, signed, now_ms))
    return tuple(sorted(reached))


def _store(connection: Connection, retraction: Retraction, signed: Signed, now_ms: int) -> tuple[str, ...]:
    item = retraction.item_hash
    rows = [row for row in reports.addressees_of(connection, item) if row.kind == EnvelopeKind.REPORT]
    sent = {row.recipient for row in rows if row.state in {*REACHED, Reach.RETRACTED} and row.envelope}
    # Whom a grant of ours lets have it, whatever its holder does, and did.
    onward = {each.recipient for each in consent.onward_of(connection, item)} - sent
    reached = tuple(sorted(sent | onward))
    withdrawal = Withdrawal(
        item=item,
        originator=retraction.originator,
        action=int(retraction.action),
        reason_code=retraction.reason_code,
        text=retraction.text,
        at_ms=retraction.at_ms,
        stored_ms=now_ms,
        statement=encode_signed(signed),
    )
    if not reports.add_withdrawal(connection, withdrawal):
        return reached
    end_passing_on(connection, item)
    reports.set_state(connection, item, ItemState.WITHDRAWN)
    detail = f"{retraction.reason_code}: {retraction.text}" if retraction.text else retraction.reason_code
    reports.add_events(connection, [Event(item, now_ms, "retracted", retraction.originator, detail)])
    asked = [
        Recall(item, each, int(retraction.action), retraction.reason_code, now_ms, onward=each in onward)
        for each in reached
    ]
    changed = [each.partner for each in recalls.ask(connection, asked)]
    if changed:
        add_control(connection, signed, changed, lane=Lane.FLASH, now_ms=now_ms)
    return reached
