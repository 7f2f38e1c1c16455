"""One frame of submissions from arrival to answer: its turn, judging, the quota, the record, the recipients' bells.

Partners take turns by how many envelopes each has had judged, and again by how many were recorded, so that none waits
behind another's flood. Judging runs in a thread, the recording in the writer's; the event loop only passes frames on.
Frames that begin with a flash one have turns and a thread of their own: they go beside the others, not behind them.
Recording is finished even when the sender hangs up: what was recorded must also be delivered.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.signed import VerifiedRoots
from exchange.envelope.codec import lane_of
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Unavailable
from exchange.names import PartyId
from exchange.relay.accept import Frame, Judged, Permitted, Recorded, Recorder, Refused
from exchange.relay.cache import SealedCache
from exchange.relay.continuity import Continuity
from exchange.relay.counters import Counters
from exchange.relay.directory import LiveDirectory
from exchange.relay.mailbox import Accepted, Answered, Bells, Placed, Tails
from exchange.relay.prekeys import PrekeyIds
from exchange.relay.quota import Counted, SubmitRates
from exchange.relay.sequencer import Log
from exchange.relay.store.blobs import SqlBlobs
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.store.spent import SqlSpent
from exchange.relay.submit import Judge
from exchange.relay.turns import Turns
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from exchange.runtime.tracing import Leg, Tracing, place_name

AT_ONCE = 65
"""Envelopes that are being judged, or are next: a frame of 64 and one more frame, so that the judge never waits."""

RECORDED_AT_ONCE = 129
"""Envelopes that are with the writer: it commits them together, and whoever comes next waits for no more than these."""

ATTEMPTS = 8
"""Times that a frame is judged again because the directory grew meanwhile."""


class Intake:
    """Takes in frames; one object for the relay."""

    def __init__(
        self,
        database: Database,
        directory: LiveDirectory,
        recorder: Recorder,
        bells: Bells,
        cache: SealedCache,
        *,
        rates: SubmitRates,
        counters: Counters,
        clock: Callable[[], int],
        tell: Callable[[Connection, Iterable[PartyId]], None],
        arrived: Callable[[Iterable[Placed]], None] | None,
        continuity: Continuity,
        tracing: Tracing,
    ) -> None:
        """`rates` slow down a sender that submits too many reports, or too much control traffic.

        `tell` tells other processes, with the commit, who has something new; `continuity` remembers what was answered.
        `arrived` is given the new rows where no other process places any; without it the bells of `bells` ring.
        """
        self._arrived, self._tails = arrived, Tails() if arrived is not None else None
        self._database = database
        self._directory = directory
        self._recorder = recorder
        self._bells = bells
        self._cache = cache
        self._tell = tell
        self._continuity = continuity
        self._rates = rates
        self._counters = counters
        self._clock = clock
        self._tracing = tracing
        self._judge = Judge(PrekeyIds(database).prekey_id, VerifiedRoots(), tracing)
        # One thread: most of judging holds the interpreter's lock anyway, and frames stay in order. Another one for
        # what is urgent, so that it does not wait behind the frames of everybody.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._urgent = ThreadPoolExecutor(1, thread_name_prefix="judge-urgent")
        self._turns, self._urgent_turns = Turns(AT_ONCE), Turns(AT_ONCE)
        self._records, self._urgent_records = Turns(RECORDED_AT_ONCE), Turns(RECORDED_AT_ONCE)
        self._running: set[asyncio.Task[tuple[Answered, ...]]] = set()
        self._log = get_logger(__name__)

    async def frame(self, sender: PartyId, submissions: Sequence[bytes]) -> tuple[Answered, ...]:
        """Return the answers to a frame, in its order, once everything that they say is durable.

        Cancelling it while it waits for the quota drops the frame; after that it is recorded in any case.

        Raises:
            Unavailable, StorageFull: nothing of the frame was recorded.
        """
        with self._counters.frames.time():
            urgent = lane_of(submissions[0]) is Lane.FLASH
            async with (self._urgent_turns if urgent else self._turns).turn(sender, len(submissions)):
                judged = await self._judged(sender, submissions, urgent=urgent)
            await self._rates.wait(sender, _counts(judged))
            task = asyncio.create_task(self._recorded(judged, submissions, urgent=urgent))
            self._running.add(task)
            task.add_done_callback(self._ended)
            return await asyncio.shield(task)

    async def close(self) -> None:
        """Return when no frame is being recorded any more."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        self._pool.shutdown()
        self._urgent.shutdown()

    def _ended(self, task: "asyncio.Task[tuple[Answered, ...]]") -> None:
        """Look at a frame's outcome, so that nobody complains when its sender is gone."""
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def _recorded(self, judged: Frame, submissions: Sequence[bytes], *, urgent: bool) -> tuple[Answered, ...]:
        since = self._tracing.begin()
        for _ in range(ATTEMPTS):
            async with (self._urgent_records if urgent else self._records).turn(judged.sender, len(submissions)):
                recorded = await self._database.write(partial(self._record, judged))
            if recorded is not None:
                self._tracing.end(Leg.LOG, since, ((each.hash, "") for each in _new_reports(recorded)))
                self._tracing.same((each.hash, place_name(each.id)) for each in _new_reports(recorded))
                self._announce(judged, recorded)
                return recorded.answers
            await self._directory.catch_up()
            judged = await self._judged(judged.sender, submissions, urgent=urgent)
        raise Unavailable("the directory changes faster than a frame is judged")

    async def _judged(self, sender: PartyId, submissions: Sequence[bytes], *, urgent: bool) -> Frame:
        work = partial(
            self._judge.frame, submissions, sender=sender, snapshot=self._directory.now, now_ms=self._clock()
        )
        return await asyncio.get_running_loop().run_in_executor(self._urgent if urgent else self._pool, work)

    def _record(self, frame: Frame, connection: Connection) -> Recorded | None:
        logs, mailboxes, spent = SqlLogs(connection), SqlMailboxes(connection), SqlSpent(connection)
        now_ms = self._clock()
        recorded = self._recorder.record(logs, mailboxes, spent, frame, now_ms, blobs=SqlBlobs(connection))
        if recorded is None:
            return None
        spends = self._rates.count(spent, frame.sender, _counts(frame), now_ms)
        placed: Sequence[Placed] = ()
        if recorded.new:
            self._tell(connection, _recipients(recorded))
            if self._tails is not None:
                placed = self._tails.place(recorded.new)
        return replace(recorded, placed=tuple(placed), spends=spends)

    def _announce(self, frame: Frame, recorded: Recorded) -> None:
        if recorded.head is not None:
            self._continuity.seen(Log.TRAFFIC, recorded.head)
        self._rates.learn(frame.sender, recorded.spends)
        self._cache.put(sealed for each in recorded.new for sealed in each.sealed())
        if self._arrived is not None:
            self._arrived(recorded.placed)
        else:
            self._bells.ring(_recipients(recorded))
        for judged in frame.judged:
            reason = judged.reason if isinstance(judged, Refused) else "promised"
            self._counters.answers.labels(reason).inc()
            if isinstance(judged, Refused):
                self._log.info(
                    "refused",
                    sender=frame.sender,
                    envelope=judged.hash.hex()[:16],
                    reason=judged.reason,
                    step=judged.step,
                    detail=judged.detail,
                )


def _new_reports(recorded: Recorded) -> Iterator[Accepted]:
    return (each for each in recorded.new if each.kind == EnvelopeKind.REPORT)


def _recipients(recorded: Recorded) -> set[PartyId]:
    return {slot.recipient for each in recorded.new for slot in each.slots}


def _counts(frame: Frame) -> dict[Counted, int]:
    control = sum(map(_is_control, frame.judged))
    return {Counted.CONTROL: control, Counted.REPORTS: len(frame.judged) - control}


def _is_control(judged: Judged) -> bool:
    return isinstance(judged, Permitted) and judged.verified.core.kind is EnvelopeKind.CONTROL
