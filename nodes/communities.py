"""Communities of which this party is a member: take in what their owners send, and know what may be said of each.

An epoch is kept once its membership held (exchange/policy/communities/verify.py). Whether it is in force is the
directory's word alone, so an epoch may come before the directory shows it, or never be shown. Two heads under one epoch
are both kept, and an alarm: the owner has told its members different things, and the directory shows one of them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.errors import ExchangeError
from exchange.limits import KIB
from exchange.names import PartyId
from exchange.policy.communities.codec import MEMBERSHIP_BYTES, decode_membership
from exchange.policy.communities.model import HeldEpoch, parse_via
from exchange.policy.communities.route import publishable
from exchange.policy.communities.verify import held_of
from exchange.policy.decision import Rules
from exchange.policy.model import CommunityTarget
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.core import Core
from nodes.store import communities as store
from nodes.store.rows import EpochState, KeptEpoch

SIGNED_BYTES = MEMBERSHIP_BYTES + 8 * KIB

UNSHOWN_MOST = 64
"""Epochs of one owner that are kept before the directory shows them; an honest one has a few."""


class Communities:
    """Communities of one node. For one event loop."""

    def __init__(self, core: Core, *, on_change: Callable[[], None]) -> None:
        """`on_change` is called when an epoch has come."""
        self._core = core
        self._on_change = on_change
        self._log = get_logger(__name__)

    async def load(self) -> None:
        """Take up the epochs that are stored; through one that is damaged nothing goes."""
        held = []
        for kept in await self._core.database.read(store.epochs):
            try:
                held.append(self.opened(kept))
            except ExchangeError as error:
                text = f"epoch {kept.epoch} of a community of {kept.owner} is damaged in the store: {error}"
                await self._core.alarms.raise_(alarms.COMMUNITY, f"{kept.owner}/{kept.community.hex()}", text)
        self._core.trust.add_epochs(held)

    def opened(self, kept: KeptEpoch) -> HeldEpoch:
        """Return a stored epoch; its signatures were verified before it was stored."""
        signed = decode_signed(kept.statement, limit=SIGNED_BYTES, what="a stored membership")
        membership, core = decode_membership(signed.payload), self._core
        return held_of(membership, exchange=core.exchange, owner=PartyId(kept.owner), me=core.me)

    async def take(self, held: HeldEpoch, statement: Signed) -> bool:
        """Take in an epoch whose membership held, and say whether it is new; a repeat changes nothing.

        When this returns it is durable, and the decisions know it.
        """
        core, head = self._core, held.head
        known = core.trust.now.communities.get(head.community_id, ())
        if any(each.shown == held.shown for each in known):
            return False
        if self._unshown(head.owner) >= UNSHOWN_MOST:
            text = f"{head.owner} announces more epochs than the relay shows; one was not taken in"
            await core.alarms.raise_(alarms.COMMUNITY, f"{head.owner}/unshown", text)
            return False
        for text in _contradictions(held, known):
            await core.alarms.raise_(alarms.COMMUNITY, f"{head.owner}/{head.community_id.hex()}", text)
        kept = kept_epoch(held, statement, EpochState.HELD, core.clock())
        await core.database.write(partial(store.add_epoch, epoch=kept))
        self.believe(held)
        return True

    def believe(self, held: HeldEpoch) -> None:
        """Let the decisions know an epoch that is stored."""
        self._core.trust.add_epochs([held])
        self._log.info("community.epoch", owner=held.head.owner, epoch=held.head.epoch)
        self._on_change()

    def _unshown(self, owner: PartyId) -> int:
        directory = self._core.trust.now.directory
        return sum(
            each.head.owner == owner and directory.agreement_since(each.shown) is None
            for epochs in self._core.trust.now.communities.values()
            for each in epochs
        )


def kept_epoch(held: HeldEpoch, statement: Signed, state: EpochState, now_ms: int) -> KeptEpoch:
    """Return an epoch as it is stored."""
    return KeptEpoch(
        shown=held.shown,
        community=held.head.community_id,
        epoch=held.head.epoch,
        owner=held.head.owner,
        state=state,
        stored_ms=now_ms,
        statement=encode_signed(statement),
    )


def newest_of(epochs: Sequence[HeldEpoch]) -> HeldEpoch:
    """Return the newest of a community's epochs, shown or not."""
    return max(epochs, key=lambda each: each.head.epoch)


def name_of(via: str, communities: Mapping[bytes, Sequence[HeldEpoch]]) -> str:
    """Return the name of the community that a slot's `via` means; empty when there is none, or none is known."""
    named = parse_via(via)
    epochs = communities.get(named[0], ()) if named is not None else ()
    return newest_of(epochs).head.terms.name if epochs else ""


def targets(rules: Rules, me: PartyId, now_ms: int) -> dict[str, CommunityTarget]:
    """Return how a label may name the communities in which this node may publish now: by id, and by name if one has it.

    Each stands for the epoch in force.
    """
    found = publishable(rules, me, now_ms)
    names: dict[str, list[bytes]] = {}
    for community, held in found.items():
        names.setdefault(held.head.terms.name, []).append(community)
    made = {community.hex(): CommunityTarget(community, held.head.epoch) for community, held in found.items()}
    single = {name: made[ids[0].hex()] for name, ids in names.items() if len(ids) == 1}
    return {**single, **made}


def epochs_addressed(rules: Rules, me: PartyId, now_ms: int, named: Sequence[CommunityTarget]) -> Mapping[bytes, int]:
    """Return the epochs in force of these communities, by id: whom a report that names them is addressed to now."""
    found = publishable(rules, me, now_ms)
    return {each.id: found[each.id].head.epoch for each in named if each.id in found}


def _contradictions(held: HeldEpoch, known: Sequence[HeldEpoch]) -> list[str]:
    """Return what an owner has said differently before: to this node, or to those whose epochs follow from it."""
    head, found = held.head, []
    if any(each.head.epoch == head.epoch for each in known):
        found.append(f"{head.owner} signed two heads under epoch {head.epoch} of one community")
    before = [each.head_sha256 for each in known if each.head.epoch == head.epoch - 1]
    after = [each.head.previous_sha256 for each in known if each.head.epoch == head.epoch + 1]
    if (before and head.previous_sha256 not in before) or (after and held.head_sha256 not in after):
        found.append(f"{head.owner} signed another epoch beside epoch {head.epoch} of a community than is known here")
    return found
