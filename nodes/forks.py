"""Keep what the relay signed and cannot have meant: an evidence file in the store, and an alarm.

Of the directory this node can prove what its own replay says at any size; of the traffic log it has checkpoints alone,
so two of different sizes prove something only with a proof by the relay.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.errors import VerificationFailed
from exchange.merkle import leaf_hash
from exchange.tlog.checkpoint import directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes import alarms
from nodes.core import Core
from nodes.log_evidence import Fork, LogEvidence, Unkept, contradiction, write_log_evidence
from nodes.relay_port import Log
from nodes.store import trust as store
from nodes.store import witnesses
from nodes.store.witnesses import KeptEvidence

KINDS = {Log.DIRECTORY: alarms.DIRECTORY, Log.TRAFFIC: alarms.TRAFFIC}
LOAD_ENTRIES = 1_000


class Forks:
    """Evidence of one node against the relay. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Keep it in the node's store."""
        self._core = core

    async def contradicts(self, log: Log, one: str, other: str, *, why: str) -> Fork:
        """Keep two notes of one log, each signed by the relay, that cannot both be true; raise the alarm."""
        core = self._core
        origin = directory_origin(core.exchange) if log is Log.DIRECTORY else traffic_origin(core.exchange)
        keys = core.trust.now.directory.relay_keys
        ordered = sorted((one, other), key=lambda note: open_checkpoint(note, origin, keys.log).size)
        first, second = (open_checkpoint(note, origin, keys.log) for note in ordered)
        snapshot = core.trust.now
        root: bytes = b""
        path: tuple[bytes, ...] = ()
        replayed = log is Log.DIRECTORY and 0 < first.size < second.size <= snapshot.size
        if replayed and snapshot.roots[second.size] == second.root:
            root, path = snapshot.roots[first.size], await self._path(first.size, second.size)
        fork = Fork(log.name.lower(), ordered[0], ordered[1], root, path)
        try:
            proven = contradiction(fork, core.exchange, keys)
        except VerificationFailed:
            proven = False
        what = f"{why} ({first.size:,} and {second.size:,} entries{'' if proven else '; not proven yet'})"
        await self._keep("fork", fork, what)
        await core.alarms.raise_(KINDS[log], f"fork {second.size}", f"{what}: concord log evidence")
        return fork

    async def unkept(self, claim: Unkept, what: str) -> None:
        """Keep a promise that the log does not keep; the caller raises the alarm."""
        await self._keep("promise", claim, what)

    async def _keep(self, kind: str, claim: Fork | Unkept, what: str) -> None:
        core = self._core
        genesis = (await core.database.read(partial(store.directory_entries, start=0, limit=1)))[0]
        now_ms = core.clock()
        text = write_log_evidence(LogEvidence(core.exchange, core.me, now_ms, genesis, claim))
        kept = KeptEvidence(_claim_hash(claim), now_ms, kind, what, text)
        await core.database.write(partial(witnesses.keep_evidence, evidence=kept))

    async def _path(self, old: int, new: int) -> tuple[bytes, ...]:
        leaves = await self._core.database.read(partial(_leaves, size=new))
        return consistency_proof(tiles_of(leaves), old, new)


def _leaves(connection: Connection, *, size: int) -> list[bytes]:
    leaves: list[bytes] = []
    while len(leaves) < size and (
        more := store.directory_entries(connection, start=len(leaves), limit=min(LOAD_ENTRIES, size - len(leaves)))
    ):
        leaves += map(leaf_hash, more)
    return leaves


def _claim_hash(claim: Fork | Unkept) -> bytes:
    parts: Sequence[str] = (
        (claim.first, claim.second) if isinstance(claim, Fork) else (claim.promise.payload.hex(), "promise")
    )
    return sha256("\n\n".join(parts).encode()).digest()
