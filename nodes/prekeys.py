"""Own prekeys: published 30 days ahead, destroyed once nothing can come for them any more (PROTOCOL 3).

A bundle is made and stored, with its seeds in keys.db, before the relay hears of it; after a crash the same bundle is
published. A day that an earlier bundle covers keeps its key, because reports may be under way to it. A bundle in the
directory that this node did not make is an alarm: somebody else signs with its key.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.xwing import XWingKey
from exchange.directory.codec import decode_as
from exchange.directory.prekeys import make_bundle, make_bundle_hash
from exchange.directory.state import MEMBERS, BundleRecord
from exchange.directory.statements import PrekeyBundle
from exchange.errors import ExchangeError
from exchange.limits import PREKEY_DAYS_AHEAD, STATEMENT_BYTES
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.core import Core
from nodes.relay_port import Relay
from nodes.store import receiving
from nodes.store import trust as store
from nodes.store.keys import Prekey
from nodes.store.rows import OwnBundle

DAY_MS = 24 * 60 * 60 * 1000
RENEW_DAYS = 23
"""A new bundle follows when the newest one covers fewer days than this from today on."""

KEEP_MS = 72 * 60 * 60 * 1000
"""A day's key is kept for so long after the day, and until every lane was empty at such a time."""

KEEP_MOST_MS = 30 * DAY_MS
"""A day's key is destroyed so long after the day in any case."""


