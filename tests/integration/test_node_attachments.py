"""Files travel with their reports from one disk to the other: whole or not at all, and only where they may."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, update

from exchange.crypto.random import random_bytes
from exchange.errors import BadInput, MalformedInput, NotFound, RateLimited, StorageFull
from exchange.limits import ATTACHMENT_BYTES, MIB
from exchange.relay.store.blobs import SqlBlobs
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from nodes import attaching
from nodes.caller import the_owner
from nodes.keeping import purge
from nodes.outbox import push_digest
from nodes.parts import Node
from nodes.store import blobs
from nodes.store.blobs import BlobState, Way
from nodes.store.rows import ItemState, Reach
from nodes.store.rule_tables import blob
from nodes.withdrawing import withdraw
from tests.support import consent_world
from tests.support.node_world import (
    NodeWorld,
    a_label,
    attach,
    authored,
    here,
    nodes,
    open_alarms,
    push,
    reach,
    reached,
    receipted,
    standing,
    stored,
    until,
)
from tests.support.relay_world import settings

MAP, NOTE = random_bytes(3 * MIB + 11), b"a short note"


def lying(node: Node) -> set[bytes]:
    """Return what lies in a node's folder of attachments."""
    return node.files.disk.names()


async def nothing_lies(node: Node) -> bool:
    await node.files.attaching.tidy()
    return not lying(node)


def at_relay(world: NodeWorld) -> int:
    """Return how many files the relay has of XA."""
    with Database(sqlite_url(world.relay.home.root / "relay.db")) as database:
        return database.read_now(lambda c: SqlBlobs(c).used(world.relay.partners["XA"].party)).size


async def test_files_arrive_with_their_report_at_every_recipient_and_the_relay_lets_them_go() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        sent = await push(running["XA"], "XV", "XO", files={"map.pdf": MAP, "note.txt": NOTE})
        await receipted(running["XA"], sent.item, "XV", "XO")
        for name in ("XV", "XO", "XA"):
            await here(running[name], sent.item, map=MAP, note=NOTE)
        await until(lambda: at_relay(world) == 0, "the relay keeps what everybody has")
        story = await running["XA"].shelf.story(the_owner(), sent.item)
        events = [event.event for event in story.events]
        assert events.index("waiting") < events.index("uploaded") < events.index("sealed") < events.index("promised")
        assert [await open_alarms(node) for node in running.values()] == [[], [], []]


async def test_nothing_of_a_file_stands_in_clear_on_any_disk() -> None:
    marks = [b"the very secret text of a file", b"secret-plan.txt", b"text/x-secret"]
    async with nodes("XA", "XV") as (world, running):
        text = marks[0] * 2_000
        made = authored(running["XA"], a_label("XV"))
        file = await attach(running["XA"], marks[1].decode(), text)
        file = replace(file, attachment=replace(file.attachment, media_type=marks[2].decode()))
        sent = await running["XA"].outbox.accept(replace(made, attached=(file,)), push_digest("one", b"", b""))
        await until(partial(is_here, running["XV"], sent.item), "it has not come")
        homes = [world.relay.home.root, *(place.home for place in world.places.values())]
        for path in (path for home in homes for path in home.rglob("*") if path.is_file()):
            data = path.read_bytes()
            assert not any(mark in data or mark in path.name.encode() for mark in marks), path


async def is_here(node: Node, item: bytes) -> bool:
    found = await standing(node, item)
    return bool(found) and all(each.state == "here" for each in found)


async def test_a_report_that_waits_lets_none_of_its_files_leave_the_node() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV", more="approvals: 1", files={"note.txt": NOTE})
        denied = await push(running["XA"], files={"note.txt": NOTE})
        later = await push(running["XA"], "XV", files={"other.txt": b"other"})
        await receipted(running["XA"], later.item, "XV")
        row = await reach(running["XA"], sent.item, "XV")
        assert row is not None and row.state is Reach.WAITING
        for item in (sent.item, denied.item):
            kept = await running["XA"].core.database.read(partial(blobs.of_item, item=item))
            assert [each.state for each in kept] == [BlobState.HERE], "it was not uploaded"


async def test_a_repeated_push_is_one_report_whatever_its_files_were_sealed_to() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        made = authored(node, a_label("XV"))
        items = set()
        for _ in range(2):
            file = await attach(node, "note.txt", NOTE)
            accepted = await node.outbox.accept(replace(made, attached=(file,)), push_digest("one", b"", b""))
            node.files.attaching.pushed([file])
            items.add(accepted.item)
        assert len(items) == 1 and accepted.repeated
        await node.files.attaching.tidy()
        assert len(lying(node)) == 1


