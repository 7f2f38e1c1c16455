"""What witnesses are asked to cosign, and what they have cosigned.

Of each log one checkpoint at a time is *asked* for, so that cosignatures of different witnesses meet below one note:
the newest of the directory, and of the traffic log one that stays until a quorum has signed it or its round is over.
A note that a quorum has signed is handed out to everybody. Nothing on the path of envelopes waits for any of this, and
the relay cannot write a line of it by itself.
Kept in the store, so that a restart loses no cosignature, and compared there before each change, so that several
processes collect below one note.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.directory.statements import Witnesses
from exchange.directory.witnesses import cosigners, vouched
from exchange.errors import BadInput, Conflict, NotAllowed, Unavailable
from exchange.limits import CLOCK_AHEAD_MS
from exchange.names import PartyId
from exchange.relay.checkpoints import Checkpoints
from exchange.relay.directory import LiveDirectory
from exchange.relay.sequencer import Log
from exchange.relay.store.witnesses import Noted, Stage, noted, put_noted
from exchange.runtime.database import Database
from exchange.tlog.checkpoint import Checkpoint, read_checkpoint, witness_name
from exchange.tlog.cosignature import Cosigner, check_cosignature
from exchange.tlog.note import read_note, replace_line

ATTEMPTS = 8
"""Times that a line is placed anew because another process placed one meanwhile."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The notes of one log."""

    newest: str
    """Signed by the log alone."""
    asked: str
    """What witnesses are to cosign now, with the lines so far."""
    cosigned: str
    """The newest that a quorum has cosigned; empty when none has."""


