"""Pass agreements on to their parties, and publish complete ones at the relay.

Every import passes the text on to the parties, as a control envelope, and so does its repeat: a node may have died
between storing a text and passing it on. Whoever first holds all signatures publishes the view; publishing twice is
harmless. A text that is too long for a control envelope travels by hand.
"""

from collections.abc import Callable
from functools import partial

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.padme import padme
from exchange.directory.state import Status
from exchange.envelope.model import Lane
from exchange.limits import CONTROL_BODY_BYTES, KIB
from exchange.names import PartyId
from exchange.policy.codec import decode_view
from exchange.receipts.codec import encode_agreement_text
from exchange.receipts.verify import AGREEMENT_TEXT
from exchange.runtime.logs import get_logger
from nodes.agreements import VIEW_BYTES, Agreements, Taken
from nodes.core import Core
from nodes.receipts import add_control
from nodes.relay_port import Relay
from nodes.rounds import Rounds

OVERHEAD_BYTES = 6 * KIB
"""Of our own signature and the frames around a text."""


class Publishing:
    """Agreements of one node on their way out. For one event loop."""

    def __init__(self, core: Core, relay: Relay, agreements: Agreements, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._relay = relay
        self._agreements = agreements
        self._wake = wake
        self._log = get_logger(__name__)
        failed = partial(self._log.info, "agreement.publish-later")
        self.rounds = Rounds(self.publish_complete, every_s=core.timing.obligations_s, failed=failed)

    async def pass_on(self, taken: Taken) -> tuple[PartyId, ...]:
        """Send an agreement with its signatures to its other founders, and once it is complete to those who may accede.

        Returns whom it goes to. Where anyone may accede, it goes by hand to whom the parties want to have it.
        """
        core, view = self._core, taken.file.view
        members = [record.party for record in core.trust.now.directory.parties() if record.status is Status.ADMITTED]
        invited = [party for party in view.may_accede if party in members and not taken.missing]
        others = tuple(party for party in (*view.parties, *invited) if party != core.me)
        if not others or core.me not in view.parties:
            return ()
        payload = encode_agreement_text(taken.file.signed)
        if padme(len(payload) + OVERHEAD_BYTES) > CONTROL_BODY_BYTES:
            self._log.warning("agreement.by-hand", bytes=len(payload), parties=len(others))
            return ()
        signed = await core.signer.sign(AGREEMENT_TEXT, payload)
        await core.database.write(
            partial(add_control, signed=signed, recipients=others, lane=Lane.ROUTINE, now_ms=core.clock())
        )
        self._wake()
        return others

    async def publish_complete(self) -> int:
        """Publish the views that every party has signed and the directory does not show yet; return how many."""
        core = self._core
        directory = core.trust.now.directory
        published = 0
        for kept in await self._agreements.all():
            if directory.agreement_status(kept.commitment, at_size=directory.size) is not None:
                if not kept.published:
                    await self._agreements.published(kept.commitment)
                continue
            signed = decode_signed(kept.view, limit=VIEW_BYTES, what="a stored view")
            founders = decode_view(signed.payload).parties
            if core.me not in founders or self._agreements.missing(signed, founders):
                continue
            index = await self._relay.publish_agreement(encode_signed(signed))
            await self._agreements.published(kept.commitment)
            published += 1
            self._log.info("agreement.published", directory_index=index)
        return published
