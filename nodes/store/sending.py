"""Sealed envelopes, sequence numbers, control statements, promises, refusals, receipts, on an open transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from exchange.crypto.signed import payload_type
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import InternalError
from exchange.receipts.streams import STREAM_START, next_running_hash
from exchange.receipts.verify import STREAM_HEAD
from exchange.runtime.prepared import fetch_among, run_each
from exchange.runtime.upsert import columns_of, insert_all, insert_or_keep, next_number, one_of, row_of
from nodes.store import reports, tables
from nodes.store.rows import (
    Addressee,
    Control,
    KeptPromise,
    KeptRefusal,
    Outgoing,
    Reach,
    SentStream,
    SlotState,
    TakenSlot,
)

_outbox = tables.outbox.c
_slot = tables.slot.c
_sequence = tables.sequence.c
_promise = tables.promise.c

NOT_JUDGED = "not-judged"
"""Verdict of a refusal that is no matter of the rules."""

# -- control statements ------------------------------------------------------------------------------------------------


def add_control(connection: Connection, control: Control, addressees: Sequence[Addressee]) -> None:
    """Store a signed control statement and whom it goes to; a repeat changes nothing."""
    if connection.execute(select(tables.control.c.item).where(tables.control.c.item == control.item)).first() is None:
        insert_all(connection, tables.control, [row_of(control)])
        reports.add_addressees(connection, addressees)


def add_control_for(connection: Connection, control: Control, addressee: Addressee) -> None:
    """Let a control statement wait for one more recipient, whether it still waits for others or not."""
    if control_of(connection, control.item) is None:
        add_control(connection, control, [addressee])
    else:
        reports.add_addressees(connection, [addressee])


def control_of(connection: Connection, item: bytes) -> Control | None:
    """Return a control statement that still waits for a recipient."""
    found = connection.execute(select(tables.control).where(tables.control.c.item == item)).one_or_none()
    return None if found is None else Control(**dict(found._mapping))  # noqa: SLF001


def controls_of(connection: Connection, items: Sequence[bytes]) -> dict[bytes, Control]:
    """Return those of these control statements that still wait for a recipient, by item."""
    found = (Control(*row) for row in fetch_among(connection, _CONTROLS, items))
    return {control.item: control for control in found}


_CONTROLS = select(*columns_of(Control, tables.control)).where(one_of(tables.control.c.item))


def drop_control(connection: Connection, item: bytes, recipients: Iterable[str]) -> None:
    """Forget recipients of a control statement that are served, and the statement with the last of them."""
    row = tables.audience.c
    connection.execute(delete(tables.audience).where(row.item == item, row.recipient.in_(list(recipients))))
    if connection.execute(select(row.item).where(row.item == item).limit(1)).first() is None:
        connection.execute(delete(tables.control).where(tables.control.c.item == item))


def drop_given_up(connection: Connection, rows: Sequence[Addressee]) -> None:
    """Forget recipients of control statements to whom these rows say that nothing will be sent."""
    for row in rows:
        if row.kind == EnvelopeKind.CONTROL and row.state in (Reach.REFUSED, Reach.PURGED):
            drop_control(connection, row.item, [row.recipient])


# -- sealed envelopes --------------------------------------------------------------------------------------------------


def last_numbers(connection: Connection, stream: int, recipients: Collection[str]) -> dict[tuple[str, int], int]:
    """Return the last number used towards these, by recipient and lane."""
    found = fetch_among(connection, _LAST_NUMBERS, list(recipients), stream=stream)
    return {(recipient, lane): last for recipient, lane, last in found}


_LAST_NUMBERS = select(_sequence.recipient, _sequence.lane, _sequence.last_seq).where(
    _sequence.stream == bindparam("stream"), one_of(_sequence.recipient)
)


def add_sealed(connection: Connection, envelopes: Sequence[Outgoing], now_ms: int) -> int:
    """Store sealed envelopes and take their numbers; from here on these bytes are what is sent.

    Returns the place of the first one in the outbox; the others follow it.

    Raises:
        InternalError: a number is not the next one of its stream; nothing is stored then.
    """
    number = next_number(connection, _outbox.number)
    _take_numbers(connection, envelopes, now_ms)
    insert_all(
        connection,
        tables.outbox,
        [
            {
                "envelope": each.envelope,
                "number": number + place,
                "item": each.item,
                "kind": int(each.kind),
                "lane": int(each.lane),
                "sealed_ms": each.sealed_ms,
                "header": each.header,
                "submission": each.submission,
            }
            for place, each in enumerate(envelopes)
        ],
    )
    insert_all(
        connection,
        tables.slot,
        [
            {
                "envelope": each.envelope,
                "item": each.item,
                "lane": int(each.lane),
                "state": SlotState.SEALED,
                **row_of(slot),
            }
            for each in envelopes
            for slot in each.slots
        ],
    )
    return number


def _take_numbers(connection: Connection, envelopes: Sequence[Outgoing], now_ms: int) -> None:
    of_stream: dict[int, set[str]] = {}
    for taken in (slot for each in envelopes for slot in each.slots):
        of_stream.setdefault(taken.stream, set()).add(taken.recipient)
    before = {
        (party, stream, lane): seq
        for stream, recipients in of_stream.items()
        for (party, lane), seq in last_numbers(connection, stream, recipients).items()
    }
    known = dict(before)
    # A stream head alone asks for no other: else heads would follow heads for ever.
    heads = _stream_heads(connection, [each.item for each in envelopes if each.kind == EnvelopeKind.CONTROL])
    told: set[tuple[str, int, int]] = set()
    reported: set[str] = set()
    for each in envelopes:
        for slot in each.slots:
            key = (slot.recipient, slot.stream, int(each.lane))
            if slot.seq != known.get(key, 0) + 1:
                raise InternalError(f"number {slot.seq} towards {slot.recipient} follows {known.get(key, 0)}")
            known[key] = slot.seq
            if each.item not in heads:
                told.add(key)
            if each.kind == EnvelopeKind.REPORT:
                reported.add(slot.recipient)
    first = [_first_number(key, known[key], now_ms if key in told else 0) for key in known if key not in before]
    insert_all(connection, tables.sequence, first)
    grown = [{**_of(key), "last_seq": known[key], "traffic_ms": now_ms} for key in told & before.keys()]
    run_each(connection, _GROWN, grown)
    quiet = [key for key, seq in before.items() if known[key] != seq and key not in told]
    run_each(connection, _GROWN_QUIETLY, [{**_of(key), "last_seq": known[key]} for key in quiet])
    insert_or_keep(connection, tables.reached, [{"recipient": each, "first_ms": now_ms} for each in sorted(reported)])


def _stream_heads(connection: Connection, items: Sequence[bytes]) -> set[bytes]:
    """Return those of these control statements that are stream heads."""
    return {item for (item,) in fetch_among(connection, _STREAM_HEADS, items)}


_STREAM_HEADS = select(tables.control.c.item).where(
    one_of(tables.control.c.item), tables.control.c.type == payload_type(STREAM_HEAD)
)


def _first_number(key: tuple[str, int, int], seq: int, traffic_ms: int) -> dict[str, Any]:
    return {
        "recipient": key[0],
        "stream": key[1],
        "lane": key[2],
        "last_seq": seq,
        "settled_seq": 0,
        "settled_hash": STREAM_START,
        "traffic_ms": traffic_ms,
        "head_ms": 0,
    }


_STREAM = (
    _sequence.recipient == bindparam("of_recipient"),
    _sequence.stream == bindparam("of_stream"),
    _sequence.lane == bindparam("of_lane"),
)
_GROWN_QUIETLY = update(tables.sequence).where(*_STREAM).values(last_seq=bindparam("last_seq"))
_GROWN = _GROWN_QUIETLY.values(traffic_ms=bindparam("traffic_ms"))


def _of(key: tuple[str, int, int]) -> dict[str, Any]:
    return {"of_recipient": key[0], "of_stream": key[1], "of_lane": key[2]}


def _one_sequence(key: tuple[str, int, int]) -> Any:  # an UPDATE; SQLAlchemy's type depends on the columns
    return update(tables.sequence).where(
        _sequence.recipient == key[0], _sequence.stream == key[1], _sequence.lane == key[2]
    )


def unanswered(connection: Connection, *, after: int, limit: int) -> list[Outgoing]:
    """Return sealed envelopes without an answer, by number."""
    wanted = select(tables.outbox).where(_outbox.number > after).order_by(_outbox.number).limit(limit)
    found = connection.execute(wanted).all()
    return [Outgoing(**dict(row._mapping), slots=slots_of(connection, row.envelope)) for row in found]  # noqa: SLF001


def outgoing_of(connection: Connection, envelope: bytes) -> Outgoing | None:
    """Return one unanswered envelope with its slots."""
    found = connection.execute(select(tables.outbox).where(_outbox.envelope == envelope)).one_or_none()
    if found is None:
        return None
    return Outgoing(**dict(found._mapping), slots=slots_of(connection, envelope))  # noqa: SLF001


def slots_of(connection: Connection, envelope: bytes) -> tuple[TakenSlot, ...]:
    """Return the slots of an envelope that this node sealed, answered or not."""
    wanted = select(tables.slot).where(_slot.envelope == envelope).order_by(_slot.place)
    return tuple(TakenSlot(row.recipient, row.place, row.stream, row.seq) for row in connection.execute(wanted))


def answered(connection: Connection, envelopes: Sequence[bytes], state: SlotState) -> None:
    """Note that envelopes were promised, or that their numbers are void; their bytes go."""
    run_each(connection, _ANSWERED, [{"of_envelope": each, "state": state} for each in envelopes])
    run_each(connection, _SENT, [{"of_envelope": each} for each in envelopes])


_ANSWERED = update(tables.slot).where(_slot.envelope == bindparam("of_envelope")).values(state=bindparam("state"))
_SENT = delete(tables.outbox).where(_outbox.envelope == bindparam("of_envelope"))


def count_unanswered(connection: Connection) -> dict[int, int]:
    """Return how many sealed envelopes have no answer, by lane."""
    wanted = select(_outbox.lane, func.count()).group_by(_outbox.lane)
    return {row[0]: row[1] for row in connection.execute(wanted)}


def add_refusal(
    connection: Connection,
    *,
    envelope: bytes,
    item: bytes,
    reason: str,
    step: int,
    recipient: str,
    refused_ms: int,
    statement: bytes,
    directory_size: int,
    evidence: bytes = b"",
) -> None:
    """Keep what the relay refused; without `evidence` it is no matter of the rules, and is not judged."""
    row = {
        "number": next_number(connection, tables.refusal.c.number),
        "envelope": envelope,
        "item": item,
        "reason": reason,
        "step": step,
        "recipient": recipient,
        "refused_ms": refused_ms,
        "statement": statement,
        "directory_size": directory_size,
        "evidence": evidence,
        "verdict": "" if evidence else NOT_JUDGED,
    }
    connection.execute(insert(tables.refusal), [row])


def refusals_of(connection: Connection, item: bytes) -> list[KeptRefusal]:
    """Return what the relay refused of an item, in order."""
    wanted = select(tables.refusal).where(tables.refusal.c.item == item).order_by(tables.refusal.c.number)
    return [_to_refusal(row) for row in connection.execute(wanted)]


def refusals_to_judge(connection: Connection, directory_size: int, *, limit: int) -> list[KeptRefusal]:
    """Return refusals that are not judged yet and are of a directory of at most so many entries."""
    row = tables.refusal.c
    wanted = select(tables.refusal).where(row.verdict == "", row.directory_size <= directory_size)
    return [_to_refusal(row) for row in connection.execute(wanted.order_by(row.number).limit(limit))]


def judged(connection: Connection, number: int, verdict: str) -> None:
    """Write down what a refusal is worth."""
    connection.execute(update(tables.refusal).where(tables.refusal.c.number == number).values(verdict=verdict))


def _to_refusal(row: Row[Any]) -> KeptRefusal:
    return KeptRefusal(**dict(row._mapping))  # noqa: SLF001 - the documented way to a row's columns


# -- promises ----------------------------------------------------------------------------------------------------------


def add_promises(connection: Connection, promises: Sequence[KeptPromise]) -> None:
    """Keep promises of the relay; a repeat changes nothing."""
    insert_or_keep(connection, tables.promise, [row_of(promise) for promise in promises])


def promise_of(connection: Connection, envelope: bytes) -> KeptPromise | None:
    """Return the promise for an envelope."""
    found = connection.execute(select(tables.promise).where(_promise.envelope == envelope)).one_or_none()
    return None if found is None else _to_promise(found)


def promises(
    connection: Connection, *, after: int, limit: int, unchecked: bool, before_ms: int = 0
) -> list[KeptPromise]:
    """Return promises by log index behind `after`, only unchecked ones or those given before a time if asked for."""
    wanted = select(tables.promise).where(_promise.log_index > after).order_by(_promise.log_index).limit(limit)
    if unchecked:
        wanted = wanted.where(_promise.checked_size == 0)
    if before_ms:
        wanted = wanted.where(_promise.received_ms < before_ms)
    return [_to_promise(row) for row in connection.execute(wanted)]


def promises_of(connection: Connection, item: bytes) -> list[KeptPromise]:
    """Return the promises for the envelopes in which an item of ours last went to its recipients."""
    row = tables.audience.c
    envelopes = select(row.envelope).where(row.item == item, row.envelope != b"")
    wanted = select(tables.promise).where(_promise.envelope.in_(envelopes)).order_by(_promise.log_index)
    return [_to_promise(found) for found in connection.execute(wanted)]


def promise_received(connection: Connection, item: bytes) -> KeptPromise | None:
    """Return the promise for the envelope in which an item came from a partner."""
    wanted = select(tables.promise).where(_promise.item == item, ~_promise.ours).order_by(_promise.log_index).limit(1)
    found = connection.execute(wanted).one_or_none()
    return None if found is None else _to_promise(found)


def count_promises(connection: Connection) -> int:
    """Return how many promises are kept."""
    return int(connection.execute(select(func.count()).select_from(tables.promise)).scalar_one())


def promise_checked(connection: Connection, envelopes: Sequence[bytes], size: int) -> None:
    """Note the tree size under which inclusion was proven."""
    rows = update(tables.promise).where(_promise.envelope.in_(list(envelopes)))
    connection.execute(rows.values(checked_size=size))


def highest_promise(connection: Connection) -> tuple[int, int]:
    """Return log index and directory size of the promise that stands last in the log; (-1, 0) without any."""
    wanted = select(_promise.log_index, _promise.directory_size).order_by(_promise.log_index.desc()).limit(1)
    found = connection.execute(wanted).one_or_none()
    return (-1, 0) if found is None else (found.log_index, found.directory_size)


def promise_at_the_end(connection: Connection) -> bytes:
    """Return the promise that stands last in the log, as the relay signed it; empty without any."""
    wanted = select(_promise.promise).order_by(_promise.log_index.desc()).limit(1)
    return connection.execute(wanted).scalar_one_or_none() or b""


def directory_sizes_around(connection: Connection, log_index: int) -> tuple[int | None, int | None]:
    """Return the directory sizes of the promises just before and just after a log index."""
    before = select(_promise.directory_size).where(_promise.log_index < log_index)
    after = select(_promise.directory_size).where(_promise.log_index > log_index)
    return (
        connection.execute(before.order_by(_promise.log_index.desc()).limit(1)).scalar_one_or_none(),
        connection.execute(after.order_by(_promise.log_index).limit(1)).scalar_one_or_none(),
    )


def _to_promise(row: Row[Any]) -> KeptPromise:
    return KeptPromise(**dict(row._mapping))  # noqa: SLF001


# -- receipts that came back -------------------------------------------------------------------------------------------


def add_receipt_batches(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep signed batches; Any because columns differ."""
    insert_or_keep(connection, tables.receipt_batch, rows)


