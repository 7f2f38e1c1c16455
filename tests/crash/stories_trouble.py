"""What goes wrong beside the crashes: deliveries that get lost, files that are gone, disks that are replaced."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import grpc.aio
from sqlalchemy import Connection, delete

from exchange.directory.state import Status
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict, NotFound
from exchange.names import party_id
from exchange.policy.terms import HeldItems
from exchange.relay import retention
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.backup_file import digest_of
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from nodes import alarms
from nodes.backup import back_up, restore
from nodes.parts import Node
from nodes.permits import Act, node_subject
from nodes.store import readers, sending
from nodes.store.blobs import KeptBlob
from nodes.store.rows import Reach
from nodes.store.rule_tables import reader_rule
from tests.crash.judge import audited, maybe, quiet, sent
from tests.integration.test_node_backup import admitted
from tests.integration.test_node_resend_crash import all_arrived_once, push_all
from tests.support.blobs import a_file, upload
from tests.support.crash_room import Room, Story
from tests.support.directory_builders import EXCHANGE
from tests.support.losses import EAGER, lose
from tests.support.node_world import (
    count_reports,
    here,
    push,
    reached,
    ready,
    receipted,
    standing,
    until,
)
from tests.support.operators import permits
from tests.support.processes import PASSPHRASE

XV = party_id("XV")
DONE = b"done"

TALKATIVE = EAGER.model_copy(update={"stream_head_quiet_s": 0.2})
"""Nodes that tell at once how far their streams have come."""


async def what_was_lost_is_asked_for(room: Room) -> None:
    """The relay loses a report; its recipient notices by what the sender tells of the stream, and asks for it."""
    async with room.on("XA", "XV", timing=TALKATIVE) as running:
        sender, recipient = running["XA"], running["XV"]
        lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        items = await push_all(sender)
        await all_arrived_once(sender, recipient, items)
        await quiet(sender, recipient)


async def files_are_gone(room: Room) -> None:
    """A file goes before it was uploaded, another after it came; bytes are uploaded that are not what was announced."""
    async with room.on("XA", "XV") as running:
        sender, recipient = running["XA"], running["XV"]
        item = await room.once("pushed", lambda: with_a_file(sender, "one"))
        await room.once("came", lambda: here(recipient, item, map=b"a file"))
        losing(sender)
        gone = await room.once("pushed another", lambda: with_a_file(sender, "two"))
        await reached(sender, gone, "XV", Reach.REFUSED)
        file = a_file(300)
        with suppress(grpc.aio.AioRpcError):
            await upload(room.world.relay.partners["XA"], file.ref, bytes(len(file.data)))
        await audited(sender, recipient)
        await quiet(sender, recipient, but=[alarms.FILES])
        assert await count_reports(recipient) == 1
    for path in (room.root / "XV" / "attachments").iterdir():
        path.unlink()
    async with room.on("XA", "XV") as running:
        (file_,) = await standing(running["XV"], item)
        assert file_.state != "here"


async def with_a_file(node: Node, key: str) -> bytes:
    return (await push(node, "XV", key=key, name=key, files={"map.pdf": b"a file"})).item


def losing(node: Node) -> None:
    """Let files be gone when a node comes to upload them."""
    uploading = node.files.uploading
    upload_ = uploading._upload

    async def late(row: KeptBlob, item: bytes, lane: int) -> bool:
        node.files.disk.remove(row.file)
        return await upload_(row, item, lane)

    uploading._upload = late  # type: ignore[method-assign]


async def a_partner_is_cut_off(room: Room) -> None:
    """It destroys what it is asked to, is expelled, and what waits for it goes from the relay."""
    retention.PAGES_KEPT = -1_000_000
    if not (room.root / "told-asked").exists():
        async with room.on("XA", "XV", agree=False) as running:
            await room.agree("XA", "XV", held_items=HeldItems.PURGE)
            await ready(running["XA"], ["XV"])
            item = await room.once("pushed", lambda: sent(running["XA"], "XV", key="one"))
            await room.once("came", lambda: receipted(running["XA"], item, "XV"))
            with suppress(Conflict, NotFound):
                await running["XA"].expelling.recall(XV)
            await reached(running["XA"], item, "XV", Reach.PURGED)
            await quiet(*running.values())
            await room.once("asked", nothing)
    async with room.on("XA", agree=False, also=["XV"]) as running:
        late = await room.once("late", lambda: sent(running["XA"], "XV", key="late"))
        await room.once("waits", lambda: reached(running["XA"], late, "XV", Reach.PROMISED))
        await room.once("expelled", lambda: expelled(room))
        await until(partial(nothing_waits, room), "something waits for who is cut off")
        await audited(running["XA"])


async def nothing() -> bytes:
    return DONE


async def expelled(room: Room) -> bytes:
    await room.world.relay.mirror()
    record = room.exchange.directory.party(XV)
    if record is None or record.status is not Status.EXPELLED:
        await room.world.expel("XV")
    return DONE


async def nothing_waits(room: Room) -> bool:
    def reports(connection: Connection) -> bool:
        mailboxes = SqlMailboxes(connection)
        return any(mailboxes.waiting(XV, lane, after=0, limit=1, kind=EnvelopeKind.REPORT) for lane in Lane)

    with Database(sqlite_url(room.relay.root / "relay.db")) as database:
        return not database.read_now(reports)


async def a_node_is_restored(room: Room) -> None:
    """A node is backed up by two of its operators, lost, restored into another database, and goes on anew."""
    home, backup = room.root / "XV", room.root / "xv.backup"
    subject = node_subject(EXCHANGE, "XV")
    if not (room.root / "told-backed up").exists():
        async with room.on("XA", "XV") as running:
            for name in ("root", "sami"):
                await maybe(admitted(running["XV"], name), Conflict)
            item = await room.once("pushed", lambda: sent(running["XV"], "XA", key="one"))
            await room.once("came", lambda: receipted(running["XV"], item, "XA"))
            room.write_home("XV")
            allowed = permits(Act.BACKUP, subject, "root", "sami")
            with suppress(Conflict):
                back_up(home, backup, PASSPHRASE, now_ms=now_ms(), permits=allowed)
            await room.once("backed up", nothing)
    if not (room.root / "told-restored").exists():
        if not (room.root / "lost").exists():
            home.rename(room.root / "lost")
        restored(room, home, backup)
        await room.once("restored", nothing)
    async with room.on("XA", "XV") as running:
        partner, node = running["XA"], running["XV"]
        again = await room.once("again", lambda: sent(node, "XA", key="again"))
        await receipted(node, again, "XA")
        back = await room.once("back", lambda: sent(partner, "XV", key="back"))
        await receipted(partner, back, "XV")
        assert await count_reports(partner) == await count_reports(node) == 3
        await quiet(partner, node)


def restored(room: Room, home: Path, backup: Path) -> None:
    """Restore into a database that no attempt before has begun to fill."""
    number = len(list(room.root.glob("elsewhere-*.db")))
    allowed = permits(Act.RESTORE, digest_of(backup).hex(), "root", "sami")
    url = f"sqlite:///{room.root}/elsewhere-{number}.db"
    with suppress(Conflict):
        restore(backup, home, PASSPHRASE, now_ms=now_ms(), permits=allowed, store_url=url)


async def an_older_store_is_brought_up(room: Room) -> None:
    """Reader rules of versions before, refusals that nobody has judged, and keys that have served."""
    async with room.on("XA", "XV") as running:
        sender, holder = running["XA"], running["XV"]
        item = await room.once("pushed", lambda: sent(sender, "XV", key="one"))
        await receipted(sender, item, "XV")
        await room.once("refused", lambda: a_refusal(sender, item))
        await until(partial(are_judged, sender), "a refusal is not judged")
        await holder.core.keybox.destroy_node_keys([999])
        await room.once("older", lambda: without_rules(holder))
        await quiet(sender, holder)
    async with room.on("XA", "XV") as running:
        left = await running["XV"].core.database.read(partial(readers.without_row, limit=9))
        assert left == []


async def a_refusal(node: Node, item: bytes) -> bytes:
    add = partial(
        sending.add_refusal,
        envelope=bytes(32),
        item=item,
        reason="POLICY_DENIED",
        step=1,
        recipient="XV",
        refused_ms=now_ms(),
        statement=b"none",
        directory_size=1,
        evidence=b"none",
    )
    await node.core.database.write(add)
    return DONE


async def are_judged(node: Node) -> bool:
    return not await node.core.database.read(partial(sending.refusals_to_judge, directory_size=1_000, limit=9))


async def without_rules(node: Node) -> bytes:
    await node.core.database.write(lambda connection: connection.execute(delete(reader_rule)) and None)
    return DONE


async def a_clock_is_set_right(room: Room) -> None:
    """A node's clock was ahead: what waits by the times that it told goes once it is right."""
    async with room.on("XA", "XV") as running:
        sender, recipient = running["XA"], running["XV"]
        item = await room.once("pushed", lambda: sent(sender, "XV", key="one"))
        sender.set_back._clock.told(now_ms() + 20 * 60_000)
        await sender.set_back.look()
        await receipted(sender, item, "XV")
        await audited(sender, recipient)
        await quiet(sender, recipient)


