"""Rotate a node's keys in tests: the root signs in this process what it would sign on a machine of its own."""

from functools import partial

from exchange.crypto.signed import Signed
from exchange.crypto.signing import CompositeKey
from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.state import KeyUse
from exchange.directory.statements import RevocationReason
from exchange.names import COUNCIL, PartyId
from exchange.runtime.clock import now_ms
from nodes.parts import Node
from tests.support.directory_builders import EXCHANGE, party_keys
from tests.support.node_world import NodeWorld, until


def own_statement_key(node: Node) -> bytes:
    """Return the id of the statement key that a node signs with now."""
    return node.core.keys.statement.public.key_id


async def certificate(node: Node, *, root: CompositeKey | None = None) -> Signed:
    """Return the certificate of a node's next keys, signed by its party's root."""
    return sign_statement(await node.rotation.draft(), root or party_keys(node.core.me).root)


async def rotate(node: Node) -> bytes:
    """Rotate a node's keys and return the id of the new statement key, once it is in use with CA and prekeys."""
    before = own_statement_key(node)
    await node.rotation.finish(await certificate(node))
    await until(lambda: own_statement_key(node) != before, "the node still signs with its old key")
    await settled(node)
    return own_statement_key(node)


async def settled(node: Node) -> None:
    """Wait until the transport CA and the prekeys of a node rest on the statement key in use."""

    def rests() -> bool:
        directory, key_id = node.core.trust.now.directory, own_statement_key(node)
        bundles = directory.bundles(node.core.me)
        newest = directory.keys_of(node.core.me, KeyUse.TRANSPORT)
        return (
            bool(bundles and bundles[0].certified_by == key_id and newest and newest[0].certified_by == key_id)
            and node.core.keys.transport_ca == newest[0].certificate
        )

    await until(rests, "its transport CA or its prekeys rest on an older key")


async def revoke(
    world: NodeWorld,
    party: PartyId,
    key_id: bytes,
    *,
    reason: RevocationReason = RevocationReason.COMPROMISED,
    since_ms: int = 0,
    by_council: bool = False,
) -> None:
    """Let a party's root, or the council, revoke a key; on return the relay knows."""
    make = partial(issue.make_revocation, exchange=EXCHANGE, party=party, key_id=key_id, reason=reason, now_ms=now_ms())
    since = (since_ms or now_ms()) if reason is RevocationReason.COMPROMISED else 0
    if by_council:
        signed = make(issuer=COUNCIL, compromised_since_ms=since, key=world.relay.exchange.council_key)
        await world.publish(signed)
        return
    signed = make(issuer=party, compromised_since_ms=since, key=party_keys(party).root)
    await world.publish_as(party, signed)
