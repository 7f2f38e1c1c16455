"""Keep what the relay signed and cannot have meant: an evidence file in the store, and an alarm.

Of the directory this node can prove what its own replay says at any size; of one that it did not take in, and of the
traffic log, it has checkpoints alone. For two sizes of the traffic log it asks the relay for a proof, and where none
holds it reads the entries; where they give the root of the larger one, what the smaller one should have been is proven
too. A relay that gives neither has proven nothing, and neither has this node: both notes are kept and named, at once
when it refuses, after `directory_most_s` when it is never able to answer. The same is tried again whenever the two are
compared again.
Witnesses that have vouched for both sides are named, by all notes that are at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import combinations, pairwise

from sqlalchemy import Connection

from exchange.crypto.signed import Signed
from exchange.directory.witnesses import cosigned_by
from exchange.errors import BadProof, ExchangeError, VerificationFailed
from exchange.merkle import inclusion_path, leaf_hash, root_of, verify_consistency
from exchange.names import PartyId
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes import alarms
from nodes.after_end import AfterEnd
from nodes.anchoring import anchor_of, relay_key_entries
from nodes.core import Core
from nodes.log_evidence import Claim, Fork, LogEvidence, Unkept, contradiction, vouched_for_both, write_log_evidence
from nodes.relay_port import Log, Relay
from nodes.relay_word import opened_ever
from nodes.shown_keys import known_keys
from nodes.store import trust as store
from nodes.store import witnesses
from nodes.store.witnesses import KeptEvidence
from nodes.trust import Ended

KINDS = {Log.DIRECTORY: alarms.DIRECTORY, Log.TRAFFIC: alarms.TRAFFIC}
LOAD_ENTRIES = 1_000
READ_AT_ONCE = 4_096
READ_MOST = 1_000_000
"""Entries of the traffic log that are read to prove a fork: 41 MB, and some seconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """Two notes that cannot both be true, and what is shown of that."""

    fork: Fork
    proven: bool
    liars: tuple[PartyId, ...]
    """Witnesses that have cosigned both."""


ASKED_MOST = 64
"""Checkpoints whose continuation the relay owes, each with its own time; every further one has the oldest one's."""


