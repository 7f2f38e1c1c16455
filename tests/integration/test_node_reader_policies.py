"""Partners tell each other by which words they keep reader rules, and who sends is warned in time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nodes.caller import the_owner
from nodes.config import ReaderSettings
from nodes.parts import Node
from nodes.report_service import ReportMethods
from nodes.v1 import node_service_pb2 as pb
from tests.support.node_world import NodeWorld, a_label, a_node_world, at, ready, until
from tests.support.reports import a_report

SPOKEN = ReaderSettings(scales={"nato": ("restricted", "secret")}, attributes=("water",), max_age_days=90)
RULE = "readers: {min_clearance: {scale: nato, level: cosmic}, all_of: [road], any_of: [[water, fire]]}"


@asynccontextmanager
async def speaking(*names: str) -> AsyncIterator[tuple[NodeWorld, dict[str, Node]]]:
    """Run these nodes under one agreement; all but the first say something of their readers."""
    async with a_node_world(*names) as world:
        await world.relay.agree(*names)
        for name in names[1:]:
            say(world, name, SPOKEN)
        async with at(world.places["XA"]) as first, at(world.places["XV"]) as second:
            for node, other in ((first, "XV"), (second, "XA")):
                await ready(node, [other])
            yield world, {"XA": first, "XV": second}


def say(world: NodeWorld, name: str, words: ReaderSettings) -> None:
    place = world.places[name]
    place.config = place.config.model_copy(update={"readers": words})


async def heard(node: Node, party: str, words: ReaderSettings) -> None:
    async def holds() -> bool:
        policy = (await node.reader_policies.known()).get(party)
        return policy is not None and (policy.terms, policy.max_age_days) == (words.terms(), words.max_age_days)

    await until(holds, f"{node.core.me} has not heard what {party} says of its readers")


async def warned(node: Node, more: str) -> list[str]:
    methods = ReportMethods(
        node.core, node.authoring, node.outbox, node.shelf, node.reader_policies, files=node.files, titles=node.titles
    )
    file = pb.ReportFile(content=a_report(), label_yaml=a_label("XV", more=more))
    reply = await methods.who_gets(pb.WhoGetsRequest(report=file), caller=the_owner())
    return [words for decision in reply.decisions for words in decision.warnings]


async def test_what_a_partner_says_of_its_readers_arrives_once_and_a_change_of_it_too() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        say(world, "XV", SPOKEN)
        changed = ReaderSettings(attributes=("water", "road"))
        async with at(world.places["XA"]) as sender:
            async with at(world.places["XV"]) as holder:
                await ready(holder, ["XA"])
                await heard(sender, "XV", SPOKEN)
                assert set(await holder.reader_policies.known()) == {"XV"}, "a party without words says nothing"
                assert await holder.reader_policies.tell() == 0, "once told is told"
            say(world, "XV", changed)
            async with at(world.places["XV"]):
                await heard(sender, "XV", changed)


async def test_who_sends_is_told_that_perhaps_nobody_there_may_read_it() -> None:
    async with speaking("XA", "XV") as (_, running):
        node = running["XA"]
        await heard(node, "XV", SPOKEN)
        start = "nobody at XV may be able to read it: "
        assert await warned(node, RULE) == [
            f"{start}the level cosmic is not on that scale there",
            f"{start}the attribute road is not known there",
        ]
        assert await warned(node, "readers: {min_clearance: {scale: nato, level: secret}, all_of: [water]}") == []
        assert await warned(node, "readers: {named: [duty-officer]}") == []
        assert await warned(node, "") == []


async def test_of_a_partner_that_said_nothing_who_sends_is_told_that() -> None:
    async with speaking("XA", "XV") as (_, running):
        file = pb.ReportFile(content=a_report(), label_yaml=a_label("XA", more=RULE))
        node = running["XV"]
        methods = ReportMethods(
            node.core,
            node.authoring,
            node.outbox,
            node.shelf,
            node.reader_policies,
            files=node.files,
            titles=node.titles,
        )
        reply = await methods.who_gets(pb.WhoGetsRequest(report=file), caller=the_owner())
        (decision,) = reply.decisions
        assert list(decision.warnings) == [
            "XA has not said which clearances and attributes its readers have: perhaps nobody may read it"
        ]
