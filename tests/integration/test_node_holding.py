"""What becomes of reports in keeping: destroyed in time and for good, asked about, kept, and what is not confirmed."""

import pytest
from sqlalchemy import Connection

from exchange.errors import BadInput, Conflict, NotFound
from nodes.caller import the_owner
from nodes.keeping import keep, purge
from nodes.overdue import Kind, overdue
from nodes.parts import Node
from nodes.store.rows import ItemState, Reach, Report
from nodes.withdrawing import withdraw
from tests.support.node_world import at, nodes, push, reach, reached, ready, receipted, stored, until
from tests.support.traces import traces

TITLE = "Roadblock near the dam"
PHRASES = (TITLE, "location--33333333-3333-4333-8333-333333333333", "Memorandum, art. 4")
"""Of the report's title, content and label."""


async def purged(node: Node, item: bytes) -> None:
    async def holds() -> bool:
        report = await stored(node, item)
        return report is not None and report.state is ItemState.PURGED

    await until(holds, "it is not destroyed")


async def the_report(node: Node, item: bytes) -> Report:
    report = await stored(node, item)
    assert report is not None
    return report


@pytest.mark.parametrize("more", ["time: {expires_at: +2s}", "time: {expires_at: +2s, on_expiry: purge}"])
async def test_what_expires_is_in_no_file_of_the_recipient_any_more_and_a_tombstone_and_a_receipt_stay(
    more: str,
) -> None:
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        async with at(place) as node:
            await ready(running["XA"], ["XV"])
            sent = await push(running["XA"], "XV", more=more)
            await receipted(running["XA"], sent.item, "XV")
            key = (await node.core.keybox.keys([sent.item]))[sent.item]
            before = await the_report(node, sent.item)
            # The search finds what is there: the sealed record, and the wrapped key beside it.
            assert list(traces(place.home, [before.record[:64], sent.item]))
            await reached(running["XA"], sent.item, "XV", Reach.PURGED)
            await purged(node, sent.item)
            after = await the_report(node, sent.item)
            assert (after.record, after.title, after.kind) == (b"", b"", before.kind)
            assert await node.core.keybox.keys([sent.item]) == {}
            secrets = [key, *(phrase.encode() for phrase in PHRASES)]
            assert list(traces(place.home, secrets)) == []
            story = [event.event for event in (await node.shelf.story(the_owner(), sent.item)).events]
            assert story[-1] == "purged"
        assert list(traces(place.home, secrets)) == []
        # The originator keeps its own work.
        assert (await running["XA"].shelf.opened(sent.item)) is not None


async def test_a_destroyed_key_leaves_the_key_file_and_its_log_at_once() -> None:
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        async with at(place) as node:
            await ready(running["XA"], ["XV"])
            sent = await push(running["XA"], "XV")
            await receipted(running["XA"], sent.item, "XV")
            files = [path for path in place.home.iterdir() if path.name.startswith("keys.db")]
            wrapped = await node.core.keybox._database.read(_wrapped_keys)
            secret = wrapped[sent.item][-48:]
            assert any(secret in path.read_bytes() for path in files)
            await purge(node.core, sent.item, who="desk", hurry=node.obligations.hurry)
            await reached(running["XA"], sent.item, "XV", Reach.PURGED)
            assert list(traces(place.home, [secret])) == []


def _wrapped_keys(connection: Connection) -> dict[bytes, bytes]:
    found = connection.exec_driver_sql("SELECT item, wrapped FROM report_key")
    return {row[0]: row[1] for row in found}


async def test_an_expiry_that_asks_waits_for_a_person_who_keeps_or_destroys_it() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XV"]
        sent = await push(running["XA"], "XV", more="retention: 365d\ntime: {expires_at: +2s, on_expiry: ask}")
        await receipted(running["XA"], sent.item, "XV")

        async def asks() -> bool:
            return [each.kind for each in await overdue(node.core)] == [Kind.DECISION]

        await until(asks, "nobody is asked")
        assert (await the_report(node, sent.item)).state is ItemState.CURRENT
        with pytest.raises(BadInput, match="must be destroyed by"):
            await keep(node.core, sent.item, days=400, who="desk")
        kept = await keep(node.core, sent.item, days=7, who="desk")
        assert kept.until_ms < kept.purge_at_ms
        assert await overdue(node.core) == []
        assert ("kept", f"by desk, until {kept.until_ms}"[:8]) in [
            (event.event, event.detail[:8]) for event in (await node.shelf.story(the_owner(), sent.item)).events
        ]
        await purge(node.core, sent.item, who="desk", hurry=node.obligations.hurry)
        await reached(running["XA"], sent.item, "XV", Reach.PURGED)
        with pytest.raises(NotFound):
            await keep(node.core, sent.item, days=7, who="desk")


