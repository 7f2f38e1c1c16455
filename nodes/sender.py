"""From outbox to relay: seal after the push, at most 64 ahead; store before sending; keep what the relay answers.

Two loops. The first looks at what is due (nodes/due.py), seals it (nodes/sealing.py) and stores envelopes, their
numbers and what changed in one transaction; then it sleeps until it is called or something is due. The second submits
stored envelopes over one stream, flash first, and stores each answer; it knows nothing else than what is stored, so
after a crash the same bytes go again. A refused envelope's numbers are void; its recipients are decided on again later,
never at once. What waits for the directory is decided on again when it changes.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import repeat

from sqlalchemy import Connection

from exchange.crypto.signed import Signed, VerifiedRoots
from exchange.crypto.xwing import WrapAll, wrap_each
from exchange.directory.fold import Directory
from exchange.directory.state import Status
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict, ExchangeError, VerificationFailed
from exchange.limits import FRAME_BYTES, FRAME_ITEMS
from exchange.names import PartyId
from exchange.runtime.logs import get_logger
from exchange.runtime.tracing import Leg
from nodes import alarms
from nodes.answers import Answer, Promised, read_answer, record
from nodes.core import Core
from nodes.due import Due, look
from nodes.relay_port import Answered, Frame, Outcome, Relay
from nodes.relay_word import EndedKey, NotReplayed
from nodes.sealing import NO_PREKEY, Ground, Round, seal_round
from nodes.store import approvals, blobs, reports, sending
from nodes.store.decisions import add_decisions
from nodes.store.rows import UNSEALED, Addressee, Outgoing, Reach
from nodes.trust import Snapshot

AHEAD = 64
"""Sealed envelopes without an answer."""

ROUND_ITEMS = 64
IDLE_S = 60.0
REASONS_MOST = 64
"""Reasons of refusals that are counted apart."""

PART = "submit"
HELD = "refused"
"""Subject of the alarm that the relay refuses for no recipient's sake."""


