"""A node that was restored from a backup tells its partners that it numbers anew, and hears the same from others.

Telling: once its new prekeys are in the directory, so that what partners send again can be opened.
Hearing, in the transaction of the frame:
1. lower streams of the sender are over from the place of this reset in the relay's log on: what is logged later under
   one of them comes from a home that should be dead, or from a thief
2. what it had not receipted is sealed for it once more, under its new prekeys; items are known by their hash
3. our stream heads towards it are told again at once, so that it sees what it has lost, and asks
"""

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.directory.state import Status
from exchange.envelope.model import Lane
from exchange.names import ID_BYTES
from exchange.stream_reset.codec import encode_stream_reset
from exchange.stream_reset.model import StreamReset
from exchange.stream_reset.verify import STREAM_RESET
from nodes.core import Core
from nodes.opening import Bad, Good
from nodes.prekeys import Prekeys
from nodes.receipts import add_control
from nodes.store import anew as store
from nodes.store.anew import HeardReset

STEP_NUMBER = 11
STREAM_ENDED = "STREAM_ENDED"


class Anew:
    """Tells partners of this node's new stream. For one event loop."""

    def __init__(self, core: Core, prekeys: Prekeys, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._prekeys = prekeys
        self._wake = wake

    async def tell(self) -> int:
        """Place the resets that are due in the outbox; return how many."""
        core, stream = self._core, self._core.keys.stream
        if stream == 1 or not await self._prekeys.ready():
            return 0
        told = await core.database.read(store.told)
        admitted = [each.party for each in core.trust.now.directory.parties() if each.status is Status.ADMITTED]
        due = [party for party in admitted if party != core.me and told.get(party, 1) < stream]
        for party in due:
            reset = StreamReset(core.exchange, core.me, party, stream, core.clock(), random_bytes(ID_BYTES))
            signed = await core.signer.sign(STREAM_RESET, encode_stream_reset(reset))
            await core.database.write(partial(_tell, signed=signed, party=party, stream=stream, now_ms=core.clock()))
        if due:
            self._wake()
        return len(due)


def _tell(connection: Connection, signed: Signed, party: str, stream: int, now_ms: int) -> None:
    add_control(connection, signed, [party], lane=Lane.FLASH, now_ms=now_ms)
    store.set_told(connection, party, stream)


# -- resets that were heard --------------------------------------------------------------------------------------------


def hear(connection: Connection, reset: StreamReset, statement: Signed, log_index: int) -> bool:
    """Take in a verified reset and say whether it was new; an older one changes nothing."""
    heard = HeardReset(reset.from_party, reset.stream, log_index, reset.at_ms, encode_signed(statement))
    if not store.hear(connection, heard):
        return False
    store.seal_again(connection, reset.from_party)
    store.tell_heads_again(connection, reset.from_party)
    return True


def ended(good: Good, heard: dict[str, HeardReset]) -> bool:
    """Say whether a delivery came under a stream that its sender had ended when the relay logged it."""
    reset = heard.get(good.opened.core.sender)
    return reset is not None and good.opened.leaf.stream < reset.stream and good.promise.log_index > reset.log_index


def with_resets(heard: dict[str, HeardReset], goods: Sequence[Good]) -> dict[str, HeardReset]:
    """Return what was heard, and the resets of this very frame."""
    known = dict(heard)
    for good in goods:
        if isinstance(good.control, StreamReset):
            reset, before = good.control, known.get(good.control.from_party)
            if before is None or before.stream < reset.stream:
                known[reset.from_party] = HeardReset(
                    reset.from_party, reset.stream, good.promise.log_index, reset.at_ms, b""
                )
    return known


def refused(good: Good) -> Bad:
    """Return what becomes of a delivery under an ended stream."""
    opened = good.opened
    detail = f"{opened.core.sender} had ended stream {opened.leaf.stream} before this was logged"
    return Bad(good.waiting, STEP_NUMBER, STREAM_ENDED, detail, "", opened.envelope_hash, opened.item_hash)
