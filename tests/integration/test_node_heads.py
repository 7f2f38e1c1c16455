"""Partners compare what the relay shows them: two histories become evidence, and what is kept back an alarm."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exchange.errors import ExchangeError
from exchange.merkle import leaf_hash, root_of
from exchange.runtime.clock import now_ms
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import sign_checkpoint
from nodes.admin.main import run
from nodes.evidence_check import Result
from nodes.log_evidence import Fork, check_log_evidence, read_log_evidence, write_log_evidence
from nodes.parts import Node
from nodes.relay_port import Log
from nodes.store import alarms
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.rows import Alarm
from tests.integration.test_node_doors import doors
from tests.integration.test_node_witness import entries_of, evidence
from tests.integration.test_node_witness_commands import concord
from tests.support.directory_builders import EXCHANGE, log_keys
from tests.support.lying_relay import alarmed
from tests.support.node_world import QUICK, nodes, push, receipted, until

ORIGINS = {Log.DIRECTORY: directory_origin(EXCHANGE), Log.TRAFFIC: traffic_origin(EXCHANGE)}


def a_note(log: Log, entries: list[bytes], *, signer: str = "relay") -> str:
    """Return a checkpoint over these entries, by default as the relay signs."""
    root = root_of([leaf_hash(entry) for entry in entries])
    return sign_checkpoint(Checkpoint(ORIGINS[log], len(entries), root), log_keys(signer))


async def believe(node: Node, log: Log, note: str, size: int) -> None:
    """Let a node have seen this checkpoint of a log."""
    keep = partial(trust_store.set_checkpoint, log=log, size=size, note=note, seen_ms=now_ms())
    await node.core.database.write(keep)


async def tell(node: Node, other: Node) -> None:
    """Let a node tell a partner what it has seen; on return the partner has it in its store."""
    sent = await push(node, other.core.me)
    await receipted(node, sent.item, other.core.me)
    quick = QUICK.model_copy(update={"stream_head_quiet_s": 0.001})
    object.__setattr__(node.core, "timing", quick)
    await until(partial(_told, node), "no stream head was due")

    async def heard() -> bool:
        return any(each.party == node.core.me for each in await other.core.database.read(store.heard_heads))

    await until(heard, "no head came")


async def _told(node: Node) -> bool:
    return await node.numbers.streams.tell() > 0


async def all_alarms(node: Node) -> list[Alarm]:
    """Return the open alarms."""
    return list(await node.core.database.read(alarms.open_alarms))


async def test_honest_heads_are_compared_and_nothing_rings() -> None:
    async with nodes("XA", "XV") as (_, running):
        node, other = running["XA"], running["XV"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        await other.auditor._checked_traffic()
        head = other.core.trust.now.size
        note = a_note(Log.DIRECTORY, await entries_of(other, Log.DIRECTORY))
        await believe(other, Log.DIRECTORY, note, head)
        object.__setattr__(other.core, "timing", QUICK.model_copy(update={"stream_head_quiet_s": 0.001}))
        await push(other, "XA")
        await until(partial(_told, other), "no stream head was due")
        await node.watch.heads.compare()

        async def compared() -> bool:
            await node.watch.heads.compare()
            return await node.core.database.read(store.heard_heads) == []

        await until(compared, "a head waits")
        assert await all_alarms(node) == []


@pytest.mark.parametrize("log", list(Log))
async def test_two_histories_that_the_relay_signed_are_proven_to_anybody(log: Log) -> None:
    async with nodes("XA", "XV") as (_, running):
        node, other = running["XA"], running["XV"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        true = await entries_of(node, log)
        await believe(other, log, a_note(log, [*true[:-2], b"other" * 8 + b"!"]), len(true) - 1)
        await tell(other, node)
        await node.watch.heads.compare()
        await alarmed(node, "directory" if log is Log.DIRECTORY else "traffic")
        checks = await evidence(node)
        assert {"checkpoints": Result.HOLDS, "history": Result.WRONG, "genesis": Result.NOT_CHECKED} in checks


async def test_a_larger_directory_that_never_comes_is_an_alarm_after_ten_minutes() -> None:
    async with nodes("XA", "XV") as (_, running):
        node, other = running["XA"], running["XV"]
        true = await entries_of(node, Log.DIRECTORY)
        await believe(other, Log.DIRECTORY, a_note(Log.DIRECTORY, [*true, b"kept back"]), len(true) + 1)
        await tell(other, node)
        await node.watch.heads.compare()
        assert await all_alarms(node) == []
        clock = node.core.clock
        object.__setattr__(node.core, "clock", lambda: clock() + 601_000)
        await node.watch.heads.compare()
        (alarm,) = await all_alarms(node)
        assert (alarm.kind, alarm.subject) == ("directory", "withheld/XV")


async def test_a_checkpoint_that_the_relay_never_signed_is_an_alarm_against_the_partner() -> None:
    async with nodes("XA", "XV") as (_, running):
        node, other = running["XA"], running["XV"]
        true = await entries_of(node, Log.DIRECTORY)
        forged = a_note(Log.DIRECTORY, [*true[:-1], b"forged"], signer="forger")
        await believe(other, Log.DIRECTORY, forged, len(true))
        await tell(other, node)
        await node.watch.heads.compare()
        assert {each.kind for each in await all_alarms(node)} == {"sender"}
        assert await evidence(node) == []


async def test_the_evidence_is_written_out_and_verified_without_a_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with doors() as (node, home, _):
        true = await entries_of(node, Log.DIRECTORY)
        forked = a_note(Log.DIRECTORY, [*true[:-1], b"other"])
        kept = a_note(Log.DIRECTORY, true)
        await node.watch.forks.contradicts(Log.DIRECTORY, kept, forked, why="the relay lied")
        assert await concord("log", "evidence", home=home) == 0
        assert "the relay lied" in capsys.readouterr().out
        file = tmp_path / "fork.evidence"
        assert await concord("log", "evidence", "--out", str(file), home=home) == 0
        genesis_hash = node.core.trust.now.directory.genesis_hash.hex()
    capsys.readouterr()
    assert run(["verify", str(file)]) == 0
    said = capsys.readouterr().out
    assert "relay was wrong" in said and genesis_hash in said
    # Anything else than what the relay signed does not hold.
    found = read_log_evidence(file.read_text())
    assert isinstance(found.claim, Fork)
    for claim in (
        replace(found.claim, first=kept, second=kept),
        replace(found.claim, second=a_note(Log.DIRECTORY, [*true[:-1], b"other"], signer="forger")),
        replace(found.claim, log="traffic"),
    ):
        spoilt = replace(found, claim=claim)
        assert read_log_evidence(write_log_evidence(spoilt)) == spoilt
        assert Result.FAILS in {each.result for each in check_log_evidence(spoilt)}
    with pytest.raises(ExchangeError):
        read_log_evidence(file.read_text().replace("A", "B"))