class Forks:
    """Evidence of one node against the relay. For one event loop."""

    def __init__(self, core: Core, relay: Relay) -> None:
        """Keep it in the node's store; entries of the traffic log are read from `relay`."""
        self._core = core
        self._relay = relay
        self._asked: dict[Checkpoint, int] = {}
        """Since when the relay owes the proof that this is continued."""

    async def continues(self, log: Log, one: str, other: str, *, why: str) -> None:
        """Return when the relay proves that the larger of two notes, which it signed, continues the smaller.

        Raises:
            BadProof: it does not; both are kept as evidence, and an alarm is open.
            Unavailable, RateLimited: it gives no proof now. Where that takes too long, an alarm names both notes.
        """
        (first, smaller), (second, larger) = sorted(
            ((self._opened(log, note), note) for note in (one, other)), key=lambda each: each[0].size
        )
        try:
            if first.size == second.size:
                if first.root != second.root:
                    raise BadProof(f"two root hashes for size {first.size}")
            elif first.size:
                path = await self._relay.consistency_proof(log, first.size, second.size)
                verify_consistency(first.size, second.size, first.root, second.root, path)
        except VerificationFailed as error:
            await self.contradicts(log, smaller, larger, why=f"{why}: {error}")
            raise
        except ExchangeError as error:
            if error.retryable:
                await self._unanswered(log, (smaller, first), (larger, second), error)
                raise
            refused = f"the relay refuses to prove that {first.size:,} and {second.size:,} entries are one log"
            await self.contradicts(log, smaller, larger, why=f"{why}: {refused}")
            raise BadProof(f"the relay gives no proof: {error}") from error
        if self._asked.pop(first, None) is not None:
            await self._core.alarms.close(KINDS[log], f"unproven {first.size}")

    async def contradicts(self, log: Log, one: str, other: str, *, why: str) -> Fork:
        """Keep two notes of one log, each signed by the relay, that cannot both be true; raise the alarm."""
        found = await self._richest(log, await self._found(log, one, other), await self._own(log))
        await self._ring(log, found, await self._keep_fork(log, found, why))
        more = await self._richest(log, found, await self._shown(log))
        if len(more.liars) > len(found.liars):
            await self._ring(log, more, await self._keep_fork(log, more, why))
        return found.fork

    async def unkept(self, claim: Unkept, what: str) -> None:
        """Keep a promise that the log does not keep; the caller raises the alarm."""
        await self._keep("promise", claim, what, sha256(claim.promise.payload.hex().encode() + b"\n\npromise").digest())

    async def ended(self, signed: Signed) -> None:
        """Keep a promise or refusal that a key signed which the relay has no more; raise the alarm."""
        core, directory = self._core, self._core.trust.now.directory
        claimed = {signature.key_id for signature in signed.signatures}
        history = directory.relay_key_history
        ends = [after.index for before, after in pairwise(history) if before.keys.promise.key_id in claimed]
        kept = await core.database.read(partial(store.checkpoint_of, log=Log.DIRECTORY))
        if not ends or kept is None or kept[0] <= ends[-1]:
            return  # what ended it is not shown under a checkpoint yet: it comes again
        path = inclusion_path(await core.database.read(partial(_leaves, size=kept[0])), ends[-1])
        what = f"the relay signed with a promise key that entry {ends[-1]} of the directory had ended"
        # The first of them and no other: a liar must not fill the disk with proof.
        hash_ = sha256(f"{ends[-1]}\n\nkey".encode()).digest()
        await self._keep("key", AfterEnd(signed, ends[-1], tuple(path), kept[1]), what, hash_)
        await core.alarms.raise_(alarms.RELAY, f"key {ends[-1]}", f"{what}, itself or a thief: concord log evidence")

    async def ended_log(self, found: Ended) -> None:
        """Keep a checkpoint of the directory by keys that an entry below it had ended; the caller raises the alarm."""
        size = found.directory.size - len(found.entries)
        leaves = [
            *await self._core.database.read(partial(_leaves, size=size)),
            *map(leaf_hash, found.entries),
        ]
        index = found.directory.relay_key_history[-1].index
        claim = AfterEnd(None, index, tuple(inclusion_path(leaves, index)), found.note)
        entries = [found.entries[index - size]] if index >= size else []
        what = f"the relay signed the directory with keys that its entry {index} had ended"
        await self._keep("key", claim, what, sha256(f"{found.note}\n\nkey".encode()).digest(), entries)

    async def _unanswered(
        self, log: Log, smaller: tuple[str, Checkpoint], larger: tuple[str, Checkpoint], error: ExchangeError
    ) -> None:
        core, (note, first), (_, second) = self._core, smaller, larger
        if len(self._asked) < ASKED_MOST:
            self._asked.setdefault(first, core.clock())
        since_ms = self._asked.get(first, min(self._asked.values()))
        if core.clock() - since_ms <= core.timing.directory_most_s * 1000:
            return
        what = (
            f"the relay does not prove that its {log.name.lower()} log of {second.size:,} entries continues the one of"
            f" {first.size:,} that it signed before: {error}"
        )
        await self._keep_fork(log, await self._found(log, note, larger[0]), what)
        await core.alarms.raise_(KINDS[log], f"unproven {first.size}", f"{what}: concord log evidence")

    # -- what is shown -------------------------------------------------------------------------------------------------

    async def _found(self, log: Log, one: str, other: str) -> Found:
        core = self._core
        keys = known_keys(core.trust.now.directory)
        (first, smaller), (second, larger) = sorted(
            ((self._opened(log, note), note) for note in (one, other)), key=lambda each: each[0].size
        )
        root, path = await self._proof(log, first.size, second)
        fork = Fork(log.name.lower(), smaller, larger, root, path)
        try:
            proven = contradiction(fork, core.exchange, keys)
        except VerificationFailed:
            proven, fork = False, Fork(fork.log, smaller, larger, b"", ())
        named = core.trust.now.directory.named_witnesses
        liars = vouched_for_both(fork, named, core.exchange, keys) if proven else ()
        return Found(fork, proven, liars)

    async def _richest(self, log: Log, found: Found, notes: list[str]) -> Found:
        """Return the proven pair of these notes, or that found, which names most witnesses: of both sides, or one."""
        core = self._core
        named = core.trust.now.directory.named_witnesses
        pool = [found.fork.first, found.fork.second, *(note for note in notes if self._is_signed(log, note))]
        opened = [self._opened(log, note) for note in pool]
        signers = [
            cosigned_by(note, checkpoint, named, core.exchange) for note, checkpoint in zip(pool, opened, strict=True)
        ]
        best, most = found, (found.proven, len(found.liars), len(signers[0]) + len(signers[1]))
        for one, other in combinations(range(len(pool)), 2):
            common, lines = len(signers[one] & signers[other]), len(signers[one]) + len(signers[other])
            # Proofs between sizes are dear: they are made anew only where more liars would be named.
            worth_it = common > most[1] or opened[one].size == opened[other].size
            if worth_it and (True, common, lines) > most:
                candidate = await self._found(log, pool[one], pool[other])
                if candidate.proven and (True, len(candidate.liars), lines) > most:
                    best, most = candidate, (True, len(candidate.liars), lines)
        return best

    async def _own(self, log: Log) -> list[str]:
        """Return notes with cosignatures that this node has: what a quorum vouched for, what it cosigned itself."""
        quorum = await self._core.database.read(partial(witnesses.quorum_of, log=log))
        own = await self._core.database.read(partial(witnesses.cosigned_head, log=log))
        return [each.note for each in (quorum, own) if each is not None and each.note]

    async def _shown(self, log: Log) -> list[str]:
        """Return notes with cosignatures that the relay shows now; whoever contradicts itself need not answer."""
        try:
            shown = await self._relay.notes(log)
        except ExchangeError:
            return []
        return [note for note in (shown.cosigned, shown.asked) if note]

    def _is_signed(self, log: Log, note: str) -> bool:
        try:
            self._opened(log, note)
        except VerificationFailed:
            return False
        return True

    def _opened(self, log: Log, note: str) -> Checkpoint:
        return opened_ever(note, log, self._core.trust.now.directory)

    # -- keeping -------------------------------------------------------------------------------------------------------

    async def _keep_fork(self, log: Log, found: Found, why: str) -> str:
        """Keep a file, one for each smaller note and what is shown of it; return what it says."""
        fork, liars = found.fork, ", ".join(found.liars)
        first, second = (self._opened(log, note) for note in (fork.first, fork.second))
        what = f"{why} ({first.size:,} and {second.size:,} entries{'' if found.proven else '; not proven yet'})"
        what += f"; {liars} cosigned both" if liars else ""
        claim = (fork.first.partition("\n\n")[0], str(found.proven), liars)
        await self._keep("fork", fork, what, sha256("\n\n".join(claim).encode()).digest())
        return what

    async def _ring(self, log: Log, found: Found, what: str) -> None:
        size = self._opened(log, found.fork.first).size
        await self._core.alarms.raise_(KINDS[log], f"fork {size}", f"{what}: concord log evidence")
        if found.liars:
            liars = ", ".join(found.liars)
            text = f"{liars} cosigned two histories of the {log.name.lower()} log: concord log evidence"
            await self._core.alarms.raise_(alarms.WITNESS, f"{log.name.lower()}/{liars}", text)

    async def _keep(self, kind: str, claim: Claim, what: str, hash_: bytes, more: Sequence[bytes] = ()) -> None:
        core, directory = self._core, self._core.trust.now.directory
        anchor = await core.database.read(partial(anchor_of, directory=directory))
        keys = await core.database.read(partial(relay_key_entries, directory=directory))
        now_ms = core.clock()
        made = LogEvidence(core.exchange, core.me, now_ms, anchor, (*keys, *more), claim)
        text = write_log_evidence(made)
        kept = KeptEvidence(hash_, now_ms, kind, what, text)
        await core.database.write(partial(witnesses.keep_evidence, evidence=kept))

    async def _proof(self, log: Log, size: int, second: Checkpoint) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the root that the second checkpoint's tree had at a smaller size, with the proof; empty if unknown."""
        if not 0 < size < second.size:
            return b"", ()
        own = partial(_leaves, size=second.size)
        leaves = await self._core.database.read(own) if log is Log.DIRECTORY else []
        if not _are(leaves, second):
            leaves = await self._read(log, second.size)
        if not _are(leaves, second):
            return b"", ()
        return root_of(leaves[:size]), consistency_proof(tiles_of(leaves), size, second.size)

    async def _read(self, log: Log, size: int) -> list[bytes]:
        """Return the leaves of a log, as far as the relay gives them; none of a log that is too large."""
        leaves: list[bytes] = []
        try:
            while len(leaves) < size <= READ_MOST:
                more = await self._relay.read_log(log, len(leaves), min(READ_AT_ONCE, size - len(leaves)))
                if not more:
                    break
                leaves += map(leaf_hash, more)
        except ExchangeError:
            return []
        return leaves


def _are(leaves: list[bytes], checkpoint: Checkpoint) -> bool:
    return len(leaves) == checkpoint.size > 0 and root_of(leaves) == checkpoint.root


def _leaves(connection: Connection, *, size: int) -> list[bytes]:
    leaves: list[bytes] = []
    while len(leaves) < size and (
        more := store.directory_entries(connection, start=len(leaves), limit=min(LOAD_ENTRIES, size - len(leaves)))
    ):
        leaves += map(leaf_hash, more)
    return leaves