async def test_destroying_a_report_destroys_its_files_at_both_ends() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV", files={"map.pdf": MAP})
        await here(running["XV"], sent.item, map=MAP)
        await receipted(running["XA"], sent.item, "XV")
        await withdraw(
            running["XA"].core, sent.item, reason_code="wrong", text="", purge=True, wake=running["XA"].outbox.changed
        )

        async def gone() -> bool:
            report = await stored(running["XV"], sent.item)
            return report is not None and report.state is ItemState.PURGED and await nothing_lies(running["XV"])

        await until(gone, "its files are still there")
        assert await running["XV"].core.keybox.without_key([sent.item]) == {sent.item}
        await purge(running["XA"].core, sent.item, who="owner", hurry=running["XA"].obligations.hurry)
        await until(partial(nothing_lies, running["XA"]), "its files are still there")


async def test_what_is_retracted_before_it_has_come_is_not_fetched_and_the_relay_is_told() -> None:
    async with nodes("XA", "XV") as (world, running):
        recipient = running["XV"]
        free, recipient.files.fetching._least_free = recipient.files.fetching._least_free, 1 << 60
        sent = await push(running["XA"], "XV", files={"map.pdf": MAP})
        await receipted(running["XA"], sent.item, "XV")

        async def waits() -> bool:
            return [each.why for each in await standing(recipient, sent.item)] == ["the disk has no room for it"]

        await until(waits, "a full disk is not told of")
        assert at_relay(world) > len(MAP)
        await withdraw(
            running["XA"].core, sent.item, reason_code="wrong", text="", purge=True, wake=running["XA"].outbox.changed
        )
        await until(lambda: at_relay(world) == 0, "the relay keeps what nobody wants")
        recipient.files.fetching._least_free = free
        assert lying(recipient) == set()


async def test_files_that_no_push_takes_go_and_bad_ones_never_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        for name in ("../x", "a\nb"):
            with pytest.raises(MalformedInput):
                await attach(node, name, b"x")

        async def parts() -> AsyncIterator[bytes]:
            yield b"12345"

        for size, error in ((4, "announced"), (6, "announced"), (ATTACHMENT_BYTES + 1, "limit")):
            with pytest.raises(BadInput, match=error):
                await node.files.attaching.take("a.txt", "text/plain", size, parts())
        with pytest.raises(MalformedInput):
            await node.files.attaching.take("a.txt", "Text", 5, parts())
        assert lying(node) == set()
        file = await attach(node, "a.txt", b"x")
        assert node.files.attaching.staged([file.file.hex()]) == (file,)
        await node.files.attaching.tidy()
        assert lying(node) == {file.file}
        node.files.attaching._least_free, enough = 1 << 60, node.files.attaching._least_free
        with pytest.raises(StorageFull):
            await attach(node, "b.txt", b"x")
        node.files.attaching._least_free = enough
        monkeypatch.setattr(attaching, "STAGED_MOST", 1)
        with pytest.raises(RateLimited):
            await attach(node, "b.txt", b"x")
        monkeypatch.setattr(attaching, "STAGED_MS", -1)
        await node.files.attaching.tidy()
        assert lying(node) == set()
        with pytest.raises(NotFound):
            node.files.attaching.staged([file.file.hex()])


async def test_a_relay_that_has_lost_a_file_gets_it_again_and_the_report_goes() -> None:
    async with nodes("XA", "XV") as (world, running):
        sender = running["XA"]
        file = await attach(sender, "note.txt", NOTE)
        made = replace(authored(sender, a_label("XV")), attached=(file,))
        sealing = sender.sender.on_files
        sender.sender.on_files = lambda: None
        sent = await sender.outbox.accept(made, push_digest("one", b"", b""))

        async def waits() -> bool:
            row = await reach(sender, sent.item, "XV")
            return row is not None and row.why.startswith("waiting: its attachments")

        await until(waits, "it is sealed without its files")
        # The store says that the relay has it, which is no longer true.
        kept = partial(blobs.change, file=file.file, was=BlobState.HERE, state=BlobState.KEPT)
        assert await sender.core.database.write(kept)
        assert at_relay(world) == 0
        sender.sender.on_files = sealing
        sender.files.uploading.hurry()
        await receipted(sender, sent.item, "XV")
        await here(running["XV"], sent.item, note=NOTE)
        story = await sender.shelf.story(the_owner(), sent.item)
        assert any("ATTACHMENT_MISSING" in event.detail for event in story.events)


