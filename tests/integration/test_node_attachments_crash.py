"""Killed before or after any durable step of a file, a node goes on from its disk: it comes once, and whole.

The first half stops one node in this process right before or right after one write; the second kills processes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exchange.crypto.random import random_bytes
from exchange.errors import ExchangeError
from exchange.limits import MIB
from nodes import fetching
from nodes.admin.attachments import write_attachment
from nodes.caller import the_owner
from nodes.node_client import connect
from nodes.outbox import push_digest
from nodes.parts import Node
from nodes.v1 import attachment_pb2
from nodes.v1 import node_service_pb2 as pb
from tests.integration.test_node_crash import Killed, NodeProcess, a_seed, kill_at, processes, report_file
from tests.support import consent_world
from tests.support.node_world import (
    FIRST_TIME,
    a_label,
    at,
    attach,
    authored,
    here,
    nodes,
    open_alarms,
    ready,
    receipted,
    until,
)

FILE = random_bytes(2 * MIB + 3)
SENDER_STEPS = ("outbox._store", "sender._store_round", "blobs.change", "uploading._done", "answers.record")
RECIPIENT_STEPS = ("inbox.store_frame", "blobs.change", "fetching._here", "blobs.released")
WHEN = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


async def push_once(node: Node) -> bytes:
    """Push the same report with the same file, however often; return its item."""
    file = await attach(node, "map.pdf", FILE)
    made = replace(authored(node, a_label("XV")), attached=(file,))
    accepted = await node.outbox.accept(made, push_digest("one", b"", b""))
    node.files.attaching.pushed([file])
    return accepted.item


async def nothing_stray(node: Node, files: int) -> None:
    """Check that nothing lies on a node's disk but so many whole files."""
    await node.files.attaching.tidy()
    lying = node.files.disk.names()
    assert len(lying) == files and all(map(node.files.disk.is_whole, lying))


@WHEN
@pytest.mark.parametrize("step", SENDER_STEPS)
async def test_a_sender_killed_at_a_step_sends_the_report_with_its_file_once(step: str, before: bool) -> None:
    async with nodes("XV", agree=False) as (world, running):
        place = await world.place("XA")
        await world.relay.agree("XA", "XV")
        with contextlib.suppress(Killed):
            async with at(place) as sender:
                await ready(sender, ["XV"])
                dead = kill_at(sender, step, before=before)
                await push_once(sender)
                await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as sender:
            item = await push_once(sender)
            await receipted(sender, item, "XV")
            await here(running["XV"], item, map=FILE)
            await nothing_stray(sender, 1)
        await nothing_stray(running["XV"], 1)
        assert not {"relay", "sender"}.intersection(await open_alarms(running["XV"]))


@WHEN
@pytest.mark.parametrize("step", RECIPIENT_STEPS)
async def test_a_recipient_killed_at_a_step_has_the_file_in_the_end(
    step: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "DURABLE_BYTES", MIB)
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        async with at(place) as recipient:
            await ready(recipient, ["XA"])
            await ready(running["XA"], ["XV"])
            dead = kill_at(recipient, step, before=before)
            item = await push_once(running["XA"])
            await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as recipient:
            await here(recipient, item, map=FILE)
            await receipted(running["XA"], item, "XV")
            await nothing_stray(recipient, 1)
            assert await open_alarms(recipient) == []


