"""Numbers under which nothing came, requests for them, and what partners ask for again, on an open transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, literal, or_, select, tuple_, union, update

from exchange.envelope.model import Lane
from exchange.receipts.model import ReceiptStatus
from exchange.runtime.upsert import insert_or_keep, insert_or_replace
from nodes.store import tables
from nodes.store.rows import AskedAgain, Control, HeardStream, Missing, MissingState, SlotState
from nodes.store.rule_tables import asked_again, missing, resend_statement, sent_control

MISSING_MOST = 1_000
"""Missing numbers of one stream and lane that are written down at a time; the others follow as these are settled."""

ASKED_MOST = 500
"""Numbers that one partner may have waiting for our answer."""

ASKED_KEPT = 2_000
"""Answered numbers of one partner that are remembered."""

_missing = missing.c
_asked = asked_again.c
_inbox = tables.inbox.c
_slot = tables.slot.c
_head = tables.stream_head.c
_control = sent_control.c
_receipt = tables.receipt.c

# -- numbers that did not come -----------------------------------------------------------------------------------------


def extend(connection: Connection, heard: HeardStream, now_ms: int) -> HeardStream:
    """Write down what is missing up to the highest number that came or was told; return how far that is known.

    What a sender claims costs nothing: at most MISSING_MOST numbers of a stream are written down, and only what came
    is gone through.
    """
    if heard.known_seq >= heard.top_seq:
        return heard
    came = select(_inbox.seq).where(*_of_stream(_inbox, heard), _inbox.seq > heard.known_seq)
    known = select(_missing.seq).where(*_of_stream(_missing, heard), _missing.seq > heard.known_seq)
    accounted = {*connection.execute(came).scalars(), *connection.execute(known).scalars(), *heard.voided}
    of_stream = select(func.count()).where(*_of_stream(_missing, heard), _missing.state == MissingState.MISSING)
    room = max(MISSING_MOST - int(connection.execute(of_stream).scalar_one()), 0)
    new: list[int] = []
    last = heard.known_seq
    for seq in (*sorted(n for n in accounted if heard.known_seq < n <= heard.top_seq), heard.top_seq + 1):
        fits = min(seq - last - 1, room - len(new))
        new += range(last + 1, last + 1 + fits)
        if fits < seq - last - 1:
            last += fits
            break
        last = min(seq, heard.top_seq)
    rows = [Missing(heard.sender, heard.stream, heard.lane, seq, MissingState.MISSING, now_ms) for seq in new]
    insert_or_keep(connection, missing, [asdict(row) for row in rows])
    return replace(heard, known_seq=last)


def _of_stream(columns: Any, heard: HeardStream | Missing) -> tuple[Any, ...]:  # conditions of SQLAlchemy
    return (columns.sender == heard.sender, columns.stream == heard.stream, columns.lane == heard.lane)


def came_late(connection: Connection, heard: HeardStream, numbers: Sequence[int]) -> dict[int, bytes]:
    """Forget these numbers of a stream: they came. Return the envelopes that their sender named for some of them."""
    wanted = and_(*_of_stream(_missing, heard), _missing.seq.in_(list(numbers)))
    named = select(_missing.seq, _missing.envelope).where(wanted, _missing.envelope != b"")
    found = {row.seq: row.envelope for row in connection.execute(named)}
    connection.execute(delete(missing).where(wanted))
    return found


def void(connection: Connection, heard: HeardStream) -> None:
    """Forget numbers that their sender now says are void; those of which it told an envelope stay."""
    if heard.voided:
        wanted = and_(*_of_stream(_missing, heard), _missing.seq.in_(heard.voided), _missing.envelope == b"")
        connection.execute(delete(missing).where(wanted))


def put(connection: Connection, rows: Sequence[Missing]) -> None:
    """Write what is known of these numbers."""
    insert_or_replace(connection, missing, [asdict(row) for row in rows])


def row_of(connection: Connection, sender: str, stream: int, lane: int, seq: int) -> Missing | None:
    """Return what is known of a number under which nothing was stored."""
    wanted = select(missing).where(
        _missing.sender == sender, _missing.stream == stream, _missing.lane == lane, _missing.seq == seq
    )
    found = connection.execute(wanted).one_or_none()
    return None if found is None else _to_missing(found)


def settled_numbers(connection: Connection, heard: HeardStream) -> dict[int, bytes]:
    """Return the numbers under the head that did not come and whose sender, or check here, said what became of them.

    With the hash of the envelope that took each; empty when none did.
    """
    wanted = select(_missing.seq, _missing.envelope).where(
        *_of_stream(_missing, heard),
        _missing.seq > heard.checked_seq,
        _missing.seq <= heard.head_seq,
        _missing.state.not_in([MissingState.MISSING, MissingState.ENDED]),
    )
    return {row.seq: row.envelope for row in connection.execute(wanted)}


def is_open(connection: Connection, heard: HeardStream) -> bool:
    """Say whether a number under the head of a stream is missing."""
    wanted = select(_missing.seq).where(
        *_of_stream(_missing, heard),
        _missing.seq <= heard.head_seq,
        _missing.state.in_([MissingState.MISSING, MissingState.ENDED]),
    )
    return connection.execute(wanted.limit(1)).first() is not None


def to_ask(
    connection: Connection,
    *,
    sender: str,
    shown_before_ms: int,
    now_ms: int,
    empty_ms: int,
    late_before_ms: Mapping[Lane, int],
    limit: int,
) -> list[Missing]:
    """Return what a sender is to be asked for, flash first: numbers whose gap has shown before a time, and once asked
    for, those that are due again.

    A number that no later one has overtaken may still lie in its queue: it is asked for when the relay has said since
    that nothing waits (`empty_ms`), or when it is late all the same, which differs by lane.
    """
    later = tables.inbox.alias("later").c
    overtaken = (
        select(later.seq)
        .where(
            later.sender == _missing.sender,
            later.stream == _missing.stream,
            later.lane == _missing.lane,
            later.seq > _missing.seq,
        )
        .exists()
    )
    late = [(_missing.lane == int(lane)) & (_missing.since_ms <= at_ms) for lane, at_ms in late_before_ms.items()]
    shown = and_(_missing.tries == 0, _missing.since_ms <= shown_before_ms)
    fresh = and_(shown, or_(_missing.since_ms < empty_ms, *late, overtaken))
    again = and_(_missing.tries > 0, _missing.due_ms <= now_ms)
    wanted = select(missing).where(_missing.state == MissingState.MISSING, _missing.sender == sender, or_(fresh, again))
    ordered = wanted.order_by(_missing.lane, _missing.stream, _missing.seq).limit(limit)
    return [_to_missing(row) for row in connection.execute(ordered)]


def asked(connection: Connection, row: Missing, *, request: bytes, due_ms: int) -> None:
    """Write down that a number was asked for, unless it came or was answered meanwhile."""
    wanted = and_(*_of_stream(_missing, row), _missing.seq == row.seq, _missing.state == MissingState.MISSING)
    connection.execute(update(missing).where(wanted).values(tries=row.tries + 1, due_ms=due_ms, request=request))


def senders_missed(connection: Connection) -> list[str]:
    """Return the partners of which numbers are missing."""
    wanted = select(_missing.sender).where(_missing.state == MissingState.MISSING).distinct()
    return list(connection.execute(wanted.order_by(_missing.sender)).scalars())


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing of one stream and lane."""

    sender: str
    stream: int
    lane: int
    count: int
    since_ms: int
    """Since when the oldest has been missing."""
    tries: int
    """How often the sender was asked at most."""


