"""Nodes as witnesses: a quorum vouches for both logs, and no witness ever vouches for two histories."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from exchange.directory.witnesses import Vouched, vouched
from exchange.errors import BadProof, Conflict, StorageFull, Unavailable
from exchange.merkle import leaf_hash, root_of
from exchange.runtime.clock import now_ms
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from nodes.evidence_check import Result
from nodes.log_evidence import check_log_evidence, read_log_evidence
from nodes.parts import Node
from nodes.relay_port import Log, Notes
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.store.witnesses import CosignedHead
from nodes.witness import Witness
from tests.support.directory_builders import EXCHANGE
from tests.support.lying_relay import LOG, Liar, alarmed
from tests.support.node_world import NodeWorld, at, nodes, push, receipted, until

ORIGINS = {Log.DIRECTORY: directory_origin(EXCHANGE), Log.TRAFFIC: traffic_origin(EXCHANGE)}


@asynccontextmanager
async def witnessed(*names: str, quorum: int) -> AsyncIterator[tuple[NodeWorld, dict[str, Node]]]:
    """Run nodes of which all are witnesses."""
    async with nodes(*names) as (world, running):
        await world.name_witnesses(*names, quorum=quorum)
        for node in running.values():
            await until(partial(_named, node), "it does not know that it is a witness")
        yield world, running


def _named(node: Node) -> bool:
    return node.watch.witness.named


async def quorum_of(node: Node, log: Log) -> Vouched | None:
    """Return what witnesses say of the newest cosigned checkpoint that the relay hands out."""
    note = (await node.relay.notes(log)).cosigned
    if not note:
        return None
    snapshot = node.core.trust.now
    found = snapshot.directory.witnesses(at_size=snapshot.size)
    assert found is not None
    return vouched(note, open_checkpoint(note, ORIGINS[log], LOG.public), found, EXCHANGE, now_ms())


async def head_of(node: Node, log: Log) -> CosignedHead | None:
    """Return what a node has cosigned last."""
    return await node.core.database.read(partial(store.cosigned_head, log=log))


async def test_a_quorum_of_nodes_cosigns_both_logs_while_one_is_off() -> None:
    async with witnessed("XA", "XV", "XO", quorum=2) as (_, running):
        off = running.pop("XO")
        off.watch.witness._relay = Down(off.relay)
        node = running["XA"]
        for log in Log:

            async def reached(log: Log = log) -> bool:
                found = await quorum_of(node, log)
                return found is not None and found.quorum_ms > now_ms() - 60_000

            await until(reached, f"no quorum for the {log.name} log")
        size = node.core.trust.now.size

        async def covers() -> bool:
            found = await quorum_of(node, Log.DIRECTORY)
            return found is not None and found.checkpoint.size >= size

        await until(covers, "the newest directory is not cosigned")


class Down(Liar):
    """Cannot be reached."""

    asked = 0

    async def notes(self, _: Log) -> Notes:
        """Fail."""
        self.asked += 1
        raise Unavailable("the relay is down")


class Losing(Liar):
    """Takes no cosignature: as if the node was killed after it stored, and before its line left."""

    async def cosign(self, _: Log, __: int, ___: str) -> None:
        """Fail."""
        raise Unavailable("the line is lost")


class OtherHistory(Liar):
    """Asks to cosign another history, which it signs with its true keys and proves as well as it can."""

    def __init__(self, relay: Any, log: Log, entries: Sequence[bytes]) -> None:
        """Show these entries."""
        super().__init__(relay)
        self._forked = log
        self._leaves = [leaf_hash(entry) for entry in entries]
        self.lines: list[str] = []

    async def notes(self, log: Log) -> Notes:
        """Return the other history's checkpoint."""
        if log is not self._forked:
            return await self._relay.notes(log)  # type: ignore[no-any-return]  # Any: a liar's relay
        note = sign_checkpoint(Checkpoint(ORIGINS[log], len(self._leaves), root_of(self._leaves)), LOG)
        return Notes(note, "", note)

    async def consistency_proof(self, _: Log, old: int, new: int) -> Sequence[bytes]:
        """Prove from the other history."""
        return consistency_proof(tiles_of(self._leaves[:new]), old, new)

    async def cosign(self, log: Log, size: int, line: str) -> None:
        """Take the line."""
        if log is self._forked:
            self.lines.append(line)
            return
        await self._relay.cosign(log, size, line)