class Prekeys:
    """Prekeys of one node. For one event loop."""

    def __init__(self, core: Core, relay: Relay) -> None:
        """Publish to `relay`."""
        self._core = core
        self._relay = relay
        self._backoff = core.backoff()
        self._log = get_logger(__name__)

    async def run(self) -> None:
        """Look after them now and then, and whenever the directory changes, until cancelled."""
        while True:
            changed = asyncio.create_task(self._core.trust.changed())
            wait_s = self._core.timing.prekeys_s
            try:
                await self.look_after()
            except ExchangeError as error:
                self._log.info("prekeys.later", reason=error.reason, detail=str(error))
                wait_s = next(self._backoff)
            else:
                self._backoff.reset()
            await asyncio.wait({changed}, timeout=wait_s)
            changed.cancel()

    async def look_after(self) -> None:
        """Publish what is due, destroy what has served, look for bundles that are not ours."""
        core = self._core
        if core.trust.now.status(core.me) in MEMBERS:
            await self._publish_due()
        await self._destroy_served()
        await self._find_strangers()

    def days_ahead(self) -> int:
        """Return for how many days from today on prekeys are published, as the directory has it."""
        core = self._core
        today = core.clock() // DAY_MS
        records = core.trust.now.directory.bundles(core.me)
        last = max((each.statement.first_day + each.statement.days for each in records), default=today)
        return max(0, last - today)

    # -- publishing ----------------------------------------------------------------------------------------------------

    async def _publish_due(self) -> None:
        core = self._core
        made = await core.database.read(store.own_bundles)
        named = {each.statement.bundle_sha256 for each in core.trust.now.directory.bundles(core.me)}
        pending = [bundle for bundle in made if not bundle.published]
        for bundle in pending:
            if bundle.hash in named:
                await core.database.write(partial(store.bundle_published, hash_=bundle.hash))
        # A bundle and the statement that names it have one key: what the keys before signed is of no use any more.
        current = [bundle for bundle in made if self._serves(bundle)]
        pending = [bundle for bundle in current if bundle.hash not in named and not bundle.published]
        if pending and self._covers(pending[-1]):
            await self._publish(pending[-1])
        elif not any(bundle.published and self._covers(bundle) for bundle in current):
            await self._publish(await self._make())

    def _serves(self, bundle: OwnBundle) -> bool:
        """Say whether the keys in use signed a bundle, and this node holds its prekeys: a restored node holds none."""
        core, signed = self._core, decode_signed(bundle.bundle, limit=STATEMENT_BYTES, what="an own bundle")
        if signed.signatures[0].key_id != core.keys.statement.public.key_id:
            return False
        first = max(0, core.clock() // DAY_MS - bundle.first_day)
        keys = decode_as(PrekeyBundle, signed.payload).keys[first:]
        return all(core.keybox.prekey(key.key_id) is not None for key in keys)

    async def ready(self) -> bool:
        """Say whether the newest bundle in the directory is one whose prekeys this node holds."""
        core = self._core
        named = core.trust.now.directory.bundle_hash(core.me)
        made = await core.database.read(store.own_bundles)
        return any(bundle.hash == named and self._serves(bundle) for bundle in made)

    def _covers(self, bundle: OwnBundle) -> bool:
        today = self._core.clock() // DAY_MS
        return bundle.first_day + bundle.days - today >= RENEW_DAYS

    async def _make(self) -> OwnBundle:
        core = self._core
        now_ms = core.clock()
        first_day = now_ms // DAY_MS
        days = range(first_day, first_day + PREKEY_DAYS_AHEAD + 1)
        held = {day: key_id for day, key_id in await core.keybox.prekey_days() if day in days}
        fresh = [Prekey(day, XWingKey.generate()) for day in days if day not in held]
        if fresh:
            await core.keybox.add_prekeys(fresh)
        keys = {prekey.day: prekey.key.public for prekey in fresh}
        for day, key_id in held.items():
            prekey = core.keybox.prekey(key_id)
            if prekey is not None:
                keys[day] = prekey.public
        signed = make_bundle(
            exchange=core.exchange,
            party=core.me,
            first_day=first_day,
            keys=[keys[day] for day in days],
            statement_key=core.keys.statement,
        )
        digest = sha256(signed.payload).digest()
        bundle = OwnBundle(digest, first_day, len(days), now_ms, published=False, bundle=encode_signed(signed))
        await core.database.write(partial(store.add_own_bundle, bundle=bundle))
        return bundle

    async def _publish(self, bundle: OwnBundle) -> None:
        core = self._core
        signed = decode_signed(bundle.bundle, limit=STATEMENT_BYTES, what="an own bundle")
        place = core.trust.now.directory.next_seq_prev(core.me)
        statement = make_bundle_hash(signed, place=place, now_ms=core.clock(), statement_key=core.keys.statement)
        index = await self._relay.publish_prekeys(bundle.bundle, encode_signed(statement))
        await core.database.write(partial(store.bundle_published, hash_=bundle.hash))
        self._log.info("prekeys.published", days=bundle.days, directory_index=index)

    # -- destroying ----------------------------------------------------------------------------------------------------

    async def _destroy_served(self) -> None:
        core = self._core
        cursors = await core.database.read(receiving.cursors)
        drained_ms = min((cursor.drained_ms for cursor in cursors.values()), default=0) if len(cursors) == 3 else 0
        held = await core.keybox.prekey_days()
        keep_from = first_day_kept([day for day, _ in held], core.clock(), drained_ms)
        gone = await core.keybox.destroy_prekeys_before(keep_from)
        if gone:
            self._log.info("prekeys.destroyed", count=gone)

    async def _find_strangers(self) -> None:
        core = self._core
        ours = {bundle.hash: bundle.made_ms for bundle in await core.database.read(store.own_bundles)}
        named = core.trust.now.directory.bundles(core.me)
        for each in strangers(named, ours, stream=core.keys.stream):
            text = f"directory entry {each.index} names prekeys of {core.me} that this node did not make"
            await core.alarms.raise_(alarms.PREKEYS, each.statement.bundle_sha256.hex()[:16], text)


def strangers(named: Sequence[BundleRecord], ours: Mapping[bytes, int], *, stream: int) -> list[BundleRecord]:
    """Return the bundles in the directory that this node did not make; `ours` says when it made its own, by hash.

    A node that was restored, or follows a lost one, does not know what its former life published: what was logged
    before the first bundle of this life is left out. The place in the log counts, which no thief can choose.
    """
    foreign = [each for each in named if each.statement.bundle_sha256 not in ours]
    if stream == 1:
        return foreign
    began_ms = stream * 1000
    mine = [each.index for each in named if ours.get(each.statement.bundle_sha256, -1) >= began_ms]
    return [each for each in foreign if mine and each.index > min(mine)]


def first_day_kept(days: Sequence[int], now_ms: int, drained_ms: int) -> int:
    """Return the first day whose prekey is kept; `drained_ms` is when every lane was last empty, 0 for never."""
    for day in sorted(days):
        end_ms = (day + 1) * DAY_MS
        served = now_ms >= end_ms + KEEP_MS and drained_ms >= end_ms + KEEP_MS
        if not served and now_ms < end_ms + KEEP_MOST_MS:
            return day
    return max(days, default=-1) + 1
