"""When an agreement ends, its clause is kept at both ends: what is held is destroyed, kept, or given back."""

from exchange.crypto.codec import encode_signed
from exchange.directory.issue import make_agreement_commit
from exchange.directory.statements import AgreementStatus
from exchange.policy.changes.model import NoticeAction
from exchange.policy.terms import AgreementRef, HeldItems
from exchange.runtime.clock import now_ms
from exchange.v1 import relay_service_pb2 as pb
from nodes.caller import the_owner
from nodes.ending import Endings
from nodes.overdue import Kind, overdue
from nodes.parts import Node
from nodes.store.rows import ItemState, Reach, Report
from nodes.trust import extended
from tests.support.agreement_changes import a_notice, change_bytes
from tests.support.directory_builders import EXCHANGE, ed25519
from tests.support.node_world import NodeWorld, at, nodes, push, reach, reached, ready, receipted, stored, until

ID = bytes([9]) * 16


async def leave(world: NodeWorld, ref: AgreementRef, name: str) -> None:
    """Let a party leave an agreement."""
    notice = a_notice(ref, name, NoticeAction.TERMINATE, at_ms=now_ms())
    request = pb.ChangeAgreementRequest(change=change_bytes(notice))
    await world.relay.partners[name].stub.ChangeAgreement(request, timeout=10)


async def the_report(node: Node, item: bytes) -> Report:
    report = await stored(node, item)
    assert report is not None
    return report


async def events(node: Node, item: bytes) -> list[tuple[str, str]]:
    return [(event.event, event.detail) for event in (await node.shelf.story(the_owner(), item)).events]


async def test_what_came_under_an_agreement_that_ends_is_destroyed_in_time_and_the_sender_expects_it() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV", agreement_id=ID, held_items=HeldItems.PURGE, held_within_days=0)
        await ready(running["XA"], ["XV"])
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        assert (await the_report(running["XV"], sent.item)).purge_at_ms == 0
        await leave(world, ref, "XA")
        await reached(running["XA"], sent.item, "XV", Reach.PURGED)
        assert (await the_report(running["XV"], sent.item)).state is ItemState.PURGED
        assert "agreement ended" in [event for event, _ in await events(running["XV"], sent.item)]
        assert (await the_report(running["XA"], sent.item)).state is ItemState.CURRENT


async def test_the_days_of_the_clause_count_from_the_end_and_an_earlier_date_stays() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV", agreement_id=ID, held_items=HeldItems.PURGE, held_within_days=30)
        await ready(running["XA"], ["XV"])
        kept = await push(running["XA"], "XV", key="1")
        short = await push(running["XA"], "XV", key="2", more="retention: 7d")
        for sent in (kept, short):
            await receipted(running["XA"], sent.item, "XV")
        before = await the_report(running["XV"], short.item)
        await leave(world, ref, "XV")

        async def dated() -> bool:
            return (await the_report(running["XV"], kept.item)).purge_at_ms > 0

        await until(dated, "no date was set")
        days = ((await the_report(running["XV"], kept.item)).purge_at_ms - now_ms()) / 86_400_000
        assert 29.9 < days < 30.1
        assert (await the_report(running["XV"], short.item)).purge_at_ms == before.purge_at_ms
        again = Endings(running["XV"].core)
        assert await again.look_after() == 1
        assert len([event for event, _ in await events(running["XV"], kept.item) if event == "agreement ended"]) == 1


