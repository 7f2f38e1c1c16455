"""Two histories: what is proven to others, what is only named, within what time, and which witnesses lied as well."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import cast

import pytest

from exchange.errors import BadInput, BadProof, ExchangeError, Unavailable
from exchange.merkle import leaf_hash, root_of
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.checkpoint import Checkpoint, traffic_origin, witness_name
from exchange.tlog.cosignature import cosign
from exchange.tlog.note import with_lines
from exchange.tlog.signing import sign_checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes.admin.main import run
from nodes.alarms import Alarms
from nodes.app import MIGRATIONS
from nodes.evidence_check import Check, Result
from nodes.forks import Forks
from nodes.log_evidence import check_log_evidence, read_log_evidence, write_log_evidence
from nodes.relay_port import Log, Notes, Relay
from nodes.store import alarms
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import Quorum
from tests.property.test_witness_properties import a_core
from tests.support.directory_builders import EXCHANGE, NOON, Exchange, log_keys, mldsa44
from tests.unit.nodes.test_node_freshness import PAIR, an_exchange_with

ORIGIN = traffic_origin(EXCHANGE)
TRUE = [bytes([n]) * 41 for n in range(12)]
OTHER = [*TRUE[:4], *(bytes([100 + n]) * 41 for n in range(12))]
MINUTE = 60_000


@cache
def an_exchange() -> Exchange:
    """Return the exchange of every node here: two partners have one genesis."""
    return an_exchange_with(PAIR)


def a_note(entries: Sequence[bytes], *cosigned_by: str) -> str:
    """Return what the relay signed over these entries, with the lines of these witnesses."""
    checkpoint = Checkpoint(ORIGIN, len(entries), root_of([leaf_hash(entry) for entry in entries]))
    lines = [
        cosign(checkpoint, witness_name(EXCHANGE, name), mldsa44(f"{name}/witness"), NOON // 1000)
        for name in cosigned_by
    ]
    return with_lines(sign_checkpoint(checkpoint, log_keys("relay")), lines)


class Evasive:
    """A relay that gives proofs and entries, or does not."""

    def __init__(self) -> None:
        self.entries: Sequence[bytes] = TRUE
        self.refuses: ExchangeError | None = None
        self.serves = False
        self.shown = ""

    async def consistency_proof(self, _: Log, old: int, new: int) -> Sequence[bytes]:
        if self.refuses:
            raise self.refuses
        return consistency_proof(tiles_of([leaf_hash(entry) for entry in self.entries[:new]]), old, new)

    async def read_log(self, _: Log, start: int, count: int) -> Sequence[bytes]:
        return self.entries[start : start + count] if self.serves else []

    async def notes(self, _: Log) -> Notes:
        return Notes("", self.shown, "")


class Keeper:
    """A node's evidence over a real store; the test moves the clock."""

    def __init__(self, database: Database, executor: ThreadPoolExecutor) -> None:
        self.relay, self.database, self.clock = Evasive(), database, [NOON]
        core = a_core(database, executor, self.clock)
        self.forks = Forks(core, cast(Relay, self.relay))
        self.alarms = Alarms(database, lambda: self.clock[0])

    async def continues(self, one: str, other: str) -> None:
        await self.forks.continues(Log.TRAFFIC, one, other, why="the log forks")

    async def ringing(self) -> dict[str, str]:
        return {each.subject: each.text for each in await self.database.read(alarms.open_alarms)}

    async def files(self) -> list[str]:
        return [each.file for each in await self.database.read(partial(store.kept_evidence, limit=9))]

    async def verdicts(self) -> list[dict[str, Result]]:
        return [results(check_log_evidence(read_log_evidence(file))) for file in await self.files()]


def results(checks: Sequence[Check]) -> dict[str, Result]:
    return {each.what: each.result for each in checks}


@asynccontextmanager
async def a_keeper(path: Path) -> AsyncIterator[Keeper]:
    upgrade(sqlite_url(path / "node.db"), MIGRATIONS)
    database = Database(sqlite_url(path / "node.db"))
    with ThreadPoolExecutor(1) as executor, database:
        await database.write(lambda c: trust_store.add_entries(c, 0, an_exchange().entries))
        yield Keeper(database, executor)


