"""The relay goes on with other keys while everything flows; whoever goes on with the old ones is caught.

What the relay signed is judged by the directory size that it names: what was promised before holds for ever after.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import grpc
import grpc.aio
import pytest

from exchange.crypto.codec import decode_signed, signed_from_proto, signed_to_proto
from exchange.crypto.signed import Signed, sign
from exchange.directory.relay_keys import spoken
from exchange.errors import Conflict
from exchange.limits import MIB
from exchange.merkle import leaf_hash, root_of
from exchange.names import PartyId
from exchange.receipts.codec import decode_promise, encode_promise
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import read_relay_info
from exchange.tlog.checkpoint import Checkpoint, directory_origin
from exchange.tlog.signing import sign_checkpoint
from exchange.v1 import relay_service_pb2 as pb
from nodes import alarms
from nodes.app import RELAY_INFO
from nodes.evidence_check import Result
from nodes.log_proof import check_logged, read_logged
from nodes.parts import Node
from nodes.store import sending, trust
from tests.support.directory_builders import EXCHANGE, ed25519, log_keys, relay_keys
from tests.support.lying_relay import Honest, alarmed, deceived, promised, verdicts
from tests.support.node_world import PATIENCE_S, at, nodes, open_alarms, push, receipted, until
from tests.support.relay_rotation import hold, name_keys, rotate

QUIET = {alarms.ENDING, alarms.FRESHNESS}


async def untroubled(node: Node) -> None:
    assert set(await open_alarms(node)) <= QUIET


async def promise_of(node: Node, item: bytes) -> Signed:
    (kept,) = await node.core.database.read(partial(sending.promises_of, item=item))
    return decode_signed(kept.promise, limit=MIB, what="a promise")


async def proof(node: Node, item: bytes) -> str:
    """Return the proof that an item is in the log, once a checkpoint covers it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return (await node.watch.proving.export(item, "")).file
            except Conflict:
                await asyncio.sleep(0.05)


def by(signed: Signed) -> bytes:
    return signed.signatures[0].key_id


async def checked(node: Node) -> dict[str, str]:
    """Return what a full verification of both logs comes to, by step."""
    return {each.step: each.result async for each in node.auditor.verify(full=True) if each.result}


@pytest.mark.parametrize("stolen_since_ms", [0, 1], ids=["followed", "stolen since long ago"])
async def test_keys_change_while_envelopes_flow_and_what_was_promised_before_still_holds(stolen_since_ms: int) -> None:
    async with nodes("XA", "XV") as (world, running):
        sender, recipient = running["XA"], running["XV"]
        before = await push(sender, "XV")
        await receipted(sender, before.item, "XV")
        old_proof = await proof(sender, before.item)
        size = await rotate(world, "next", stolen_since_ms=stolen_since_ms)
        # Some are under way while the keys change, at a node that has or has not heard of it.
        flowing = [await push(sender, "XV") for _ in range(20)]
        for each in flowing:
            await receipted(sender, each.item, "XV")
        await until(lambda: sender.core.trust.now.size >= size, "the change did not come")
        after = await push(recipient, "XA")
        await receipted(recipient, after.item, "XA")
        assert by(await promise_of(sender, before.item)) == relay_keys().promise.key_id
        assert by(await promise_of(recipient, after.item)) == relay_keys("next").promise.key_id
        for node in running.values():
            await until(partial(all_checked, node), "a promise is not found in the log")
            await untroubled(node)
        new_proof = await proof(sender, before.item)
        for file, named in ((old_proof, False), (new_proof, True)):
            checks = {each.what: each.result for each in check_logged(read_logged(file))}
            assert checks["checkpoint"] is checks["inclusion"] is Result.HOLDS
            assert checks.get("relay's keys") is (Result.HOLDS if named else None)


async def all_checked(node: Node) -> bool:
    """Say whether every promise is found in the log by now; nothing in it may be wrong."""
    assert set((await checked(node)).values()) == {"ok"}
    return not await node.core.database.read(partial(sending.promises, after=-1, limit=1, unchecked=True))


async def test_a_restarted_relay_and_restarted_nodes_go_on_with_the_keys_in_force() -> None:
    async with nodes("XA", "XV") as (world, running):
        first = await push(running["XA"], "XV")
        await receipted(running["XA"], first.item, "XV")
        await rotate(world, "next")
        await rotate_again(world)
        async with at(await world.place("XO")) as newcomer:
            await until(partial(knows, newcomer, 3), "XO did not replay it")
            assert set((await checked(newcomer)).values()) == {"ok"}


async def rotate_again(world: object) -> None:
    """Change once more, so that a newcomer's first frame holds two changes."""
    await hold(world, "next", "third")  # type: ignore[arg-type]  # a NodeWorld
    await name_keys(world, relay_keys("third"))  # type: ignore[arg-type]


