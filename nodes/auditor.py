"""Hold the relay to its word: its logs only grow, and everything that it promised stands in them.

1. directory: the newest checkpoint is signed, and says what this node's own replay says at that size
2. traffic: the newest checkpoint is signed, and continues the one that was verified last (consistency proof)
3. promises: each envelope stands at the promised index under that checkpoint (inclusion proof; of several that stand
   close together the whole block of the log is read, with one proof for all of it)
4. decisions: each decision record is the one that its promise names
5. in full: every entry is read and the root hash computed anew; the directory's heads among them are those of this
   node's own replay, and each promise names the directory of the head before it: none was given back in time
What fails raises an alarm. Two checkpoints that contradict each other, and a promise that the log does not keep, become
an evidence file (nodes/forks.py). A promise whose envelope is not in the log a minute after this node has missed it
there is broken: two clocks that differ make no relay a liar. Should it be kept after all, its alarm closes.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from exchange.crypto.codec import decode_signed
from exchange.crypto.signed import Signed
from exchange.directory.state import Frontier
from exchange.errors import BadInput, BadProof, ExchangeError, RateLimited, Unavailable, VerificationFailed
from exchange.limits import KIB
from exchange.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from exchange.receipts.verify import check_decisions, check_promise_in_log
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.entry import EntryKind, directory_head_hash
from nodes import alarms
from nodes.core import Core
from nodes.forks import Forks
from nodes.log_blocks import Proven, blocks_worth_reading, read_block
from nodes.log_evidence import Unkept
from nodes.refusals import Verdict, decode_refused, judge
from nodes.relay_port import Log, Relay
from nodes.relay_word import EndedKey, opened_directory, opened_promise, opened_refusal, stated
from nodes.store import sending
from nodes.store import trust as store
from nodes.store.alarms import open_alarms
from nodes.store.rows import KeptPromise, KeptRefusal
from nodes.traffic_note import newest_traffic
from nodes.trust import Snapshot

PROMISE_BYTES = 8 * KIB
MERGE_MS = 60_000
MERGE_S = MERGE_MS / 1000
"""A promised envelope stands in a checkpoint of the log at the latest after this (crypto.md 5)."""

_HEAD = bytes([EntryKind.DIRECTORY_HEAD])
CHECK_AT_ONCE = 200
READ_AT_ONCE = 4_096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a verification, on its way (`result` is empty) or done (ok or failed)."""

    log: str
    step: str
    done: int
    total: int
    result: str = ""
    detail: str = ""


def _wrongly(kept: KeptRefusal) -> str:
    shown = f"concord report why {kept.item.hex()[:12]} {kept.recipient}".rstrip()
    return f"the relay refused {kept.recipient or 'an envelope'} for {kept.reason}, and the rules do not: {shown}"