async def test_what_is_to_be_given_back_asks_a_person_and_what_is_kept_stays() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV", agreement_id=ID, held_items=HeldItems.RETURN, held_within_days=5)
        await ready(running["XA"], ["XV"])
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await leave(world, ref, "XV")

        async def asks() -> bool:
            return [each.kind for each in await overdue(running["XV"].core)] == [Kind.DECISION]

        await until(asks, "nobody is asked")
        assert (await the_report(running["XV"], sent.item)).state is ItemState.CURRENT
        assert any("to be given back before" in detail for _, detail in await events(running["XV"], sent.item))
    async with nodes("XA", "XV", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV", agreement_id=ID, held_items=HeldItems.KEEP_UNDER_TERMS)
        await ready(running["XA"], ["XV"])
        sent = await push(running["XA"], "XV", more="retention: 7d")
        await receipted(running["XA"], sent.item, "XV")
        before = await the_report(running["XV"], sent.item)
        await leave(world, ref, "XV")

        async def ended() -> bool:
            return await Endings(running["XV"].core).look_after() == 1

        await until(ended, "the end was not seen")
        # Obligations survive: it is still to be destroyed when its own time is over.
        assert await the_report(running["XV"], sent.item) == before and before.purge_at_ms


async def test_a_newer_version_takes_the_place_of_an_older_one_and_ends_nothing() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        await world.relay.agree("XA", "XV", agreement_id=ID)
        await ready(running["XA"], ["XV"])
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await world.relay.agree("XA", "XV", agreement_id=ID, version=2)
        node = running["XV"]

        async def sees_both() -> bool:
            return len(node.core.trust.now.views) == 2

        await until(sees_both, "the new version did not come")
        row = await the_report(node, sent.item)
        directory = node.core.trust.now.directory
        status = directory.agreement_status(row.basis_commitment, at_size=directory.size)
        assert status is AgreementStatus.TERMINATED
        assert await Endings(node.core).look_after() == 0
        assert (await the_report(node, sent.item)).purge_at_ms == 0
        found = await reach(running["XA"], sent.item, "XV")
        assert found is not None and found.purge_by_ms == 0


async def test_a_partner_that_does_not_destroy_is_missed_from_the_end_of_the_agreement_on() -> None:
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        ref = await world.relay.agree("XA", "XV", agreement_id=ID, held_items=HeldItems.PURGE, held_within_days=0)
        async with at(place):
            await ready(running["XA"], ["XV"])
            sent = await push(running["XA"], "XV")
            await receipted(running["XA"], sent.item, "XV")
        await leave(world, ref, "XA")

        async def missed() -> bool:
            return [each.kind for each in await overdue(running["XA"].core, patience_ms=0)] == [Kind.EXPIRY]

        await until(missed, "nobody misses the destruction")
        async with at(place):
            await reached(running["XA"], sent.item, "XV", Reach.PURGED)


async def test_on_the_relays_word_alone_nothing_is_destroyed() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV", agreement_id=ID, held_items=HeldItems.PURGE, held_within_days=0)
        await ready(running["XA"], ["XV"])
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        node, snapshot = running["XV"], running["XV"].core.trust.now
        signed = make_agreement_commit(
            exchange=EXCHANGE,
            place=snapshot.directory.next_seq_prev("relay"),
            commitment=ref.commitment,
            status=AgreementStatus.TERMINATED,
            now_ms=now_ms(),
            promise_key=ed25519("relay/promise"),
        )
        grown, ignored = extended(snapshot, [encode_signed(signed)])
        assert not ignored
        node.core.trust._replace(grown)
        assert await Endings(node.core).look_after() == 0
        assert (await the_report(node, sent.item)).purge_at_ms == 0


async def test_what_others_leave_ends_nothing_between_those_who_stay() -> None:
    async with nodes("XA", "XV", "XO", agree=False) as (world, running):
        ref = await world.relay.agree("XA", "XV", "XO", agreement_id=ID, held_items=HeldItems.PURGE, held_within_days=0)
        await ready(running["XA"], ["XV", "XO"])
        sent = await push(running["XA"], "XV", "XO")
        await receipted(running["XA"], sent.item, "XV", "XO")
        await leave(world, ref, "XO")
        await reached(running["XA"], sent.item, "XO", Reach.PURGED)
        assert await Endings(running["XV"].core).look_after() == 0
        assert (await the_report(running["XV"], sent.item)).state is ItemState.CURRENT
