"""Node keys take the place of others while the node runs: nothing is lost, and a crash leaves one pair at work."""

import contextlib
from functools import partial

import pytest

from exchange.directory.state import Status
from exchange.directory.statements import RevocationReason
from exchange.errors import BadInput, BadStatement, ExchangeError
from exchange.limits import KEY_OVERLAP_MS
from exchange.names import party_id
from nodes import vault
from nodes.parts import Node
from nodes.rotating import served
from tests.integration.test_node_crash import kill_at
from tests.support.directory_builders import composite
from tests.support.node_world import (
    a_node_world,
    at,
    nodes,
    open_alarms,
    push,
    ready,
    receipted,
    stands,
    stored,
    until,
)
from tests.support.rotation import certificate, own_statement_key, revoke, rotate, settled

XA, XV = party_id("XA"), party_id("XV")


async def signer_of(node: Node, item: bytes) -> bytes:
    """Return the id of the key that signed a report as a node holds it."""
    report = await stored(node, item)
    assert report is not None
    keys = await node.core.keybox.keys([item])
    return vault.open_report(keys[item], item, report.record).signed.signatures[0].key_id


async def test_a_node_rotates_its_keys_while_reports_flow_both_ways() -> None:
    async with nodes("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        before, old_ca = own_statement_key(sender), sender.core.keys.transport_ca
        first = await push(sender, "XV")
        new = await rotate(sender)
        second = await push(sender, "XV")
        back = await push(recipient, "XA")
        for node, item, name in ((sender, first.item, "XV"), (sender, second.item, "XV"), (recipient, back.item, "XA")):
            await receipted(node, item, name)
        assert (await signer_of(recipient, first.item), await signer_of(recipient, second.item)) == (before, new)
        assert sender.core.keys.transport_ca != old_ca
        assert await open_alarms(sender) == await open_alarms(recipient) == []


async def test_a_rotated_node_starts_again_with_its_newest_keys() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]) as recipient:
            async with at(world.places["XA"]) as sender:
                await ready(sender, ["XV"])
                first, second = await rotate(sender), await rotate(sender)
                assert first != second
            async with at(world.places["XA"]) as sender:
                assert own_statement_key(sender) == second
                await ready(sender, ["XV"])
                sent = await push(sender, "XV")
                await receipted(sender, sent.item, "XV")
                assert await signer_of(recipient, sent.item) == second


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("when", ["signing keys", "transport CA"])
async def test_killed_while_it_makes_keys_a_node_goes_on_with_the_old_ones_or_the_new(when: str, before: bool) -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]):
            async with at(world.places["XA"]) as node:
                await ready(node, ["XV"])
                old = own_statement_key(node)
                if when == "signing keys":
                    dead = kill_at(node, "keys.add_node_key", before=before)
                    with contextlib.suppress(ExchangeError):
                        await certificate(node)
                else:
                    signed = await certificate(node)
                    dead = kill_at(node, "keys.add_node_key", before=before)
                    await node.rotation.finish(signed)
                await until(dead.is_set, "it did not die")
            async with at(world.places["XA"]) as node:
                waiting = [each for each in node.core.keyring.signing if each.number]
                assert len(waiting) == int(not (when == "signing keys" and before))
                if when == "signing keys":
                    assert own_statement_key(node) == old
                    await rotate(node)
                await settled(node)
                assert own_statement_key(node) != old
                assert len(node.core.keyring.authorities) == 2
                sent = await push(node, "XV")
                await receipted(node, sent.item, "XV")


async def test_asking_again_for_a_certificate_asks_for_the_same_keys() -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        first, second = await node.rotation.draft(), await node.rotation.draft()
        assert (first.statement_key, first.envelope_key) == (second.statement_key, second.envelope_key)
        assert own_statement_key(node) != first.statement_key.key_id


async def test_only_what_the_root_signed_for_this_nodes_own_keys_is_published() -> None:
    async with nodes("XA", "XV") as (_, running):
        node, other = running["XA"], running["XV"]
        with pytest.raises(BadStatement):
            await node.rotation.finish(await certificate(node, root=composite("XV/root")))
        with pytest.raises(BadInput, match="other keys than this node holds"):
            await node.rotation.finish(await certificate(other))


async def test_what_waited_while_its_key_was_revoked_is_signed_anew_and_stays_the_same_item() -> None:
    async with nodes("XA", "XO", "XV") as (world, running):
        sender, recipient = running["XO"], running["XV"]
        await world.suspend("XV")
        await stands(sender, "XV", Status.SUSPENDED)
        old = own_statement_key(sender)
        sent = await push(sender, "XV")
        new = await rotate(sender)
        await revoke(world, party_id("XO"), old)
        await world.suspend("XV", suspended=False)
        await receipted(sender, sent.item, "XV")
        assert await signer_of(recipient, sent.item) == new


@pytest.mark.parametrize("by_council", [True, False], ids=["by the council", "by its own root"])
async def test_a_node_that_is_cut_off_comes_back_with_new_keys_by_the_join_port(by_council: bool) -> None:
    async with nodes("XA", "XV") as (world, running):
        sender, cut = running["XA"], running["XV"]
        await revoke(world, XV, own_statement_key(cut), reason=RevocationReason.LOST, by_council=by_council)

        def without_keys() -> bool:
            return sender.core.trust.now.directory.current_statement_key(XV) is None

        await until(without_keys, "XA does not know of the revocation")
        sent = await push(sender, "XV")
        old = own_statement_key(cut)
        await cut.rotation.finish(await certificate(cut))
        await until(lambda: own_statement_key(cut) != old, "it is not back")
        await settled(cut)
        await receipted(sender, sent.item, "XV")


async def test_keys_that_have_served_are_destroyed_once_the_overlap_is_over() -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        await rotate(node)
        second = own_statement_key(node)
        await rotate(node)
        held = {each.statement.public.key_id: each.number for each in node.core.keyring.signing}
        assert served(node.core.keyring.signing, node.core) == []
        record = node.core.trust.now.directory.key_record(second)
        assert record is not None and record.followed_until_ms - KEY_OVERLAP_MS > 0
        await node.core.keybox.destroy_node_keys([held[second]])
        left = await node.core.keybox._database.read(partial(_secrets, node))
        assert held[second] not in left and len(left) == 3


def _secrets(node: Node, _connection: object) -> list[int]:
    return [each.number for each in node.core.keybox.node_keys()]


async def test_an_old_key_signs_nothing_that_is_accepted_once_it_is_revoked() -> None:
    async with nodes("XA", "XO", "XV") as (world, running):
        sender = running["XO"]
        old = sender.core.keyring.signing[0]
        await rotate(sender)
        await revoke(world, party_id("XO"), old.statement.public.key_id)

        def fallen() -> bool:
            directory = sender.core.trust.now.directory
            return directory.statement_key(party_id("XO"), old.statement.public.key_id, at_size=directory.size) is None

        await until(fallen, "the revocation is not known")
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