@WHEN
@pytest.mark.parametrize("step", ["attaching._add_copies", "uploading._done"])
async def test_who_passes_a_report_on_and_is_killed_at_a_step_passes_the_file_on_once(step: str, before: bool) -> None:
    label = consent_world.LABEL.format(to="XV", onward="consent", hops=1, orcon="false", release="")
    async with nodes("XA", "XT", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV", "XT")
        originator = running["XA"]
        async with at(place) as holder:
            await ready(holder, ["XA", "XT"])
            await ready(originator, ["XV", "XT"])
            file = await attach(originator, "map.pdf", FILE)
            made = replace(authored(originator, label.encode()), attached=(file,))
            item = (await originator.outbox.accept(made, push_digest("one", b"", b""))).item
            await here(holder, item, map=FILE)
            dead = kill_at(holder, step, before=before)
            asked = await consent_world.ask(holder, item, "XT")
            await consent_world.arrived(originator, asked.hash)
            await originator.consenting.grant(asked.hash, caller=the_owner())
            await asyncio.wait_for(dead.wait(), 20)
        async with at(place) as holder:
            await receipted(holder, item, "XT")
            await here(running["XT"], item, map=FILE)
            await nothing_stray(holder, 2)


async def test_a_file_of_which_a_part_was_not_flushed_is_fetched_from_what_was() -> None:
    """A power cut may leave anything behind the last flush."""
    async with nodes("XA", agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.agree("XA", "XV")
        async with at(place) as recipient:
            await ready(recipient, ["XA"])
            await ready(running["XA"], ["XV"])
            dead = kill_at(recipient, "blobs.change", before=True)
            item = await push_once(running["XA"])
            await asyncio.wait_for(dead.wait(), 20)
            (file,) = recipient.files.disk.names()
            part = place.home / "attachments" / f"{file.hex()}.part"
            part.write_bytes(random_bytes(part.stat().st_size))
        async with at(place) as recipient:
            await here(recipient, item, map=FILE)
            assert await open_alarms(recipient) == []


# -- processes ---------------------------------------------------------------------------------------------------------

LARGE = 24 * MIB


def requests(path: Path) -> Iterator[attachment_pb2.AttachFileRequest]:
    """Yield a file as the command line does."""
    yield attachment_pb2.AttachFileRequest(
        name=path.name, media_type="application/octet-stream", size=path.stat().st_size
    )
    with path.open("rb") as handle:
        while data := handle.read(MIB):
            yield attachment_pb2.AttachFileRequest(data=data)


async def push_file(node: NodeProcess, path: Path) -> str:
    """Push a report with a file, trying again while the node is down; return its item."""
    while True:
        try:
            file = (await asyncio.to_thread(node.ask, "AttachFile", requests(path))).id
            request = pb.PushReportRequest(
                confirmed=FIRST_TIME, report=report_file(1), idempotency_key="1", attached=[file]
            )
            return str((await asyncio.to_thread(node.ask, "PushReport", request)).item)
        except ExchangeError:
            await asyncio.sleep(0.1)


async def has_come(node: NodeProcess, item: str) -> bool:
    """Say whether a node has all files of a report."""
    try:
        shown = await asyncio.to_thread(node.ask, "ShowReport", pb.ShowReportRequest(id=item))
    except ExchangeError:
        return False
    return [each.state for each in shown.attachments] == ["here"]


def half(path: Path, then: Callable[[], None]) -> Iterator[attachment_pb2.AttachFileRequest]:
    """Yield half of a file, and do something."""
    sent = list(requests(path))
    yield from sent[: len(sent) // 2]
    then()


@pytest.mark.processes
async def test_a_node_killed_while_it_takes_a_file_in_or_hands_one_out_leaves_no_part_of_it(tmp_path: Path) -> None:
    path, out = tmp_path / "large.bin", tmp_path / "out.bin"
    path.write_bytes(random_bytes(LARGE))
    async with processes("XA", "XV") as (_, started):
        sender, recipient = started["XA"], started["XV"]
        folder = sender.place.home / "attachments"
        with pytest.raises(ExchangeError):
            # What is sealed is written after each MiB, and so half of it lies there.
            await asyncio.to_thread(sender.ask, "AttachFile", half(path, sender.kill))
        assert [each.suffix for each in folder.iterdir()] == [".part"]
        sender.start()
        await until(sender.answers, "XA does not come back")
        await until(lambda: not list(folder.iterdir()), "a part of a file lies there that nobody can open")
        item = await push_file(sender, path)
        await until(partial(has_come, recipient, item), "the file has not come")

        def export(kill: Callable[[], None] = lambda: None) -> None:
            asked = attachment_pb2.ExportAttachmentRequest(
                id=item, name=path.name, action="internal_only", purpose="protect_life"
            )
            with connect(recipient.place.home) as node:
                responses = node.ExportAttachment(asked)

                def parts() -> Iterator[attachment_pb2.ExportAttachmentResponse]:
                    for number, response in enumerate(responses):
                        if number == 4:
                            kill()
                        yield response

                write_attachment(parts(), out)

        with pytest.raises(ExchangeError):
            await asyncio.to_thread(export, recipient.kill)
        assert not list(tmp_path.glob("*out.bin*")), "nothing that could be taken for the file"
        recipient.start()
        await until(recipient.answers, "XV does not come back")
        await asyncio.to_thread(export)
        assert out.read_bytes() == path.read_bytes()


@pytest.mark.processes
async def test_a_large_file_comes_through_although_everybody_on_its_way_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(random_bytes(LARGE))
    with a_seed() as draw:
        async with processes("XA", "XV") as (relay, started):
            item = await push_file(started["XA"], path)
            for victim in ("XA", "relay", "XV", "relay", "XV", "XA"):
                await asyncio.sleep(draw.uniform(0.05, 0.5))
                if victim == "relay":
                    relay.kill()
                    await asyncio.to_thread(relay.start)
                else:
                    started[victim].kill()
                    started[victim].start()
                    await until(started[victim].answers, f"{victim} does not come back")
            await until(partial(has_come, started["XV"], item), "the file has not come")
            export = attachment_pb2.ExportAttachmentRequest(
                id=item, name=path.name, action="internal_only", purpose="protect_life"
            )
            parts = await asyncio.to_thread(started["XV"].ask, "ExportAttachment", export)
            assert b"".join(part.data for part in parts) == path.read_bytes()
            for node in started.values():
                assert list((await asyncio.to_thread(node.ask, "GetStatus", pb.GetStatusRequest())).alarms) == []
                lying = sorted(each.suffix for each in (node.place.home / "attachments").iterdir())
                assert lying == [""]
