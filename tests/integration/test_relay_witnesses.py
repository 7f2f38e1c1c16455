"""The relay collects cosignatures: from witnesses only, for one checkpoint at a time, and it loses none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exchange.crypto.codec import encode_signed
from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.statements import Witness, Witnesses
from exchange.directory.witnesses import vouched
from exchange.errors import BadInput, BadProof, Conflict, NotAllowed
from exchange.limits import CLOCK_AHEAD_MS
from exchange.names import COUNCIL, PartyId, party_id
from exchange.relay.app import MIGRATIONS
from exchange.relay.checkpoints import Checkpoints
from exchange.relay.directory import LiveDirectory
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.store.logs import SqlLogs
from exchange.relay.witnesses import Witnessing
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin, witness_name
from exchange.tlog.cosignature import cosign
from exchange.tlog.signing import open_checkpoint
from tests.support.directory_builders import EXCHANGE, NOON, Exchange, an_exchange, log_keys, mldsa44
from tests.support.relay_world import OneKey

ROUND_S = 300
XA, XV, XO = PartyId("XA"), PartyId("XV"), PartyId("XO")
ORIGINS = {Log.DIRECTORY: directory_origin(EXCHANGE), Log.TRAFFIC: traffic_origin(EXCHANGE)}
TRIO = Witnesses(tuple(Witness(party_id(name), mldsa44(f"{name}/witness").public) for name in ("XA", "XV", "XO")), 2)


@dataclass
class Collected:
    """A relay's witnessing over a store, with a clock that the test moves."""

    database: Database
    exchange: Exchange
    directory: LiveDirectory
    checkpoints: Checkpoints
    witnessing: Witnessing
    sequencer: Sequencer
    now_ms: int = NOON

    def asked(self, log: Log) -> Checkpoint:
        return open_checkpoint(self.witnessing.shown(log).asked, ORIGINS[log], log_keys("relay").public)

    def line(self, name: str, log: Log, *, at_s: int = NOON // 1000) -> str:
        return cosign(self.asked(log), witness_name(EXCHANGE, name), mldsa44(f"{name}/witness"), at_s)

    async def take(self, name: str, log: Log, *, at_s: int = NOON // 1000) -> None:
        await self.witnessing.take(party_id(name), log, self.asked(log).size, self.line(name, log, at_s=at_s))

    async def grow(self, *entries: bytes) -> None:
        await self.database.write(lambda c: self.sequencer.append(SqlLogs(c), Log.TRAFFIC, entries))
        await self.checkpoints.refresh(Log.TRAFFIC)
        await self.witnessing.advance(Log.TRAFFIC)

    def quorum_ms(self, log: Log) -> int:
        note = self.witnessing.shown(log).cosigned
        if not note:
            return 0
        checkpoint = open_checkpoint(note, ORIGINS[log], log_keys("relay").public)
        return vouched(note, checkpoint, TRIO, EXCHANGE, self.now_ms).quorum_ms


@asynccontextmanager
async def collected(path: Path, *, named: bool = True) -> AsyncIterator[Collected]:
    url = sqlite_url(path / "relay.db")
    upgrade(url, MIGRATIONS)
    exchange = an_exchange(("XA", "XV", "XO"))
    if named:
        drafted = issue.draft_witness_set(
            exchange=EXCHANGE, place=exchange.directory.next_seq_prev(COUNCIL), witnesses=TRIO, now_ms=NOON
        )
        exchange.add(sign_statement(drafted, exchange.council_key))
    with Database(url) as database:
        sequencer = Sequencer()
        directory = LiveDirectory(database, sequencer, lambda: NOON)
        await directory.load(exchange.entries[0])
        await directory.append(exchange.entries[1:])
        checkpoints = Checkpoints(database, EXCHANGE, OneKey())
        await checkpoints.load()
        made = Collected(database, exchange, directory, checkpoints, None, sequencer)  # type: ignore[arg-type]  # next
        made.witnessing = Witnessing(database, directory, checkpoints, lambda: made.now_ms, round_s=ROUND_S)
        await made.witnessing.load()
        yield made


async def test_a_note_is_handed_out_as_cosigned_once_a_quorum_has_signed_it(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        for log in Log:
            await relay.take("XA", log)
            assert relay.witnessing.shown(log).cosigned == "", "one of two is no quorum"
            await relay.take("XV", log, at_s=NOON // 1000 - 60)
            assert relay.quorum_ms(log) == NOON - 60_000


async def test_a_restart_loses_no_cosignature(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        await relay.take("XA", Log.TRAFFIC)
        again = Witnessing(relay.database, relay.directory, relay.checkpoints, lambda: NOON, round_s=ROUND_S)
        await again.load()
        assert again.shown(Log.TRAFFIC) == relay.witnessing.shown(Log.TRAFFIC)
        relay.witnessing = again
        await relay.take("XV", Log.TRAFFIC)
        assert relay.quorum_ms(Log.TRAFFIC) == NOON


async def test_lines_handed_to_two_processes_meet_below_one_note(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        with Database(sqlite_url(tmp_path / "relay.db")) as database:
            checkpoints = Checkpoints(database, EXCHANGE, OneKey())
            await checkpoints.load()
            other = Witnessing(database, relay.directory, checkpoints, lambda: relay.now_ms, round_s=ROUND_S)
            await other.load()
            for log in Log:
                size = relay.asked(log).size
                waits = asyncio.create_task(relay.witnessing.vouched(log))
                await relay.take("XA", log)
                await other.take(XV, log, size, relay.line("XV", log))
                await relay.witnessing.advance(log)
                assert relay.witnessing.shown(log) == other.shown(log)
                assert relay.quorum_ms(log) == NOON
                await asyncio.wait_for(waits, 10)
            # Each takes what the other asks for by now, whichever of them asked.
            await relay.grow(b"more")
            await other.advance(Log.TRAFFIC)
            assert other.shown(Log.TRAFFIC).asked != relay.witnessing.shown(Log.TRAFFIC).cosigned
            await relay.witnessing.advance(Log.TRAFFIC)
            assert relay.witnessing.shown(Log.TRAFFIC) == other.shown(Log.TRAFFIC)


async def test_only_witnesses_cosign_and_only_what_is_asked_for(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        take, size = relay.witnessing.take, relay.asked(Log.DIRECTORY).size
        with pytest.raises(NotAllowed):
            await take(PartyId("XT"), Log.DIRECTORY, size, relay.line("XA", Log.DIRECTORY))
        with pytest.raises(BadProof):
            await take(XV, Log.DIRECTORY, size, relay.line("XA", Log.DIRECTORY))
        with pytest.raises(BadProof):
            await take(XA, Log.DIRECTORY, size, relay.line("XA", Log.TRAFFIC))
        with pytest.raises(BadProof):
            await take(XA, Log.DIRECTORY, size, "junk\n")
        with pytest.raises(Conflict):
            await take(XA, Log.DIRECTORY, size - 1, relay.line("XA", Log.DIRECTORY))


async def test_times_that_cannot_be_are_refused_and_newer_lines_replace_older_ones(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        now_s = NOON // 1000
        for at_s in (0, now_s + CLOCK_AHEAD_MS // 1000 + 1):
            with pytest.raises(BadInput):
                await relay.take("XA", Log.TRAFFIC, at_s=at_s)
        await relay.take("XA", Log.TRAFFIC, at_s=now_s - 10)
        await relay.take("XV", Log.TRAFFIC, at_s=now_s - 10)
        relay.now_ms += 3_600_000
        later_s = relay.now_ms // 1000
        for name in ("XA", "XV"):
            await relay.take(name, Log.TRAFFIC, at_s=later_s)
        assert relay.quorum_ms(Log.TRAFFIC) == later_s * 1000, "fresh, although nothing has grown"
        with pytest.raises(BadInput):
            await relay.take("XA", Log.TRAFFIC, at_s=now_s)


async def test_one_checkpoint_of_the_traffic_log_is_asked_for_until_its_quorum_or_its_end(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        first = relay.asked(Log.TRAFFIC)
        await relay.grow(b"1")
        assert relay.asked(Log.TRAFFIC) == first
        await relay.take("XA", Log.TRAFFIC)
        await relay.take("XO", Log.TRAFFIC)
        await relay.grow(b"2")
        second = relay.asked(Log.TRAFFIC)
        assert second.size == first.size + 2
        await relay.take("XA", Log.TRAFFIC)
        await relay.grow(b"3")
        assert relay.asked(Log.TRAFFIC) == second
        relay.now_ms += ROUND_S * 1000
        await relay.grow(b"4")
        assert relay.asked(Log.TRAFFIC).size == second.size + 2
        cosigned = open_checkpoint(relay.witnessing.shown(Log.TRAFFIC).cosigned, ORIGINS[Log.TRAFFIC], KEYS)
        assert cosigned == first, "the newest with a quorum is kept"


KEYS = log_keys("relay").public


async def test_what_a_wrong_clock_has_dated_ahead_holds_nobody_up_once_that_is_set_right(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        await relay.take("XA", Log.TRAFFIC)
        await relay.take("XV", Log.TRAFFIC)
        relay.now_ms += 20 * 60_000
        await relay.grow(b"asked for by a clock that is ahead")
        await relay.take("XA", Log.TRAFFIC, at_s=relay.now_ms // 1000)
        relay.now_ms = NOON
        # A line of a time that has not come makes room.
        await relay.take("XA", Log.TRAFFIC)
        before = relay.asked(Log.TRAFFIC)
        await relay.grow(b"more")
        assert relay.asked(Log.TRAFFIC).size == before.size + 1, "the round is not twenty minutes longer"


async def test_the_newest_checkpoint_of_the_directory_is_asked_for_at_once(tmp_path: Path) -> None:
    async with collected(tmp_path) as relay:
        await relay.take("XA", Log.DIRECTORY)
        place = relay.exchange.directory.next_seq_prev(COUNCIL)
        signed = issue.make_suspension(
            exchange=EXCHANGE,
            place=place,
            party=XO,
            suspended=True,
            now_ms=NOON,
            council_key=relay.exchange.council_key,
        )
        relay.exchange.add(signed)
        await relay.directory.append([encode_signed(signed)])
        await relay.checkpoints.refresh(Log.DIRECTORY)
        await relay.witnessing.advance(Log.DIRECTORY)
        assert relay.asked(Log.DIRECTORY).size == relay.directory.now.size
        await relay.take("XO", Log.DIRECTORY)
        assert relay.witnessing.shown(Log.DIRECTORY).cosigned == "", "lines of another size do not count together"


async def test_nobody_is_asked_in_an_unwitnessed_exchange(tmp_path: Path) -> None:
    async with collected(tmp_path, named=False) as relay:
        for log in Log:
            shown = relay.witnessing.shown(log)
            assert (shown.asked, shown.cosigned) == (shown.newest, "")
            with pytest.raises(NotAllowed):
                await relay.take("XA", log)
