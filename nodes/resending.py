"""Ask senders for what never came, and answer partners that ask (docs/spec/receipts.md, "What never came").

Asking: 30 s after a gap has shown its sender is asked, then again with growing waits while it stays open.
Answering: for each number, what stood under it. A report that is still kept and may still go is sealed anew for that
partner alone, under a new number; whether it may is decided again when it is sealed, and a recipient stores an item
once however often it comes. Control statements go again for 72 h. Whoever asks learns nothing but what was sealed for
it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, payload_type
from exchange.directory.state import Status
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import decode_core, decode_header
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict
from exchange.limits import ENVELOPE_LIFE_MS, KIB, MIB
from exchange.names import ID_BYTES, PartyId
from exchange.receipts.verify import STREAM_HEAD
from exchange.resend.codec import encode_resend_answer, encode_resend_request
from exchange.resend.model import (
    RESEND_NUMBERS,
    MissingNumbers,
    ResendAnswer,
    ResendLine,
    ResendOutcome,
    ResendRequest,
)
from exchange.resend.verify import RESEND_ANSWER, RESEND_REQUEST
from nodes import gaps
from nodes.core import Core
from nodes.receipts import add_control
from nodes.store import missing, reports, sending
from nodes.store.rows import Addressee, AskedAgain, Control, Event, ItemState, KeptPromise, Missing, Reach, SlotState

RESENT_MOST = 5
"""An item goes to a recipient in at most so many envelopes more than one: what fails there each time is given up."""

ASK_MOST_MS = 24 * 60 * 60 * 1000
"""Longest wait between two requests for the same number."""

CONTROL_KEPT_BYTES = 256 * MIB
"""Control statements that are kept for being asked for again; beyond it the oldest go earlier."""

SETTLED_KEPT_MS = ENVELOPE_LIFE_MS + 5 * ASK_MOST_MS
"""What became of a number is remembered for longer than its envelope can come late."""

NOT_KEPT = frozenset(payload_type(name) for name in (STREAM_HEAD, RESEND_REQUEST, RESEND_ANSWER))
"""Control statements that never go again: a newer one says more."""

STATEMENT_BYTES = 4 * KIB
HEADER_BYTES = 32 * KIB

_OVER = frozenset({ItemState.WITHDRAWN, ItemState.REJECTED, ItemState.PURGED})
_UNDER_WAY = frozenset({Reach.WAITING, Reach.SEALED, Reach.AGAIN})
_REACHED = frozenset({Reach.PROMISED, Reach.RECEIPTED, Reach.REFUSED})


class Resending:
    """Requests for what never came, both ways. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake
        self.asked = 0
        """Numbers that were asked for since the start."""
        self.answered = 0
        """Numbers that partners asked for and that were answered since the start."""

    # -- asking --------------------------------------------------------------------------------------------------------

    async def ask(self) -> int:
        """Ask senders for what is due; return for how many numbers."""
        core = self._core
        if not self._admitted(core.me):
            return 0
        asked = 0
        for sender in await core.database.read(missing.senders_missed):
            if self._admitted(sender):
                asked += await self._ask(sender)
        if asked:
            self.asked += asked
            self._wake()
        return asked

    async def _ask(self, sender: str) -> int:
        core, timing = self._core, self._core.timing
        now_ms = core.clock()
        rows = await core.database.read(
            partial(
                missing.to_ask,
                sender=sender,
                shown_before_ms=now_ms - int(timing.gap_ask_s * 1000),
                now_ms=now_ms,
                empty_ms=core.link.empty_ms,
                late_before_ms={lane: now_ms - gaps.patience_ms(lane, timing) for lane in Lane},
                limit=RESEND_NUMBERS,
            )
        )
        if not rows:
            return 0
        request = ResendRequest(
            exchange=core.exchange,
            from_party=core.me,
            to_party=sender,
            gaps=_numbers(rows),
            at_ms=now_ms,
            salt=random_bytes(ID_BYTES),
        )
        signed = await core.signer.sign(RESEND_REQUEST, encode_resend_request(request))
        again_ms = int(timing.gap_again_s * 1000)
        await core.database.write(
            partial(_store_request, signed=signed, sender=sender, rows=rows, now_ms=now_ms, again_ms=again_ms)
        )
        return len(rows)

    # -- answering -----------------------------------------------------------------------------------------------------

    async def answer(self) -> int:
        """Answer what partners have asked for; return for how many numbers."""
        core = self._core
        if not self._admitted(core.me):
            return 0
        before_ms = core.clock() - int(core.timing.resend_least_s * 1000)
        read = partial(missing.to_answer, answered_before_ms=before_ms, limit=RESEND_NUMBERS)
        answered = 0
        for partner, rows in (await core.database.read(read)).items():
            if self._admitted(partner):
                answered += await self._answer(partner, rows)
        if answered:
            self.answered += answered
            self._wake()
        return answered

    async def _answer(self, partner: str, rows: Sequence[AskedAgain]) -> int:
        core = self._core
        found = await core.database.read(partial(decide_all, partner=partner, rows=rows))
        if not found:
            return 0
        now_ms = core.clock()
        answer = ResendAnswer(
            exchange=core.exchange,
            from_party=core.me,
            to_party=partner,
            lines=tuple(each.line for each in found),
            at_ms=now_ms,
            salt=random_bytes(ID_BYTES),
        )
        signed = await core.signer.sign(RESEND_ANSWER, encode_resend_answer(answer))
        await core.database.write(partial(_store_answer, signed=signed, partner=partner, found=found, now_ms=now_ms))
        return len(found)

    async def look_after(self) -> None:
        """Forget what nobody may ask for any more."""
        now_ms = self._core.clock()
        before_ms = now_ms - int(self._core.timing.control_kept_s * 1000)
        forget = partial(_forget, before_ms=before_ms, settled_before_ms=now_ms - SETTLED_KEPT_MS)
        await self._core.database.write(forget)

    def _admitted(self, party: str) -> bool:
        return self._core.trust.now.status(PartyId(party)) is Status.ADMITTED


