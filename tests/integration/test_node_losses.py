"""The relay promised and did not deliver: both ends know it, and hold what proves the promise."""

from functools import partial

from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_delivery
from exchange.envelope.model import EnvelopeKind
from nodes import alarms
from nodes.evidence_check import Result
from nodes.parts import Node
from nodes.relay_port import Delivered
from nodes.store import alarms as alarm_store
from nodes.store import receiving, witnesses
from nodes.store.witnesses import KeptEvidence
from nodes.withheld import check_withheld, read_withheld
from tests.support.losses import EAGER, eager, lose, spoil, whole
from tests.support.node_world import push, receipted, until

IMPATIENT = EAGER.model_copy(update={"gap_alarm_s": 0.2})
"""Nodes that call a loss by its name at once."""


async def withheld(node: Node) -> list[str]:
    """Return what a node says that the relay withheld."""
    found = await node.core.database.read(alarm_store.open_alarms)
    return [alarm.text for alarm in found if alarm.kind == alarms.WITHHELD]


async def evidence(node: Node) -> list[KeptEvidence]:
    """Return the evidence files that a node keeps."""
    return await node.core.database.read(partial(witnesses.kept_evidence, limit=9))


async def test_what_the_relay_promised_and_never_delivered_is_an_alarm_with_evidence_at_both_ends() -> None:
    async with eager("XA", "XV", timing=IMPATIENT) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        lost = lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        for sent in [await push(sender, "XV", key=str(number)) for number in range(3)]:
            await receipted(sender, sent.item, "XV")
        assert lost
        for node in (sender, recipient):
            await until(partial(_tells, node), f"{node.core.me} raised no alarm against the relay")
            (kept,) = await evidence(node)
            found = read_withheld(kept.file)
            checks = {check.what: check for check in check_withheld(found)}
            assert (found.made_by, found.sender, found.recipient) == (node.core.me, "XA", "XV")
            assert {checks[what].result for what in ("promise", "sender", "recipient")} == {Result.HOLDS}
            assert "both ends" in checks["delivery"].detail


async def _tells(node: Node) -> bool:
    return bool(await withheld(node))


async def test_an_envelope_that_comes_after_all_ends_the_alarm_at_its_recipient() -> None:
    async with eager("XA", "XV", timing=IMPATIENT) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        take = recipient.receiver.take
        lost = lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        for sent in [await push(sender, "XV", key=str(number)) for number in range(3)]:
            await receipted(sender, sent.item, "XV")
        await whole(recipient, "XA")
        await until(partial(_tells, recipient), "no alarm against the relay")
        await take(Delivered(lost, recipient.core.clock()))

        async def quiet() -> bool:
            return not await withheld(recipient)

        await until(quiet, "the alarm against the relay stays")


async def test_what_the_relay_spoils_comes_again_and_is_not_called_withheld() -> None:
    async with eager("XA", "XV", timing=IMPATIENT) as (_, running):
        sender, recipient = running["XA"], running["XV"]
        spoilt = spoil(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        for sent in [await push(sender, "XV", key=str(number)) for number in range(3)]:
            await receipted(sender, sent.item, "XV")
        assert spoilt
        await whole(recipient, "XA")
        (aside,) = await recipient.core.database.read(receiving.list_set_aside)
        assert aside.envelope == envelope_hash(decode_delivery(spoilt[0].delivery).header.payload)
        for node in (sender, recipient):
            await node.numbers.losses.look()
            assert await withheld(node) == []