async def test_a_relay_that_is_never_able_to_prove_is_named_after_ten_minutes_with_both_notes(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as node:
        node.relay.refuses = Unavailable("later")
        for minute in range(11):
            node.clock[0] = NOON + minute * MINUTE
            with pytest.raises(Unavailable):
                await node.continues(a_note(TRUE[:5]), a_note(TRUE[: 6 + minute % 6]))
            assert await node.ringing() == {}
        node.clock[0] += 1
        with pytest.raises(Unavailable):
            await node.continues(a_note(TRUE[:5]), a_note(TRUE))
        (text,) = (await node.ringing()).values()
        assert "does not prove that its traffic log of 12 entries continues the one of 5" in text
        assert [each["history"] for each in await node.verdicts()] == [Result.NOT_CHECKED]
        node.relay.refuses = None
        await node.continues(a_note(TRUE[:5]), a_note(TRUE))
        assert await node.ringing() == {}, "it has proven it after all"


async def test_a_relay_that_proves_now_and_then_owes_nothing(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as node:
        for minute in range(40):
            node.clock[0] = NOON + minute * MINUTE
            node.relay.refuses = Unavailable("later") if minute % 9 else None
            if node.relay.refuses:
                with pytest.raises(Unavailable):
                    await node.continues(a_note(TRUE[:5]), a_note(TRUE))
            else:
                await node.continues(a_note(TRUE[:5]), a_note(TRUE))
        assert await node.ringing() == {} and await node.files() == []


async def test_a_relay_that_refuses_a_proof_is_named_at_once_and_proven_wrong_when_it_gives_entries(
    tmp_path: Path,
) -> None:
    async with a_keeper(tmp_path) as node:
        node.relay.entries, node.relay.refuses = OTHER, BadInput("no such proof")
        for _ in range(3):
            with pytest.raises(BadProof):
                await node.continues(a_note(TRUE[:5]), a_note(OTHER))
        (text,) = (await node.ringing()).values()
        assert "refuses to prove that 5 and 16 entries are one log" in text and "not proven yet" in text
        assert [each["history"] for each in await node.verdicts()] == [Result.NOT_CHECKED], "one file, however often"
        node.relay.serves = True
        with pytest.raises(BadProof):
            await node.continues(a_note(TRUE[:5]), a_note(OTHER))
        assert sorted(each["history"] for each in await node.verdicts()) == [Result.NOT_CHECKED, Result.WRONG]


async def test_witnesses_of_both_sides_are_named_in_the_file_and_in_an_alarm(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as node:
        one, other = a_note(TRUE[:6], "XA", "XV", "XO"), a_note(OTHER[:6], "XV", "XO")
        with pytest.raises(BadProof):
            await node.continues(one, other)
        (found,) = await node.verdicts()
        assert found == {
            "checkpoints": Result.HOLDS,
            "history": Result.WRONG,
            "witness XO": Result.LIED,
            "witness XV": Result.LIED,
            "genesis": Result.NOT_CHECKED,
        }
        assert "XO, XV cosigned two histories of the traffic log" in (await node.ringing())["traffic/XO, XV"]


async def test_cosignatures_that_only_the_relay_shows_now_are_taken_into_the_file(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as node:
        node.relay.shown = a_note(OTHER[:6], "XV", "XO")
        with pytest.raises(BadProof):
            await node.continues(a_note(TRUE[:6], "XV"), a_note(OTHER[:6]))
        assert sorted("witness XV" in each for each in await node.verdicts()) == [False, True]


async def test_a_witness_that_followed_one_history_only_is_never_named(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as node:
        with pytest.raises(BadProof):
            await node.continues(a_note(TRUE[:6], "XA", "XV"), a_note(OTHER[:6], "XO"))
        await node.continues(a_note(TRUE[:6], "XA"), a_note(TRUE, "XA"))
        (found,) = await node.verdicts()
        assert Result.LIED not in found.values()


async def test_two_partners_put_their_files_together_and_have_the_liars_of_both_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has the cosignatures of the history that it was shown, and of the other the relay's signature alone."""
    files = []
    for shown, others, by in ((TRUE, OTHER, ("XA", "XV")), (OTHER, TRUE, ("XV", "XO"))):
        home = tmp_path / by[0]
        home.mkdir()
        async with a_keeper(home) as node:
            quorum = Quorum(int(Log.TRAFFIC), 6, a_note(shown[:6], *by), NOON, NOON)
            await node.database.write(partial(store.set_quorum, quorum=quorum))
            with pytest.raises(BadProof):
                await node.continues(a_note(shown[:6]), a_note(others[:6]))
            (text,) = await node.files()
            files.append(home / "fork.evidence")
            files[-1].write_text(text)
            assert Result.LIED not in results(check_log_evidence(read_log_evidence(text))).values()
    assert run(["verify", *map(str, files)]) == 0
    said = capsys.readouterr().out
    assert "witness XV" in said and "witness was wrong" in said
    assert "witness XA" not in said and "witness XO" not in said
    assert run(["verify", str(files[0]), "--json"]) == 0
    assert "witness XV" not in capsys.readouterr().out, "one alone does not name it"


async def test_one_more_line_that_does_not_hold_saves_no_liar_and_accuses_nobody(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as node:
        checkpoint = Checkpoint(ORIGIN, 6, root_of([leaf_hash(entry) for entry in TRUE[:6]]))
        spoilt = cosign(checkpoint, witness_name(EXCHANGE, "XO"), mldsa44("XO/witness"), NOON // 1000)
        other = with_lines(a_note(OTHER[:6], "XV"), [spoilt])
        with pytest.raises(BadProof):
            await node.continues(a_note(TRUE[:6], "XV", "XO"), other)
        (found,) = await node.verdicts()
        assert found["witness XV"] is Result.LIED and "witness XO" not in found
        # Witnesses whom the council did not name are nobody's: the file fails as a whole.
        (file,) = await node.files()
        read = read_log_evidence(file)
        forged = replace(read, anchor=replace(read.anchor, witness_set=read.anchor.witness_set[:-1] + b"\0"))
        checks = results(check_log_evidence(read_log_evidence(write_log_evidence(forged))))
        assert checks["witnesses"] is Result.FAILS and "witness XV" not in checks
