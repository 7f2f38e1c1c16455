"""From mailbox to inbox: open, decide again, store, and only then acknowledge (PROTOCOL 3).

One stream brings every lane, and is read as fast as it comes (nodes/arrivals.py). What is stored together, at most 64,
is a frame; while one that is not urgent is judged, the flash lane is looked at every eight envelopes. For each frame:
1. judge every delivery in a thread (nodes/opening.py), and seal each report there under a key of its own; wait,
   bounded, for directory entries or views that are missing; memberships of communities are taken in before what goes
   by way of these is judged
2. agreement texts are taken in; the keys are made durable: an item that has one keeps it
3. one transaction stores all of it, the cursors included (nodes/inbox.py)
4. acknowledge; what failed is acknowledged too: it is set aside here, and its sender gets a signed refusal
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from exchange.crypto.signed import Signed
from exchange.directory.state import Status
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import ExchangeError, InternalError, Unavailable
from exchange.policy.communities.model import HeldEpoch
from exchange.receipts.model import AgreementText
from exchange.runtime.logs import get_logger
from exchange.runtime.tracing import Leg, place_name
from exchange.stream_reset.model import StreamReset
from nodes import alarms, anew
from nodes.agreements import Agreements
from nodes.arrivals import WINDOW_BYTES, Arrivals
from nodes.attached import kept_incoming
from nodes.communities import Communities
from nodes.core import Core
from nodes.decisions import Stage, by_recipient, seal_decisions
from nodes.effects import Effects
from nodes.exposing import compare_versions, expose_outdated, expose_twice
from nodes.inbox import Sealed, seal_received, store_frame
from nodes.opening import BELOW_SENDER, Bad, Behind, Good, Ground, denied_for_good, judge
from nodes.relay_port import Delivered, Relay, Waiting
from nodes.store import anew as store_anew
from nodes.store import receiving, reports, sending
from nodes.store.anew import HeardReset
from nodes.store.blobs import KeptBlob
from nodes.store.decisions import DENIED_MOST, count_denied
from nodes.store.keys import new_report_key
from nodes.store.rows import Cursor, DecisionRow, ItemState

FLASH_LOOK = 8
"""Envelopes that are judged before the flash lane is looked at again."""

WITHHELD_MOST = 64
"""Sizes of the directory that the relay owes, each with its own time; any further one has the oldest's."""

DRAINED_AGAIN_MS = 10 * 60 * 1000
"""That every lane is empty is written down this often."""

TRIES = 3
"""Directory entries may be missing first, then the membership that they make count, then a view."""

PART = "deliver"


@dataclass(frozen=True, slots=True)
class Ready:
    """The reports of a frame, ready for the store, by item: each under a key that is not durable yet."""

    keys: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    sealed: dict[bytes, Sealed] = field(default_factory=dict, repr=False)

    def add(self, other: "Ready") -> None:
        """Take in what was sealed later."""
        self.keys.update(other.keys)
        self.sealed.update(other.sealed)


