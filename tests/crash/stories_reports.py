"""Reports: sent, kept, destroyed, withdrawn, with files, and passed on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from exchange.crypto.random import random_bytes
from exchange.errors import BadInput, Conflict, NotAllowed, NotFound
from exchange.limits import MIB
from exchange.policy.model import Actions, Purpose
from exchange.policy.use import Use
from exchange.runtime.clock import now_ms
from nodes import fetching, obligations
from nodes.caller import the_owner
from nodes.decisions import Stage
from nodes.exporting import export
from nodes.keeping import keep, purge
from nodes.outbox import push_digest
from nodes.parts import Node
from nodes.store import decisions
from nodes.store.consent_rows import RequestState
from nodes.store.keys import Prekey
from nodes.store.rows import DecisionRow, Reach
from nodes.withdrawing import withdraw
from tests.crash.judge import audited, happened, maybe, quiet, sent
from tests.support import consent_world
from tests.support.crash_room import Room, Story
from tests.support.directory_builders import xwing
from tests.support.node_world import (
    attach,
    authored,
    count_reports,
    here,
    reached,
    receipted,
    stored,
    until,
)

FILE = random_bytes(2 * MIB + 3)
USE = Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE)


async def a_report_is_sent_and_receipted(room: Room) -> None:
    """From an empty room: the relay is founded, two parties join, a report goes."""
    async with room.on("XA", "XV") as running:
        sender, recipient = running["XA"], running["XV"]
        item = await room.once("pushed", lambda: sent(sender, "XV", key="one"))
        await receipted(sender, item, "XV")
        assert await sent(sender, "XV", key="one") == item
        assert await count_reports(sender) == await count_reports(recipient) == 1
        await happened(sender, item, "receipted")
        await happened(recipient, item, "delivered")
        await audited(sender, recipient)
        await quiet(sender, recipient)


async def a_report_is_kept_withdrawn_and_destroyed(room: Room) -> None:
    """What holders do with reports in the end, and what they do with keys."""
    obligations.ASIDE_KEPT_MS = 0
    more = "retention: 365d\ntime: {expires_at: +1d, on_expiry: ask}"
    async with room.on("XA", "XV") as running:
        sender, holder = running["XA"], running["XV"]
        item = await room.once("pushed", lambda: sent(sender, "XV", key="one", more=more))
        other = await room.once("pushed another", lambda: sent(sender, "XV", key="two"))
        await room.once("came", lambda: receipted(sender, item, "XV"))
        await room.once("another came", lambda: receipted(sender, other, "XV"))
        await room.once("exported", lambda: exported(holder, item))
        await room.once("kept", lambda: kept(holder, item))
        await room.once("destroyed", lambda: destroyed(holder, item))
        await reached(sender, item, "XV", Reach.PURGED)
        await room.once("withdrawn", lambda: withdrawn(sender, other))
        await reached(sender, other, "XV", Reach.RETRACTED)
        await room.once("denied", lambda: denied(holder))
        await until(lambda: nothing_denied(holder), "what was denied stays")
        await holder.core.keybox.add_prekeys([Prekey(1, xwing("of long ago"))])
        await holder.core.keybox.destroy_prekeys_before(2)
        assert 1 not in {day for day, _ in await holder.core.keybox.prekey_days()}
        await happened(holder, item, "purged")
        await happened(sender, item, "purged")
        await holder.core.keybox.new_keys([STRAY])
        await quiet(sender, holder)
    async with room.on("XA", "XV") as running:
        assert await running["XV"].core.keybox.without_key([STRAY, item, other]) == {STRAY, item}


STRAY, DENIED = bytes([7]) * 32, bytes([8]) * 32


async def exported(node: Node, item: bytes) -> bytes:
    await export(node.core, node.shelf, item, USE, who="desk")
    return b"done"


async def kept(node: Node, item: bytes) -> bytes:
    return str((await keep(node.core, item, days=7, who="desk")).until_ms).encode()


async def destroyed(node: Node, item: bytes) -> bytes:
    await maybe(purge(node.core, item, who="desk", hurry=node.obligations.hurry), NotFound)
    return b"done"


async def withdrawn(node: Node, item: bytes) -> bytes:
    asked = withdraw(node.core, item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
    await maybe(asked, Conflict, NotFound, NotAllowed, BadInput)
    return b"done"


async def denied(node: Node) -> bytes:
    """Keep a decision about a delivery that was set aside, with a key as every such one has."""
    await node.core.keybox.new_keys([DENIED])
    row = DecisionRow(DENIED, Stage.ARRIVED, now_ms() - 1, 1, b"sealed")
    await node.core.database.write(partial(decisions.add_decisions, rows=[row]))
    return b"done"


async def nothing_denied(node: Node) -> bool:
    there = await node.core.database.read(partial(decisions.items_among, items=[DENIED]))
    return not there and await node.core.keybox.without_key([DENIED]) == {DENIED}


async def a_report_with_a_file_is_sent_and_passed_on(room: Room) -> None:
    """A file goes from its originator to a holder and, with consent, to a third party."""
    fetching.DURABLE_BYTES = MIB
    (room.root / "file").exists() or (room.root / "file").write_bytes(FILE)
    async with room.on("XA", "XV", "XT") as running:
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        item = await room.once("pushed", lambda: with_a_file(originator))
        await here(holder, item, map=FILE)
        hash_ = await room.once("asked", lambda: asked(holder, item))
        await consent_world.arrived(originator, hash_, *RequestState)
        await room.once("granted", lambda: granted(originator, hash_))
        await receipted(holder, item, "XT")
        await here(third, item, map=FILE)
        for node, files in ((originator, 1), (holder, 2), (third, 1)):
            await nothing_stray(node, files)
            assert await count_reports(node) == 1
        # Who was killed before it was told so asks again: that is a second request, and it waits for a person.
        await quiet(originator, holder, third, but=["consent"])


LABEL = consent_world.LABEL.format(to="XV", onward="consent", hops=1, orcon="false", release="")


async def with_a_file(node: Node) -> bytes:
    file = await attach(node, "map.pdf", FILE)
    made = replace(authored(node, LABEL.encode()), attached=(file,))
    accepted = await node.outbox.accept(made, push_digest("one", b"", b""))
    node.files.attaching.pushed([file])
    return accepted.item


async def asked(node: Node, item: bytes) -> bytes:
    return (await consent_world.ask(node, item, "XT")).hash


async def granted(node: Node, hash_: bytes) -> bytes:
    await maybe(node.consenting.grant(hash_, caller=the_owner()), Conflict)
    return b"done"


async def nothing_stray(node: Node, files: int) -> None:
    await node.files.attaching.tidy()
    lying = node.files.disk.names()
    assert len(lying) == files and all(map(node.files.disk.is_whole, lying)), (node.core.me, len(lying))


async def a_holder_asks_first_and_passes_on_later(room: Room) -> None:
    """Consent that is asked for alone, and a request that the node cannot answer by itself."""
    async with room.on("XA", "XV", "XT") as running:
        originator, holder = running["XA"], running["XV"]
        broken(originator)
        item = await room.once("pushed", lambda: consented(originator))
        await receipted(originator, item, "XV")
        hash_ = await room.once("asked", lambda: asked_only(holder, item))
        await consent_world.arrived(originator, hash_, *RequestState)
        await until(partial(is_left, originator, hash_), "it waits for nobody")
        await room.once("granted", lambda: granted(originator, hash_))
        await until(partial(is_granted, holder, hash_), "the grant has not come")
        await maybe(holder.asking.pass_on(hash_, caller=the_owner()), NotAllowed)
        await receipted(holder, item, "XT")
        report = await stored(running["XT"], item)
        assert report is not None and report.sender == "XV"
        await happened(running["XT"], item, "delivered")
        await quiet(originator, holder, running["XT"], but=["consent"])


def broken(node: Node) -> None:
    """Let the node fail to look at requests."""

    async def look_at(_: object) -> bool:
        raise BadInput("it cannot be looked at")

    node.consenting._look_at = look_at  # type: ignore[method-assign,assignment]


async def consented(node: Node) -> bytes:
    return (await node.outbox.accept(authored(node, LABEL.encode()), push_digest("one", b"", b""))).item


async def asked_only(node: Node, item: bytes) -> bytes:
    return (await consent_world.ask(node, item, "XT", ask_only=True)).hash


async def is_left(node: Node, hash_: bytes) -> bool:
    found = await consent_world.request_at(node, hash_)
    return found is not None and found.state is not RequestState.NEW


async def is_granted(node: Node, hash_: bytes) -> bool:
    return bool(await consent_world.grants_at(node, hash_))


STORIES: Mapping[str, tuple[Story, Sequence[str]]] = {
    "report": (
        a_report_is_sent_and_receipted,
        (
            "exchange.relay.app:_Info.write",
            "exchange.relay.checkpoints:Checkpoints.refresh",
            "exchange.relay.continuity:HandedOut.keep",
            "exchange.relay.freeing:Freeing._free",
            "exchange.relay.directory:LiveDirectory.load",
            "exchange.relay.directory:LiveDirectory._append_here",
            "exchange.relay.enrol:Enrolment._write_request",
            "exchange.relay.intake:Intake._recorded",
            "exchange.relay.retention:Retention.sweep",
            "nodes.auditor:Auditor._check_promises",
            "nodes.auditor:Auditor._traffic_checkpoint",
            "nodes.keybox:Keybox.add_prekeys",
            "nodes.keybox:Keybox.new_keys",
            "nodes.keybox:Keybox.open",
            "nodes.outbox:Outbox._store_all",
            "nodes.prekeys:Prekeys._make",
            "nodes.prekeys:Prekeys._publish",
            "nodes.prekeys:Prekeys._publish_due",
            "nodes.receipts:Receipts.give",
            "nodes.receiver:Receiver._drained",
            "nodes.receiver:Receiver.take",
            "nodes.sender:Sender._take",
            "nodes.sender:Sender.seal_some",
            "nodes.sender:Sender.seal_some#2",
            "nodes.sync:Sync._fetch_bundles",
            "nodes.sync:Sync._store",
            "nodes.trust:Trust._store",
            "nodes.trust:Trust.load",
        ),
    ),
    "end": (
        a_report_is_kept_withdrawn_and_destroyed,
        (
            "nodes.exporting:export",
            "nodes.keeping:keep",
            "nodes.keeping:purge",
            "nodes.keybox:Keybox._truncate",
            "nodes.keybox:Keybox.destroy",
            "nodes.keybox:Keybox.destroy_prekeys_before",
            "nodes.keybox:Keybox.sweep",
            "nodes.obligations:Obligations._drop_denied",
            "nodes.obligations:Obligations._say",
            "nodes.obligations:Obligations.look_after",
            "nodes.obligations:Obligations.look_after#2",
            "nodes.withdrawing:withdraw",
        ),
    ),
    "file": (
        a_report_with_a_file_is_sent_and_passed_on,
        (
            "exchange.relay.blob_retention:BlobRetention.sweep",
            "exchange.relay.blob_retention:BlobRetention.sweep#2",
            "exchange.relay.blobs:Blobs.open",
            "exchange.relay.blobs:Blobs.release",
            "exchange.relay.blobs:Incoming._finish#2",
            "exchange.relay.blobs:Incoming.store",
            "nodes.asking:Asking.ask",
            "nodes.attaching:Attaching.copy",
            "nodes.blob_files:BlobFiles.finish",
            "nodes.blob_files:BlobFiles.remove",
            "nodes.blob_files:BlobFiles.remove#2",
            "nodes.blob_files:_sync",
            "nodes.consenting:Consenting._answer",
            "nodes.consenting:Consenting.look_after",
            "nodes.fetching:Fetching._change",
            "nodes.fetching:Fetching._fetch",
            "nodes.fetching:Fetching._tell",
            "nodes.uploading:Uploading._bring",
            "nodes.uploading:Uploading._upload",
        ),
    ),
    "onward": (
        a_holder_asks_first_and_passes_on_later,
        (
            "nodes.asking:Asking.pass_on",
            "nodes.consenting:Consenting._look_at_safely",
        ),
    ),
}