STORIES: Mapping[str, tuple[Story, Sequence[str]]] = {
    "lost": (
        what_was_lost_is_asked_for,
        (
            "nodes.resending:Resending._answer",
            "nodes.resending:Resending._ask",
            "nodes.resending:Resending.look_after",
            "nodes.streams:Streams.check",
            "nodes.streams:Streams.tell",
            "nodes.streams:Streams.tell#2",
        ),
    ),
    "gone": (
        files_are_gone,
        (
            "exchange.relay.blobs:Incoming._finish",
            "nodes.attaching:Attaching.load",
            "nodes.uploading:Uploading._give_up",
        ),
    ),
    "cut off": (
        a_partner_is_cut_off,
        (
            "exchange.relay.blob_retention:BlobRetention._give_up",
            "exchange.relay.retention:Retention._drop_copies",
            "exchange.relay.retention:Retention._give_back",
            "nodes.expelling:Expelling.recall",
        ),
    ),
    "restored": (
        a_node_is_restored,
        (
            "exchange.runtime.backup_file:_restore",
            "exchange.runtime.backup_file:_sync",
            "exchange.runtime.backup_file:appearing",
            "exchange.runtime.backup_file:write_verified",
            "exchange.runtime.backup_file:write_verified#2",
            "nodes.anew:Anew.tell",
            "nodes.backup:_begin_anew",
            "nodes.backup:_begin_anew#2",
            "nodes.backup:_make_ready",
            "nodes.config:change_store",
            "nodes.keystore:save_keys",
        ),
    ),
    "set right": (a_clock_is_set_right, ("nodes.set_back:SetBack.look",)),
    "older": (
        an_older_store_is_brought_up,
        (
            "nodes.auditor:Auditor._judge_refusals",
            "nodes.keybox:Keybox.destroy_node_keys",
            "nodes.shelf:Shelf.load",
        ),
    ),
}