class Receiver:
    """The receiving half of one node. For one event loop."""

    def __init__(
        self,
        core: Core,
        relay: Relay,
        agreements: Agreements,
        communities: Communities,
        *,
        on_urgent: Callable[[], None],
        on_receipts: Callable[[], None],
        on_purge: Callable[[], None],
        on_agreement: Callable[[], None],
        on_consent: Callable[[], None],
        on_waiting: Callable[[], None],
        on_files: Callable[[], None],
        on_ended: Callable[[Signed], Awaitable[None]],
    ) -> None:
        """Whom to tell: a flash report waits for its receipt, other reports do, a report is to be destroyed, an
        agreement came, a partner asks for consent, something waits to be sealed, an attachment is to be fetched, the
        relay signed with a key that it has no more.
        """
        self._on_ended = on_ended
        self._core = core
        self._relay = relay
        self._agreements = agreements
        self._communities = communities
        self._on_urgent = on_urgent
        self._on_receipts = on_receipts
        self._on_purge = on_purge
        self._on_agreement = on_agreement
        self._on_consent = on_consent
        self._on_waiting = on_waiting
        self._on_files = on_files
        self._backoff = core.backoff()
        self._cursors: dict[int, Cursor] = {}
        self._highest = (-1, 0)
        self._of_lane: dict[Lane, tuple[int, int]] = {}
        self._withheld: dict[int, int] = {}
        self._resets: dict[str, HeardReset] = {}
        self._arrivals = Arrivals()
        self._log = get_logger(__name__)

    async def load(self) -> None:
        """Take up the cursors, and how far the log has come."""
        self._cursors = await self._core.database.read(receiving.cursors)
        self._highest = await self._core.database.read(sending.highest_promise)
        self._resets = await self._core.database.read(store_anew.heard)

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            try:
                await self._receive()
            except ExchangeError as error:
                self._core.link.lost(PART, error)
                self._log.info("deliver.lost", reason=error.reason, detail=str(error))
            await asyncio.sleep(next(self._backoff))

    async def _receive(self) -> None:
        """Store what one stream brings, until it ends; raises what ended it."""
        arrivals = self._arrivals = Arrivals()
        reader = asyncio.create_task(self._read(arrivals))
        try:
            while (frame := await arrivals.next()) is not None:
                if frame.waiting:
                    await self._store(frame, arrivals)
                else:
                    await self._drained(frame.now_ms)
            await reader
        finally:
            arrivals.end()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, arrivals: Arrivals) -> None:
        try:
            async for frame in self._relay.deliver(WINDOW_BYTES, arrivals.acknowledged()):
                self._core.link.heard(PART, frame.now_ms)
                self._backoff.reset()
                arrivals.add(frame)
        finally:
            arrivals.end()

    async def _store(self, frame: Delivered, arrivals: Arrivals) -> None:
        await self.take(frame)
        tracing = self._core.tracing
        since = tracing.begin()
        arrivals.stored(frame)
        tracing.end(Leg.ACKNOWLEDGE, since, ((place_name(each.position, each.lane), "") for each in frame.waiting))

    async def take(self, frame: Delivered) -> Effects:
        """Judge and store one frame; when this returns all of it is durable and may be acknowledged."""
        core = self._core
        # 1
        since = core.tracing.begin()
        ready = Ready()
        judged = await self._judge(frame.waiting, ready)
        core.tracing.end(Leg.JUDGE, since, _traced(judged))
        core.tracing.same(
            (name, place_name(each.waiting.position, each.waiting.lane))
            for each in judged
            for name, _ in _traced([each])
        )
        since = core.tracing.begin()
        goods = [each for each in judged if isinstance(each, Good)]
        bads = [each for each in judged if isinstance(each, Bad)]
        goods, backwards = await self._forward_only(goods)
        goods, over = await self._of_living_streams(goods)
        backwards += over
        # 2
        for good in goods:
            if isinstance(good.control, AgreementText):
                await self._take_agreement(good.control, good.opened.core.sender)
        sealed = await self._keep_keys(goods, ready)
        # A receipt says when a report was stored: read when nothing but the commit is left to do.
        now_ms = core.clock()
        files = await self._files_of(goods, now_ms)
        denied = await self._seal_denied(bads)
        cursors = self._advanced(frame.waiting)
        # 3
        store = partial(
            store_frame,
            goods=goods,
            bads=[*bads, *backwards],
            sealed=sealed,
            denied=denied,
            cursors=cursors,
            files=files,
            now_ms=now_ms,
        )
        effects = await core.database.write(store)
        core.tracing.end(Leg.STORE, since, _traced(judged))
        self._cursors |= {cursor.lane: cursor for cursor in cursors}
        if unwanted := sorted(effects.destroyed & sealed.keys()):
            await core.keybox.destroy(unwanted)
        if any(isinstance(good.control, StreamReset) for good in goods):
            self._resets = await core.database.read(store_anew.heard)
        for kind, subject, text in effects.alarms:
            await core.alarms.raise_(kind, subject, text)
        for twice in effects.twice:
            await expose_twice(core, twice)
        for thread, originator in sorted(effects.versions):
            await compare_versions(core, thread, originator)
        await expose_outdated(core, [bad.opened for bad in bads if bad.opened and bad.reason == BELOW_SENDER])
        for bad in (*bads, *backwards):
            self._log.warning("delivery.set-aside", step=bad.step, reason=bad.reason, detail=bad.detail)
            if bad.ended is not None:
                await self._on_ended(bad.ended)
        self._tell(effects)
        return effects

    def _tell(self, effects: Effects) -> None:
        if effects.urgent:
            self._on_urgent()
        if effects.receipts:
            self._on_receipts()
        if effects.purge:
            self._on_purge()
        if effects.consent:
            self._on_consent()
        if effects.waiting:
            self._on_waiting()
        if effects.files:
            self._on_files()

    async def _judge(self, waiting: Sequence[Waiting], ready: Ready) -> list[Good | Bad]:
        judged = await self._judge_once(waiting, ready)
        for _ in range(TRIES):
            came = await self._take_memberships(judged)
            behind = [each for each in judged if isinstance(each, Behind)]
            if not behind or (not came and all(each.only_stranger for each in behind)):
                break
            await self._catch_up(behind)
            again = iter(await self._judge_once([each.waiting for each in behind], ready))
            judged = [next(again) if isinstance(each, Behind) else each for each in judged]
        return [denied_for_good(each) if isinstance(each, Behind) else each for each in judged]

    async def _take_memberships(self, judged: Sequence[Good | Bad | Behind]) -> bool:
        """Take in the memberships of a frame, which count before its reports; say whether any was new."""
        goods = [each for each in judged if isinstance(each, Good)]
        came = [
            await self._communities.take(each.control, each.opened.statement)
            for each in goods
            if isinstance(each.control, HeldEpoch)
        ]
        return any(came)

    async def _judge_once(self, waiting: Sequence[Waiting], ready: Ready) -> list[Good | Bad | Behind]:
        core = self._core
        ground = Ground(
            snapshot=core.trust.now,
            rules_at=core.trust.now.rules_at,
            me=core.me,
            exchange=core.exchange,
            prekey=core.keybox.prekey,
            seen=core.seen,
            now_ms=core.clock(),
        )
        loop = asyncio.get_running_loop()
        overtaken = _never if any(each.lane is Lane.FLASH for each in waiting) else self._arrivals.flash_waits
        judged: list[Good | Bad | Behind] = []
        while len(judged) < len(waiting):
            work = partial(self._judge_and_seal, waiting[len(judged) :], ground, overtaken)
            some, sealed = await loop.run_in_executor(core.executor, work)
            judged += some
            ready.add(sealed)
            if overtaken():
                await self._flash_first()
        return judged

    async def _flash_first(self) -> None:
        """Store what has come in the flash lane while something else was judged."""
        arrivals = self._arrivals
        while (flash := arrivals.flash()) is not None:
            await self._store(flash, arrivals)

    async def _catch_up(self, behind: Sequence[Behind]) -> None:
        """Wait for directory entries, then ask for views, that judging these deliveries takes.

        Raises:
            Unavailable: they did not come in time. Nothing is acknowledged, so the relay delivers again. Only when it
                has not shown them for long is the delivery set aside.
        """
        core = self._core
        size = max(each.size for each in behind)
        try:
            await core.trust.wait_for(size, core.timing.directory_wait_s)
        except Unavailable:
            if len(self._withheld) < WITHHELD_MOST:
                self._withheld.setdefault(size, core.clock())
            since_ms = self._withheld.get(size, min(self._withheld.values()))
            text = f"the relay delivers under directory size {size} and shows {core.trust.now.size} entries"
            await core.alarms.raise_(alarms.DIRECTORY, "withheld", text)
            if not core.trust.broken and core.clock() - since_ms < core.timing.directory_most_s * 1000:
                raise
            return
        self._withheld.clear()
        await core.alarms.close(alarms.DIRECTORY, "withheld")
        if any(each.agreement for each in behind):
            await self._agreements.fetch(self._relay)

    async def _forward_only(self, goods: Sequence[Good]) -> tuple[list[Good], list[Bad]]:
        """Set aside deliveries whose promise names a smaller directory than one earlier in the log (PROTOCOL 3)."""
        kept, backwards = [], []
        for good in sorted(goods, key=lambda each: each.promise.log_index):
            place = (good.promise.log_index, good.promise.directory_size)
            if await self._is_forward(place, good.waiting.lane):
                self._highest = max(self._highest, place)
                self._of_lane[good.waiting.lane] = place
                kept.append(good)
                continue
            text = f"promise {place[0]} was judged under directory size {place[1]}, an earlier one under a larger"
            await self._core.alarms.raise_(alarms.RELAY, f"promise {place[0]}", text)
            opened = good.opened
            sender = "" if opened.core.kind is EnvelopeKind.CONTROL else opened.core.sender
            backwards.append(
                Bad(
                    good.waiting,
                    10,
                    "DIRECTORY_DECREASES",
                    text,
                    sender,
                    opened.envelope_hash,
                    opened.item_hash,
                    opened=opened,
                )
            )
        wanted = {id(good) for good in kept}
        return [good for good in goods if id(good) in wanted], backwards

    async def _is_forward(self, place: tuple[int, int], lane: Lane) -> bool:
        """Say whether a directory size is none below an earlier one, and none above a later one, in the log."""
        index, size = place
        if index > self._highest[0]:
            return size >= self._highest[1]
        before_index, before_size = self._of_lane.get(lane, (index, -1))
        if before_index < index and before_size == self._highest[1]:
            # Between two places with one size there is no other: an urgent report overtook this one.
            return size == before_size
        around = partial(sending.directory_sizes_around, log_index=index)
        before, after = await self._core.database.read(around)
        return (before or 0) <= size and (after is None or size <= after)

    async def _of_living_streams(self, goods: Sequence[Good]) -> tuple[list[Good], list[Bad]]:
        """Set aside what was logged under a stream after its sender had ended it (nodes/anew.py)."""
        heard = anew.with_resets(self._resets, goods)
        if not heard:
            return list(goods), []
        over = [good for good in goods if anew.ended(good, heard)]
        for sender in sorted({good.opened.core.sender for good in over}):
            text = f"{sender} sends under a stream that it ended after a restore: its old home runs, or a thief does"
            await self._core.alarms.raise_(alarms.SENDER, f"{sender}/stream", text)
        return [good for good in goods if not anew.ended(good, heard)], [anew.refused(good) for good in over]

    async def _take_agreement(self, text: AgreementText, sender: str) -> None:
        try:
            await self._agreements.take(text)
        except Unavailable:
            raise
        except ExchangeError as error:
            await self._core.alarms.raise_(
                alarms.AGREEMENT, sender, f"an agreement from {sender} does not hold: {error}"
            )
        else:
            self._on_agreement()

    def _judge_and_seal(
        self, waiting: Sequence[Waiting], ground: Ground, overtaken: Callable[[], bool]
    ) -> tuple[list[Good | Bad | Behind], Ready]:
        """Judge, and seal what may be stored, in one thread: to hand a lone report over costs as much as to seal it."""
        judged = judge_until(waiting, ground, overtaken)
        coming = {each.opened.item_hash: each for each in judged if isinstance(each, Good) and each.control is None}
        keys = {item: new_report_key() for item in coming}
        return judged, Ready(keys, _seal_all(coming, keys, self._core.keys.master))

    async def _keep_keys(self, goods: Sequence[Good], ready: Ready) -> dict[bytes, Sealed]:
        """Return each report sealed under its own key, which is durable then; the store knows which are new."""
        core = self._core
        coming = {good.opened.item_hash: good for good in goods if good.opened.item_hash in ready.keys}
        if not coming:
            return {}
        offered = {item: ready.keys[item] for item in coming}
        kept = await core.keybox.new_keys(list(offered), offered)
        # What came before keeps its key, also where the store refused the frame after the key was written.
        again = {item: good for item, good in coming.items() if kept[item] != offered[item]}
        sealed = {item: ready.sealed[item] for item in coming}
        if again:
            work = partial(_seal_all, again, kept, core.keys.master)
            sealed |= await asyncio.get_running_loop().run_in_executor(core.executor, work)
        return sealed

    async def _files_of(self, goods: Sequence[Good], now_ms: int) -> dict[bytes, list[KeptBlob]]:
        """Return the attachments that envelopes name, as they are stored, by envelope."""
        naming = [good.opened for good in goods if good.opened.core.blobs]
        keys = await self._core.keybox.keys([opened.item_hash for opened in naming]) if naming else {}
        return {
            opened.envelope_hash: kept_incoming(
                opened.core.blobs,
                opened.body.blobs,
                opened.item_hash,
                keys[opened.item_hash],
                sender=opened.core.sender,
                lane=int(opened.core.lane),
                now_ms=now_ms,
            )
            for opened in naming
            if opened.item_hash in keys
        }

    async def _seal_denied(self, bads: Sequence[Bad]) -> list[DecisionRow]:
        """Return the decisions by which deliveries were denied, as they are kept; not of what is destroyed here."""
        core = self._core
        denied = [(bad.item, bad.decided) for bad in bads if bad.decided is not None and bad.item]
        if not denied or await core.database.read(partial(count_denied, stage=Stage.ARRIVED)) >= DENIED_MOST:
            return []
        states = await core.database.read(partial(reports.states_of, items=[item for item, _ in denied]))
        denied = [(item, decided) for item, decided in denied if states.get(item) is not ItemState.PURGED]
        keys = await core.keybox.new_keys([item for item, _ in denied])
        return [seal_decisions(keys[item], item, by_recipient(decided)) for item, decided in denied]

    def _advanced(self, waiting: Sequence[Waiting]) -> list[Cursor]:
        advanced = []
        for lane, position in _last_positions(waiting):
            before = self._cursors.get(int(lane), Cursor(int(lane), 0))
            advanced.append(Cursor(int(lane), max(position, before.position), before.drained_ms))
        return advanced

    async def _drained(self, relay_ms: int) -> None:
        """Write down that nothing waits at the relay: prekeys of days before may be destroyed.

        While this party is suspended its reports wait there and are not sent: the relay's silence says nothing then.
        """
        if self._core.trust.now.status(self._core.me) is not Status.ADMITTED:
            return
        self._core.link.emptied()
        stale = [
            Cursor(int(lane), before.position, relay_ms)
            for lane in Lane
            if relay_ms - (before := self._cursors.get(int(lane), Cursor(int(lane), 0))).drained_ms > DRAINED_AGAIN_MS
        ]
        if stale:
            await self._core.database.write(partial(receiving.set_cursors, changed=stale))
            self._cursors |= {cursor.lane: cursor for cursor in stale}


