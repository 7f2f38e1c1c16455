"""What control statements change at this node, in the transaction that stores the frame in which they came.

Each was read and verified before (nodes/controls.py). A retraction is applied on arrival; for an item that has not come
yet a tombstone stays.
"""

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection

from exchange.consent.model import ConsentGrant, ConsentRequest
from exchange.crypto.codec import encode_signed
from exchange.names import PartyId
from exchange.policy.communities.model import HeldEpoch
from exchange.reader_policy.model import ReaderPolicy
from exchange.receipts.model import (
    NoticeAcknowledgement,
    ReceiptBatch,
    ReceiptStatus,
    Retraction,
    RetractionAction,
    StreamHead,
)
from exchange.resend.model import ResendAnswer, ResendRequest
from exchange.stream_reset.model import StreamReset
from nodes import alarms, anew, consenting, heads, notices, passing, receipted, resending, streams
from nodes.effects import Effects
from nodes.kept_changes import HeardNotice
from nodes.opening import Good
from nodes.passing import end_passing_on
from nodes.receipted import Given
from nodes.store import readers, receiving, reports
from nodes.store.readers import KeptPolicy
from nodes.store.rows import Event, ItemState, QueuedReceipt, Withdrawal


def apply_controls(connection: Connection, goods: Sequence[Good], effects: Effects, now_ms: int) -> None:
    """Apply control statements in their order; receipts that stand behind each other as one."""
    for are_receipts, group in groupby(goods, key=lambda good: isinstance(good.control, ReceiptBatch)):
        if not are_receipts:
            for good in group:
                _apply_control(connection, good, effects, now_ms)
            continue
        given = [
            Given(good.control, encode_signed(good.opened.statement))
            for good in group
            if isinstance(good.control, ReceiptBatch)
        ]
        applied = receipted.apply(connection, given, now_ms)
        effects.alarms += applied.alarms
        effects.waiting |= applied.waits


def _apply_control(connection: Connection, good: Good, effects: Effects, now_ms: int) -> None:
    sender = good.opened.core.sender
    match good.control:
        case Retraction() as retraction:
            _apply_retraction(connection, retraction, good, effects, now_ms)
        case StreamHead() | StreamReset():
            _apply_streams(connection, good.control, good, effects, now_ms)
        case HeardNotice() as notice:
            effects.alarms += notices.hear(connection, notice, now_ms)
            effects.events.append(Event(good.opened.item_hash, now_ms, "notice", sender))
        case NoticeAcknowledgement() as acknowledgement:
            notices.hear_acknowledgement(connection, acknowledgement, statement=encode_signed(good.opened.statement))
        case HeldEpoch():
            # Taken in before anything of this frame was judged (nodes/receiver.py).
            effects.events.append(Event(good.opened.item_hash, now_ms, "community", sender))
        case ConsentRequest() as request:
            asked = consenting.hear_request(connection, request, good.opened.statement, me=_me(good), now_ms=now_ms)
            effects.alarms += asked
            effects.consent |= not asked
        case ConsentGrant() as grant:
            heard = passing.hear_grant(connection, grant, good.opened.statement, me=_me(good), now_ms=now_ms)
            effects.alarms += heard.alarms
            effects.waiting |= heard.passes_on
        case ReaderPolicy() as policy:
            kept = KeptPolicy(policy.party, policy.at_ms, encode_signed(good.opened.statement))
            readers.keep_policy(connection, kept)
        case ResendRequest() as request:
            resending.hear_request(connection, request, good.opened.statement, now_ms)
        case ResendAnswer() as answer:
            resending.hear_answer(connection, answer, good.opened.statement, now_ms)
        case _:
            # An agreement text was taken in before this transaction (nodes/receiver.py).
            effects.events.append(Event(good.opened.item_hash, now_ms, "agreement", sender))


def _apply_streams(
    connection: Connection, said: StreamHead | StreamReset, good: Good, effects: Effects, now_ms: int
) -> None:
    match said:
        case StreamHead():
            effects.alarms += streams.hear(connection, said, now_ms)
            effects.alarms += heads.hear(connection, said, good.opened.core.exchange, now_ms)
        case StreamReset():
            effects.waiting |= anew.hear(connection, said, good.opened.statement, good.promise.log_index)


def _me(good: Good) -> PartyId:
    # A slot that is not this node's own is not opened (step 4).
    return good.opened.leaf.recipient


def _apply_retraction(
    connection: Connection, retraction: Retraction, good: Good, effects: Effects, now_ms: int
) -> None:
    item, originator = retraction.item_hash, retraction.originator
    report = reports.report_of(connection, item)
    if report is not None and report.originator != originator:
        text = f"{originator} retracted an item of {report.originator}; it was not applied"
        effects.alarms.append((alarms.SENDER, f"{originator}/retractions", text))
        return
    withdrawal = Withdrawal(
        item=item,
        originator=originator,
        action=int(retraction.action),
        reason_code=retraction.reason_code,
        text=retraction.text,
        at_ms=retraction.at_ms,
        stored_ms=now_ms,
        statement=encode_signed(good.opened.statement),
        envelope=good.opened.envelope_hash,
    )
    if not reports.add_withdrawal(connection, withdrawal):
        return
    detail = f"{retraction.reason_code}: {retraction.text}" if retraction.text else retraction.reason_code
    effects.events.append(Event(item, now_ms, "retracted", originator, detail, good.opened.envelope_hash))
    if report is not None:
        end_passing_on(connection, item)
        effects.consent = True
    if report is not None and report.state is not ItemState.PURGED:
        reports.set_state(connection, item, ItemState.WITHDRAWN)
        if retraction.action is RetractionAction.PURGE:
            reports.purge_soon(connection, item, now_ms)
            effects.purge = True
    envelope = receiving.envelope_of_item(connection, item, originator) or good.opened.envelope_hash
    # Where nothing of it is left, or ever came, nothing remains to be destroyed.
    gone = (report is None or report.state is ItemState.PURGED) and retraction.action is RetractionAction.PURGE
    status = ReceiptStatus.PURGED if gone else ReceiptStatus.RETRACTED
    line = QueuedReceipt(originator, envelope, item, int(status), now_ms, urgent=True)
    effects.receipts.append(line)
    effects.urgent = True