async def quiet(node: Node, log: Log) -> CosignedHead:
    """Wait until a node has cosigned something of a log, then let it cosign nothing by itself any more."""

    async def has() -> bool:
        found = await head_of(node, log)
        return found is not None and found.size > 0

    await until(has, "it has not cosigned anything")
    node.watch.witness._relay = down = Down(node.relay)
    # Then nothing is under way any more that it began before.
    await until(lambda: down.asked > 0, "it does not ask again")
    found = await head_of(node, log)
    assert found is not None
    return found


async def entries_of(node: Node, log: Log) -> list[bytes]:
    """Return the true entries of a log."""
    return list(await node.relay.read_log(log, 0, 4_096))


async def evidence(node: Node) -> list[dict[str, Result]]:
    """Return what checking each evidence file of a node comes to."""
    kept = await node.core.database.read(partial(store.kept_evidence, limit=10))
    return [{each.what: each.result for each in check_log_evidence(read_log_evidence(one.file))} for one in kept]


async def test_a_witness_that_was_cut_off_before_its_line_left_cosigns_the_same_checkpoint_again() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XA"]
        await quiet(node, Log.DIRECTORY)
        await push(running["XV"], "XA")
        node.watch.witness._relay = Losing(node.relay)
        size = node.core.trust.now.size
        await until(lambda: head_is(node, Log.DIRECTORY, size), "nothing was stored")
        stored = await head_of(node, Log.DIRECTORY)
        forked = OtherHistory(node.relay, Log.DIRECTORY, [*(await entries_of(node, Log.DIRECTORY))[:-1], b"other"])
        node.watch.witness._relay = forked
        with pytest.raises(BadProof):
            await node.watch.witness.attend(Log.DIRECTORY)
        assert forked.lines == []
        assert await head_of(node, Log.DIRECTORY) == stored
        node.watch.witness._relay = node.relay
        await node.watch.witness.attend(Log.DIRECTORY)


async def head_is(node: Node, log: Log, size: int) -> bool:
    """Say whether a node has cosigned this size."""
    found = await head_of(node, log)
    return found is not None and found.size >= size


async def test_killed_between_storing_and_sending_a_witness_keeps_to_what_it_stored() -> None:
    async with nodes("XA", "XV") as (world, running):
        place = world.places["XO"] = await world.place("XO")
        await world.name_witnesses("XA", "XV", "XO", quorum=2)
        async with at(place) as node:
            node.watch.witness._relay = Losing(node.relay)
            await until(lambda: head_is(node, Log.TRAFFIC, 0), "nothing was stored")
            before = await head_of(node, Log.TRAFFIC)
            assert before is not None
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        true = await entries_of(running["XA"], Log.TRAFFIC)
        async with at(place) as node:
            node.watch.witness._relay = Down(node.relay)
            forked = OtherHistory(node.relay, Log.TRAFFIC, [bytes(41), *true[1:], bytes(41)])
            node.watch.witness._relay = forked
            if before.size:
                with pytest.raises(BadProof):
                    await node.watch.witness.attend(Log.TRAFFIC)
                assert forked.lines == []
            node.watch.witness._relay = node.relay
            await until(lambda: head_is(node, Log.TRAFFIC, before.size + 1), "it does not go on")


async def test_a_forked_traffic_log_is_refused_and_both_checkpoints_become_evidence() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XV"]
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        last = await quiet(node, Log.TRAFFIC)
        true = await entries_of(node, Log.TRAFFIC)
        same_size = [bytes(41), *true[1 : last.size]]
        node.watch.witness._relay = OtherHistory(node.relay, Log.TRAFFIC, same_size)
        with pytest.raises(BadProof):
            await node.watch.witness.attend(Log.TRAFFIC)
        await alarmed(node, "traffic")
        (checks,) = await evidence(node)
        assert checks == {"checkpoints": Result.HOLDS, "history": Result.WRONG, "genesis": Result.NOT_CHECKED}
        assert await head_of(node, Log.TRAFFIC) == last


