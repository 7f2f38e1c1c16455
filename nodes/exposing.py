"""Proof and alarm when a sender contradicts itself, or the relay dates back what it delivers.

Called after a frame is stored. The first proof of each kind is kept, and no other: a liar must not fill the disk with
proof. Each is kept under the hash of what it claims, so that to see a lie once more changes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256

from exchange.crypto.codec import decode_signed
from exchange.envelope.open import Opened
from exchange.names import PartyId
from nodes import alarms
from nodes.contradiction import Contradiction, write_contradiction
from nodes.core import Core
from nodes.effects import UsedTwice
from nodes.opening import BELOW_SENDER
from nodes.outdated import Outdated, write_outdated
from nodes.shown import HEADER_BYTES, ShownEnvelope, ShownSlot
from nodes.store import reports, trust
from nodes.store.rows import Report
from nodes.store.witnesses import KeptEvidence, keep_evidence
from nodes.vault import open_report


async def expose_twice(core: Core, found: UsedTwice) -> None:
    """Keep what proves that a sender contradicts itself, and raise the alarm."""
    text = found.text
    contradiction = _contradiction_of(found, core)
    if contradiction is not None:
        claim = sha256(f"{found.sender}/{found.twice}".encode()).digest()
        file = write_contradiction(contradiction)
        kept = KeptEvidence(claim, contradiction.made_ms, "sender", found.text, file)
        await core.database.write(partial(keep_evidence, evidence=kept))
        text += ": concord log evidence"
    await core.alarms.raise_(alarms.SENDER, f"{found.sender}/{found.twice}", text)


async def expose_outdated(core: Core, dated_back: Sequence[Opened]) -> None:
    """Keep what proves that the relay dates envelopes back, and raise the alarm."""
    if not dated_back:
        return
    opened = dated_back[0]
    size = opened.promise_facts.directory_size
    text = (
        f"the relay promised an envelope of {opened.core.sender} under {size} entries of the directory, and it "
        f"names {opened.core.directory.size}"
    )
    (genesis,) = await core.database.read(partial(trust.directory_entries, start=0, limit=1))
    header = opened.header_signed.payload
    file = write_outdated(Outdated(core.exchange, core.me, core.clock(), genesis, header, opened.promise))
    kept = KeptEvidence(sha256(BELOW_SENDER.encode()).digest(), core.clock(), "relay", text, file)
    await core.database.write(partial(keep_evidence, evidence=kept))
    await core.alarms.raise_(alarms.RELAY, "below-sender", f"{text}: concord log evidence")


async def compare_versions(core: Core, thread: bytes, originator: str) -> None:
    """Raise an alarm when an originator has signed two versions that follow the same one, or are both the first."""
    read = partial(reports.versions, thread=thread, originator=originator)
    rows = [row for row in await core.database.read(read) if row.record]
    keys = await core.keybox.keys([row.item for row in rows])
    work = partial(_forked, [row for row in rows if row.item in keys], keys)
    forked = await asyncio.get_running_loop().run_in_executor(core.executor, work)
    if forked:
        shown = " and ".join(item.hex()[:12] for item in forked[:2])
        text = f"{originator} signed two versions of one report in the place of each other: {shown}; both are kept"
        await core.alarms.raise_(alarms.SENDER, f"{originator}/versions", text)


def _forked(rows: Sequence[Report], keys: Mapping[bytes, bytes]) -> list[bytes]:
    """Return versions that follow the same one, or are both the first; empty when each follows another."""
    follow: dict[bytes, list[bytes]] = {}
    for row in rows:
        opened = open_report(keys[row.item], row.item, row.record)
        follow.setdefault(opened.statement.supersedes, []).append(row.item)
    return next((items for items in follow.values() if len(items) > 1), [])


def _contradiction_of(found: UsedTwice, core: Core) -> Contradiction | None:
    """Return what proves it to anyone; None when one of the envelopes is no longer kept, or another key signed it."""
    if found.first is None or found.second is None:
        return None
    first, second = (
        ShownEnvelope(
            decode_signed(each.header, limit=HEADER_BYTES, what="a stored header"),
            (ShownSlot(each.place, each.leaf, each.steps),),
        )
        for each in (found.first, found.second)
    )
    ids = {signature.key_id for each in (first, second) for signature in each.header.signatures}
    record = core.trust.now.directory.key_record(next(iter(ids)))
    if len(ids) != 1 or record is None or record.public is None:
        return None
    return Contradiction(
        exchange=core.exchange,
        made_by=core.me,
        made_ms=core.clock(),
        sender=PartyId(found.sender),
        key=record.public,
        twice=found.twice,
        first=first,
        second=second,
    )
