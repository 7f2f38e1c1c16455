"""Stream heads: what a sender says it has sent, so that loss at the tail shows (PROTOCOL 3).

Ten minutes after the last traffic towards a partner (30 seconds in the flash lane), then daily, a head tells the last
number of each lane, the running hash and the numbers that are void. The recipient compares (nodes/gaps.py) and asks for
what is missing (nodes/resending.py); what stays missing is an alarm. A head also carries what its sender has seen of
the relay's logs (nodes/heads.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.directory.state import Status
from exchange.envelope.model import Lane
from exchange.names import ID_BYTES, PartyId
from exchange.receipts.codec import encode_stream_head
from exchange.receipts.model import STREAM_TAILS, VOIDED_NUMBERS, StreamHead, StreamTail
from exchange.receipts.verify import STREAM_HEAD
from nodes import alarms, heads
from nodes.core import Core
from nodes.gaps import Wrong, compare, look
from nodes.receipts import add_control
from nodes.store import missing, receiving, sending
from nodes.store.missing import Gap
from nodes.store.rows import SentStream


class Streams:
    """Tells stream heads and looks after those that were heard. For one event loop."""

    def __init__(self, core: Core, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._wake = wake
        self.gaps: Sequence[Gap] = ()
        """What was missing at the last look."""

    async def tell(self) -> int:
        """Place the heads that are due in the outbox; return how many."""
        core = self._core
        now_ms = core.clock()
        due = await core.database.write(
            partial(
                _due,
                quiet_before_ms=now_ms - int(core.timing.stream_head_quiet_s * 1000),
                flash_before_ms=now_ms - int(core.timing.stream_head_flash_s * 1000),
                daily_before_ms=now_ms - int(core.timing.stream_head_daily_s * 1000),
            )
        )
        # To whom nothing goes now nothing is told either: the newest head comes when that changes.
        due = {party: tails for party, tails in due.items() if core.trust.now.status(PartyId(party)) is Status.ADMITTED}
        directory_note, traffic_note = await core.database.read(heads.told) if due else ("", "")
        for recipient, tails in due.items():
            head = StreamHead(
                exchange=core.exchange,
                from_party=core.me,
                to_party=recipient,
                tails=tuple(tail for _, tail in tails),
                at_ms=now_ms,
                salt=random_bytes(ID_BYTES),
                directory_note=directory_note,
                traffic_note=traffic_note,
            )
            signed = await core.signer.sign(STREAM_HEAD, encode_stream_head(head))
            told = [stream for stream, _ in tails]
            await core.database.write(partial(_store, signed=signed, recipient=recipient, told=told, now_ms=now_ms))
        if due:
            self._wake()
        return len(due)

    async def check(self) -> None:
        """Look at what is missing: alarm what has been so for too long, close alarms whose cause is gone."""
        core = self._core
        expelled = [party.party for party in core.trust.now.directory.parties() if party.status is Status.EXPELLED]
        work = partial(look, timing=core.timing, now_ms=core.clock(), expelled=expelled)
        found = await core.database.write(work)
        self.gaps = found.gaps
        for kind, subject, text in found.wrong:
            await core.alarms.raise_(kind, subject, text)
        await core.alarms.close_others(alarms.GAP, found.still)


def _due(
    connection: Connection, *, quiet_before_ms: int, flash_before_ms: int, daily_before_ms: int
) -> dict[str, list[tuple[SentStream, StreamTail]]]:
    due: dict[str, list[tuple[SentStream, StreamTail]]] = {}
    for stream in sending.streams_to_tell(
        connection, quiet_before_ms=quiet_before_ms, flash_before_ms=flash_before_ms, daily_before_ms=daily_before_ms
    ):
        settled, whole = sending.settle(connection, stream)
        if not whole or settled.settled_seq == 0:
            continue
        voided = sending.voided_numbers(connection, settled, limit=VOIDED_NUMBERS)
        tail = StreamTail(stream.lane, stream.stream, settled.settled_seq, settled.settled_hash, voided)
        due.setdefault(stream.recipient, []).append((settled, tail))
    # What is left out for want of room is due again at the next look.
    return {party: tails[-STREAM_TAILS:] for party, tails in due.items()}


def _store(connection: Connection, *, signed: Signed, recipient: str, told: Sequence[SentStream], now_ms: int) -> None:
    add_control(connection, signed, [recipient], lane=Lane.ROUTINE, now_ms=now_ms)
    for stream in told:
        sending.head_told(connection, stream, now_ms)


# -- heads that were heard ---------------------------------------------------------------------------------------------


def hear(connection: Connection, head: StreamHead, now_ms: int) -> list[Wrong]:
    """Compare a verified head with what came, and write down what is missing; return alarms."""
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
            top_seq=max(heard.top_seq, tail.last_seq),
            heard_ms=now_ms,
        )
        missing.void(connection, fresh)
        wrong += compare(connection, missing.extend(connection, fresh, now_ms))
    return wrong
