"""A relay and the thief of a key together: what they date back is seen by when it came, and does nothing by itself."""

from collections.abc import Sequence
from functools import partial

from exchange.envelope.model import Lane
from exchange.names import PartyId, party_id
from exchange.runtime.clock import now_ms
from exchange.v1 import relay_service_pb2 as pb
from nodes.caller import the_owner
from nodes.parts import Node
from nodes.relay_port import Delivered, Waiting
from nodes.store.rows import ItemState
from tests.integration.test_node_resend import retract
from tests.support.lying_relay import HASTY, Honest, alarmed, aside, deceived, is_report
from tests.support.node_world import push, receipted, stored, until
from tests.support.rotation import own_statement_key, revoke


class Held(Honest):
    """Keeps back all that is for XA: promised before, whatever has happened when it is delivered."""

    def __init__(self) -> None:
        self.kept: list[pb.Waiting] = []

    def one(self, to: PartyId, waiting: pb.Waiting) -> Sequence[pb.Waiting]:
        """Keep it."""
        if to != "XA":
            return [waiting]
        self.kept.append(waiting)
        return []

    def all(self) -> Delivered:
        """Return what was kept, as one frame."""
        return Delivered([Waiting(Lane(each.lane), each.position, each.delivery) for each in self.kept], now_ms())

    def has(self, *, reports: int, controls: int) -> bool:
        """Say whether so much is kept."""
        found = sum(is_report(each) for each in self.kept)
        return found >= reports and len(self.kept) - found >= controls


async def test_what_a_relay_dates_back_for_a_thief_is_marked_and_does_nothing() -> None:
    """What it holds back stands for what a thief signs later: promise and heads are those of before the theft."""
    async with deceived("XV", "XA", timing=HASTY.model_copy(update={"gap_alarm_s": 60.0})) as relay:
        sender, victim = relay["XV"], relay["XA"]
        good = await push(sender, "XA")
        await receipted(sender, good.item, "XA")
        held = Held()
        relay.tell(held)
        late = await push(sender, "XA")
        await retract(sender, good.item)
        await until(lambda: held.has(reports=1, controls=1), "nothing is held")
        since_ms = now_ms()
        for key_id in (own_statement_key(sender), sender.core.keys.envelope.public.key_id):
            await revoke(relay.world, party_id("XV"), key_id, since_ms=since_ms, by_council=True)
            await until(partial(_known_stolen, victim, key_id), "the theft is not known")
        await victim.receiver.take(held.all())
        assert await stored(victim, late.item) is not None
        assert await marked(victim) == {late.item}
        kept = await stored(victim, good.item)
        assert kept is not None and kept.state is ItemState.CURRENT
        assert (9, "KEY_STOLEN") in await aside(victim)
        await alarmed(victim, "suspect")


def _known_stolen(node: Node, key_id: bytes) -> bool:
    return node.core.trust.now.directory.in_other_hands(key_id, at_ms=now_ms())


async def marked(node: Node) -> set[bytes]:
    """Return the reports that a node asks its people to look at again."""
    listed = await node.shelf.list_(the_owner(), direction=None, limit=50, before=None, current_only=False)
    return {each.report.item for each in listed if each.suspect}
