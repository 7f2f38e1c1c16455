"""Tell the relay of new epochs of own communities, and of their ends: in order, and only once members have theirs.

Who cannot get its membership now (no prekey, suspended) is not waited for, and nobody for ever: else a partner that is
away, or a relay that refuses one envelope, would keep a removed member in.
"""

import asyncio
from contextlib import suppress
from functools import partial

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.errors import ExchangeError
from exchange.names import ID_BYTES
from exchange.policy.communities.codec import encode_head, encode_notice
from exchange.policy.communities.model import CommunityHead, CommunityNotice, head_commitment
from exchange.policy.communities.verify import NOTICE
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.communities import Communities
from nodes.core import Core
from nodes.relay_port import Relay
from nodes.store import communities as store
from nodes.store.rows import EpochState, KeptEpoch

WAIT_MOST_MS = 10 * 60 * 1000
"""An epoch is announced at the latest after this, whatever became of its memberships."""

LOOK_AGAIN_S = 2.0
"""While an epoch is to be announced."""


class Announcing:
    """Own communities of one node on their way to the directory. For one event loop."""

    def __init__(self, core: Core, relay: Relay, communities: Communities, *, hurry: asyncio.Event) -> None:
        """Tell `relay`; `hurry` says that something may be ready."""
        self._core = core
        self._relay = relay
        self._communities = communities
        self._due = hurry
        self._log = get_logger(__name__)

    async def run(self) -> None:
        """Announce epochs and ends, in order, until cancelled."""
        while True:
            self._due.clear()
            waiting = True
            try:
                waiting = await self.announce()
            except ExchangeError as error:
                self._log.info("community.announce-later", reason=error.reason, detail=str(error))
            wait_s = self._core.timing.obligations_s
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, LOOK_AGAIN_S) if waiting else wait_s):
                    await self._due.wait()

    async def announce(self) -> bool:
        """Announce what is ready; say whether anything is left to announce."""
        held_up: set[bytes] = set()
        states = [EpochState.PENDING, EpochState.ENDING]
        for kept in await self._core.database.read(partial(store.epochs_in, states=states)):
            # Epochs of one community follow each other at the relay too.
            if kept.community in held_up or not await self._announced(kept):
                held_up.add(kept.community)
        await self._look_at_the_directory()
        return bool(held_up)

    async def _announced(self, kept: KeptEpoch) -> bool:
        """Announce an epoch, or an end, if it is time; say whether the relay knows of it now.

        What the relay refuses holds up its own community alone.
        """
        core = self._core
        if kept.state is EpochState.PENDING and not await self._ready(kept):
            return False
        try:
            await self._announce(kept)
        except ExchangeError as error:
            if error.retryable:
                raise
            text = f"the relay refuses epoch {kept.epoch} of a community of ours: {error}"
            await core.alarms.raise_(alarms.COMMUNITY, _subject(kept), text)
            return False
        return True

    async def _ready(self, kept: KeptEpoch) -> bool:
        moving = await self._core.database.read(partial(store.on_the_way, shown=kept.shown))
        return not moving or self._core.clock() - kept.stored_ms > WAIT_MOST_MS

    async def _announce(self, kept: KeptEpoch) -> None:
        head = self._communities.opened(kept).head
        index = await self._publish(head, head_commitment(encode_head(head), head.salt))
        state = EpochState.ANNOUNCED
        if kept.state is EpochState.ENDING:
            # It may have been asked for before the epoch itself was announced.
            index, state = await self._publish(head, b""), EpochState.ENDED
        done = partial(store.set_state, shown=kept.shown, state=state, was=[kept.state])
        await self._core.database.write(done)
        self._log.info("community.announced", epoch=kept.epoch, state=str(state), directory_index=index)

    async def _publish(self, head: CommunityHead, commitment: bytes) -> int:
        core = self._core
        notice = CommunityNotice(
            exchange=core.exchange,
            origin=head.origin,
            owner=core.me,
            epoch=head.epoch,
            commitment=commitment,
            at_ms=core.clock(),
            salt=random_bytes(ID_BYTES),
        )
        signed = await core.signer.sign(NOTICE, encode_notice(notice))
        return await self._relay.publish_community(encode_signed(signed))

    async def _look_at_the_directory(self) -> None:
        """Keep an alarm open while the directory does not show an epoch that the relay has taken."""
        core = self._core
        snapshot, now_ms = core.trust.now, core.clock()
        for kept in await core.database.read(partial(store.epochs_in, states=[EpochState.ANNOUNCED])):
            subject = _subject(kept)
            if snapshot.directory.agreement_since(kept.shown) is not None:
                await core.alarms.close(alarms.COMMUNITY, subject)
            elif now_ms - kept.stored_ms > core.timing.directory_most_s * 1000:
                text = f"the relay took epoch {kept.epoch} of a community of ours and does not show it"
                await core.alarms.raise_(alarms.COMMUNITY, subject, text)


def _subject(kept: KeptEpoch) -> str:
    return f"{kept.owner}/{kept.community.hex()}/{kept.epoch}"