def _forget(connection: Connection, before_ms: int, settled_before_ms: int) -> None:
    missing.drop_kept_control(connection, before_ms, most_bytes=CONTROL_KEPT_BYTES)
    missing.forget_settled(connection, settled_before_ms)
    missing.sweep_statements(connection)


def _numbers(rows: Sequence[Missing]) -> tuple[MissingNumbers, ...]:
    numbers: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        numbers.setdefault((row.lane, row.stream), []).append(row.seq)
    return tuple(MissingNumbers(lane, stream, tuple(sorted(found))) for (lane, stream), found in numbers.items())


def _store_request(
    connection: Connection, *, signed: Signed, sender: str, rows: Sequence[Missing], now_ms: int, again_ms: int
) -> None:
    lane = Lane.FLASH if any(row.lane == Lane.FLASH for row in rows) else Lane.ROUTINE
    hash_ = add_control(connection, signed, [sender], lane=lane, now_ms=now_ms)
    missing.keep_statement(connection, hash_, sender, now_ms, encode_signed(signed))
    for row in rows:
        wait_ms = min(again_ms << min(row.tries, 16), ASK_MOST_MS)
        missing.asked(connection, row, request=hash_, due_ms=now_ms + wait_ms)


# -- requests that were heard ------------------------------------------------------------------------------------------


def hear_request(connection: Connection, request: ResendRequest, statement: Signed, now_ms: int) -> None:
    """Let the numbers of a verified request wait for their answer, so far as a partner may ask for so many."""
    hash_ = item_hash(statement.payload)
    partner, newest = request.from_party, missing.newest_stream(connection, request.from_party)
    rows = [
        AskedAgain(partner, gap.stream, gap.lane, seq, waiting=True, asked_ms=now_ms, request=hash_)
        for gap in request.gaps
        for seq in gap.numbers
        # A node that was restored does not know all that it sealed under streams before, and does not call that void.
        if gap.stream >= newest or missing.slot_under(connection, partner, gap.stream, gap.lane, seq) is not None
    ]
    if missing.ask(connection, rows):
        missing.keep_statement(connection, hash_, request.from_party, now_ms, encode_signed(statement))


def hear_answer(connection: Connection, answer: ResendAnswer, statement: Signed, now_ms: int) -> None:
    """Take what a sender says of numbers that it was asked for; `answer` and its promises are verified."""
    hash_ = item_hash(statement.payload)
    if gaps.hear_answer(connection, answer, hash_, now_ms):
        missing.keep_statement(connection, hash_, answer.from_party, now_ms, encode_signed(statement))


@dataclass(frozen=True, slots=True)
class _Found:
    """One number that was asked for: what is answered, and what goes again for that."""

    row: AskedAgain
    line: ResendLine
    again: Addressee | Control | None = None


