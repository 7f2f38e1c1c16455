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
from exchange.tlog.checkpoint import Checkpoint
from nodes import alarms
from nodes.core import Core
from nodes.forks import KINDS, Forks
from nodes.relay_port import Log, Relay
from nodes.relay_word import opened_directory, opened_ever, stated
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import HeardHead
from nodes.traffic_note import newest_traffic


class Heads:
    """Compares what partners have seen. For one event loop."""

    def __init__(self, core: Core, relay: Relay, forks: Forks) -> None:
        """Ask `relay` for proofs; what contradicts itself goes to `forks`."""
        self._core = core
        self._relay = relay
        self._forks = forks
        self._directories: dict[str, int] = {}
        self._log = get_logger(__name__)

    async def compare(self) -> None:
        """Look at every head that is not compared yet; what cannot be compared now waits."""
        heads = await self._core.database.read(store.heard_heads)
        self._directories = {head.party: head.size for head in heads if head.log == Log.DIRECTORY}
        for head in heads:
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
            if self._ahead(head):
                return False
            theirs = self._theirs(head)
        except VerificationFailed as error:
            text = f"{head.party} names a checkpoint of the {log.name.lower()} log that does not hold: {error}"
            await core.alarms.raise_(alarms.SENDER, f"{head.party}/{log.name.lower()}", text)
            return True
        why = f"{head.party} was shown another {log.name.lower()} log than this node"
        if log is Log.DIRECTORY:
            return await self._directory(theirs, head, why)
        ours, note = await newest_traffic(core, self._relay)
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

    def _ahead(self, head: HeardHead) -> bool:
        """Say whether the partner's directory was larger: what the relay's keys are there is not known here yet."""
        return self._directories.get(head.party, 0) > self._core.trust.now.size

    def _theirs(self, head: HeardHead) -> Checkpoint:
        directory = self._core.trust.now.directory
        if head.log == Log.DIRECTORY:
            return opened_directory(head.note, directory)
        return opened_ever(head.note, Log.TRAFFIC, directory)

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
            found = stated(note, log, exchange)
        except VerificationFailed as error:
            text = f"{head.from_party} names a checkpoint that is none: {error}"
            wrong.append((alarms.SENDER, f"{head.from_party}/{log.name.lower()}", text))
        else:
            heard = HeardHead(head.from_party, int(log), found.size, found.root, note, now_ms)
            store.hear_head(connection, heard)
    return wrong


def told(connection: Connection) -> tuple[str, str]:
    """Return the newest checkpoints of directory and traffic log that this node has verified; empty where none is."""
    directory, traffic = (trust_store.checkpoint_of(connection, log) for log in (Log.DIRECTORY, Log.TRAFFIC))
    return directory[1] if directory else "", traffic[1] if traffic else ""


def _subject(head: HeardHead) -> str:
    return f"withheld/{head.party}"