def _traced(judged: Sequence[Good | Bad]) -> Iterator[tuple[bytes, str]]:
    """Yield the envelopes of a frame with a report, each with why it was set aside, as traces take them."""
    for each in judged:
        if isinstance(each, Good) and each.control is None:
            yield each.opened.envelope_hash, ""
        elif isinstance(each, Bad) and each.item:
            yield each.envelope, each.reason


def _last_positions(waiting: Sequence[Waiting]) -> list[tuple[Lane, int]]:
    last: dict[Lane, int] = {}
    for each in waiting:
        last[each.lane] = max(each.position, last.get(each.lane, 0))
    return list(last.items())


def _never() -> bool:
    return False


def judge_until(waiting: Sequence[Waiting], ground: Ground, overtaken: Callable[[], bool]) -> list[Good | Bad | Behind]:
    """Return what the first of these deliveries come to: all of them, unless something overtakes them meanwhile."""
    judged: list[Good | Bad | Behind] = []
    for each in waiting:
        if judged and len(judged) % FLASH_LOOK == 0 and overtaken():
            break
        judged.append(_judge_safely(each, ground))
    return judged


def _judge_safely(waiting: Waiting, ground: Ground) -> Good | Bad | Behind:
    try:
        return judge(waiting, ground)
    except Exception as error:  # noqa: BLE001 - a delivery that meets a bug of ours must not hold up all the others
        get_logger(__name__).exception("delivery.bug", position=waiting.position)
        return Bad(waiting, 0, InternalError.reason, f"{type(error).__name__}: {error}")


def _seal_all(fresh: Mapping[bytes, Good], keys: Mapping[bytes, bytes], master: bytes) -> dict[bytes, Sealed]:
    return {item: seal_received(good, keys[item], master) for item, good in fresh.items()}
