"""A partner that makes things up by the hundred: its alarms must not bury the others."""

from functools import partial

from exchange.crypto.random import random_bytes
from exchange.envelope.model import Lane
from exchange.receipts.codec import encode_receipts
from exchange.receipts.model import ReceiptBatch, ReceiptLine, ReceiptStatus
from exchange.receipts.verify import RECEIPTS
from exchange.runtime.clock import now_ms
from nodes.receipts import add_control
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import nodes, open_alarms, push, receipted, until


async def test_receipts_for_what_was_never_sent_are_one_alarm() -> None:
    async with nodes("XA", "XV") as (_, running):
        core = running["XA"].core
        lines = (ReceiptLine(random_bytes(32), random_bytes(32), ReceiptStatus.STORED, now_ms()) for _ in range(400))
        batch = ReceiptBatch(EXCHANGE, "XA", "XV", tuple(lines), now_ms(), random_bytes(16))
        signed = await core.signer.sign(RECEIPTS, encode_receipts(batch))
        store = partial(add_control, signed=signed, recipients=["XV"], lane=Lane.ROUTINE, now_ms=now_ms())
        await core.database.write(store)
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")

        async def raised() -> bool:
            return bool(await open_alarms(running["XV"]))

        await until(raised, "no alarm")
        assert await open_alarms(running["XV"]) == ["sender"]