class Sender:
    """The sending half of one node. For one event loop."""

    def __init__(
        self,
        core: Core,
        relay: Relay,
        *,
        on_answer: Callable[[], None] = lambda: None,
        on_denied: Callable[[], None] = lambda: None,
        stale_since: Callable[[], int] = lambda: 0,
        on_ended: Callable[[Signed], Awaitable[None]],
        wrap_all: WrapAll = wrap_each,
    ) -> None:
        """`on_answer` is called after answers to control statements were stored, `on_denied` when some recipient gets
        nothing.

        `on_ended` keeps what the relay signed with a key that it has no more.

        `stale_since` says since when the directory is too old to send reports under; 0 while it is not. `wrap_all`
        wraps on several cores (nodes/wrapping.py).
        """
        self._core = core
        self._relay = relay
        self._on_answer = on_answer
        self._on_denied = on_denied
        self.on_files: Callable[[], None] = lambda: None
        """Called when the relay must have files before something can be sealed."""
        self._stale_since = stale_since
        self._on_ended = on_ended
        self._wrap_all = wrap_all
        self.outcomes: Counter[str] = Counter()
        """The relay's answers since the start: `promised`, or the reason of the refusal."""
        self._backoff = core.backoff()
        self._work = asyncio.Event()
        self._due_ms = 0
        """When something that waits is due, as of the last look."""
        self._no_room = False
        self._ready = asyncio.Event()
        self._unanswered: dict[bytes, Outgoing] = {}
        self._in_flight: dict[int, Sequence[Outgoing]] = {}
        self._since: dict[int, int] = {}
        self._frame = 0
        self._held = True  # an alarm of the last run may be open
        self._decided_under: tuple[Snapshot | None, bool] = (None, False)
        self._log = get_logger(__name__)

    @property
    def unanswered(self) -> int:
        """Sealed envelopes that the relay has not answered."""
        return len(self._unanswered)

    def wake(self) -> None:
        """Look for work at once."""
        self._work.set()

    async def load(self) -> None:
        """Take up what was sealed and has no answer."""
        after = 0
        while stored := await self._core.database.read(partial(sending.unanswered, after=after, limit=FRAME_ITEMS)):
            self._unanswered |= {each.envelope: each for each in stored}
            after = stored[-1].number
        if self._unanswered:
            self._ready.set()

    # -- sealing -------------------------------------------------------------------------------------------------------

    async def run_sealing(self) -> None:
        """Seal what waits, until cancelled."""
        while True:
            self._work.clear()
            try:
                more = await self.seal_some()
            except Conflict as error:
                self._log.info("seal.again", detail=str(error))
                continue
            except ExchangeError as error:
                self._log.error("seal.failed", reason=error.reason, detail=str(error))
                more, self._due_ms = False, self._core.clock()
            if not more:
                await self._wait_for_work()

    async def _wait_for_work(self) -> None:
        """Wait for a call, or until something is due; while there is no room, for a call alone."""
        wait_s = None if self._no_room else min(IDLE_S, max(0.05, (self._due_ms - self._core.clock()) / 1000))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._work.wait()

    async def seal_some(self) -> bool:
        """Seal and store one round; say whether there may be more to do at once.

        What is not urgent waits while so much of it is sealed and unanswered; flash has as much room of its own, and
        while that is full nothing else is sealed either: nothing overtakes flash.
        """
        flash = sum(each.lane == Lane.FLASH for each in self._unanswered.values())
        others = len(self._unanswered) - flash
        urgent_only = others >= AHEAD
        # An answer makes room, and a push may be urgent: both call.
        self._no_room = urgent_only or flash >= AHEAD
        if flash >= AHEAD:
            return False
        room = AHEAD - (flash if urgent_only else others)
        core = self._core
        now_ms, snapshot, stale_ms = core.clock(), core.trust.now, self._stale_since()
        decided, was_stale = self._decided_under
        if snapshot is not decided or was_stale != bool(stale_ms):
            # Whatever waits for the directory is decided on again; at the start too.
            await core.database.write(reports.decide_again)
            self._decided_under = (snapshot, bool(stale_ms))
        since, keys = core.tracing.begin(), core.keys
        ground = Ground(
            snapshot=snapshot,
            rules=snapshot.rules_at(snapshot.size),
            me=core.me,
            exchange=core.exchange,
            key=keys.envelope,
            statement_key=keys.statement,
            stream=keys.stream,
            now_ms=now_ms,
            uncompared=core.comparisons.now(),
            stale_since_ms=stale_ms,
            wrap_all=self._wrap_all,
        )
        look_and_seal = partial(_look_and_seal, core, ground, items=min(ROUND_ITEMS, room), urgent_only=urgent_only)
        due, made = await asyncio.get_running_loop().run_in_executor(core.executor, look_and_seal)
        if not due.jobs and not due.broken:
            self._due_ms = due.later_ms
            return False
        made.changed = [*self._with_new_prekeys(made.changed, now_ms), *due.broken]
        first = await core.database.write(partial(_store_round, made=made, now_ms=now_ms))
        core.tracing.end(Leg.SEAL, since, _reports(made.outgoing))
        for place, each in enumerate(made.outgoing):
            self._unanswered[each.envelope] = replace(each, number=first + place)
        if made.outgoing:
            self._ready.set()
        if made.wanted:
            self.on_files()
        if any(row.state in {Reach.DENIED, Reach.REFUSED} for row in made.changed):
            self._on_denied()
        self._due_ms = min([due.later_ms, *(row.due_ms for row in made.changed if row.state in UNSEALED)])
        return due.full or self._due_ms <= now_ms

    def _with_new_prekeys(self, changed: Iterable[Addressee], now_ms: int) -> Iterator[Addressee]:
        """Let whoever published a prekey while a round was sealed not wait for it any more."""
        for row in changed:
            late = row.why == NO_PREKEY and self._core.trust.now.prekey(PartyId(row.recipient), now_ms) is not None
            yield replace(row, due_ms=now_ms) if late else row

    # -- submitting ----------------------------------------------------------------------------------------------------

    async def run_submitting(self) -> None:
        """Submit what is sealed, until cancelled."""
        while True:
            await self._ready.wait()
            try:
                async for answered in self._relay.submit(self._frames(self._in_flight)):
                    await self._take(answered)
                    self._core.link.heard(PART)
                    self._backoff.reset()
            except VerificationFailed as error:
                if isinstance(error, EndedKey):
                    await self._on_ended(error.signed)
                await self._core.alarms.raise_(alarms.RELAY, "answer", f"the relay's answer does not hold: {error}")
            except ExchangeError as error:
                self._core.link.lost(PART, error)
                self._log.info("submit.lost", reason=error.reason)
            finally:
                self._in_flight, self._since = {}, {}
                if self._unanswered:
                    self._ready.set()
            await asyncio.sleep(next(self._backoff))

    async def _frames(self, in_flight: dict[int, Sequence[Outgoing]]) -> AsyncIterator[Frame]:
        """Yield what one stream is to carry.

        gRPC leaves the reader of a lost stream's requests waiting here; it must take nothing from the next stream.
        """
        while in_flight is self._in_flight:
            chosen = self._next_frame()
            if not chosen:
                self._ready.clear()
                await self._ready.wait()
                continue
            self._frame += 1
            self._in_flight[self._frame], self._since[self._frame] = chosen, self._core.tracing.begin()
            yield Frame(self._frame, [each.submission for each in chosen])

    def _next_frame(self) -> list[Outgoing]:
        """Return what is not under way yet, as much as one frame carries; flash first, and in frames of its own."""
        under_way = {each.envelope for frame in self._in_flight.values() for each in frame}
        free = [each for each in self._unanswered.values() if each.envelope not in under_way]
        free.sort(key=lambda each: (each.lane, each.number))
        chosen: list[Outgoing] = []
        size = 0
        for each in free[:FRAME_ITEMS]:
            size += len(each.submission)
            if chosen and (size > FRAME_BYTES or (chosen[0].lane == Lane.FLASH) != (each.lane == Lane.FLASH)):
                break
            chosen.append(each)
        return chosen

    async def _take(self, answered: Answered) -> None:
        """Verify and store the answers of one frame."""
        sent = self._in_flight.get(answered.number)
        if sent is None or len(sent) != len(answered.outcomes):
            raise VerificationFailed("the relay answered a frame that was not sent, or not all of it")
        core = self._core
        pairs = list(zip(sent, answered.outcomes, strict=True))
        try:
            answers = await self._read(pairs)
        except NotReplayed as error:
            # The relay has changed its keys a moment ago.
            await core.trust.wait_for(error.size, core.timing.directory_wait_s)
            answers = await self._read(pairs)
        del self._in_flight[answered.number]
        now_ms, first_ms = core.clock(), int(core.timing.reseal_first_s * 1000)
        told = await core.database.write(
            partial(record, answers=answers, standing=self._standing, now_ms=now_ms, reseal_first_ms=first_ms)
        )
        for text in told.wrong:
            await core.alarms.raise_(alarms.RELAY, text[:64], text)
        await self._show_held(told.held, promised=any(isinstance(each, Promised) for each in answers))
        since = self._since.pop(answered.number, 0)
        core.tracing.end(Leg.SUBMIT, since, _reports(sent, (self._outcome(answer) for answer in answers)))
        for answer in answers:
            self.outcomes[self._outcome(answer)] += 1
        for each in sent:
            self._unanswered.pop(each.envelope, None)
        if told.waits or self._no_room:
            self._work.set()
        if any(each.kind == EnvelopeKind.CONTROL for each in sent):
            self._on_answer()
        if not all(isinstance(each, Promised) for each in answers):
            self._on_denied()
        self._log.debug("answered", promised=sum(isinstance(a, Promised) for a in answers), of=len(answers))

    async def _read(self, pairs: Sequence[tuple[Outgoing, Outcome]]) -> list[Answer]:
        core = self._core
        read = partial(_read_answers, pairs, directory=core.trust.now.directory, exchange=core.exchange, seen=core.seen)
        return await asyncio.get_running_loop().run_in_executor(core.executor, read)

    def _outcome(self, answer: Answer) -> str:
        """Return what an answer counts as: a relay that invents reasons fills no memory."""
        if isinstance(answer, Promised):
            return "promised"
        reason = answer.refusal.reason
        return reason if reason in self.outcomes or len(self.outcomes) < REASONS_MOST else "OTHER"

    def _standing(self, size: int) -> Status | None:
        """Return where this party stands as of a directory size; None when that is not replayed yet."""
        snapshot = self._core.trust.now
        return snapshot.directory.standing(self._core.me, at_size=size) if size <= snapshot.size else None

    async def _show_held(self, held: str, *, promised: bool) -> None:
        """Keep an alarm open while the relay refuses everything, and close it once something is promised."""
        if held:
            self._held = True
            await self._core.alarms.raise_(alarms.RELAY, HELD, held)
        elif promised and self._held:
            self._held = False
            await self._core.alarms.close(alarms.RELAY, HELD)