async def test_who_passes_a_report_on_passes_its_files_on_sealed_anew_once_they_have_come() -> None:
    label = consent_world.LABEL.format(to="XV", onward="consent", hops=1, orcon="false", release="")
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        file = await attach(originator, "map.pdf", MAP)
        made = replace(authored(originator, label.encode()), attached=(file,))
        free, holder.files.fetching._least_free = holder.files.fetching._least_free, 1 << 60
        sent = await originator.outbox.accept(made, push_digest("one", b"", b""))
        await receipted(originator, sent.item, "XV")
        asked = await consent_world.ask(holder, sent.item, "XT")
        await consent_world.arrived(originator, asked.hash)
        await originator.consenting.grant(asked.hash, caller=the_owner())

        async def waits() -> bool:
            row = await reach(holder, sent.item, "XT")
            return row is not None and row.why.startswith("waiting: its attachments")

        await until(waits, "it does not wait for its file")
        assert await stored(third, sent.item) is None
        holder.files.fetching._least_free = free
        await holder.core.database.write(_at_once)
        holder.files.fetching.hurry()
        await receipted(holder, sent.item, "XT")
        await here(third, sent.item, map=MAP)
        rows = await holder.core.database.read(partial(blobs.of_item, item=sent.item))
        assert {row.way for row in rows} == {Way.IN, Way.OUT} and len({row.blob_id for row in rows}) == 2
        assert len({row.sha256 for row in rows}) == 2, "nothing at the relay ties the two together"


def _at_once(connection: Connection) -> None:
    connection.execute(update(blob).values(due_ms=0))


async def test_a_file_that_is_damaged_where_it_lies_is_passed_on_to_nobody() -> None:
    label = consent_world.LABEL.format(to="XV", onward="consent", hops=1, orcon="false", release="")
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder = running["XA"], running["XV"]
        file = await attach(originator, "note.txt", NOTE)
        made = replace(authored(originator, label.encode()), attached=(file,))
        sent = await originator.outbox.accept(made, push_digest("one", b"", b""))
        await here(holder, sent.item, note=NOTE)
        (path,) = (holder.home / "attachments").iterdir()
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        asked = await consent_world.ask(holder, sent.item, "XT")
        await consent_world.arrived(originator, asked.hash)
        await originator.consenting.grant(asked.hash, caller=the_owner())
        await reached(holder, sent.item, "XT", Reach.REFUSED)
        assert await open_alarms(holder) == ["files"]
        await holder.files.attaching.tidy()
        assert len(lying(holder)) == 1, "nothing of the copy stays"


async def test_a_file_that_is_not_the_one_that_was_signed_for_is_its_senders_fault_and_never_here() -> None:
    async with nodes("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        file = await attach(sender, "note.txt", NOTE)
        lie = replace(file, attachment=replace(file.attachment, sha256=bytes(32)))
        made = replace(authored(sender, a_label("XV")), attached=(lie,))
        sent = await sender.outbox.accept(made, push_digest("one", b"", b""))
        await receipted(sender, sent.item, "XV")

        async def broken() -> bool:
            return [each.state for each in await standing(recipient, sent.item)] == ["broken"]

        await until(broken, "it is not found out")
        assert await open_alarms(recipient) == ["sender"]
        await recipient.files.attaching.tidy()
        assert lying(recipient) == set()
        opened = await recipient.shelf.opened(sent.item)
        assert opened is not None
        with pytest.raises(NotFound):
            await recipient.files.held(sent.item, "note.txt", opened)


@pytest.mark.parametrize("damage", ["damaged", "gone"])
async def test_a_file_that_this_disk_has_lost_stops_its_report_and_no_other(damage: str) -> None:
    async with nodes("XA", "XV") as (_, running):
        sender = running["XA"]
        sending, sender.sender.on_files = sender.sender.on_files, lambda: None
        lost = await push(sender, "XV", files={"note.txt": NOTE})
        (file,) = lying(sender)
        path = next(iter((sender.home / "attachments").iterdir()))
        assert path.name == file.hex()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
        good = await push(sender, "XV", files={"other.txt": b"other"})
        sender.sender.on_files = sending
        sender.files.uploading.hurry()
        await receipted(sender, good.item, "XV")
        await here(running["XV"], good.item, other=b"other")
        await reached(sender, lost.item, "XV", Reach.REFUSED)
        assert await open_alarms(sender) == ["files"]


async def test_a_file_for_which_the_relay_has_no_room_holds_up_no_other() -> None:
    given = settings(attachment_bytes=2 * MIB)
    async with nodes("XA", "XV", given=given) as (_, running):
        sender = running["XA"]
        waits = await push(sender, "XV", files={"map.pdf": MAP})
        goes = await push(sender, "XV", files={"note.txt": NOTE})
        await receipted(sender, goes.item, "XV")
        row = await reach(sender, waits.item, "XV")
        assert row is not None and row.state is Reach.WAITING
