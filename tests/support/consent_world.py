"""Nodes that ask each other for consent: what an originator pushes, what a holder asks, and what they then know."""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

from exchange.consent.codec import encode_request
from exchange.consent.model import ConsentRequest
from exchange.consent.verify import CONSENT_REQUEST
from exchange.crypto.random import random_bytes
from exchange.names import party_id
from exchange.policy.model import Category, OnwardRule, Purpose, Tlp
from exchange.policy.terms import Term
from exchange.runtime.clock import now_ms
from nodes.asking import Asked, Wanted
from nodes.caller import the_owner
from nodes.onward import LANE
from nodes.outbox import Accepted, push_digest
from nodes.parts import Node
from nodes.receipts import add_control
from nodes.store import consent, reports
from nodes.store.consent_rows import AnswerState, KeptGrant, KeptRequest, RequestState
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import authored, until

HOUR_MS = 60 * 60 * 1000

LABEL = """\
tlp: amber
categories: [alert]
purposes: [protect_life, consular]
about: [PK]
release: {{to: [{to}]{release}}}
personal_data: none
onward: {onward}
max_hops: {hops}
orcon: {orcon}
basis: {{kind: mou, citation: "Memorandum, art. 4"}}
"""


def a_term(**differs: object) -> Term:
    """A term under which everybody may send alerts to everybody."""
    usual: dict[str, object] = {
        "purposes": (Purpose.PROTECT_LIFE, Purpose.CONSULAR),
        "categories": (Category.ALERT,),
        "ceiling": Tlp.AMBER,
        "clause": "art-4",
        "about_any": True,
        "onward_default": OnwardRule.CONSENT,
    }
    return Term(**(usual | differs))  # type: ignore[arg-type]  # the caller names fields


async def push_onward(
    node: Node, *to: str, onward: str = "consent", hops: int = 1, orcon: bool = False, release: str = ""
) -> Accepted:
    """Push a report that its recipients may pass on with consent."""
    more = f", {release}" if release else ""
    label = LABEL.format(to=", ".join(to), onward=onward, hops=hops, orcon=str(orcon).lower(), release=more)
    return await push_labelled(node, label)


async def push_labelled(node: Node, label: str) -> Accepted:
    """Push a report under this label."""
    made = authored(node, label.encode())
    return await node.outbox.accept(made, push_digest(random_bytes(8).hex(), b"", b""))


async def ask(node: Node, item: bytes, *to: str, ask_only: bool = False, hours: int = 24) -> Asked:
    """Let a holder ask to pass an item on."""
    wanted = Wanted(
        item,
        [party_id(name) for name in to],
        [Purpose.PROTECT_LIFE],
        now_ms() + hours * HOUR_MS,
        "They have an embassy there.",
        ask_only=ask_only,
    )
    return await node.asking.ask(wanted, caller=the_owner())


async def request_at(node: Node, hash_: bytes) -> KeptRequest | None:
    """Return a request as a node has it."""
    return await node.core.database.read(partial(consent.request_of, hash_=hash_))


async def arrived(node: Node, hash_: bytes, *states: RequestState) -> None:
    """Wait until a request stands so at a node."""

    async def holds() -> bool:
        found = await request_at(node, hash_)
        return found is not None and found.state in (states or (RequestState.OPEN,))

    await until(holds, f"{node.core.me} does not have the request as {states}")


async def answers(node: Node, hash_: bytes) -> dict[tuple[str, str], AnswerState]:
    """Return what a node knows of the answers, by originator and partner."""
    found = await node.core.database.read(partial(consent.answers_of, requests=[hash_]))
    return {(each.originator, each.recipient): each.state for each in found[hash_]}


async def answered(node: Node, hash_: bytes, **states: AnswerState) -> None:
    """Wait until the answers about these partners stand so; each by every originator."""

    async def holds() -> bool:
        found = await answers(node, hash_)
        return all(state is states[partner] for (_, partner), state in found.items() if partner in states)

    await until(holds, f"{node.core.me} has other answers than {states}")


async def grants_at(node: Node, hash_: bytes) -> Sequence[KeptGrant]:
    """Return the signed answers to a request that a node has."""
    found = await node.core.database.read(partial(consent.answers_of, requests=[hash_]))
    hashes = {each.grant for each in found[hash_] if each.grant}
    return list((await node.core.database.read(partial(consent.grants_with, hashes=list(hashes)))).values())


async def story(node: Node, item: bytes) -> list[tuple[str, str]]:
    """Return what happened to an item at a node, with whom."""
    events = await node.core.database.read(partial(reports.events_of, item=item))
    return [(event.event, event.partner) for event in events]


async def unsafe_ask(node: Node, item: bytes, *to: str) -> bytes:
    """Ask as a node does that holds nothing and checks nothing; return the request's hash."""
    request = ConsentRequest(
        exchange=EXCHANGE,
        item_hash=item,
        asker=node.core.me,
        to=tuple(sorted(party_id(name) for name in to)),
        purposes=(Purpose.PROTECT_LIFE,),
        until_ms=now_ms() + HOUR_MS,
        reason="",
        at_ms=now_ms(),
        salt=random_bytes(16),
    )
    signed = await node.core.signer.sign(CONSENT_REQUEST, encode_request(request))
    store = partial(add_control, signed=signed, recipients=["XA"], lane=LANE, now_ms=now_ms())
    await node.core.database.write(store)
    node.outbox.wake()
    return sha256(signed.payload).digest()
