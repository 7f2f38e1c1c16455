"""Keep what the relay signed and cannot have meant: an evidence file in the store, and an alarm.

Of the directory this node can prove what its own replay says at any size. Of the traffic log it has checkpoints alone:
for two of different sizes it reads the entries, and where they give the root of the larger one, what the smaller one
should have been is proven too.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.errors import ExchangeError, VerificationFailed
from exchange.merkle import leaf_hash, root_of
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes import alarms
from nodes.core import Core
from nodes.log_evidence import Fork, LogEvidence, Unkept, contradiction, write_log_evidence
from nodes.relay_port import Log, Relay
from nodes.store import trust as store
from nodes.store import witnesses
from nodes.store.witnesses import KeptEvidence

KINDS = {Log.DIRECTORY: alarms.DIRECTORY, Log.TRAFFIC: alarms.TRAFFIC}
LOAD_ENTRIES = 1_000
READ_AT_ONCE = 4_096
READ_MOST = 1_000_000
"""Entries of the traffic log that are read to prove a fork: 41 MB, and some seconds."""


class Forks:
    """Evidence of one node against the relay. For one event loop."""

    def __init__(self, core: Core, relay: Relay) -> None:
        """Keep it in the node's store; entries of the traffic log are read from `relay`."""
        self._core = core
        self._relay = relay

    async def contradicts(self, log: Log, one: str, other: str, *, why: str) -> Fork:
        """Keep two notes of one log, each signed by the relay, that cannot both be true; raise the alarm."""
        core = self._core
        origin = directory_origin(core.exchange) if log is Log.DIRECTORY else traffic_origin(core.exchange)
        keys = core.trust.now.directory.relay_keys
        ordered = sorted((one, other), key=lambda note: open_checkpoint(note, origin, keys.log).size)
        first, second = (open_checkpoint(note, origin, keys.log) for note in ordered)
        root, path = await self._proof(log, first.size, second)
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

    async def _proof(self, log: Log, size: int, second: Checkpoint) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the root that the second checkpoint's tree had at a smaller size, with the proof; empty if unknown."""
        if not 0 < size < second.size:
            return b"", ()
        if log is Log.DIRECTORY:
            leaves = await self._core.database.read(partial(_leaves, size=second.size))
        else:
            leaves = await self._read(second.size)
        if len(leaves) != second.size or root_of(leaves) != second.root:
            return b"", ()
        return root_of(leaves[:size]), consistency_proof(tiles_of(leaves), size, second.size)

    async def _read(self, size: int) -> list[bytes]:
        """Return the leaves of the traffic log, as far as the relay gives them; none of a log that is too large."""
        leaves: list[bytes] = []
        try:
            while len(leaves) < size <= READ_MOST:
                more = await self._relay.read_log(Log.TRAFFIC, len(leaves), min(READ_AT_ONCE, size - len(leaves)))
                if not more:
                    break
                leaves += map(leaf_hash, more)
        except ExchangeError:
            return []
        return leaves


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
