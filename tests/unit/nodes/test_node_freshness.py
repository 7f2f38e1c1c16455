"""The quorum time: what moves it, what cannot, and what happens when it is old."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.statements import Witness, Witnesses
from exchange.errors import BadProof, Unavailable
from exchange.merkle import leaf_hash, root_of
from exchange.names import COUNCIL, party_id
from exchange.runtime.database import Database
from exchange.tlog.checkpoint import Checkpoint, directory_origin, witness_name
from exchange.tlog.cosignature import cosign
from exchange.tlog.note import with_lines
from exchange.tlog.signing import sign_checkpoint
from nodes.alarms import Alarms
from nodes.config import Timing
from nodes.core import Core
from nodes.forks import Forks
from nodes.freshness import Fresh, Freshness
from nodes.relay_port import DirectoryFrame, Log, Notes, Relay
from nodes.store import alarms
from nodes.trust import Trust
from tests.support.directory_builders import EXCHANGE, NOON, Exchange, an_exchange, log_keys, mldsa44
from tests.unit.nodes.test_node_trust import a_trust, note

HOUR = 3_600_000
PAIR = Witnesses(tuple(Witness(party_id(name), mldsa44(f"{name}/witness").public) for name in ("XA", "XV", "XO")), 2)


def an_exchange_with(witnesses: Witnesses | None) -> Exchange:
    exchange = an_exchange(("XA", "XV", "XO"))
    if witnesses is not None:
        place = exchange.directory.next_seq_prev(COUNCIL)
        drafted = issue.draft_witness_set(exchange=EXCHANGE, place=place, witnesses=witnesses, now_ms=NOON)
        exchange.add(sign_statement(drafted, exchange.council_key))
    return exchange


class Away:
    """A relay that cannot be reached."""

    async def notes(self, _: Log) -> Notes:
        raise Unavailable("away")

    async def read_log(self, _: Log, __: int, ___: int) -> Sequence[bytes]:
        raise Unavailable("away")


@dataclass
class Watched:
    """A node's freshness over a real store; the test moves the clock."""

    exchange: Exchange
    trust: Trust
    database: Database
    now_ms: int = NOON
    freshness: Freshness = None  # type: ignore[assignment]  # set at once

    def __post_init__(self) -> None:
        clock = lambda: self.now_ms  # noqa: E731 - one clock for both
        core = SimpleNamespace(
            exchange=EXCHANGE,
            me=party_id("XA"),
            trust=self.trust,
            database=self.database,
            alarms=Alarms(self.database, clock),
            clock=clock,
            timing=Timing(),
        )
        self.freshness = Freshness(cast(Core, core), Forks(cast(Core, core), cast(Relay, Away())))

    async def follow(self) -> None:
        """Take in what the exchange's log has more."""
        self.trust.begin()
        start = self.trust.start
        frame = DirectoryFrame(start, self.exchange.entries[start:], note(self.exchange.entries))
        if await self.trust.take(frame):
            await self.freshness.grown()

    def cosigned(self, *names: str, size: int = 0, at_ms: int = 0) -> str:
        entries = self.exchange.entries[: size or len(self.exchange.entries)]
        checkpoint = Checkpoint(directory_origin(EXCHANGE), len(entries), root_of([leaf_hash(e) for e in entries]))
        at_s = (at_ms or self.now_ms) // 1000
        lines = [cosign(checkpoint, witness_name(EXCHANGE, name), mldsa44(f"{name}/witness"), at_s) for name in names]
        return with_lines(sign_checkpoint(checkpoint, log_keys("relay")), lines)

    async def alarmed(self) -> bool:
        return "freshness" in [each.kind for each in await self.database.read(alarms.open_alarms)]

    def grow(self) -> None:
        """Let the log have one entry more."""
        place = self.exchange.directory.next_seq_prev(COUNCIL)
        suspended = self.exchange.directory.standing(party_id("XO"), at_size=self.exchange.directory.size) == "admitted"
        drafted = issue.draft_suspension(
            exchange=EXCHANGE, place=place, party=party_id("XO"), suspended=suspended, now_ms=NOON
        )
        self.exchange.add(sign_statement(drafted, self.exchange.council_key))


@asynccontextmanager
async def watched(path: Path, witnesses: Witnesses | None = PAIR) -> AsyncIterator[Watched]:
    exchange = an_exchange_with(witnesses)
    async with a_trust(path, exchange) as (trust, database):
        made = Watched(exchange, trust, database)
        await made.freshness.load()
        await made.follow()
        yield made


