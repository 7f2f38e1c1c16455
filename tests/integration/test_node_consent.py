"""A holder asks, every originator answers, and what they let go is passed on: nodes and a relay over mutual TLS."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from exchange.consent.codec import decode_grant
from exchange.crypto.codec import decode_signed
from exchange.errors import NotAllowed, PolicyDenied
from exchange.limits import STATEMENT_BYTES
from exchange.names import party_id
from exchange.policy.communities.model import Visibility
from exchange.policy.model import OnwardRule, Purpose, Tlp
from nodes.asking import Passed
from nodes.caller import the_owner
from nodes.consenting import Wish
from nodes.outbox import push_digest
from nodes.parts import Node
from nodes.store import consent, reports
from nodes.store.consent_rows import AnswerState, RequestState
from nodes.store.rows import Direction, ItemState, Reach
from nodes.withdrawing import withdraw
from tests.support.consent_world import (
    a_term,
    answered,
    answers,
    arrived,
    ask,
    grants_at,
    push_onward,
    request_at,
    story,
    unsafe_ask,
)
from tests.support.convening import convene, known, to_community
from tests.support.node_world import (
    a_node_world,
    at,
    authored,
    nodes,
    open_alarms,
    reach,
    reached,
    ready,
    receipted,
    stored,
    until,
)

GRANTED, REFUSED, WAITING = AnswerState.GRANTED, AnswerState.REFUSED, AnswerState.WAITING


async def test_a_granted_report_is_passed_on_and_receipted_to_who_passed_it_on() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        sent = await push_onward(originator, "XV")
        await receipted(originator, sent.item, "XV")
        asked = await ask(holder, sent.item, "XT")
        assert asked.originators == [party_id("XA")]
        await arrived(originator, asked.hash)
        assert await stored(third, sent.item) is None
        await until(lambda: open_alarms_include(originator, "consent"), "nobody is told that a partner waits")

        (grant,) = await originator.consenting.grant(
            asked.hash, Wish(purposes=(Purpose.PROTECT_LIFE,)), caller=the_owner()
        )
        assert (grant.holder, grant.to, grant.hop, grant.purposes) == ("XV", ("XT",), 1, (Purpose.PROTECT_LIFE,))
        await receipted(holder, sent.item, "XT")
        report = await stored(third, sent.item)
        assert report is not None
        assert (report.originator, report.sender, report.direction) == ("XA", "XV", Direction.RECEIVED)
        opened = await third.shelf.opened(sent.item)
        assert opened is not None and opened.holding is not None
        # What the label allows and the grant does not is no purpose of who got it so.
        assert opened.holding.obligations.purposes == (Purpose.PROTECT_LIFE,)
        row = await reach(originator, sent.item, "XT")
        assert row is not None and row.state is Reach.ONWARD
        assert ("consented", "XV") in await story(originator, sent.item)
        assert ("passing-on", "XT") in await story(holder, sent.item)
        assert not await open_alarms_include(originator, "consent")


async def open_alarms_include(node: Node, kind: str) -> bool:
    return kind in await open_alarms(node)


async def test_what_goes_further_than_the_label_allows_is_refused_with_the_reason() -> None:
    async with nodes("XA", "XV", "XT", "XN") as (_, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        sent = await push_onward(originator, "XV", hops=1)
        await receipted(originator, sent.item, "XV")
        first = await ask(holder, sent.item, "XT")
        await arrived(originator, first.hash)
        await originator.consenting.grant(first.hash, caller=the_owner())
        await receipted(holder, sent.item, "XT")

        second = await ask(third, sent.item, "XN")
        await answered(third, second.hash, XN=REFUSED)
        (refusal,) = await grants_at(third, second.hash)
        told = decode_grant(decode_signed(refusal.statement, limit=STATEMENT_BYTES, what="it").payload)
        assert told.reason == "it may be passed on 1 times at most, and this would be time 2"
        with pytest.raises(NotAllowed, match="1 times at most"):
            await originator.consenting.grant(second.hash, caller=the_owner())
        assert await stored(running["XN"], sent.item) is None


async def test_two_hops_go_where_the_label_allows_two() -> None:
    async with nodes("XA", "XV", "XT", "XN") as (_, running):
        sent = await push_onward(running["XA"], "XV", hops=2)
        await receipted(running["XA"], sent.item, "XV")
        for holder, partner in (("XV", "XT"), ("XT", "XN")):
            asked = await ask(running[holder], sent.item, partner)
            await arrived(running["XA"], asked.hash)
            await running["XA"].consenting.grant(asked.hash, caller=the_owner())
            await receipted(running[holder], sent.item, partner)
        found = await running["XA"].core.database.read(partial(consent.onward_of, item=sent.item))
        assert [(each.recipient, each.holder, each.hop) for each in found] == [("XT", "XV", 1), ("XN", "XT", 2)]


async def test_who_is_pre_authorised_gets_it_without_a_person() -> None:
    async with nodes("XA", "XV", "XT", "XN") as (_, running):
        sent = await push_onward(running["XA"], "XV", release="pre_authorised: [XT]")
        await receipted(running["XA"], sent.item, "XV")
        asked = await ask(running["XV"], sent.item, "XN", "XT")
        await receipted(running["XV"], sent.item, "XT")
        assert await answers(running["XV"], asked.hash) == {("XA", "XN"): WAITING, ("XA", "XT"): GRANTED}
        await arrived(running["XA"], asked.hash)
        await running["XA"].consenting.refuse(asked.hash, text="Not to them.", caller=the_owner())
        await answered(running["XV"], asked.hash, XN=REFUSED)
        assert await stored(running["XN"], sent.item) is None


async def test_under_originator_control_a_person_answers_even_for_who_is_pre_authorised() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV", orcon=True, release="pre_authorised: [XT]")
        await receipted(running["XA"], sent.item, "XV")
        asked = await ask(running["XV"], sent.item, "XT")
        await arrived(running["XA"], asked.hash, RequestState.OPEN)
        assert await answers(running["XA"], asked.hash) == {("XA", "XT"): WAITING}
        await running["XA"].consenting.grant(asked.hash, caller=the_owner())
        await receipted(running["XV"], sent.item, "XT")


async def test_who_the_agreement_pre_clears_gets_it_while_the_agreement_is_in_force() -> None:
    async with a_node_world("XA", "XV", "XT") as world, AsyncExitStack() as stack:
        term = a_term(pre_cleared=(party_id("XT"),))
        await world.relay.agree("XA", "XV", "XT", terms=(term,))
        running = {name: await stack.enter_async_context(at(world.places[name])) for name in world.places}
        for node in running.values():
            await ready(node, [name for name in running if name != node.core.me])
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await ask(running["XV"], sent.item, "XT")
        await receipted(running["XV"], sent.item, "XT")


@pytest.mark.parametrize(
    ("visibility", "member"), [(Visibility.MEMBERS, GRANTED), (Visibility.OWNER_ONLY, WAITING)], ids=["known", "hidden"]
)
async def test_who_sees_the_community_passes_on_within_it_without_a_person(
    visibility: Visibility, member: AnswerState
) -> None:
    """XA may send nothing to XH; XV may. Where members know nobody, an answer by itself would tell who is one."""
    async with a_node_world("XA", "XV", "XH", "XN") as world, AsyncExitStack() as stack:
        usual: dict[str, Any] = {"onward_default": OnwardRule.COMMUNITY, "ceiling": Tlp.GREEN}
        first = a_term(senders=(party_id("XA"),), recipients=(party_id("XV"),), **usual)
        second = a_term(senders=(party_id("XV"),), clause="art-5", **usual)
        await world.relay.agree("XA", "XV", "XH", "XN", terms=(first, second))
        running = {name: await stack.enter_async_context(at(world.places[name])) for name in world.places}
        for node in running.values():
            await ready(node, [name for name in running if name != node.core.me])
        held = await convene(running["XA"], ["XV", "XH"], visibility=visibility)
        await known(held, running["XV"], running["XH"])
        green = to_community(held).replace(b"tlp: amber", b"tlp: green").replace(b"onward: none", b"onward: community")
        made = authored(running["XA"], green, object_marking_refs=[])
        sent = await running["XA"].outbox.accept(made, push_digest("one", b"", b""))
        await receipted(running["XA"], sent.item, "XV")
        await reached(running["XA"], sent.item, "XH", Reach.DENIED)

        asked = await ask(running["XV"], sent.item, "XH", "XN")
        await arrived(running["XA"], asked.hash)
        if member is GRANTED:
            await receipted(running["XV"], sent.item, "XH")
        assert await answers(running["XA"], asked.hash) == {("XA", "XH"): member, ("XA", "XN"): WAITING}
        assert await stored(running["XN"], sent.item) is None


async def test_what_may_go_on_freely_still_has_a_signed_grant() -> None:
    async with a_node_world("XA", "XV", "XT") as world, AsyncExitStack() as stack:
        term = a_term(onward_default=OnwardRule.FREE)
        await world.relay.agree("XA", "XV", "XT", terms=(term,))
        running = {name: await stack.enter_async_context(at(world.places[name])) for name in world.places}
        for node in running.values():
            await ready(node, [name for name in running if name != node.core.me])
        sent = await push_onward(running["XA"], "XV", onward="consent")
        await receipted(running["XA"], sent.item, "XV")
        asked = await ask(running["XV"], sent.item, "XT")
        await arrived(running["XA"], asked.hash)
        assert await answers(running["XA"], asked.hash) == {("XA", "XT"): WAITING}


async def test_who_is_excluded_never_gets_it_and_the_asker_learns_no_reason() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV", release="except: [XT], pre_authorised: [XT]")
        await receipted(running["XA"], sent.item, "XV")
        asked = await ask(running["XV"], sent.item, "XT")
        await answered(running["XV"], asked.hash, XT=REFUSED)
        with pytest.raises(NotAllowed, match="excludes XT"):
            await running["XA"].consenting.grant(asked.hash, caller=the_owner())
        assert await stored(running["XT"], sent.item) is None


async def test_what_was_never_sent_and_what_is_not_known_are_refused_alike() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder, stranger = running["XA"], running["XV"], running["XT"]
        sent = await push_onward(originator, "XV")
        await receipted(originator, sent.item, "XV")
        excluded = await push_onward(originator, "XV", release="except: [XT]")
        await receipted(originator, excluded.item, "XV")
        told = []
        for asker, item, to in (
            (stranger, sent.item, "XV"),
            (stranger, bytes(32), "XV"),
            (holder, excluded.item, "XT"),
        ):
            asked = await unsafe_ask(asker, item, to)
            await arrived(originator, asked, RequestState.CLOSED)
            (answer,) = await grants_at(originator, asked)
            grant = decode_grant(decode_signed(answer.statement, limit=STATEMENT_BYTES, what="it").payload)
            told.append((grant.reason, grant.to == (to,), grant.item_hash == item, len(answer.statement)))
        assert told[0] == told[1] == told[2] == ("", True, True, told[0][3])
        await until(lambda: open_alarms_include(originator, "sender"), "nobody is told of the strange requests")


async def test_a_retraction_reaches_who_has_it_by_consent_though_the_holder_is_suspended() -> None:
    async with nodes("XA", "XV", "XT", "XN") as (world, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        sent = await push_onward(originator, "XV")
        await receipted(originator, sent.item, "XV")
        asked = await ask(holder, sent.item, "XT")
        await arrived(originator, asked.hash)
        await originator.consenting.grant(asked.hash, caller=the_owner())
        await receipted(holder, sent.item, "XT")
        # XN is let have it as well, and never gets it.
        never = await ask(holder, sent.item, "XN", ask_only=True)
        await arrived(originator, never.hash)
        await originator.consenting.grant(never.hash, caller=the_owner())
        await answered(holder, never.hash, XN=GRANTED)
        await world.suspend("XV")
        made = await withdraw(
            originator.core, sent.item, reason_code="wrong", text="", purge=True, wake=originator.outbox.wake
        )
        assert made.recipients == ("XN", "XT", "XV")
        for name in ("XT", "XV"):
            await reached(originator, sent.item, name, Reach.PURGED)
            report = await stored(running[name], sent.item)
            assert report is not None and report.state is ItemState.PURGED
        # Nothing of it ever came to XN: it keeps a tombstone, and says so.
        await reached(originator, sent.item, "XN", Reach.PURGED)
        found = await running["XN"].core.database.read(partial(reports.withdrawal_of, item=sent.item, originator="XA"))
        assert found is not None
        assert await stored(running["XN"], sent.item) is None
        assert await stored(third, sent.item) is not None
        with pytest.raises(NotAllowed, match="purged"):
            await holder.asking.pass_on(never.hash, caller=the_owner())


async def test_a_retraction_ends_open_requests_on_both_sides() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder = running["XA"], running["XV"]
        sent = await push_onward(originator, "XV")
        await receipted(originator, sent.item, "XV")
        asked = await ask(holder, sent.item, "XT")
        await arrived(originator, asked.hash)
        wake = originator.outbox.wake
        await withdraw(originator.core, sent.item, reason_code="wrong", text="", purge=False, wake=wake)
        await arrived(holder, asked.hash, RequestState.WITHDRAWN)
        await arrived(originator, asked.hash, RequestState.CLOSED)
        assert await answers(originator, asked.hash) == {("XA", "XT"): REFUSED}
        with pytest.raises(NotAllowed):
            await originator.consenting.grant(asked.hash, caller=the_owner())
        assert await stored(running["XT"], sent.item) is None


async def test_what_is_granted_waits_for_a_person_where_only_the_answer_was_asked_for() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV", release="pre_authorised: [XT]")
        await receipted(running["XA"], sent.item, "XV")
        asked = await ask(running["XV"], sent.item, "XT", ask_only=True)
        await answered(running["XV"], asked.hash, XT=GRANTED)
        assert await reach(running["XV"], sent.item, "XT") is None
        assert await running["XV"].asking.pass_on(asked.hash, caller=the_owner()) == Passed(sent.item, ["XT"])
        await receipted(running["XV"], sent.item, "XT")
        assert await running["XV"].asking.pass_on(asked.hash, caller=the_owner()) == Passed(sent.item, ["XT"])


async def test_nobody_is_asked_for_what_nobody_could_permit() -> None:
    async with nodes("XA", "XV", "XT") as (world, running):
        kept = await push_onward(running["XA"], "XV", onward="none", hops=0)
        await receipted(running["XA"], kept.item, "XV")
        with pytest.raises(PolicyDenied, match="lets nobody pass it on"):
            await ask(running["XV"], kept.item, "XT")
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await world.relay.join("XO", days=0)
        await until(lambda: running["XV"].core.trust.now.status(party_id("XO")) is not None, "XO is not seen")
        with pytest.raises(PolicyDenied, match="No agreement has both"):
            await ask(running["XV"], sent.item, "XO")
        assert await request_at(running["XA"], bytes(32)) is None
