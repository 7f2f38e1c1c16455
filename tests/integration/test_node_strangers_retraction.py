"""A partner retracts what it did not originate, before the report itself is there."""

from functools import partial

from exchange.crypto.random import random_bytes
from exchange.envelope.model import Lane
from exchange.receipts.codec import encode_retraction
from exchange.receipts.model import Retraction, RetractionAction
from exchange.receipts.verify import RETRACTION
from exchange.runtime.clock import now_ms
from nodes.parts import Node
from nodes.receipts import add_control
from nodes.relay_port import Delivered
from nodes.store import reports
from nodes.store.rows import ItemState, Reach
from nodes.withdrawing import withdraw
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import nodes, push, reached, receipted, stored, until


async def test_a_strangers_retraction_neither_hides_a_report_nor_keeps_its_originators_out() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        originator, victim, stranger = running["XA"], running["XV"], running["XO"]
        take = victim.receiver.take
        kept: list[Delivered] = []

        async def hold_routine(frame: Delivered) -> object:
            """Let flash pass first, as it does at a node that was away."""
            routine = [each for each in frame.waiting if each.lane is Lane.ROUTINE]
            if routine and not kept:
                kept.append(Delivered(routine, frame.now_ms))
                return await take(Delivered([e for e in frame.waiting if e.lane is not Lane.ROUTINE], frame.now_ms))
            return await take(frame)

        victim.receiver.take = hold_routine  # type: ignore[method-assign,assignment]
        sent = await push(originator, "XV", "XO")
        await receipted(originator, sent.item, "XO")
        await until(lambda: bool(kept), "the report did not come")
        await _retract(stranger, sent.item, "XV")

        async def heard() -> bool:
            found = await victim.core.database.read(partial(reports.withdrawal_of, item=sent.item, originator="XO"))
            return found is not None

        await until(heard, "the stranger's retraction did not come")
        await take(kept[0])
        report = await stored(victim, sent.item)
        assert report is not None and report.state is ItemState.CURRENT

        wake = originator.outbox.wake
        await withdraw(originator.core, sent.item, reason_code="wrong", text="", purge=True, wake=wake)
        await reached(originator, sent.item, "XV", Reach.PURGED)
        report = await stored(victim, sent.item)
        assert report is not None and report.state is ItemState.PURGED


async def _retract(node: Node, item: bytes, recipient: str) -> None:
    """Sign a retraction of another's report, as an honest node does not."""
    retraction = Retraction(
        exchange=EXCHANGE,
        originator=node.core.me,
        item_hash=item,
        reason_code="wrong",
        text="",
        action=RetractionAction.PURGE,
        at_ms=now_ms(),
        salt=random_bytes(16),
    )
    signed = await node.core.signer.sign(RETRACTION, encode_retraction(retraction))
    store = partial(add_control, signed=signed, recipients=[recipient], lane=Lane.FLASH, now_ms=now_ms())
    await node.core.database.write(store)
    node.outbox.wake()