def gaps(connection: Connection, state: MissingState = MissingState.MISSING) -> list[Gap]:
    """Return what is missing, by stream and lane."""
    key = (_missing.sender, _missing.stream, _missing.lane)
    wanted = (
        select(*key, func.count(), func.min(_missing.since_ms), func.max(_missing.tries))
        .where(_missing.state == state)
        .group_by(*key)
        .order_by(*key)
    )
    return [Gap(*row) for row in connection.execute(wanted)]


def first_numbers(connection: Connection, gap: Gap, *, limit: int) -> list[int]:
    """Return the lowest missing numbers of a gap."""
    wanted = select(_missing.seq).where(
        _missing.sender == gap.sender,
        _missing.stream == gap.stream,
        _missing.lane == gap.lane,
        _missing.state == MissingState.MISSING,
    )
    return list(connection.execute(wanted.order_by(_missing.seq).limit(limit)).scalars())


def end_lower_streams(connection: Connection, before_ms: int) -> list[Gap]:
    """Give up what has been missing since before a time from streams below the newest that its sender writes under.

    Returns what was given up now.
    """
    newest = select(_head.sender, func.max(_head.stream).label("stream")).group_by(_head.sender).subquery()
    lower = (
        select(_head.stream)
        .join(newest, newest.c.sender == _head.sender)
        .where(_head.sender == _missing.sender, _head.stream == _missing.stream, _head.stream < newest.c.stream)
        .exists()
    )
    return _end(connection, and_(_missing.since_ms <= before_ms, lower))


