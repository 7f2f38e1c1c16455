"""Stream heads: what a sender says it has sent, so that loss at the tail shows (PROTOCOL 3).

Ten minutes after the last traffic towards a partner, then daily, a head tells the last number of each lane, the running
hash and the numbers that are void. The recipient compares; what is missing after a while is an alarm.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.model import Lane
from exchange.names import ID_BYTES
from exchange.receipts.codec import encode_stream_head
from exchange.receipts.model import VOIDED_NUMBERS, StreamHead, StreamTail
from exchange.receipts.verify import STREAM_HEAD
from nodes import alarms
from nodes.core import Core
from nodes.receipts import add_control
from nodes.store import receiving, sending
from nodes.store.rows import HeardStream, SentStream


class Streams:
    """Tells stream heads and looks after those that were heard. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake

    async def tell(self) -> int:
        """Place the heads that are due in the outbox; return how many."""
        core = self._core
        now_ms = core.clock()
        due = await core.database.write(
            partial(
                _due,
                quiet_before_ms=now_ms - int(core.timing.stream_head_quiet_s * 1000),
                daily_before_ms=now_ms - int(core.timing.stream_head_daily_s * 1000),
            )
        )
        for recipient, tails in due.items():
            head = StreamHead(
                exchange=core.exchange,
                from_party=core.me,
                to_party=recipient,
                tails=tuple(tail for _, tail in tails),
                at_ms=now_ms,
                salt=random_bytes(ID_BYTES),
            )
            signed = await core.signer.sign(STREAM_HEAD, encode_stream_head(head))
            told = [stream for stream, _ in tails]
            await core.database.write(partial(_store, signed=signed, recipient=recipient, told=told, now_ms=now_ms))
        if due:
            self._wake()
        return len(due)

    async def check(self) -> None:
        """Look again at heads that named more than had come, and raise an alarm for what is still missing."""
        core = self._core
        now_ms = core.clock()
        late_ms = now_ms - int(core.timing.gap_alarm_s * 1000)
        for kind, subject, text in await core.database.write(partial(_check_open, late_ms=late_ms)):
            await core.alarms.raise_(kind, subject, text)


def _due(
    connection: Connection, *, quiet_before_ms: int, daily_before_ms: int
) -> dict[str, list[tuple[SentStream, StreamTail]]]:
    due: dict[str, list[tuple[SentStream, StreamTail]]] = {}
    for stream in sending.streams_to_tell(connection, quiet_before_ms=quiet_before_ms, daily_before_ms=daily_before_ms):
        settled, whole = sending.settle(connection, stream)
        if not whole or settled.settled_seq == 0:
            continue
        voided = sending.voided_numbers(connection, settled, limit=VOIDED_NUMBERS)
        tail = StreamTail(stream.lane, stream.stream, settled.settled_seq, settled.settled_hash, voided)
        due.setdefault(stream.recipient, []).append((settled, tail))
    return due


def _store(connection: Connection, *, signed: Signed, recipient: str, told: Sequence[SentStream], now_ms: int) -> None:
    add_control(connection, signed, [recipient], lane=Lane.ROUTINE, now_ms=now_ms)
    for stream in told:
        sending.head_told(connection, stream, now_ms)


# -- heads that were heard ---------------------------------------------------------------------------------------------


def hear(connection: Connection, head: StreamHead, now_ms: int) -> list[tuple[str, str, str]]:
    """Compare a verified head with what came; return alarms as (kind, subject, text)."""
    wrong = []
    for tail in head.tails:
        heard = receiving.heard_stream(connection, head.from_party, tail.stream, tail.lane)
        if tail.last_seq < heard.head_seq:
            continue  # an older head that was overtaken
        fresh = replace(
            heard,
            head_seq=tail.last_seq,
            head_hash=tail.running_hash,
            voided=tail.voided,
            head_ms=now_ms,
            state="open",
        )
        wrong += compare(connection, fresh, alarm_missing=False)
    return wrong


def compare(connection: Connection, heard: HeardStream, *, alarm_missing: bool) -> list[tuple[str, str, str]]:
    """Compare one stream's head with what came and store the outcome; return alarms."""
    missing, count, running = receiving.missing_numbers(connection, heard)
    subject = f"{heard.sender}/{heard.stream}/{Lane(heard.lane).name}"
    if missing:
        receiving.set_heard(connection, replace(heard, state="gap" if alarm_missing else "open"))
        numbers = ", ".join(map(str, missing))
        text = f"{heard.sender} says that it sent numbers {numbers}, which never came ({count:,} in all)"
        return [(alarms.GAP, subject, text)] if alarm_missing else []
    if running != heard.head_hash:
        receiving.set_heard(connection, replace(heard, state="gap"))
        return [(alarms.GAP, subject, f"{heard.sender} sent other envelopes under these numbers than came")]
    held = replace(heard, checked_seq=heard.head_seq, checked_hash=running, state="held")
    receiving.set_heard(connection, held)
    return []


def _check_open(connection: Connection, late_ms: int) -> list[tuple[str, str, str]]:
    wrong = []
    for heard in receiving.open_heads(connection):
        wrong += compare(connection, heard, alarm_missing=heard.head_ms <= late_ms)
    return wrong
