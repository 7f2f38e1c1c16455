"""Owners, members and relays that lie about a community: nobody gets more by it, and who lies to two is found out."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from exchange.crypto.random import random_bytes
from exchange.crypto.signed import sign
from exchange.envelope.model import Lane
from exchange.names import ID_BYTES, party_id
from exchange.policy.communities.model import HeldEpoch, MemberRole, Visibility
from exchange.policy.communities.roster import make_roster, tree_of
from exchange.policy.communities.route import publishable
from exchange.runtime.clock import now_ms
from nodes import sealing
from nodes.communities import newest_of
from nodes.convening import _sign_all
from nodes.parts import Node
from nodes.receipts import add_control
from nodes.relay_port import Delivered, Waiting
from nodes.sealing import Ground, Job
from nodes.store.rows import Reach
from tests.support.convening import change, convene, known, knows, publish, shows
from tests.support.lying_relay import Liar, alarmed, aside, between
from tests.support.node_world import nodes, open_alarms, push, reach, reached, receipted, stored, until


async def announce_secretly(owner: Node, held: HeldEpoch, *members: str, to: Sequence[str]) -> HeldEpoch:
    """Let an owner sign another head under the epoch of `held`, with these members, and send it to some of them."""
    roster = make_roster(
        {party_id(name): (MemberRole.PUBLISHER if name == owner.core.me else MemberRole.MEMBER, 1) for name in members}
    )
    head = replace(held.head, members_root=tree_of(roster).root, salt=random_bytes(ID_BYTES))
    made = _sign_all(head, roster, owner.core.keys.statement, owner.core.me)
    for name in to:
        send = partial(
            add_control, signed=made.others[party_id(name)], recipients=[name], lane=Lane.FLASH, now_ms=now_ms()
        )
        await owner.core.database.write(send)
    owner.sender.wake()
    return made.held


def lie_in_sealing(monkeypatch: Any, **changes: Any) -> None:
    """Let the nodes of this process permit what they should deny, with these parts of a decision changed."""
    honest = sealing._decide

    def lying(job: Job, ground: Ground) -> Any:
        basis = next(iter(ground.rules.agreements.values())).ref
        return {
            party: decision._replace(permit=True, basis=decision.basis or basis)._replace(**changes)
            for party, decision in honest(job, ground).items()
        }

    monkeypatch.setattr(sealing, "_decide", lying)


async def test_an_owner_that_signs_two_heads_under_one_epoch_is_found_out_by_who_sees_both() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        held = await convene(running["XA"], ["XV", "XO"])
        await known(held, running["XV"], running["XO"])
        await announce_secretly(running["XA"], held, "XA", "XV", to=["XV"])
        await alarmed(running["XV"], "community")
        assert await open_alarms(running["XO"]) == []
        # What the directory shows still holds.
        item = await publish(running["XA"], held)
        await receipted(running["XA"], item, "XV", "XO")


async def test_a_head_that_the_directory_does_not_show_lets_nothing_through(monkeypatch: Any) -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        held = await convene(running["XA"], ["XV"])
        # XO is told that it is a member, under a head that the relay never heard of.
        other = await announce_secretly(running["XA"], held, "XA", "XO", to=["XO"])
        member = running["XO"].core
        await until(lambda: other.head.community_id in member.trust.now.communities, "no membership")
        via = f"{held.head.community_id.hex()}@1"
        lie_in_sealing(monkeypatch, via=via)
        sent = await push(running["XA"], "XO")
        await reached(running["XA"], sent.item, "XO", Reach.REFUSED)
        assert [reason for _, reason in await aside(running["XO"])] == ["COMMUNITY_NOT_YET"]
        assert await stored(running["XO"], sent.item) is None


async def test_a_member_that_may_not_publish_is_refused_by_every_other_member(monkeypatch: Any) -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        held = await convene(running["XA"], ["XV", "XO"], visibility=Visibility.MEMBERS)
        await known(held, running["XV"], running["XO"])
        lie_in_sealing(monkeypatch, via=f"{held.head.community_id.hex()}@1")
        sent = await push(running["XV"], "XO")
        await reached(running["XV"], sent.item, "XO", Reach.REFUSED)
        row = await reach(running["XV"], sent.item, "XO")
        assert row is not None and "NOT_A_PUBLISHER" in row.why
        assert await stored(running["XO"], sent.item) is None


async def test_a_relay_that_holds_an_epoch_back_keeps_nobody_in() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        owner, publisher = running["XA"], running["XO"]
        first = await convene(owner, ["XV"], ["XO"])
        await known(first, running["XV"], publisher)

        class Withholding(Liar):
            async def publish_community(self, _notice: bytes) -> int:
                return 1

        owner.groups.announcing._relay = Withholding(owner.relay)
        convened = await owner.groups.convening.change(first.head.community_id, remove=[party_id("XV")])
        assert convened.index is None
        second = convened.held
        await until(lambda: _has(publisher, second), "the publisher has no membership")
        assert not shows(publisher, second)
        for node in (owner, publisher):
            item = await publish(node, first)
            await receipted(node, item, "XO" if node is owner else "XA")
            assert await reach(node, item, "XV") is None
        assert await stored(running["XV"], item) is None
        object.__setattr__(owner.core, "timing", owner.core.timing.model_copy(update={"directory_most_s": 0.01}))
        await until(lambda: _has(owner, second), "")
        await owner.groups.announcing.announce()
        await alarmed(owner, "community")


def _has(node: Node, held: HeldEpoch) -> bool:
    return newest_of(node.core.trust.now.communities[held.head.community_id]).shown == held.shown


async def test_what_was_sealed_for_an_epoch_that_ended_meanwhile_is_decided_on_again() -> None:
    """The relay refuses it; members of the next epoch get it, and who was removed does not."""
    async with nodes("XA", "XV", "XO") as (_, running):
        owner = running["XA"]
        first = await convene(owner, ["XV", "XO"])
        await known(first, running["XV"], running["XO"])
        submit = owner.sender._next_frame
        held_back: list[bool] = [True]

        def wait() -> Any:
            chosen = submit()
            return [each for each in chosen if each.kind == 2] if held_back[0] else chosen

        owner.sender._next_frame = wait  # type: ignore[method-assign]
        item = await publish(owner, first)
        await reached(owner, item, "XV", Reach.SEALED)
        await change(owner, first, remove=["XV"])
        held_back[0] = False
        owner.sender._ready.set()
        await receipted(owner, item, "XO")
        await reached(owner, item, "XV", Reach.DENIED)
        assert await stored(running["XV"], item) is None


async def test_a_membership_counts_before_the_reports_of_the_same_frame() -> None:
    async with nodes("XA", "XV") as (_, running):
        member = running["XV"]
        take, frames = member.receiver.take, list[Waiting]()

        async def gather(frame: Delivered) -> Any:
            frames.extend(frame.waiting)
            # The report first: the order within a frame says nothing.
            if len(frames) < 2:
                return None
            together = Delivered(list(reversed(frames)), frame.now_ms)
            frames.clear()
            return await take(together)

        member.receiver.take = gather  # type: ignore[method-assign]
        held = await convene(running["XA"], ["XV"])
        item = await publish(running["XA"], held)
        await receipted(running["XA"], item, "XV")
        assert knows(member, held)


async def test_a_report_that_overtook_its_membership_is_sent_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("nodes.receipted.STRANGER_WAIT_MS", 50)
    async with nodes("XA", "XV") as (_, running):
        owner, member = running["XA"], running["XV"]
        late: list[Waiting] = []

        def hold_first(waiting: Waiting) -> Waiting | None:
            if waiting.lane is Lane.FLASH and not late:
                late.append(waiting)
                return None
            return waiting

        take = member.receiver.take
        between(member, hold_first)
        held = await convene(owner, ["XV"])
        item = await publish(owner, held)

        async def refused() -> bool:
            return "COMMUNITY_UNKNOWN" in [reason for _, reason in await aside(member)]

        await until(refused, "it was not refused")
        await take(Delivered(late, now_ms()))
        await receipted(owner, item, "XV")
        assert await stored(member, item) is not None


async def test_a_membership_is_signed_alone_and_tells_nobody_how_many_there_are() -> None:
    async with nodes("XA", "XV", "XO", "XH") as (_, running):
        sizes: list[int] = []
        for node in (running["XV"], running["XO"], running["XH"]):
            take = node.groups.communities.take

            async def seen(held: HeldEpoch, statement: Any, take: Any = take) -> bool:
                sizes.append(statement.signatures[0].size)
                return bool(await take(held, statement))

            node.groups.communities.take = seen  # type: ignore[method-assign]
        held = await convene(running["XA"], ["XV", "XO", "XH"])
        await known(held, running["XV"], running["XO"], running["XH"])
        assert sizes == [1, 1, 1]


async def test_a_membership_that_another_partner_made_up_is_set_aside() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        held = await convene(running["XA"], ["XV", "XO"])
        await known(held, running["XV"], running["XO"])
        # XO makes itself the owner's voice: head and seat are as before, the signature is its own.
        liar = running["XO"].core
        roster = make_roster({party_id("XA"): (MemberRole.PUBLISHER, 1), party_id("XV"): (MemberRole.MEMBER, 1)})
        head = replace(held.head, epoch=2, previous_sha256=held.head_sha256, members_root=tree_of(roster).root)
        made = _sign_all(head, roster, liar.keys.statement, party_id("XA"))
        forged = made.others[party_id("XV")]
        await liar.database.write(
            partial(add_control, signed=forged, recipients=["XV"], lane=Lane.FLASH, now_ms=now_ms())
        )
        running["XO"].sender.wake()

        async def set_aside() -> bool:
            return bool(await aside(running["XV"]))

        await until(set_aside, "it was taken in")
        assert len(running["XV"].core.trust.now.communities[held.head.community_id]) == 1


async def test_an_owner_that_makes_up_epochs_without_end_fills_nothing() -> None:
    async with nodes("XA", "XV") as (_, running):
        member, owner = running["XV"], running["XA"].core
        held = await convene(running["XA"], ["XV"])
        await known(held, member)
        (mine,) = member.core.trust.now.communities[held.head.community_id]
        signed = sign(owner.keys.statement, "community-membership", b"", context=owner.exchange)
        for number in range(70):
            made = replace(mine, shown=bytes([number]) * 32, head=replace(mine.head, salt=random_bytes(ID_BYTES)))
            await member.groups.communities.take(made, signed)
        assert len(member.core.trust.now.communities[held.head.community_id]) == 65
        assert "community" in await open_alarms(member)
        assert publishable(member.core.trust.rules_now(), owner.me, now_ms())
