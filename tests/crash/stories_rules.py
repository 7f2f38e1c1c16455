"""Rules: agreements, notices, communities, keys, witnesses, and partners that leave."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from exchange.crypto.codec import encode_signed
from exchange.directory.state import Status
from exchange.directory.statements import RevocationReason
from exchange.errors import Conflict
from exchange.names import party_id
from exchange.policy.agreement import ref_of
from exchange.policy.changes.model import NoticeAction
from exchange.policy.communities.model import HeldEpoch, History
from exchange.policy.terms import HeldItems
from exchange.receipts.codec import decode_agreement_text, encode_agreement_text
from exchange.runtime.clock import now_ms
from exchange.tlog.checkpoint import Checkpoint, traffic_origin
from exchange.tlog.signing import open_checkpoint
from nodes import covered
from nodes.agreement_file import AgreementFile, next_signature, signed_notice, understood
from nodes.parts import Node
from nodes.relay_client import RelayClient
from nodes.relay_port import Log
from nodes.store import agreements as agreement_store
from nodes.store import alarms as alarm_store
from nodes.store import trust, witnesses
from nodes.store.rows import Reach
from nodes.store.witnesses import HeardHead
from tests.crash.judge import audited, maybe, quiet, sent
from tests.integration.test_node_agreements import import_, signed_by, status_at
from tests.integration.test_node_ending import leave
from tests.integration.test_node_narrowing import asked, correct
from tests.integration.test_node_notices import notices_open
from tests.integration.test_node_reader_policies import SPOKEN, heard
from tests.support.convening import known, publish, roles, terms
from tests.support.crash_room import Room, Story
from tests.support.directory_builders import EXCHANGE, log_keys, party_keys
from tests.support.node_world import count_reports, reached, ready, receipted, stands, until
from tests.support.rotation import certificate, own_statement_key, revoke, settled

XV = party_id("XV")
DONE = b"done"


# -- agreements --------------------------------------------------------------------------------------------------------


async def an_agreement_is_made_suspended_and_resumed(room: Room) -> None:
    """A text travels and is signed, one party gives notice, the other acknowledges."""
    refusing(room)
    async with room.on("XA", "XV", agree=False) as running:
        first, last = running["XA"], running["XV"]
        begun, whole = await files(room)
        await import_(first, begun)
        await room.once("travelled", lambda: until(partial(has_text, last), "the text did not travel"))
        await import_(last, whole)
        for node in running.values():
            await until(partial(is_one_of, node, "active", "suspended"), "it is not in force")
        suspension = await room.once("suspension", lambda: a_notice(first, whole, NoticeAction.SUSPEND))
        await first.notices.make(suspension)
        await until(partial(is_one_of, last, "suspended", "active"), "the suspension is not seen")
        await room.once("alarmed", lambda: until(partial(is_alarmed, last), "nobody is alarmed"))
        await last.notices.acknowledge(whole.view.agreement_id)
        assert await notices_open(last) == 0
        refused = await room.once("refused", lambda: a_notice(first, whole, NoticeAction.TERMINATE))
        await maybe(first.notices.make(refused), Conflict)
        assert await first.core.database.read(partial(agreement_store.announced_by, party=first.core.me)) == []
        assert len(first.core.trust.now.views) == len(last.core.trust.now.views)
        await quiet(first, last, but=["agreement"])


async def files(room: Room) -> tuple[AgreementFile, AgreementFile]:
    """Return the same text, signed by the first party and by both."""

    async def make() -> bytes:
        return encode_agreement_text(signed_by("XA", parties=("XA", "XV")).signed)

    begun = understood(decode_agreement_text(await room.once("text", make)))

    async def sign() -> bytes:
        return encode_agreement_text(next_signature(begun, party_keys("XV").root).signed)

    return begun, understood(decode_agreement_text(await room.once("text signed", sign)))


async def has_text(node: Node) -> bool:
    return bool(await status_at(node))


async def is_one_of(node: Node, *statuses: str) -> bool:
    return all(status in statuses for status, _ in await status_at(node)) and await has_text(node)


async def a_notice(node: Node, file: AgreementFile, action: NoticeAction) -> bytes:
    signed = signed_notice(
        ref_of(file.view),
        party_keys(node.core.me).root,
        exchange=EXCHANGE,
        party=node.core.me,
        action=action,
        text="for a reason",
        now_ms=now_ms(),
    )
    return encode_signed(signed)


async def is_alarmed(node: Node) -> bool:
    return await notices_open(node) > 0


def refusing(room: Room) -> None:
    """Let the relay refuse one notice for good, also when a node offers it right at its start."""
    honest = RelayClient.change_agreement

    async def change(self: RelayClient, change: bytes) -> int:
        told = room.root / "told-refused"
        if told.exists() and told.read_bytes() == change:
            raise Conflict("it contradicts what is there")
        return await honest(self, change)

    RelayClient.change_agreement = change  # type: ignore[method-assign]


async def an_agreement_ends(room: Room) -> None:
    """What was sent under it is destroyed at its holder."""
    async with room.on("XA", "XV", agree=False) as running:
        ref = await room.agree("XA", "XV", held_items=HeldItems.PURGE, held_within_days=0)
        await ready(running["XA"], ["XV"])
        item = await room.once("pushed", lambda: sent(running["XA"], "XV", key="one"))
        await room.once("came", lambda: receipted(running["XA"], item, "XV"))
        await maybe(leave(room.world, ref, "XA"))
        await reached(running["XA"], item, "XV", Reach.PURGED)
        await quiet(*running.values(), but=["notice"])


# -- communities -------------------------------------------------------------------------------------------------------


async def a_community_lives_and_ends(room: Room) -> None:
    """Made, joined later by one who gets what came before, and ended."""
    async with room.on("XA", "XV", "XO") as running:
        owner, member, newcomer = running["XA"], running["XV"], running["XO"]
        held = await first_epoch(owner)
        await room.once("known", lambda: known(held, owner, member))
        item = await room.once("published", lambda: publish(owner, held))
        await receipted(owner, item, "XV")
        newest = await second_epoch(owner, held)
        await receipted(owner, item, "XO")
        await room.once("newest known", lambda: known(newest, newcomer))
        assert await count_reports(member) == await count_reports(newcomer) == 1
        with suppress(Conflict):
            await owner.groups.convening.end(held.head.community_id)
        await until(partial(is_over, member, newest), "the end is not shown")
        await quiet(owner, member, newcomer)


async def first_epoch(owner: Node) -> HeldEpoch:
    there = next(iter(owner.core.trust.now.communities.values()), ())
    if there:
        return there[0]
    return (await owner.groups.convening.create(terms(owner, history=History.FROM_START), roles(["XV"]))).held


async def second_epoch(owner: Node, held: HeldEpoch) -> HeldEpoch:
    with suppress(Conflict):
        return (await owner.groups.convening.change(held.head.community_id, add=roles(["XO"]))).held
    return owner.core.trust.now.communities[held.head.community_id][-1]


def is_over(node: Node, held: HeldEpoch) -> bool:
    snapshot = node.core.trust.now
    return snapshot.directory.agreement_status(held.shown, at_size=snapshot.size) == 3


# -- keys and partners -------------------------------------------------------------------------------------------------


async def keys_follow_each_other(room: Room) -> None:
    """A node's keys are rotated, the old ones are said to be stolen, a person looks at what came under them."""
    async with room.on("XA", "XV", "XO") as running:
        sender, holder = running["XV"], running["XA"]
        item = await room.once("pushed", lambda: sent(sender, "XA", "XO", key="one"))
        await room.once("came", lambda: receipted(sender, item, "XA", "XO"))
        old = await room.once("old", lambda: key_of(sender))
        if own_statement_key(sender) == old:
            await maybe(sender.rotation.finish(await certificate(sender)), Conflict)
            await until(lambda: own_statement_key(sender) != old, "the node still signs with its old key")
        await settled(sender)
        await narrower(room, sender, item)
        await room.once("revoked", lambda: stolen(room, old))
        await until(lambda: is_stolen(holder, old), "the revocation is not known")
        await holder.suspects.look()
        await holder.suspects.reviewed(item, who="anna")
        await audited(sender, holder)
        await quiet(sender, holder, but=["suspect"])