async def test_a_review_that_is_due_is_listed_until_somebody_has_looked() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV", more="time: {review_on: +1s}")
        await receipted(running["XA"], sent.item, "XV")
        for node in running.values():

            async def due(node: Node = node) -> bool:
                return Kind.REVIEW in [each.kind for each in await overdue(node.core)]

            await until(due, "the review is not listed")
            await keep(node.core, sent.item, days=30, who="desk")
            assert await overdue(node.core) == []
        plain = await push(running["XA"], "XV", key="plain")
        with pytest.raises(BadInput):
            await keep(running["XA"].core, plain.item, days=7, who="desk")


async def test_who_has_not_confirmed_is_listed_with_since_when_and_disappears_when_it_has() -> None:
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        node = running["XA"]
        async with at(place):
            await ready(node, ["XV"])
        # XV is away now: what goes is taken by the relay and confirmed by nobody.
        first, second = await push(node, "XV", key="1"), await push(node, "XV", key="2")
        for item in (first.item, second.item):
            await reached(node, item, "XV", Reach.PROMISED)
        await withdraw(node.core, first.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        await withdraw(node.core, second.item, reason_code="legal", text="", purge=True, wake=node.outbox.wake)

        async def kinds() -> list[tuple[Kind, bytes, str]]:
            return sorted((each.kind, each.item, each.partner) for each in await overdue(node.core, patience_ms=0))

        late = await kinds()
        assert {(kind, partner) for kind, _, partner in late} == {(Kind.RECEIPT, "XV"), (Kind.WITHDRAWAL, "XV")}
        assert len(late) == 4
        assert await overdue(node.core) == []  # a day has not passed
        async with at(place):
            await reached(node, first.item, "XV", Reach.RETRACTED)
            await reached(node, second.item, "XV", Reach.PURGED)
            assert await kinds() == []


async def test_what_a_partner_must_destroy_by_its_label_is_missed_until_it_confirms() -> None:
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        node = running["XA"]
        async with at(place):
            await ready(node, ["XV"])
            sent = await push(node, "XV", more="retention: 30d\ntime: {expires_at: +4s}")
            await receipted(node, sent.item, "XV")
        row = await reach(node, sent.item, "XV")
        assert row is not None and row.purge_by_ms and row.keep_ms

        async def missed() -> bool:
            return [each.kind for each in await overdue(node.core, patience_ms=0)] == [Kind.EXPIRY]

        await until(missed, "nobody misses the destruction")
        async with at(place):
            await reached(node, sent.item, "XV", Reach.PURGED)
        assert await overdue(node.core, patience_ms=0) == []


async def test_a_report_of_our_own_is_destroyed_only_once_it_has_reached_everybody() -> None:
    async with nodes("XA", "XV", agree=False) as (world, running):
        await world.place("XO")
        await world.relay.agree("XA", "XV", "XO")
        node = running["XA"]
        await ready(node, ["XV"])
        sent = await push(node, "XV", "XO")
        await receipted(node, sent.item, "XV")
        with pytest.raises(Conflict, match="XO"):
            await purge(node.core, sent.item, who="desk", hurry=node.obligations.hurry)
        done = await push(node, "XV", key="2")
        await receipted(node, done.item, "XV")
        await purge(node.core, done.item, who="desk", hurry=node.obligations.hurry)
        await purged(node, done.item)
        assert await running["XV"].shelf.opened(done.item) is not None
        with pytest.raises(NotFound):
            await purge(node.core, bytes(32), who="desk", hurry=node.obligations.hurry)
