"""What did not come: numbers that a partner's stream skips are written down as they show, and told of when they stay.

A gap shows when a higher number of the same stream and lane came, or when a stream head names one. The row of a number
goes when its envelope comes after all; when its sender says what became of it, the row keeps that, so that the running
hash can be completed. A stream that is below the newest of its sender is given up in the end: nobody writes there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.envelope.model import Lane
from exchange.resend.model import ResendAnswer, ResendOutcome
from nodes import alarms
from nodes.config import Timing
from nodes.store import missing, receiving
from nodes.store.missing import Gap
from nodes.store.rows import Came, HeardStream, Missing, MissingState

Wrong = tuple[str, str, str]
"""Kind, subject and text of an alarm."""

NAMED = 10
"""Missing numbers that an alarm names; the others are counted."""

ENDED_TOLD_MS = 30 * 24 * 60 * 60 * 1000
"""That numbers of a stream that has ended never came stays an alarm for so long."""

_STATES = {
    ResendOutcome.RESENT: MissingState.RESENT,
    ResendOutcome.GONE: MissingState.GONE,
    ResendOutcome.VOID: MissingState.VOID,
}


def subject(sender: str, stream: int, lane: int) -> str:
    """Return what an alarm about a stream is filed under."""
    return f"{sender}/{stream}/{Lane(lane).name}"


# -- as envelopes come -------------------------------------------------------------------------------------------------


def arrived(connection: Connection, came: Sequence[Came], turned_away: Sequence[Missing], now_ms: int) -> list[Wrong]:
    """Look for gaps before what came, in the transaction that stores it; return alarms.

    `turned_away` are the numbers of envelopes that opened and failed a later check: nothing is missing there.
    """
    streams: dict[tuple[str, int, int], _Arrival] = {}
    for each in came:
        streams.setdefault((each.sender, each.stream, each.lane), _Arrival()).came[each.seq] = each.envelope
    for row in turned_away:
        streams.setdefault((row.sender, row.stream, row.lane), _Arrival()).away.append(row)
    wrong = []
    for (sender, stream, lane), arrival in streams.items():
        heard = receiving.heard_stream(connection, sender, stream, lane)
        wrong += _late(connection, heard, arrival)
        numbers = {*arrival.came, *(row.seq for row in arrival.away)}
        follows = heard.known_seq == heard.top_seq and numbers == set(_next(heard, len(numbers)))
        heard = replace(heard, top_seq=max(*numbers, heard.top_seq), heard_ms=now_ms)
        # Nearly always the next numbers come: then there is nothing to look for.
        heard = replace(heard, known_seq=heard.top_seq) if follows else missing.extend(connection, heard, now_ms)
        receiving.set_heard(connection, heard)
    return wrong


def _next(heard: HeardStream, count: int) -> range:
    return range(heard.known_seq + 1, heard.known_seq + 1 + count)


@dataclass(slots=True)
class _Arrival:
    came: dict[int, bytes] = field(default_factory=dict)
    away: list[Missing] = field(default_factory=list)


def _late(connection: Connection, heard: HeardStream, arrival: _Arrival) -> list[Wrong]:
    wrong = []
    if any(seq <= heard.known_seq for seq in arrival.came):
        named = missing.came_late(connection, heard, list(arrival.came))
        for seq, envelope in named.items():
            if envelope != arrival.came[seq]:
                text = f"{heard.sender} said that another envelope stands under number {seq} than came"
                wrong.append((alarms.SENDER, f"{heard.sender}/numbers", text))
    missing.put(connection, arrival.away)
    return wrong


# -- answers -----------------------------------------------------------------------------------------------------------


def hear_answer(connection: Connection, answer: ResendAnswer, hash_: bytes, now_ms: int) -> int:
    """Take what a sender says of numbers that it was asked for; return of how many that was news.

    What it says of other numbers counts for nothing: it cannot explain away what nobody has missed.
    """
    news = 0
    for line in answer.lines:
        row = missing.row_of(connection, answer.from_party, line.stream, line.lane, line.seq)
        if row is None or row.state is not MissingState.MISSING or not row.tries:
            continue
        news += 1
        told = replace(
            row,
            state=_STATES[line.outcome],
            envelope=line.envelope_hash,
            expires_ms=line.expires_ms,
            promise=encode_signed(line.promise) if line.promise is not None else b"",
            answer=hash_,
            answered_ms=now_ms,
        )
        missing.put(connection, [told])
    return news


# -- now and then ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Look:
    """What a look at all streams came to."""

    wrong: list[Wrong] = field(default_factory=list)
    still: set[str] = field(default_factory=set)
    """Subjects of gap alarms that have their cause yet."""
    gaps: Sequence[Gap] = ()
    """All that is missing, however short."""


def look(connection: Connection, timing: Timing, now_ms: int, *, expelled: Collection[str] = ()) -> Look:
    """Compare heads that are open, and find what has been missing for too long; who is expelled sends nothing more."""
    found = Look()
    for sender, stream, lane in missing.behind(connection):
        heard = receiving.heard_stream(connection, sender, stream, lane)
        receiving.set_heard(connection, missing.extend(connection, heard, now_ms))
    late_ms = now_ms - int(timing.gap_alarm_s * 1000)
    for gap in missing.end_lower_streams(connection, late_ms):
        numbers = _numbers(gap, [])
        text = f"{gap.sender} began a new stream; of its stream {gap.stream} {numbers} never came and will not"
        found.wrong.append((alarms.GAP, _ended(gap), text))
    for gap in missing.end_of(connection, expelled):
        text = f"{gap.sender} was expelled; {_numbers(gap, [])} of its stream {gap.stream} never came and will not"
        found.wrong.append((alarms.GAP, _ended(gap), text))
    found.still |= {
        _ended(gap) for gap in missing.gaps(connection, MissingState.ENDED) if gap.since_ms > now_ms - ENDED_TOLD_MS
    }
    for heard in receiving.open_heads(connection):
        if heard.known_seq >= heard.head_seq and not missing.is_open(connection, heard):
            found.wrong += compare(connection, heard)
    found.still |= {subject(*key) for key in receiving.streams_that_differ(connection)}
    found.gaps = missing.gaps(connection)
    for gap in found.gaps:
        if gap.since_ms <= now_ms - patience_ms(gap.lane, timing):
            found.wrong.append((alarms.GAP, subject(gap.sender, gap.stream, gap.lane), _text(connection, gap)))
            found.still.add(subject(gap.sender, gap.stream, gap.lane))
    return found


def patience_ms(lane: int, timing: Timing) -> int:
    """Return for how long a number of a lane may be missing before that is an alarm."""
    return int((timing.gap_alarm_flash_s if lane == Lane.FLASH else timing.gap_alarm_s) * 1000)


def _ended(gap: Gap) -> str:
    return f"{subject(gap.sender, gap.stream, gap.lane)}/ended"


def _text(connection: Connection, gap: Gap) -> str:
    numbers = _numbers(gap, missing.first_numbers(connection, gap, limit=NAMED))
    asked = f"asked for {gap.tries} times" if gap.tries else "not asked for yet"
    return f"{gap.sender} sent numbers in lane {Lane(gap.lane).name} that never came: {numbers}; {asked}"


def _numbers(gap: Gap, first: Sequence[int]) -> str:
    if not first:
        return f"{gap.count:,} numbers in lane {Lane(gap.lane).name}"
    return ", ".join(map(str, first)) + (f" ({gap.count:,} in all)" if gap.count > len(first) else "")


def compare(connection: Connection, heard: HeardStream) -> list[Wrong]:
    """Compare one stream's head with what came and was answered, store the outcome, return alarms."""
    if heard.known_seq < heard.head_seq or missing.is_open(connection, heard):
        receiving.set_heard(connection, replace(heard, state="open"))
        return []
    running = receiving.running_hash(connection, heard)
    if running != heard.head_hash:
        receiving.set_heard(connection, replace(heard, state="gap"))
        where = subject(heard.sender, heard.stream, heard.lane)
        return [(alarms.GAP, where, f"{heard.sender} sent other envelopes under these numbers than came")]
    held = replace(heard, checked_seq=heard.head_seq, checked_hash=running, state="held")
    receiving.set_heard(connection, held)
    return []
