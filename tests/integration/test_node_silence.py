"""A partner that falls silent is noticed; one that never sent, or may not, is not waited for."""

from exchange.directory.state import Status
from nodes import alarms
from nodes.parts import Node
from tests.support.losses import EAGER, eager
from tests.support.node_world import open_alarms, push, receipted, stands, until

SILENT = EAGER.model_copy(update={"silent_s": 0.5})


async def tells_of_silence(node: Node) -> bool:
    """Let the relay say that nothing waits, and say whether the node has noticed a silent partner."""
    node.core.link.emptied()
    await node.numbers.silence.look()
    return alarms.SILENT in await open_alarms(node)


async def test_a_partner_that_falls_silent_is_an_alarm_until_it_is_heard_again() -> None:
    async with eager("XA", "XO", "XV", timing=SILENT) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        await until(lambda: tells_of_silence(recipient), "nobody noticed the silence")
        assert list(recipient.numbers.silence.silent) == ["XA"]  # XO has never sent anything
        sent = await push(sender, "XV", key="again")
        await receipted(sender, sent.item, "XV")
        await recipient.numbers.silence.look()
        assert alarms.SILENT not in await open_alarms(recipient)


async def test_while_this_node_was_not_listening_nobody_was_silent() -> None:
    async with eager("XA", "XV", timing=SILENT) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        await until(lambda: tells_of_silence(recipient), "nobody noticed the silence")
        recipient.core.link.empty_ms = 0
        await recipient.numbers.silence.look()
        assert recipient.numbers.silence.silent == {}


async def test_a_suspended_partner_is_not_waited_for_and_is_told_nothing() -> None:
    async with eager("XA", "XV", timing=SILENT) as (world, running):
        sender, recipient = running["XA"], running["XV"]
        sent = await push(sender, "XV")
        await receipted(sender, sent.item, "XV")
        await world.suspend("XA")
        await stands(recipient, "XA", Status.SUSPENDED)
        object.__setattr__(recipient.core, "timing", SILENT.model_copy(update={"stream_head_quiet_s": 0.001}))
        assert await recipient.numbers.streams.tell() == 0
        since_ms = recipient.core.clock()
        await until(lambda: recipient.core.clock() > since_ms + 1_000, "time does not pass")
        recipient.core.link.emptied()
        await recipient.numbers.silence.look()
        assert recipient.numbers.silence.silent == {}