def end_of(connection: Connection, senders: Collection[str]) -> list[Gap]:
    """Give up what is missing of these partners; return what was given up now."""
    return _end(connection, _missing.sender.in_(list(senders))) if senders else []


def _end(connection: Connection, which: ColumnElement[bool]) -> list[Gap]:
    ends = and_(_missing.state == MissingState.MISSING, which)
    key = (_missing.sender, _missing.stream, _missing.lane)
    wanted = select(*key, func.count(), func.min(_missing.since_ms), func.max(_missing.tries)).where(ends)
    ended = [Gap(*row) for row in connection.execute(wanted.group_by(*key).order_by(*key))]
    if ended:
        connection.execute(update(missing).where(ends).values(state=MissingState.ENDED))
    return ended


def forget_settled(connection: Connection, before_ms: int) -> int:
    """Forget numbers of which it was known before a time what became of them; return how many.

    Only where the running hash that was compared holds them: then nothing asks for them any more. What was given up
    stays, because the head over it can never be compared.
    """
    held = (
        select(_head.stream)
        .where(
            _head.sender == _missing.sender,
            _head.stream == _missing.stream,
            _head.lane == _missing.lane,
            _head.checked_seq >= _missing.seq,
        )
        .exists()
    )
    over = _missing.state.not_in([MissingState.MISSING, MissingState.ENDED])
    old = and_(_missing.since_ms < before_ms, _missing.answered_ms < before_ms)
    return connection.execute(delete(missing).where(over, old, held)).rowcount


def behind(connection: Connection) -> list[tuple[str, int, int]]:
    """Return sender, stream and lane of streams of which not all that is missing is written down yet."""
    wanted = select(_head.sender, _head.stream, _head.lane).where(_head.known_seq < _head.top_seq)
    return [(row.sender, row.stream, row.lane) for row in connection.execute(wanted)]


def _to_missing(row: Any) -> Missing:  # a row of a select
    return Missing(**{**dict(row._mapping), "state": MissingState(row.state)})  # noqa: SLF001


# -- signed requests and answers ---------------------------------------------------------------------------------------


def keep_statement(connection: Connection, hash_: bytes, partner: str, at_ms: int, statement: bytes) -> None:
    """Keep a signed request or answer; a repeat changes nothing."""
    row = {"hash": hash_, "partner": partner, "at_ms": at_ms, "statement": statement}
    insert_or_keep(connection, resend_statement, [row])


def statement_of(connection: Connection, hash_: bytes) -> bytes | None:
    """Return a signed request or answer."""
    wanted = select(resend_statement.c.statement).where(resend_statement.c.hash == hash_)
    return connection.execute(wanted).scalar_one_or_none()


def sweep_statements(connection: Connection) -> None:
    """Forget signed requests and answers that no number refers to any more."""
    used = union(*(select(column) for column in (_missing.request, _missing.answer, _asked.request, _asked.answer)))
    connection.execute(delete(resend_statement).where(resend_statement.c.hash.not_in(used)))


# -- what partners ask for again ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedSlot:
    """What was sealed under a number."""

    envelope: bytes
    item: bytes
    state: SlotState


def slot_under(connection: Connection, recipient: str, stream: int, lane: int, seq: int) -> SealedSlot | None:
    """Return what was sealed for a recipient under a number."""
    wanted = select(_slot.envelope, _slot.item, _slot.state).where(
        _slot.recipient == recipient, _slot.stream == stream, _slot.lane == lane, _slot.seq == seq
    )
    found = connection.execute(wanted).one_or_none()
    return None if found is None else SealedSlot(found.envelope, found.item, SlotState(found.state))


def newest_stream(connection: Connection, recipient: str) -> int:
    """Return the stream under which this node numbers what it seals for a recipient; 0 before the first."""
    row = tables.sequence.c
    wanted = select(func.coalesce(func.max(row.stream), 0)).where(row.recipient == recipient)
    return int(connection.execute(wanted).scalar_one())