class Auditor:
    """Checks the relay's logs for one node. For one event loop."""

    def __init__(
        self, core: Core, relay: Relay, forks: Forks, *, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask `relay`; what it cannot have meant goes to `forks`. `elapsed` are seconds that nobody can set."""
        self._core = core
        self._relay = relay
        self._forks = forks
        self._elapsed = elapsed
        self._missed: dict[bytes, float] = {}
        """Since when promised envelopes are not in the log."""

    # -- now and then --------------------------------------------------------------------------------------------------

    async def look_after(self) -> None:
        """Check promises that are old enough and not checked yet."""
        await self._judge_refusals()
        core = self._core
        before_ms = core.clock() - MERGE_MS
        waiting = await core.database.read(
            partial(sending.promises, after=-1, limit=1, unchecked=True, before_ms=before_ms)
        )
        if not waiting:
            return
        checkpoint, note = await self._checked_traffic()
        after = -1
        while found := await core.database.read(
            partial(sending.promises, after=after, limit=CHECK_AT_ONCE, unchecked=True, before_ms=before_ms)
        ):
            after = found[-1].log_index
            await self._check_promises(found, checkpoint, note)

    async def _judge_refusals(self) -> None:
        """Judge what the relay refused by the rules as of the directory size that it named; a wrong one is an alarm."""
        core, snapshot = self._core, self._core.trust.now
        look = partial(sending.refusals_to_judge, directory_size=snapshot.size, limit=CHECK_AT_ONCE)
        while kept := await core.database.read(look):
            for each in kept:
                verdict = self.verdict(each, snapshot)
                await core.database.write(partial(sending.judged, number=each.number, verdict=verdict))
                if verdict is Verdict.WRONG:
                    await core.alarms.raise_(alarms.RELAY, f"refusal {each.number}", _wrongly(each))

    def verdict(self, kept: KeptRefusal, snapshot: Snapshot) -> Verdict:
        """Return what a refusal is worth, by this node's own replay; what cannot be read again proves nothing."""
        try:
            signed = decode_signed(kept.statement, limit=PROMISE_BYTES, what="a stored refusal")
            refusal = opened_refusal(signed, snapshot.directory, self._core.exchange, self._core.seen)
            return judge(refusal, decode_refused(kept.evidence), snapshot.rules_at(refusal.directory_size)).verdict
        except (BadInput, VerificationFailed):
            return Verdict.UNEXPLAINED

    async def _checked_traffic(self) -> tuple[Checkpoint, str]:
        try:
            return await self._traffic_checkpoint()
        except VerificationFailed as error:
            await self._core.alarms.raise_(alarms.TRAFFIC, "checkpoint", f"the traffic log does not hold: {error}")
            raise

    # -- on request ----------------------------------------------------------------------------------------------------

    async def verify(self, *, full: bool) -> AsyncIterator[Progress]:
        """Check everything and say how far it has come; the last word of each step has a result.

        Raises:
            Unavailable: the relay cannot be reached.
        """
        yield await self._directory_step()
        try:
            checkpoint, note = await self._checked_traffic()
        except VerificationFailed as error:
            yield Progress("traffic", "checkpoint", 0, 1, "failed", str(error))
            return
        yield Progress("traffic", "checkpoint", 1, 1, "ok", f"{checkpoint.size:,} entries")
        async for progress in self._promise_steps(checkpoint, note):
            yield progress
        if full:
            async for progress in self._full_steps(checkpoint):
                yield progress

    async def _directory_step(self) -> Progress:
        core = self._core
        try:
            note = await self._relay.checkpoint(Log.DIRECTORY)
            size = stated(note, Log.DIRECTORY, core.exchange).size
            await core.trust.wait_for(size, core.timing.directory_wait_s)
            checkpoint = opened_directory(note, core.trust.now.directory)
            if core.trust.now.roots[checkpoint.size] != checkpoint.root:
                raise BadProof(f"another root hash than our replay has at size {checkpoint.size}")
        except VerificationFailed as error:
            await core.alarms.raise_(alarms.DIRECTORY, core.exchange, f"the directory log does not hold: {error}")
            return Progress("directory", "replay", 0, 1, "failed", str(error))
        size = core.trust.now.size
        return Progress("directory", "replay", size, size, "ok", f"root {checkpoint.root.hex()[:16]}")

    async def _promise_steps(self, checkpoint: Checkpoint, note: str) -> AsyncIterator[Progress]:
        core = self._core
        total = await core.database.read(sending.count_promises)
        done = kept = 0
        wrong: list[str] = []
        after = -1
        while found := await core.database.read(
            partial(sending.promises, after=after, limit=CHECK_AT_ONCE, unchecked=False)
        ):
            after = found[-1].log_index
            held, broken = await self._check_promises(found, checkpoint, note)
            done, kept, wrong = done + len(found), kept + held, wrong + broken
            yield Progress("traffic", "promises", done, total)
        young = done - kept - len(wrong)
        detail = f"{kept:,} kept" + (f", {young:,} too young to be in the log" if young else "")
        if wrong:
            detail = f"{len(wrong)} of {done:,} broken: {wrong[0]}"
        yield Progress("traffic", "promises", done, total, "failed" if wrong else "ok", detail)

    async def _full_steps(self, checkpoint: Checkpoint) -> AsyncIterator[Progress]:
        tree, heads = Frontier(), list[tuple[int, bytes]]()
        while tree.size < checkpoint.size:
            entries = await self._relay.read_log(Log.TRAFFIC, tree.size, min(READ_AT_ONCE, checkpoint.size - tree.size))
            if not entries:
                raise Unavailable("the relay sent no entries of its log")
            for entry in entries[: checkpoint.size - tree.size]:
                if entry[:1] == _HEAD:
                    heads.append((tree.size, entry[1 : 1 + HASH_BYTES]))
                tree.append(entry)
            yield Progress("traffic", "every entry", tree.size, checkpoint.size)
        holds = checkpoint.size == 0 or tree.root() == checkpoint.root
        if not holds:
            text = f"its entries give another root hash than its checkpoint of size {checkpoint.size}"
            await self._core.alarms.raise_(alarms.TRAFFIC, "entries", text)
        detail = f"root {checkpoint.root.hex()[:16]}" if holds else "the entries give another root hash"
        yield Progress("traffic", "every entry", tree.size, checkpoint.size, "ok" if holds else "failed", detail)
        if holds:
            yield await self._heads_step(heads, checkpoint)

    async def _heads_step(self, heads: Sequence[tuple[int, bytes]], checkpoint: Checkpoint) -> Progress:
        """Compare the directory's heads in the traffic log with this node's replay, and promises with these."""
        core = self._core
        roots = core.trust.now.roots
        sizes = {directory_head_hash(size, root): size for size, root in enumerate(roots) if size}
        unknown = [index for index, digest in heads if digest not in sizes]
        # The newest may be of entries that come in the next moment; what stands behind it is compared another time.
        end = min(unknown, default=checkpoint.size)
        strange = any(index != heads[-1][0] for index in unknown)
        wrong = "it names a directory that this node has not replayed" if strange else ""
        known = [(index, sizes[digest]) for index, digest in heads if index < end]
        after = -1
        while found := await core.database.read(
            partial(sending.promises, after=after, limit=CHECK_AT_ONCE, unchecked=False)
        ):
            after = found[-1].log_index
            wrong = wrong or next(filter(None, (_dated(each, known) for each in found if each.log_index < end)), "")
        if wrong:
            await core.alarms.raise_(alarms.TRAFFIC, "heads", f"the traffic log contradicts the directory: {wrong}")
        return Progress("traffic", "directory heads", len(heads), len(heads), "failed" if wrong else "ok", wrong)

    # -- checks --------------------------------------------------------------------------------------------------------

    async def _traffic_checkpoint(self) -> tuple[Checkpoint, str]:
        """Return the newest traffic checkpoint with its note, verified and consistent with the one before; keep it."""
        core = self._core
        checkpoint, note = await newest_traffic(core, self._relay)
        kept = await core.database.read(partial(store.checkpoint_of, log=Log.TRAFFIC))
        if kept is not None:
            await self._forks.continues(Log.TRAFFIC, kept[1], note, why="the traffic log forks")
            if checkpoint.size < kept[0]:
                error = BadProof(f"the log has shrunk from {kept[0]} to {checkpoint.size} entries")
                await self._forks.contradicts(Log.TRAFFIC, kept[1], note, why=str(error))
                raise error
        if kept is None or checkpoint.size > kept[0]:
            keep = partial(store.set_checkpoint, log=Log.TRAFFIC, size=checkpoint.size, note=note, seen_ms=core.clock())
            await core.database.write(keep)
        return checkpoint, note

    async def _check_promises(
        self, promises: Sequence[KeptPromise], checkpoint: Checkpoint, note: str
    ) -> tuple[int, list[str]]:
        """Check promises under a checkpoint; return how many are kept, and what is wrong with the broken ones.

        A broken one raises an alarm. One that is not in the log yet, and was not missed there for MERGE_S, is neither.
        """
        core = self._core
        held, wrong = [], []
        shown = await self._shown([each.log_index for each in promises], checkpoint)
        for each in promises:
            try:
                await self._when_allowed(partial(self._check_promise, each, checkpoint, shown))
            except VerificationFailed as error:
                if self._may_come(each, error):
                    continue
                text = f"the promise for envelope {each.envelope.hex()[:16]} is broken: {error}"
                wrong.append(text)
                await self._keep_broken(each, note, text, error)
                await core.alarms.raise_(alarms.TRAFFIC, each.envelope.hex()[:16], text)
            else:
                # What names entries that are not replayed is judged again then: the relay's key may end with one.
                held += [each.envelope] if each.directory_size <= core.trust.now.size else []
        if held:
            await core.database.write(partial(sending.promise_checked, envelopes=held, size=checkpoint.size))
            await self._kept_late(held)
        return len(held), wrong

    def _may_come(self, kept: KeptPromise, error: VerificationFailed) -> bool:
        if isinstance(error, _NotYet):
            now = self._elapsed()
            return now - self._missed.setdefault(kept.envelope, now) < MERGE_S
        return self._core.clock() - kept.received_ms < MERGE_MS

    async def _kept_late(self, held: Sequence[bytes]) -> None:
        """Close what was raised for these while they were missing; an alarm may be older than this process."""
        for envelope in held:
            self._missed.pop(envelope, None)
        names, core = {envelope.hex()[:16] for envelope in held}, self._core
        for each in await core.database.read(open_alarms):
            if each.kind == alarms.TRAFFIC and each.subject in names:
                await core.alarms.close(each.kind, each.subject)

    async def _keep_broken(self, kept: KeptPromise, note: str, text: str, error: VerificationFailed) -> None:
        """Keep a promise that the log does not keep, with what stands in its place if the relay has proven that."""
        signed = decode_signed(kept.promise, limit=PROMISE_BYTES, what="a stored promise")
        if isinstance(error, EndedKey):
            await self._forks.ended(signed)
            return
        entry, path = (error.entry, tuple(error.path)) if isinstance(error, _OtherEntry) else (b"", ())
        await self._forks.unkept(Unkept(signed, note, entry, path), text)

    async def _shown(self, indices: Sequence[int], checkpoint: Checkpoint) -> dict[int, Proven]:
        """Return what stands in blocks of the log with several of these entries; the others are asked for one by one.

        So is what the relay does not show in a block: its answer about that one entry is the evidence.
        """
        shown: dict[int, Proven] = {}
        for first in blocks_worth_reading(indices, checkpoint.size):
            with suppress(VerificationFailed):
                shown |= await self._when_allowed(partial(self._block, first, checkpoint))
        return shown

    async def _block(self, first: int, checkpoint: Checkpoint) -> Mapping[int, Proven]:
        return await proven(read_block(self._relay, first, checkpoint))

    async def _proof(self, index: int, checkpoint: Checkpoint) -> Proven:
        entry, path = await proven(self._relay.inclusion_proof(Log.TRAFFIC, index, checkpoint.size))
        return entry, tuple(path)

    async def _when_allowed(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask at the pace that the relay allows: a node has more promises than calls in a minute."""
        while True:
            try:
                return await ask()
            except RateLimited:
                await asyncio.sleep(self._core.timing.audit_pause_s)

    async def _check_promise(self, kept: KeptPromise, checkpoint: Checkpoint, shown: Mapping[int, Proven]) -> None:
        core = self._core
        signed: Signed = decode_signed(kept.promise, limit=PROMISE_BYTES, what="a stored promise")
        promise = opened_promise(signed, core.trust.now.directory, core.exchange, core.seen)
        if promise.log_index >= checkpoint.size:
            raise _NotYet(f"index {promise.log_index} is not in the log of {checkpoint.size} entries")
        entry, path = shown.get(promise.log_index) or await self._proof(promise.log_index, checkpoint)
        try:
            check_promise_in_log(promise, entry, path, size=checkpoint.size, root=checkpoint.root)
        except VerificationFailed as error:
            # Raises when the relay's proof does not hold: then it has shown nothing that stands there.
            verify_inclusion(leaf_hash(entry), promise.log_index, checkpoint.size, path, checkpoint.root)
            raise _OtherEntry(str(error), entry, path) from error
        if kept.decisions:
            check_decisions(promise, kept.decisions)


def _dated(kept: KeptPromise, heads: Sequence[tuple[int, int]]) -> str:
    """Return how a promise contradicts the directory's head before it in the log; empty when it does not."""
    at = bisect_left(heads, (kept.log_index, 0))
    size = heads[at - 1][1] if at else 0
    if size == kept.directory_size:
        return ""
    return f"promise {kept.log_index} names directory size {kept.directory_size}, and the log {size} before it"


class _NotYet(BadProof):
    """The log is not as long yet."""


class _OtherEntry(BadProof):
    """What the relay says stands where a promised envelope should."""

    def __init__(self, detail: str, entry: bytes, path: Sequence[bytes]) -> None:
        super().__init__(detail)
        self.entry, self.path = entry, path


async def proven(asked: Awaitable[T]) -> T:
    """Return a proof; a relay that could answer and gives none has not proven anything.

    Raises:
        BadProof: it gives none.
        Unavailable, RateLimited: it may give one later.
    """
    try:
        return await asked
    except ExchangeError as error:
        if error.retryable:
            raise
        raise BadProof(f"the relay gives no proof: {error}") from error