def decide_all(connection: Connection, partner: str, rows: Sequence[AskedAgain]) -> list[_Found]:
    """Return what is answered for these numbers; nothing for those whose envelope the relay has not answered yet."""
    found = (_decide(connection, partner, row) for row in rows)
    return [each for each in found if each is not None]


def _decide(connection: Connection, partner: str, row: AskedAgain) -> _Found | None:
    """Return the answer for one number; None while its envelope has no answer of the relay: it is on its way."""
    slot = missing.slot_under(connection, partner, row.stream, row.lane, row.seq)
    if slot is None or slot.state is SlotState.VOIDED:
        return _Found(row, ResendLine(row.lane, row.stream, row.seq, ResendOutcome.VOID))
    if slot.state is SlotState.SEALED:
        return None
    outcome, again = _again(connection, partner, slot.item, slot.envelope)
    promise = sending.promise_of(connection, slot.envelope)
    line = ResendLine(
        lane=row.lane,
        stream=row.stream,
        seq=row.seq,
        outcome=outcome,
        envelope_hash=slot.envelope,
        expires_ms=expires_ms(promise) if promise is not None else 0,
        promise=_signed_promise(promise) if promise is not None else None,
    )
    return _Found(row, line, again)


_Again = tuple[ResendOutcome, Addressee | Control | None]
"""Whether an item goes once more, and what changes for that; None when nothing does: it is under way."""

_GONE: _Again = (ResendOutcome.GONE, None)
_MOVES: _Again = (ResendOutcome.RESENT, None)


def _again(connection: Connection, partner: str, item: bytes, envelope: bytes) -> _Again:
    given_up = missing.times_promised(connection, item, partner) > RESENT_MOST
    report, row = reports.report_of(connection, item), reports.addressee(connection, item, partner)
    if report is not None:
        return _GONE if row is None or report.state in _OVER else _report_again(row, envelope, given_up=given_up)
    if row is not None:
        return _MOVES
    control = missing.kept_control(connection, item)
    return _GONE if control is None or given_up else (ResendOutcome.RESENT, control)


def _report_again(row: Addressee, envelope: bytes, *, given_up: bool) -> _Again:
    if row.state in _UNDER_WAY:
        return _MOVES
    if row.state not in _REACHED:
        return _GONE
    if row.envelope != envelope:
        return _MOVES  # it went in a later envelope, which has a number of its own
    return _GONE if given_up else (ResendOutcome.RESENT, replace(row, state=Reach.AGAIN, why="", due_ms=0))


def expires_ms(promise: KeptPromise) -> int:
    """Return until when the relay had to hold an envelope of ours."""
    header = decode_signed(promise.header, limit=HEADER_BYTES, what="a stored header")
    return decode_core(decode_header(header.payload).core).expires_ms


def _signed_promise(promise: KeptPromise) -> Signed:
    return decode_signed(promise.promise, limit=STATEMENT_BYTES, what="a stored promise")


def _store_answer(connection: Connection, signed: Signed, partner: str, found: Sequence[_Found], now_ms: int) -> None:
    """Store an answer and let go again what it says goes again, all or nothing.

    Raises:
        Conflict: something changed since the answer was made; the next round makes another.
    """
    if decide_all(connection, partner, [each.row for each in found]) != list(found):
        raise Conflict(f"what {partner} asks for changed meanwhile")
    lane = Lane.FLASH if any(each.row.lane == Lane.FLASH for each in found) else Lane.ROUTINE
    hash_ = add_control(connection, signed, [partner], lane=lane, now_ms=now_ms)
    missing.keep_statement(connection, hash_, partner, now_ms, encode_signed(signed))
    events = []
    for each in found:
        if isinstance(each.again, Addressee):
            reports.replace_addressees(connection, [each.again])
            detail = f"it says that number {each.row.seq} never came"
            events.append(Event(each.again.item, now_ms, "asked for again", partner, detail, each.line.envelope_hash))
        elif each.again is not None:
            row = Addressee(each.again.item, partner, int(EnvelopeKind.CONTROL), each.row.lane, Reach.WAITING)
            sending.add_control_for(connection, each.again, row)
    reports.add_events(connection, events)
    strange = [each.row for each in found if each.line.outcome is ResendOutcome.VOID]
    missing.drop_asked(connection, strange)
    missing.answer(
        connection,
        [
            replace(each.row, waiting=False, answered_ms=now_ms, answer=hash_)
            for each in found
            if each.line.outcome is not ResendOutcome.VOID
        ],
    )