class Witnessing:
    """Collects cosignatures. For one event loop."""

    def __init__(
        self,
        database: Database,
        directory: LiveDirectory,
        checkpoints: Checkpoints,
        clock: Callable[[], int],
        *,
        round_s: float,
    ) -> None:
        """A checkpoint of the traffic log is asked for during `round_s` at most."""
        self._database = database
        self._directory = directory
        self._checkpoints = checkpoints
        self._clock = clock
        self._round_ms = {Log.DIRECTORY: 0, Log.TRAFFIC: int(round_s * 1000)}
        self._noted: dict[tuple[Log, Stage], Noted] = {}
        self._locks = {log: asyncio.Lock() for log in Log}
        self._vouched = {log: asyncio.Event() for log in Log}

    async def load(self) -> None:
        """Take up what was collected before; the checkpoints are loaded."""
        self._noted = await self._database.read(noted)
        for log in Log:
            await self.advance(log)

    def shown(self, log: Log) -> Shown:
        """Return the notes of a log."""
        newest = self._checkpoints.newest(log)[1]
        asked, cosigned = self._noted.get((log, Stage.ASKED)), self._noted.get((log, Stage.COSIGNED))
        return Shown(newest, asked.note if asked else newest, cosigned.note if cosigned else "")

    @property
    def witnessed(self) -> bool:
        """Whether the council has named witnesses."""
        return self._witnesses() is not None

    def cosigned_size(self, log: Log) -> int:
        """Return how many entries a quorum has cosigned."""
        found = self._noted.get((log, Stage.COSIGNED))
        return found.size if found else 0

    async def vouched(self, log: Log) -> None:
        """Return when the next checkpoint of a log reaches its quorum."""
        await self._vouched[log].wait()

    async def advance(self, log: Log) -> None:
        """Take up what other processes have collected, and ask for the newest checkpoint, if it is time to."""
        async with self._locks[log]:
            size, note = await self._checkpoints.take_up(log)
            self._adopt(await self._database.read(noted), log)
            asked, cosigned = self._noted.get((log, Stage.ASKED)), self._noted.get((log, Stage.COSIGNED))
            if asked is not None and _signed_alike(asked.note, note):
                complete = cosigned is not None and cosigned.size == asked.size
                if size <= asked.size or not (complete or self._over(log, asked)):
                    return
            if self._witnesses() is not None:
                await self._put(log, asked, {Stage.ASKED: Noted(size, note, self._clock())})

    def _over(self, log: Log, asked: Noted) -> bool:
        """Say whether a round is over; one that has not begun yet was asked for by a clock that was wrong."""
        since_ms = self._clock() - asked.since_ms
        return since_ms >= self._round_ms[log] or since_ms < -CLOCK_AHEAD_MS

    async def take(self, party: PartyId, log: Log, size: int, line: str) -> None:
        """Place a witness's line below the checkpoint that is asked for; returns when it is durable.

        Raises:
            NotAllowed: the caller is no witness.
            Conflict: another checkpoint is asked for now.
            BadProof: the line does not hold.
            BadInput: its time has not come, or is before that of the line which it would replace.
        """
        async with self._locks[log]:
            for _ in range(ATTEMPTS):
                if await self._place(party, log, size, line):
                    return
            raise Unavailable("lines of other witnesses come faster than this one is placed")

    async def _place(self, party: PartyId, log: Log, size: int, line: str) -> bool:
        """Place a line; say whether that is done, and no other process has placed one in between."""
        self._adopt(await self._database.read(noted), log)
        witnesses, asked = self._witnesses(), self._noted.get((log, Stage.ASKED))
        exchange, now_ms = self._directory.now.directory.exchange, self._clock()
        name = witness_name(exchange, party)
        known = {each.name: each for each in self._cosigners(witnesses)}
        if witnesses is None or name not in known:
            raise NotAllowed(f"{party} is no witness")
        if asked is None or asked.size != size:
            raise Conflict("another checkpoint is asked for now", hint="take the newest")
        checkpoint = self._checkpoint(asked)
        self._check_time(check_cosignature(line, checkpoint, known[name]).at_s, known[name], asked, checkpoint)
        note = replace_line(asked.note, line)
        complete = vouched(note, checkpoint, witnesses, exchange, now_ms).quorum_ms > 0
        stages = (Stage.ASKED, Stage.COSIGNED) if complete else (Stage.ASKED,)
        return await self._put(log, asked, dict.fromkeys(stages, Noted(size, note, asked.since_ms)))

    def _witnesses(self) -> Witnesses | None:
        now = self._directory.now
        return now.directory.witnesses(at_size=now.size)

    def _cosigners(self, witnesses: Witnesses | None) -> list[Cosigner]:
        return cosigners(self._directory.now.directory.exchange, witnesses) if witnesses else []

    def _checkpoint(self, asked: Noted) -> Checkpoint:
        text, _ = read_note(asked.note)
        return read_checkpoint(text, text.partition("\n")[0])

    def _check_time(self, at_s: int, cosigner: Cosigner, asked: Noted, checkpoint: Checkpoint) -> None:
        latest_s = (self._clock() + CLOCK_AHEAD_MS) // 1000
        if not 0 < at_s <= latest_s:
            raise BadInput("the time of a cosignature has not come yet, or is none")
        _, lines = read_note(asked.note)
        for line in lines:
            if line.by(cosigner.name, cosigner.key):
                before = check_cosignature(line.text(), checkpoint, cosigner).at_s
                # One that this relay took while its own clock was wrong counts for nobody, and makes room.
                if at_s < before <= latest_s:
                    raise BadInput("a newer cosignature of this witness is here already")

    async def _put(self, log: Log, before: Noted | None, found: Mapping[Stage, Noted]) -> bool:
        """Store notes, unless what is asked for is not `before` any more; say whether they were stored."""
        stored = await self._database.write(partial(_compare_and_put, log=log, before=before, found=found))
        if stored:
            self._adopt({(log, stage): note for stage, note in found.items()}, log)
        return stored

    def _adopt(self, found: Mapping[tuple[Log, Stage], Noted], log: Log) -> None:
        """Take up notes of a log that are stored, and tell who waits when a quorum covers more."""
        before = self._noted.get((log, Stage.COSIGNED))
        self._noted.update({key: note for key, note in found.items() if key[0] is log})
        cosigned = self._noted.get((log, Stage.COSIGNED))
        if cosigned is not None and (before is None or cosigned.size > before.size):
            self._vouched[log].set()
            self._vouched[log] = asyncio.Event()


def _signed_alike(asked: str, newest: str) -> bool:
    """Say whether the log signed both notes with the same keys: after these have changed, nobody cosigns the old."""
    (_, first), (text, second) = read_note(asked), read_note(newest)
    origin = text.partition("\n")[0]
    return {line.key for line in first if line.name == origin} == {line.key for line in second if line.name == origin}


def _compare_and_put(connection: Connection, *, log: Log, before: Noted | None, found: Mapping[Stage, Noted]) -> bool:
    if noted(connection).get((log, Stage.ASKED)) != before:
        return False
    for stage, note in found.items():
        put_noted(connection, log, stage, note)
    return True
