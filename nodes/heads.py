"""Compare with partners what the relay shows of its logs: each tells in its stream heads what it has seen.

A head of the directory that is no larger than this node's own replay is compared with the root at that size. A larger
one must turn up in the replay within ten minutes. One of the traffic log must be continued by, or continue, the newest
that the relay shows here. Two checkpoints that the relay signed and that contradict each other become an evidence file;
what stays unseen is an alarm. A partner whose note the relay never signed is an alarm against the partner.
Directory heads in the headers of envelopes are compared when they are opened (nodes/opening.py).
"""

from functools import partial

from sqlalchemy import Connection

from exchange.errors import BadProof, ExchangeError, VerificationFailed
from exchange.receipts.model import StreamHead
from exchange.runtime.logs import get_logger
from exchange.tlog.checkpoint import Checkpoint, directory_origin, read_checkpoint, traffic_origin
from exchange.tlog.note import read_note
from exchange.tlog.signing import open_checkpoint
from nodes import alarms
from nodes.core import Core
from nodes.forks import KINDS, Forks
from nodes.relay_port import Log, Relay
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import HeardHead


class Heads:
    """Compares what partners have seen. For one event loop."""

    def __init__(self, core: Core, relay: Relay, forks: Forks) -> None:
        """Ask `relay` for proofs; what contradicts itself goes to `forks`."""
        self._core = core
        self._relay = relay
        self._forks = forks
        self._log = get_logger(__name__)

    async def compare(self) -> None:
        """Look at every head that is not compared yet; what cannot be compared now waits."""
        for head in await self._core.database.read(store.heard_heads):
            try:
                done = await self._compared(head)
            except VerificationFailed:
                done = True  # kept as evidence, with an alarm
            except ExchangeError as error:
                self._log.info("head.waits", party=head.party, reason=error.reason)
                done = False
            if done:
                await self._core.database.write(partial(store.forget_head, head=head))
            elif self._core.clock() - head.heard_ms > self._core.timing.directory_most_s * 1000:
                await self._withheld(head)

    async def _compared(self, head: HeardHead) -> bool:
        core, log = self._core, Log(head.log)
        try:
            theirs = open_checkpoint(head.note, _origin(log, core.exchange), core.trust.now.directory.relay_keys.log)
        except VerificationFailed as error:
            text = f"{head.party} names a checkpoint of the {log.name.lower()} log that does not hold: {error}"
            await core.alarms.raise_(alarms.SENDER, f"{head.party}/{log.name.lower()}", text)
            return True
        why = f"{head.party} was shown another {log.name.lower()} log than this node"
        if log is Log.DIRECTORY:
            return await self._directory(theirs, head, why)
        ours, note = await self._newest()
        if theirs.size > ours.size:
            return False
        await self._forks.continues(log, head.note, note, why=why)
        await core.alarms.close(KINDS[log], _subject(head))
        return True

    async def _directory(self, theirs: Checkpoint, head: HeardHead, why: str) -> bool:
        core, snapshot = self._core, self._core.trust.now
        if theirs.size > snapshot.size:
            return False
        if snapshot.roots[theirs.size] != theirs.root:
            kept = await core.database.read(partial(trust_store.checkpoint_of, log=Log.DIRECTORY))
            if kept is not None:
                await self._forks.contradicts(Log.DIRECTORY, kept[1], head.note, why=why)
            raise BadProof(why)
        await core.alarms.close(alarms.DIRECTORY, _subject(head))
        return True

    async def _newest(self) -> tuple[Checkpoint, str]:
        """Return the newest checkpoint of the traffic log that the relay shows this node."""
        core = self._core
        note = await self._relay.checkpoint(Log.TRAFFIC)
        keys = core.trust.now.directory.relay_keys.log
        return open_checkpoint(note, traffic_origin(core.exchange), keys), note

    async def _withheld(self, head: HeardHead) -> None:
        log = Log(head.log)
        text = (
            f"{head.party} has seen {head.size:,} entries of the {log.name.lower()} log, and the relay shows fewer here"
        )
        await self._core.alarms.raise_(KINDS[log], _subject(head), text)


def hear(connection: Connection, head: StreamHead, exchange: str, now_ms: int) -> list[tuple[str, str, str]]:
    """Keep what a verified stream head says of the logs, to be compared; return alarms as (kind, subject, text)."""
    wrong = []
    for log, note in ((Log.DIRECTORY, head.directory_note), (Log.TRAFFIC, head.traffic_note)):
        if not note:
            continue
        try:
            stated = read_checkpoint(read_note(note)[0], _origin(log, exchange))
        except VerificationFailed as error:
            text = f"{head.from_party} names a checkpoint that is none: {error}"
            wrong.append((alarms.SENDER, f"{head.from_party}/{log.name.lower()}", text))
        else:
            heard = HeardHead(head.from_party, int(log), stated.size, stated.root, note, now_ms)
            store.hear_head(connection, heard)
    return wrong


def told(connection: Connection) -> tuple[str, str]:
    """Return the newest checkpoints of directory and traffic log that this node has verified; empty where none is."""
    directory, traffic = (trust_store.checkpoint_of(connection, log) for log in (Log.DIRECTORY, Log.TRAFFIC))
    return directory[1] if directory else "", traffic[1] if traffic else ""


def _origin(log: Log, exchange: str) -> str:
    return directory_origin(exchange) if log is Log.DIRECTORY else traffic_origin(exchange)


def _subject(head: HeardHead) -> str:
    return f"withheld/{head.party}"