def add_receipts(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep lines of a batch; Any because columns differ."""
    insert_or_keep(connection, tables.receipt, rows)


def items_sent(
    connection: Connection, envelopes: Collection[bytes], recipients: Collection[str]
) -> dict[tuple[bytes, str], bytes]:
    """Return the items of those of these envelopes that were sealed here for these, by envelope and recipient."""
    named = list(envelopes)
    return {
        (envelope, recipient): item
        for recipient in recipients
        for envelope, item in fetch_among(connection, _ITEMS_SENT, named, recipient=recipient)
    }


_ITEMS_SENT = select(_slot.envelope, _slot.item).where(
    one_of(_slot.envelope), _slot.recipient == bindparam("recipient")
)


# -- streams -----------------------------------------------------------------------------------------------------------


def streams_to_tell(
    connection: Connection, *, quiet_before_ms: int, flash_before_ms: int, daily_before_ms: int
) -> list[SentStream]:
    """Return streams that have been quiet since a time and whose newest traffic, or last day, no head has told.

    Streams of the flash lane have a time of their own.
    """
    flash = _sequence.lane == int(Lane.FLASH)
    quiet = (~flash & (_sequence.traffic_ms <= quiet_before_ms)) | (flash & (_sequence.traffic_ms <= flash_before_ms))
    news = (_sequence.traffic_ms > _sequence.head_ms) & quiet
    daily = (_sequence.head_ms > 0) & (_sequence.head_ms <= daily_before_ms)
    wanted = select(tables.sequence).where(news | daily).order_by(_sequence.recipient, _sequence.stream, _sequence.lane)
    return [SentStream(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def settle(connection: Connection, stream: SentStream, *, limit: int = 10_000) -> tuple[SentStream, bool]:
    """Bring the running hash up to the first number without an answer; say too whether that was the last number."""
    wanted = select(tables.slot).where(
        _slot.recipient == stream.recipient,
        _slot.stream == stream.stream,
        _slot.lane == stream.lane,
        _slot.seq > stream.settled_seq,
    )
    seq, running = stream.settled_seq, stream.settled_hash
    for row in connection.execute(wanted.order_by(_slot.seq).limit(limit)):
        if row.state == SlotState.SEALED:
            break
        seq = row.seq
        if row.state == SlotState.PROMISED:
            running = next_running_hash(running, row.seq, row.envelope)
    key = (stream.recipient, stream.stream, stream.lane)
    connection.execute(_one_sequence(key).values(settled_seq=seq, settled_hash=running))
    settled = SentStream(*key, stream.last_seq, seq, running, stream.traffic_ms, stream.head_ms)
    return settled, seq == stream.last_seq


def voided_numbers(connection: Connection, stream: SentStream, *, limit: int) -> tuple[int, ...]:
    """Return the newest voided numbers of a stream, ascending."""
    wanted = select(_slot.seq).where(
        _slot.recipient == stream.recipient,
        _slot.stream == stream.stream,
        _slot.lane == stream.lane,
        _slot.seq <= stream.settled_seq,
        _slot.state == SlotState.VOIDED,
    )
    return tuple(sorted(connection.execute(wanted.order_by(_slot.seq.desc()).limit(limit)).scalars()))


def head_told(connection: Connection, stream: SentStream, now_ms: int) -> None:
    """Note that a stream head covers what was sent so far."""
    key = (stream.recipient, stream.stream, stream.lane)
    connection.execute(_one_sequence(key).values(head_ms=now_ms))
