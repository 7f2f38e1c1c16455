"""Communities between nodes under test: make, change, and wait until everybody sees it."""

from collections.abc import Iterable
from typing import Any

from exchange.crypto.random import random_bytes
from exchange.directory.statements import AgreementStatus
from exchange.names import party_id
from exchange.policy.communities.model import CommunityTerms, HeldEpoch, MemberRole
from nodes.outbox import push_digest
from nodes.parts import Node
from tests.support.node_world import a_label, authored, until

ACTIVE = AgreementStatus.ACTIVE


def terms(node: Node, name: str = "Road watch", **differs: Any) -> CommunityTerms:
    """Terms of a community that rests on the one agreement that a node knows."""
    (view,) = node.core.trust.now.views.values()
    return CommunityTerms(**{"name": name, "agreement_id": view.agreement_id} | differs)


def roles(members: Iterable[str] = (), publishers: Iterable[str] = ()) -> dict[Any, MemberRole]:
    """Members and publishers with their roles."""
    made = {party_id(name): MemberRole.MEMBER for name in members}
    return made | {party_id(name): MemberRole.PUBLISHER for name in publishers}


async def convene(owner: Node, members: Iterable[str], publishers: Iterable[str] = (), **differs: Any) -> HeldEpoch:
    """Make a community and wait until the directory shows it at its owner."""
    convened = await owner.groups.convening.create(terms(owner, **differs), roles(members, publishers))
    assert convened.index is not None, "the directory does not show the community"
    return convened.held


async def change(owner: Node, held: HeldEpoch, *, remove: Iterable[str] = (), **more: Iterable[str]) -> HeldEpoch:
    """Change a community and wait until the directory shows the new epoch at its owner."""
    gone = [party_id(name) for name in remove]
    convened = await owner.groups.convening.change(held.head.community_id, add=roles(**more), remove=gone)
    assert convened.index is not None, "the directory does not show the new epoch"
    return convened.held


def shows(node: Node, held: HeldEpoch) -> bool:
    """Say whether a node's directory shows an epoch in force."""
    snapshot = node.core.trust.now
    return snapshot.directory.agreement_status(held.shown, at_size=snapshot.size) is ACTIVE


def knows(node: Node, held: HeldEpoch) -> bool:
    """Say whether a node holds an epoch, and its directory shows it in force."""
    known = node.core.trust.now.communities.get(held.head.community_id, ())
    return shows(node, held) and any(each.shown == held.shown for each in known)


async def known(held: HeldEpoch, *nodes: Node) -> None:
    """Wait until these nodes know an epoch that is in force."""
    for node in nodes:
        await until(lambda node=node: knows(node, held), f"{node.core.me} does not know the epoch")  # type: ignore[misc]


def to_community(held: HeldEpoch, *also: str, without: Iterable[str] = (), more: str = "") -> bytes:
    """Return a label for a community now, and for these partners."""
    named = [f'{{community: "{held.head.terms.name}"}}', *also]
    return a_label(", ".join(named), more=more).replace(b"]}\n", f"], except: [{', '.join(without)}]}}\n".encode(), 1)


async def publish(node: Node, held: HeldEpoch, *also: str, without: Iterable[str] = (), more: str = "") -> bytes:
    """Push a report to a community and return its item."""
    made = authored(node, to_community(held, *also, without=without, more=more))
    return (await node.outbox.accept(made, push_digest(random_bytes(8).hex(), b"", b""))).item