async def test_a_longer_fork_without_a_proof_is_refused_and_kept_as_what_it_is() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XV"]
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await quiet(node, Log.TRAFFIC)
        true = await entries_of(node, Log.TRAFFIC)
        node.watch.witness._relay = OtherHistory(node.relay, Log.TRAFFIC, [bytes(41), *true[1:], bytes(41)])
        with pytest.raises(BadProof):
            await node.watch.witness.attend(Log.TRAFFIC)
        checks = await evidence(node)
        assert {each["history"] for each in checks} <= {Result.NOT_CHECKED, Result.WRONG}


async def test_a_forked_directory_is_refused_and_proven_by_the_witnesss_own_replay() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XV"]
        last = await quiet(node, Log.DIRECTORY)
        true = await entries_of(node, Log.DIRECTORY)
        shorter = [*true[: last.size - 2], b"other"]
        forked = OtherHistory(node.relay, Log.DIRECTORY, shorter)
        node.watch.witness._relay = forked
        with pytest.raises(BadProof):
            await node.watch.witness.attend(Log.DIRECTORY)
        assert forked.lines == []
        await alarmed(node, "directory")
        (checks,) = await evidence(node)
        assert checks["history"] is Result.WRONG


async def test_a_witness_does_not_help_to_show_an_old_directory() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XV"]
        await quiet(node, Log.DIRECTORY)
        old = (await entries_of(node, Log.DIRECTORY))[:-1]
        frozen = OtherHistory(node.relay, Log.DIRECTORY, old)
        node.watch.witness._relay = frozen
        with pytest.raises(Conflict):
            await node.watch.witness.attend(Log.DIRECTORY)
        assert frozen.lines == []


async def test_who_is_not_named_cosigns_nothing() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        for log in Log:
            assert not await node.watch.witness.attend(log)
            assert await head_of(node, log) is None


async def test_a_log_that_does_not_grow_is_cosigned_again() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XA"]
        await quiet(node, Log.DIRECTORY)
        node.watch.witness._relay = node.relay
        await node.watch.witness.attend(Log.DIRECTORY)
        assert not await node.watch.witness.attend(Log.DIRECTORY), "it is fresh"
        object.__setattr__(node.core, "timing", node.core.timing.model_copy(update={"witness_again_s": 0.000_000_1}))
        assert await node.watch.witness.attend(Log.DIRECTORY)
        kept = await node.core.database.read(partial(trust_store.checkpoint_of, log=Log.DIRECTORY))
        assert kept is not None


async def test_a_witness_whose_clock_was_ahead_goes_on_by_the_right_time() -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XA"]
        last = await quiet(node, Log.DIRECTORY)
        ahead = replace(last, at_ms=now_ms() + 20 * 60_000)
        await node.core.database.write(partial(store.advance_cosigned, before=last, after=ahead))
        again = Witness(node.core, node.relay, node.watch.forks)
        assert await again.attend(Log.DIRECTORY), "what counts for nobody is not fresh"
        head = await head_of(node, Log.DIRECTORY)
        assert head is not None
        assert head.at_ms <= now_ms()


async def test_what_could_not_be_stored_is_not_cosigned(monkeypatch: pytest.MonkeyPatch) -> None:
    async with witnessed("XA", "XV", quorum=2) as (_, running):
        node = running["XA"]
        first = await push(node, "XV")
        await receipted(node, first.item, "XV")
        last = await quiet(node, Log.TRAFFIC)
        sent = await push(running["XV"], "XA")
        await receipted(running["XV"], sent.item, "XA")
        recording = OtherHistory(node.relay, Log.TRAFFIC, await entries_of(node, Log.TRAFFIC))
        node.watch.witness._relay = recording

        def full(*_: object, **__: object) -> None:
            raise StorageFull("no space is left")

        with monkeypatch.context() as patched:
            patched.setattr(store, "advance_cosigned", full)
            with pytest.raises(StorageFull):
                await node.watch.witness.attend(Log.TRAFFIC)
        assert recording.lines == []
        assert await head_of(node, Log.TRAFFIC) == last
        assert await node.watch.witness.attend(Log.TRAFFIC)
        assert len(recording.lines) == 1