async def test_the_relay_refuses_a_statement_that_it_could_not_go_on_after() -> None:
    async with nodes("XA", "XV") as (world, _):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await name_keys(world, relay_keys("nobody's"))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await hold(world, "next")
        with pytest.raises(grpc.aio.AioRpcError):
            await name_keys(world, replace(relay_keys("next"), promise=ed25519("nobody's").public))


@dataclass(slots=True)
class OldPromises(Honest):
    """Goes on with the promise key of before, under the directory that ended it."""

    victim: str

    def answer(self, to: PartyId, outcome: pb.Outcome) -> pb.Outcome:
        """Sign as before."""
        if to != self.victim:
            return outcome
        signed = as_before(signed_from_proto(outcome.answer, what="the answer"))
        return pb.Outcome(answer=signed_to_proto(signed), decision_record=outcome.decision_record)

    def deliver(self, to: PartyId, waiting: Sequence[pb.Waiting]) -> Sequence[pb.Waiting]:
        """Promise as before."""
        return waiting if to != self.victim else [promised(each) for each in waiting]


def as_before(signed: Signed) -> Signed:
    payload = encode_promise(decode_promise(signed.payload))
    return sign(ed25519("relay/promise"), "promise", payload, context=EXCHANGE)


@pytest.mark.parametrize("victim", ["XA", "XV"], ids=["sender", "recipient"])
async def test_promises_by_a_key_that_the_council_has_ended_are_refused_and_become_evidence(victim: str) -> None:
    async with deceived("XA", "XV") as relay:
        size = await rotate(relay.world, "next", stolen_since_ms=now_ms())
        for node in relay.nodes.values():
            await until(partial(has, node, size), "the change did not come")
        relay.tell(OldPromises(victim))
        await push(relay["XA"], "XV")
        node = relay[victim]
        await until(partial(has_evidence, node), "no evidence was kept")
        await alarmed(node, alarms.RELAY)
        (found,) = await verdicts(node)
        assert found["end"] is Result.WRONG
        assert found["relay's keys"] is Result.HOLDS


def knows(node: Node, sets: int) -> bool:
    return len(node.core.trust.now.directory.relay_key_history) == sets


def has(node: Node, size: int) -> bool:
    return node.core.trust.now.size >= size


async def has_evidence(node: Node) -> bool:
    return bool(await verdicts(node))


@dataclass(slots=True)
class OldLog(Honest):
    """Signs the directory as before, also the entry that ended its keys."""

    victim: str
    entries: list[bytes]

    def directory(self, to: PartyId, frame: pb.FollowDirectoryResponse) -> pb.FollowDirectoryResponse | None:
        """Sign by the old keys."""
        if to != self.victim or not frame.entries:
            return frame
        self.entries += frame.entries
        root = root_of([leaf_hash(entry) for entry in self.entries])
        note = sign_checkpoint(Checkpoint(directory_origin(EXCHANGE), len(self.entries), root), log_keys("relay"))
        return pb.FollowDirectoryResponse(start=frame.start, entries=frame.entries, checkpoint=note)


async def test_a_directory_signed_by_keys_that_it_has_ended_itself_is_not_believed_and_proves_it() -> None:
    async with deceived("XA", "XV") as relay:
        node = relay["XV"]
        await relay.world.relay.mirror()
        await until(partial(has, node, relay.world.relay.exchange.directory.size), "XV is behind")
        stored = await node.core.database.read(partial(trust.directory_entries, start=0, limit=1_000))
        relay.tell(OldLog("XV", list(stored)))
        await rotate(relay.world, "next")
        await alarmed(node, alarms.DIRECTORY)
        await until(partial(has_evidence, node), "no evidence was kept")
        (found,) = await verdicts(node)
        assert found["end"] is Result.WRONG
        assert node.core.trust.now.directory.relay_keys == relay_keys(), "nothing of it was taken in"


async def test_a_stolen_ca_ends_at_once_and_a_node_that_was_away_takes_the_new_relay_info() -> None:
    async with nodes("XA", "XV") as (world, running):
        place = await world.place("XO")
        await rotate(world, "next", stolen_since_ms=now_ms())
        for name, node in running.items():
            await until(partial(knows, node, 2), f"{name} is behind")
        item = await push(running["XA"], "XV")
        await receipted(running["XA"], item.item, "XV")
        async with at(place) as away:
            await until(lambda: away.core.link.error != "", "XO got through by the CA that was stolen")
        info = world.relay.home.info
        await until(lambda: bool(read_relay_info(info.read_text()).relay_keys), "relay.info names no keys")
        (place.home / RELAY_INFO).write_text(info.read_text())
        async with at(place) as back:
            await until(partial(knows, back, 2), "XO did not come back")
            assert spoken(back.core.trust.now.directory.relay_keys) == spoken(relay_keys("next"))