async def key_of(node: Node) -> bytes:
    return own_statement_key(node)


async def narrower(room: Room, node: Node, item: bytes) -> None:
    """Correct a report, and lose one of its recipients before the correction is sealed: it is asked to withdraw it."""

    async def wait(**_: object) -> bool:
        return False

    honest, node.sender.seal_some = node.sender.seal_some, wait  # type: ignore[method-assign]
    second = (await correct(node, item, "XA", "XO")).item
    await room.once("expelled", lambda: expelled(room))
    await stands(node, "XO", Status.EXPELLED)
    node.sender.seal_some = honest  # type: ignore[method-assign]
    node.sender.wake()
    await receipted(node, second, "XA")

    async def is_asked() -> bool:
        return [each.partner for each in await asked(node, item)] == ["XO"]

    await until(is_asked, "who was left out is not asked to withdraw what it has")


async def expelled(room: Room) -> bytes:
    await maybe(room.world.expel("XO"))
    return DONE


async def stolen(room: Room, key_id: bytes) -> bytes:
    await maybe(revoke(room.world, XV, key_id, reason=RevocationReason.COMPROMISED, since_ms=1))
    return DONE


def is_stolen(node: Node, key_id: bytes) -> bool:
    record = node.core.trust.now.directory.key_record(key_id)
    return record is not None and bool(record.compromised_since_ms)


