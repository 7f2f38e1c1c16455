"""Duties that come with a report hold its files: they go with it, stay with it, and are corrected with it."""

from dataclasses import replace
from functools import partial

from exchange.crypto.random import random_bytes
from exchange.limits import MIB
from nodes.keeping import keep, purge
from nodes.outbox import push_digest
from nodes.parts import Node
from nodes.store import blobs
from nodes.store.rows import ItemState, Reach
from nodes.withdrawing import withdraw
from tests.integration.test_node_attachments import at_relay, nothing_lies
from tests.integration.test_node_holding import purged, the_report
from tests.integration.test_node_narrowing import a_correction
from tests.support.node_world import attach, here, nodes, open_alarms, push, reached, receipted, until
from tests.support.traces import traces

MAP, NOTE = random_bytes(2 * MIB + 11), b"a short note"


async def correct(node: Node, before: bytes, *to: str, files: dict[str, bytes], purge: bool = False) -> bytes:
    attached = tuple([await attach(node, name, data) for name, data in files.items()])
    made = replace(await a_correction(node, before, *to), attached=attached)
    accepted = await node.outbox.accept(made, push_digest(before.hex(), b"", b""), purge_left_out=purge)
    node.files.attaching.pushed(attached)
    return accepted.item


async def file_names(node: Node, item: bytes) -> list[str]:
    return [row.file.hex() for row in await node.core.database.read(partial(blobs.of_item, item=item))]


async def test_files_of_a_report_that_expires_are_destroyed_with_it() -> None:
    async with nodes("XA", "XV") as (world, running):
        node = running["XV"]
        sent = await push(running["XA"], "XV", more="time: {expires_at: +6s}", files={"map.pdf": MAP})
        await here(node, sent.item, map=MAP)
        (name,) = await file_names(node, sent.item)
        sealed = (world.places["XV"].home / "attachments" / name).read_bytes()
        await reached(running["XA"], sent.item, "XV", Reach.PURGED)
        await purged(node, sent.item)
        await until(partial(nothing_lies, node), "the sealed file is still there")
        assert await file_names(node, sent.item) == [] and await node.core.keybox.keys([sent.item]) == {}
        assert list(traces(world.places["XV"].home, [sealed[:64], sealed[-64:]])) == []
        # The originator keeps its own work.
        await here(running["XA"], sent.item, map=MAP)


async def test_files_of_a_report_that_a_person_keeps_stay_until_it_is_destroyed() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XV"]
        more = "retention: 365d\ntime: {expires_at: +4s, on_expiry: ask}"
        sent = await push(running["XA"], "XV", more=more, files={"note.txt": NOTE})
        expired_ms = node.core.clock() + 4_000
        await here(node, sent.item, note=NOTE)
        await keep(node.core, sent.item, days=7, who="desk")
        await until(lambda: node.core.clock() > expired_ms, "time stands still")
        await node.files.attaching.tidy()
        await here(node, sent.item, note=NOTE)
        await purge(node.core, sent.item, who="desk", hurry=node.obligations.hurry)
        await reached(running["XA"], sent.item, "XV", Reach.PURGED)
        await until(partial(nothing_lies, node), "the sealed file is still there")


async def test_a_correction_brings_files_of_its_own_and_those_before_stay_with_the_version_before() -> None:
    async with nodes("XA", "XV") as (_, running):
        first = await push(running["XA"], "XV", files={"map.pdf": MAP})
        await here(running["XV"], first.item, map=MAP)
        second = await correct(running["XA"], first.item, "XV", files={"note.txt": NOTE})
        for node in (running["XV"], running["XA"]):
            await here(node, second, note=NOTE)
            await here(node, first.item, map=MAP)
        assert (await the_report(running["XV"], first.item)).state is ItemState.REPLACED
        await purge(running["XV"].core, first.item, who="desk", hurry=running["XV"].obligations.hurry)
        await purged(running["XV"], first.item)
        await running["XV"].files.attaching.tidy()
        assert len(running["XV"].files.disk.names()) == 1
        await here(running["XV"], second, note=NOTE)


async def test_whom_a_correction_leaves_out_destroys_the_files_before_and_gets_none_of_the_new_ones() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        first = await push(running["XA"], "XV", "XO", files={"map.pdf": MAP})
        for name in ("XV", "XO"):
            await here(running[name], first.item, map=MAP)
        second = await correct(running["XA"], first.item, "XV", files={"note.txt": NOTE}, purge=True)
        await reached(running["XA"], first.item, "XO", Reach.PURGED)
        await here(running["XV"], second, note=NOTE)
        await until(partial(nothing_lies, running["XO"]), "it holds a file")


async def test_a_report_that_is_retracted_before_its_files_are_at_the_relay_sends_none_of_them() -> None:
    async with nodes("XA", "XV") as (world, running):
        sender = running["XA"]
        uploading, sender.sender.on_files = sender.sender.on_files, lambda: None
        sent = await push(sender, "XV", files={"map.pdf": MAP})
        assert at_relay(world) == 0
        await withdraw(sender.core, sent.item, reason_code="wrong", text="", purge=False, wake=sender.outbox.changed)
        sender.sender.on_files = uploading
        later = await push(sender, "XV", key="later", files={"note.txt": NOTE})
        await receipted(sender, later.item, "XV")
        await here(running["XV"], later.item, note=NOTE)
        await until(lambda: at_relay(world) == 0, "the relay has a file of what is retracted")
        assert await open_alarms(sender) == await open_alarms(running["XV"]) == []