def ask(connection: Connection, rows: Sequence[AskedAgain]) -> int:
    """Let numbers that one partner asks for wait for our answer; return how many do that did not before.

    What it asks for beyond ASKED_MOST at a time is left out, and the oldest answers beyond ASKED_KEPT are forgotten:
    whoever lies fills neither the disk nor our time.
    """
    if not rows:
        return 0
    wanted = select(asked_again).where(_asked.recipient == rows[0].recipient).order_by(_asked.answered_ms.desc())
    known = {(row.stream, row.lane, row.seq): _to_asked(row) for row in connection.execute(wanted)}
    room = max(ASKED_MOST - sum(each.waiting for each in known.values()), 0)
    new = []
    for row in rows:
        before = known.get((row.stream, row.lane, row.seq))
        if before is None:
            new.append(row)
        elif not before.waiting:
            new.append(replace(row, answered_ms=before.answered_ms, answer=before.answer))
    new = new[:room]
    insert_or_replace(connection, asked_again, [asdict(row) for row in new])
    drop_asked(connection, [each for each in known.values() if not each.waiting][ASKED_KEPT:])
    return len(new)


def to_answer(connection: Connection, *, answered_before_ms: int, limit: int) -> dict[str, list[AskedAgain]]:
    """Return what waits for our answer, by partner, at most so much of each; not what was answered only just now."""
    wanted = select(asked_again).where(_asked.waiting, _asked.answered_ms <= answered_before_ms)
    ordered = wanted.order_by(_asked.recipient, _asked.lane, _asked.stream, _asked.seq)
    found: dict[str, list[AskedAgain]] = {}
    for row in connection.execute(ordered):
        rows = found.setdefault(row.recipient, [])
        if len(rows) < limit:
            rows.append(_to_asked(row))
    return found


def _to_asked(row: Any) -> AskedAgain:  # a row of a select
    return AskedAgain(**dict(row._mapping))  # noqa: SLF001


def answer(connection: Connection, rows: Iterable[AskedAgain]) -> None:
    """Write down that these numbers were answered."""
    insert_or_replace(connection, asked_again, [asdict(row) for row in rows])


def drop_asked(connection: Connection, rows: Iterable[AskedAgain]) -> None:
    """Forget that these numbers were asked for."""
    for row in rows:
        key = (_asked.recipient == row.recipient, _asked.stream == row.stream)
        connection.execute(delete(asked_again).where(*key, _asked.lane == row.lane, _asked.seq == row.seq))


def times_promised(connection: Connection, item: bytes, recipient: str) -> int:
    """Return in how many envelopes the relay has promised to deliver an item to a recipient."""
    wanted = select(func.count()).where(
        _slot.item == item, _slot.recipient == recipient, _slot.state == SlotState.PROMISED
    )
    return int(connection.execute(wanted).scalar_one())


def promised_to(connection: Connection, item: bytes, *, but_step: int) -> dict[str, bytes]:
    """Return every recipient for which the relay has promised to deliver an item, with the newest such envelope.

    Envelopes that the recipient refused at a step of its checks (`but_step`), at which it cannot have opened them, are
    left out.
    """
    unopened = (
        select(_receipt.status)
        .where(
            _receipt.envelope == _slot.envelope,
            _receipt.recipient == _slot.recipient,
            _receipt.status == int(ReceiptStatus.REFUSED),
            _receipt.step == but_step,
        )
        .exists()
    )
    promised = and_(_slot.item == item, _slot.state == SlotState.PROMISED)
    wanted = select(_slot.recipient, _slot.envelope).where(promised, ~unopened)
    ordered = wanted.order_by(_slot.stream, _slot.seq)
    return {row.recipient: row.envelope for row in connection.execute(ordered)}


def refused_by(connection: Connection, sent: Iterable[tuple[str, bytes]]) -> set[str]:
    """Return which of these recipients have refused the envelope that they were sent, by their signed receipts."""
    wanted = select(_receipt.recipient).where(
        tuple_(_receipt.recipient, _receipt.envelope).in_(list(sent)), _receipt.status == int(ReceiptStatus.REFUSED)
    )
    return set(connection.execute(wanted).scalars())


def count_answered(connection: Connection) -> int:
    """Return of how many numbers their senders have said what became of them."""
    wanted = select(func.count()).where(_missing.answer != b"")
    return int(connection.execute(wanted).scalar_one())