async def test_an_unwitnessed_exchange_is_said_to_be_so_and_stops_nothing(tmp_path: Path) -> None:
    async with watched(tmp_path, None) as node:
        node.now_ms += 100 * 24 * HOUR
        await node.freshness.look()
        assert node.freshness.now == Fresh(False, 0, 0)
        assert node.freshness.stale_since() == 0 and not await node.alarmed()


async def test_the_time_counts_from_when_the_first_witnesses_were_named(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        assert node.freshness.now == Fresh(True, 0, NOON)


async def test_between_naming_the_first_witnesses_and_storing_that_nothing_rings(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        node.freshness._quorum = None
        await node.freshness.look()
        assert node.freshness.now == Fresh(True, 0, NOON) and not await node.alarmed()


async def test_a_quorum_moves_the_time_and_fewer_do_not(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        node.now_ms += HOUR
        size = len(node.exchange.entries)
        await node.freshness.take(node.cosigned("XA"))
        assert node.freshness.now.quorum_ms == NOON
        await node.freshness.take(node.cosigned("XA", "XO"))
        assert node.freshness.now == Fresh(True, size, NOON + HOUR)
        again = Freshness(node.freshness._core, Forks(node.freshness._core, cast(Relay, Away())))
        await again.load()
        assert again.now == node.freshness.now, "a restart forgets nothing"


async def test_two_hours_are_an_alarm_and_a_day_stops_reports_until_a_quorum_is_back(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        woken: list[bool] = []
        node.freshness.on_fresh = lambda: woken.append(True)
        for hours, alarm, stale in ((1, False, False), (2, True, False), (23, True, False), (24, True, True)):
            node.now_ms = NOON + hours * HOUR
            await node.freshness.look()
            assert (await node.alarmed(), node.freshness.stale_since() > 0) == (alarm, stale)
        await node.freshness.take(node.cosigned("XA", "XV"))
        assert node.freshness.stale_since() == 0 and woken == [True]
        assert not await node.alarmed()


async def test_old_words_repeated_do_not_keep_a_directory_fresh(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        old = node.cosigned("XA", "XV")
        node.now_ms += 24 * HOUR
        for _ in range(3):
            await node.freshness.take(old)
        assert node.freshness.now.quorum_ms == NOON


async def test_entries_that_only_this_node_is_shown_are_never_covered(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        witnessed_size = len(node.exchange.entries)
        node.now_ms += HOUR
        node.grow()
        await node.follow()
        for hours in (2, 3, 25):
            node.now_ms = NOON + hours * HOUR
            await node.freshness.take(node.cosigned("XA", "XV", "XO", size=witnessed_size))
        assert node.freshness.now.quorum_ms == NOON + HOUR, "no later than the entry that no witness has seen"
        assert node.freshness.stale_since() == NOON + 25 * HOUR
        await node.freshness.take(node.cosigned("XA", "XV"))
        assert node.freshness.stale_since() == 0


async def test_after_a_restart_what_no_quorum_covers_does_not_count_as_covered(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        witnessed_size = len(node.exchange.entries)
        node.grow()
        await node.follow()
        again = Freshness(node.freshness._core, Forks(node.freshness._core, cast(Relay, Away())))
        await again.load()
        node.now_ms += HOUR
        await again.take(node.cosigned("XA", "XV", size=witnessed_size))
        assert again.now.quorum_ms == NOON


async def test_a_directory_that_grows_all_the_time_stays_fresh(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        for _ in range(5):
            node.now_ms += 12 * HOUR
            before = len(node.exchange.entries)
            node.grow()
            await node.follow()
            await node.freshness.take(node.cosigned("XA", "XV", size=before))
        assert node.freshness.now.quorum_ms == node.now_ms, "as of just before the newest entry"


async def test_a_cosigned_checkpoint_that_contradicts_the_replay_is_evidence(tmp_path: Path) -> None:
    async with watched(tmp_path) as node:
        entries = [*node.exchange.entries[:-1], b"other"]
        checkpoint = Checkpoint(directory_origin(EXCHANGE), len(entries), root_of([leaf_hash(e) for e in entries]))
        with pytest.raises(BadProof):
            await node.freshness.take(sign_checkpoint(checkpoint, log_keys("relay")))
        kinds = {each.kind for each in await node.database.read(alarms.open_alarms)}
        assert kinds == {"directory", "relay"}