def _look_and_seal(core: Core, ground: Ground, *, items: int, urgent_only: bool) -> tuple[Due, Round]:
    """Read what is due and seal it, in one step. Runs in a thread."""
    see = partial(
        look,
        keys_of=core.keybox.keys_now,
        stream=ground.stream,
        me=ground.me,
        now_ms=ground.now_ms,
        items=items,
        urgent_only=urgent_only,
    )
    due = core.database.read_now(see)
    return due, seal_round(due.jobs, ground, due.numbers)


def _reports(sent: Iterable[Outgoing], outcomes: Iterable[str] = repeat("")) -> Iterator[tuple[bytes, str]]:
    """Yield the items of reports among what is sent, each with how it ended, as traces take them."""
    for each, outcome in zip(sent, outcomes, strict=False):
        if each.kind == EnvelopeKind.REPORT:
            yield each.item, "" if outcome == "promised" else outcome


def _store_round(connection: Connection, made: Round, now_ms: int) -> int:
    """Store a round, all or nothing; return the number of its first envelope.

    Raises:
        Conflict: something changed since the round was read, by a retraction or an approval; the next round sees it.
    """
    items = sorted({row.item for row in made.changed})
    waiting, kept = reports.waiting_among(connection, items), approvals.marks_of(connection, items)
    for row in made.changed:
        if kept[row.item] != made.approvals.get(row.item, kept[row.item]):
            raise Conflict(f"{row.item.hex()[:12]} was approved meanwhile")
        if (row.item, row.recipient) not in waiting:
            raise Conflict(f"{row.recipient} no longer waits for {row.item.hex()[:12]}")
    reports.replace_addressees(connection, made.changed)
    blobs.want(connection, made.wanted, now_ms)
    sending.drop_given_up(connection, made.changed)
    reports.add_events(connection, made.events)
    add_decisions(connection, made.decided)
    return sending.add_sealed(connection, made.outgoing, now_ms) if made.outgoing else 0


def _read_answers(
    pairs: Sequence[tuple[Outgoing, Outcome]], *, directory: Directory, exchange: str, seen: VerifiedRoots
) -> list[Answer]:
    return [
        read_answer(envelope, outcome, directory=directory, exchange=exchange, seen=seen) for envelope, outcome in pairs
    ]