# -- witnesses ---------------------------------------------------------------------------------------------------------


async def witnesses_cosign(room: Room) -> None:
    """All nodes are witnesses, hear each other's heads, and know what their quorum has seen."""
    covered.LOOK_AFTER_MS = 0
    async with room.on("XA", "XV") as running:
        await room.once("named", lambda: name_witnesses(room))
        item = await room.once("pushed", lambda: sent(running["XA"], "XV", key="one"))
        await receipted(running["XA"], item, "XV")
        for node in running.values():
            await until(partial(is_covered, node), "no quorum covers its logs")
        await until(partial(has_compared, running["XV"], room), "no head was compared")
        await audited(*running.values())
        await quiet(*running.values())


async def name_witnesses(room: Room) -> bytes:
    await maybe(room.world.name_witnesses("XA", "XV", quorum=2))
    return DONE


async def is_covered(node: Node) -> bool:
    for log in Log:
        quorum = await node.core.database.read(partial(witnesses.quorum_of, log=log))
        if quorum is None or not quorum.size:
            return False
    return True


def opened(note: str) -> Checkpoint:
    return open_checkpoint(note, traffic_origin(EXCHANGE), log_keys("relay").public)


async def has_compared(node: Node, room: Room) -> bool:
    """Hear a head as a partner would tell it, until one was looked at."""
    kept = await node.core.database.read(partial(trust.checkpoint_of, log=Log.TRAFFIC))
    if kept is None:
        return False

    async def hear() -> bytes:
        head = HeardHead("XA", int(Log.TRAFFIC), kept[0], opened(kept[1]).root, kept[1], now_ms())
        await node.core.database.write(partial(witnesses.hear_head, head=head))
        return DONE

    await room.once("heard", hear)
    return not await node.core.database.read(witnesses.heard_heads)


async def words_of_readers_are_told(room: Room) -> None:
    """A party says what it knows of its readers, once."""
    room.settings["XV"] = {"readers": SPOKEN}
    async with room.on("XA", "XV") as running:
        await heard(running["XA"], "XV", SPOKEN)
        assert await running["XV"].reader_policies.tell() == 0
        assert await running["XA"].core.database.read(alarm_store.open_alarms) == []


STORIES: Mapping[str, tuple[Story, Sequence[str]]] = {
    "agreement": (
        an_agreement_is_made_suspended_and_resumed,
        (
            "nodes.agreements:Agreements._take_part",
            "nodes.agreements:Agreements.published",
            "nodes.agreements:Agreements.take",
            "nodes.alarms:Alarms.close",
            "nodes.alarms:Alarms.raise_",
            "nodes.notices:Notices.acknowledge",
            "nodes.notices:Notices.make",
            "nodes.notices:Notices.publish",
            "nodes.publishing:Publishing.pass_on",
        ),
    ),
    "ending": (an_agreement_ends, ("nodes.ending:Endings.look_after",)),
    "community": (
        a_community_lives_and_ends,
        (
            "nodes.announcing:Announcing._announce",
            "nodes.communities:Communities.take",
            "nodes.convening:Convening._store",
            "nodes.convening:Convening.end",
            "nodes.history:CommunityHistory._bring",
        ),
    ),
    "keys": (
        keys_follow_each_other,
        (
            "nodes.keybox:Keybox.add_node_key",
            "nodes.narrowing:Narrowing.settle",
            "nodes.suspects:Suspects.reviewed",
        ),
    ),
    "witnesses": (
        witnesses_cosign,
        (
            "exchange.relay.witnesses:Witnessing._put",
            "nodes.covered:Covered._fetch",
            "nodes.freshness:Freshness._keep",
            "nodes.heads:Heads.compare",
            "nodes.witness:Witness.attend",
        ),
    ),
    "readers": (words_of_readers_are_told, ("nodes.reader_policies:ReaderPolicies.tell",)),
}