def count_asked(connection: Connection) -> tuple[int, int]:
    """Return how many own numbers partners have asked for that wait for an answer, and that have one."""
    waiting = int(connection.execute(select(func.count()).where(_asked.waiting)).scalar_one())
    return waiting, int(connection.execute(select(func.count()).where(~_asked.waiting)).scalar_one())


# -- promised, and never delivered -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Promised:
    """An envelope that the relay promised, and that its recipient says never came."""

    partner: str
    stream: int
    lane: int
    seq: int
    envelope: bytes
    request: bytes
    """Hash of the recipient's signed request."""
    answer: bytes
    """Hash of the sender's signed answer."""
    asked_ms: int
    """When the request was heard; 0 where it was made."""
    answered_ms: int


def lost_here(connection: Connection, *, answered_after_ms: int) -> list[Promised]:
    """Return what senders answered with a promise, while the relay had to hold it, and of which nothing came here."""
    inbox, aside = tables.inbox.c, tables.quarantine.c
    wanted = select(
        _missing.sender,
        _missing.stream,
        _missing.lane,
        _missing.seq,
        _missing.envelope,
        _missing.request,
        _missing.answer,
        literal(0),
        _missing.answered_ms,
    ).where(
        _missing.state.in_([MissingState.RESENT, MissingState.GONE]),
        _missing.promise != b"",
        _missing.answered_ms > answered_after_ms,
        _missing.answered_ms < _missing.expires_ms,
        ~select(inbox.envelope).where(inbox.envelope == _missing.envelope).exists(),
        ~select(aside.hash).where(aside.envelope == _missing.envelope).exists(),
    )
    ordered = wanted.order_by(_missing.sender, _missing.stream, _missing.lane, _missing.seq)
    return [Promised(*row) for row in connection.execute(ordered)]


def lost_there(connection: Connection, *, answered_after_ms: int) -> list[Promised]:
    """Return what partners have asked for again and given no receipt for, in the envelope that they asked for."""
    receipt = tables.receipt.c
    slots = tables.slot
    joined = asked_again.join(
        slots,
        and_(
            _slot.recipient == _asked.recipient,
            _slot.stream == _asked.stream,
            _slot.lane == _asked.lane,
            _slot.seq == _asked.seq,
        ),
    )
    wanted = (
        select(
            _asked.recipient,
            _asked.stream,
            _asked.lane,
            _asked.seq,
            _slot.envelope,
            _asked.request,
            _asked.answer,
            _asked.asked_ms,
            _asked.answered_ms,
        )
        .select_from(joined)
        .where(
            _slot.state == SlotState.PROMISED,
            _asked.answered_ms > answered_after_ms,
            ~select(receipt.status)
            .where(receipt.envelope == _slot.envelope, receipt.recipient == _asked.recipient)
            .exists(),
        )
        .order_by(_asked.recipient, _asked.stream, _asked.lane, _asked.seq)
    )
    return [Promised(*row) for row in connection.execute(wanted)]


# -- control statements that may be asked for again --------------------------------------------------------------------


def keep_control(connection: Connection, item: bytes, now_ms: int, *, but: Iterable[str]) -> None:
    """Keep a control statement that the relay has promised to deliver, unless it is of one of the types `but`."""
    control = tables.control.c
    wanted = select(tables.control).where(control.item == item, control.type.not_in(list(but)))
    found = connection.execute(wanted).one_or_none()
    if found is not None:
        row = {**dict(found._mapping), "promised_ms": now_ms}  # noqa: SLF001
        insert_or_replace(connection, sent_control, [row])


def kept_control(connection: Connection, item: bytes) -> Control | None:
    """Return a control statement that was promised a while ago and is still kept."""
    found = connection.execute(select(sent_control).where(_control.item == item)).one_or_none()
    return None if found is None else Control(found.item, found.type, found.statement, found.added_ms)


def drop_kept_control(connection: Connection, before_ms: int, *, most_bytes: int) -> None:
    """Forget control statements that were promised before a time, and the oldest of more than so many bytes."""
    connection.execute(delete(sent_control).where(_control.promised_ms < before_ms))
    held = int(connection.execute(select(func.coalesce(func.sum(func.length(_control.statement)), 0))).scalar_one())
    if held <= most_bytes:
        return
    wanted = select(_control.item, func.length(_control.statement).label("size")).order_by(_control.promised_ms)
    gone = []
    for row in connection.execute(wanted):
        if held <= most_bytes:
            break
        gone.append(row.item)
        held -= row.size
    connection.execute(delete(sent_control).where(_control.item.in_(gone)))
