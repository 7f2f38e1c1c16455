"""Nodes in this process that speak with a real relay over mutual TLS; their keys are those of directory_builders."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, add_signature
from exchange.crypto.signing import CompositeKey
from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.state import Status
from exchange.directory.statements import Witness, Witnesses
from exchange.names import party_id
from exchange.relay.config import RelaySettings
from exchange.runtime.clock import now_ms
from exchange.runtime.lifecycle import Drain
from exchange.runtime.relay_info import write_relay_info
from exchange.runtime.secrets import private_dir
from exchange.v1 import relay_service_pb2 as pb
from nodes.app import RELAY_INFO, running
from nodes.attached import Attached
from nodes.author import AuthoredReport, Desk, author
from nodes.communities import targets
from nodes.config import NodeConfig, Timing
from nodes.keystore import NodeKeys
from nodes.outbox import Accepted, push_digest
from nodes.parts import Node
from nodes.report_files import Standing
from nodes.store import alarms, reports
from nodes.store.rows import Addressee, Reach, Report
from tests.support.directory_builders import EXCHANGE, composite, mldsa44, party_keys
from tests.support.relay_world import World, a_world
from tests.support.reports import a_report

QUICK = Timing(
    receipts_s=0.05,
    obligations_s=0.2,
    audit_s=0.5,
    witness_s=0.2,
    audit_pause_s=0.05,
    retry_first_s=0.05,
    retry_most_s=0.3,
    reseal_first_s=0.05,
    directory_wait_s=3.0,
    drain_s=2.0,
)
PATIENCE_S = 20.0

FIRST_TIME = ["FIRST_TIME_TO_PARTNER:XV"]
"""What confirms a first report to XV alone."""

LABEL = """\
tlp: amber
categories: [alert]
purposes: [protect_life]
about: [PK]
release: {{to: [{to}]}}
personal_data: none
onward: none
basis: {{kind: mou, citation: "Memorandum, art. 4"}}
{more}
"""


def a_label(*to: str, more: str = "") -> bytes:
    """Return a label for these partners."""
    return LABEL.format(to=", ".join(to), more=more).encode()


def node_keys(name: str, master: bytes | None = None) -> NodeKeys:
    """Return the node's keys of a party of directory_builders."""
    keys = party_keys(name)
    witness = mldsa44(f"{name}/witness")
    return NodeKeys(keys.statement, keys.envelope, keys.ca, keys.ca_key, master or random_bytes(32), 1, witness)


@dataclass(slots=True)
class Place:
    """A node's home and keys, which outlive its process."""

    name: str
    home: Path
    keys: NodeKeys
    config: NodeConfig


@dataclass(slots=True)
class NodeWorld:
    """A relay, and places where nodes can run."""

    relay: World
    root: Path
    places: dict[str, Place] = field(default_factory=dict)

    async def place(self, name: str, *, admit: bool = True, timing: Timing = QUICK) -> Place:
        """Let a party join and make its home."""
        await self.relay.join(name, admit=admit, days=0)
        home = private_dir(self.root / name)
        private_dir(home / "exchange")
        info = self.relay.listening.info
        (home / RELAY_INFO).write_text(write_relay_info(info))
        config = NodeConfig(party=name, exchange=EXCHANGE, relay_address=info.address, timing=timing)
        made = self.places[name] = Place(name, home, node_keys(name), config)
        return made

    async def suspend(self, name: str, *, suspended: bool = True) -> None:
        """Let the council suspend a party, or lift its suspension; on return the relay knows."""
        await self.relay.mirror()
        signed = issue.make_suspension(
            exchange=EXCHANGE,
            place=self.relay.exchange.directory.next_seq_prev("council"),
            party=party_id(name),
            suspended=suspended,
            now_ms=now_ms(),
            council_key=self.relay.exchange.council_key,
        )
        await self.publish(signed)

    async def expel(self, name: str) -> None:
        """Let the council expel a party; on return the relay knows."""
        await self.relay.mirror()
        signed = issue.make_expulsion(
            exchange=EXCHANGE,
            place=self.relay.exchange.directory.next_seq_prev("council"),
            party=party_id(name),
            now_ms=now_ms(),
            council_key=self.relay.exchange.council_key,
        )
        await self.publish(signed)

    async def publish_as(self, name: str, statement: Signed) -> None:
        """Publish a statement of a party, by itself."""
        request = pb.PublishStatementRequest(statement=encode_signed(statement))
        await self.relay.partners[name].stub.PublishStatement(request, timeout=10)

    async def roll_over(self, name: str) -> None:
        """Let the root NAME/root/2 follow a party's first one; on return the relay knows."""
        old, new = composite(f"{name}/root"), composite(f"{name}/root/2")
        drafted = issue.draft_rollover(
            exchange=EXCHANGE,
            issuer=name,
            party=party_id(name),
            old_root_key_id=old.public.key_id,
            new_root=new.public,
            now_ms=now_ms(),
        )
        await self.publish_as(name, add_signature(sign_statement(drafted, old), new, context=EXCHANGE))

    async def name_witnesses(self, *names: str, quorum: int, root: CompositeKey | None = None) -> None:
        """Let the council name the nodes of these parties as witnesses, by this root; on return the relay knows."""
        await self.relay.mirror()
        members = tuple(Witness(party_id(name), mldsa44(f"{name}/witness").public) for name in names)
        drafted = issue.draft_witness_set(
            exchange=EXCHANGE,
            place=self.relay.exchange.directory.next_seq_prev("council"),
            witnesses=Witnesses(members, quorum),
            now_ms=now_ms(),
        )
        await self.publish(sign_statement(drafted, root or self.relay.exchange.council_key))

    async def publish(self, statement: Signed) -> None:
        """Publish a statement of the council, by XA."""
        request = pb.PublishStatementRequest(statement=encode_signed(statement))
        await self.relay.partners["XA"].stub.PublishStatement(request, timeout=10)


@asynccontextmanager
async def at(place: Place) -> AsyncIterator[Node]:
    """Run the node of a place while the block runs."""
    async with running(place.home, place.config, place.keys, Drain()) as node:
        yield node


@asynccontextmanager
async def a_node_world(*names: str, given: RelaySettings | None = None) -> AsyncIterator[NodeWorld]:
    """Run a relay and make a place for each of these parties, who have one agreement."""
    root = Path(tempfile.mkdtemp(prefix="nodes-"))
    try:
        async with a_world(given=given) as relay:
            world = NodeWorld(relay, root)
            for name in names:
                await world.place(name)
            yield world
    finally:
        shutil.rmtree(root)


@asynccontextmanager
async def nodes(
    *names: str, agree: bool = True, also: Sequence[str] = (), given: RelaySettings | None = None
) -> AsyncIterator[tuple[NodeWorld, dict[str, Node]]]:
    """Run a relay and a node for each of these parties, with prekeys published and an agreement between all.

    Parties in `also` are in the agreement and run no node; `given` is another configuration of the relay.
    """
    async with a_node_world(*names, given=given) as world, AsyncExitStack() as stack:
        for name in also:
            await world.relay.join(name)
        if agree:
            await world.relay.agree(*names, *also)
        running_ = {name: await stack.enter_async_context(at(world.places[name])) for name in names}
        for node in running_.values():
            await ready(node, [name for name in names if name != node.core.me], agree=agree)
        yield world, running_


async def ready(node: Node, partners: Sequence[str], *, agree: bool = True) -> None:
    """Wait until a node could send to these partners."""

    def can() -> bool:
        snapshot = node.core.trust.now
        known = all(snapshot.prekey(party_id(name), now_ms()) is not None for name in partners)
        return known and (bool(snapshot.views) or not agree)

    await until(can, f"{node.core.me} is not ready")


async def until(holds: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Wait until `holds`; fail with `what` when that takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = holds()
                if answer is True or (not isinstance(answer, bool) and await answer):
                    return
                await asyncio.sleep(0.01)
    raise AssertionError(what)


def authored(node: Node, label: bytes, **root: object) -> AuthoredReport:
    """Return a report that is ready to be signed by this node."""
    partners = [record.party for record in node.core.trust.now.directory.parties()]
    communities = targets(node.core.trust.rules_now(), node.core.me, now_ms())
    desk = Desk(node.core.me, partners, {}, communities)
    return author(a_report(**root), label, desk=desk, now_ms=now_ms())


async def push(
    node: Node,
    *to: str,
    key: str = "",
    more: str = "",
    files: Mapping[str, bytes] | None = None,
    **root: object,
) -> Accepted:
    """Push a report to these partners, with these files."""
    made = authored(node, a_label(*to, more=more), **root)
    attached = [await attach(node, name, data) for name, data in (files or {}).items()]
    made = replace(made, attached=tuple(attached))
    accepted = await node.outbox.accept(made, push_digest(key or random_bytes(8).hex(), b"", b""))
    node.files.attaching.pushed(attached)
    return accepted


async def attach(node: Node, name: str, data: bytes) -> Attached:
    """Hand a file to a node for a push."""

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1 << 20):
            yield data[at : at + (1 << 20)]

    return await node.files.attaching.take(name, "application/octet-stream", len(data), parts())


async def standing(node: Node, item: bytes) -> list[Standing]:
    """Return how the files of a report stand at a node; nothing while it is not there, or no more."""
    if await stored(node, item) is None:
        return []
    opened = await node.shelf.opened(item)
    return [] if opened is None else await node.files.standing(item, opened.statement.attachments)


async def here(node: Node, item: bytes, **files: bytes) -> None:
    """Wait until all files of a report are here; they must be these, by name without an ending."""

    async def holds() -> bool:
        return [each.state for each in await standing(node, item)] == ["here"] * len(files)

    await until(holds, "not every file has come")
    opened = await node.shelf.opened(item)
    assert opened is not None
    for each in opened.statement.attachments:
        held = await node.files.held(item, each.name, opened)
        assert b"".join(node.files.open(held)) == files[each.name.partition(".")[0]]


async def stands(node: Node, name: str, status: Status) -> None:
    """Wait until a node knows how a party stands."""
    await until(lambda: node.core.trust.now.status(party_id(name)) is status, f"{name} is not {status}")


async def reach(node: Node, item: bytes, recipient: str) -> Addressee | None:
    """Return where an item stands with a recipient."""
    return await node.core.database.read(partial(reports.addressee, item=item, recipient=recipient))


async def reached(node: Node, item: bytes, recipient: str, state: Reach) -> None:
    """Wait until an item stands so with a recipient."""

    async def holds() -> bool:
        found = await reach(node, item, recipient)
        return found is not None and found.state is state

    try:
        await until(holds, "")
    except AssertionError:
        found = await reach(node, item, recipient)
        raise AssertionError(f"{recipient}: {found}, not {state}") from None


async def stored(node: Node, item: bytes) -> Report | None:
    """Return a report that a node holds."""
    return await node.core.database.read(partial(reports.report_of, item=item))


async def receipted(node: Node, item: bytes, *names: str) -> None:
    """Wait until these recipients have receipted an item."""
    for name in names:
        await reached(node, item, name, Reach.RECEIPTED)


async def count_reports(node: Node) -> int:
    """Return how many versions a node holds."""
    return sum((await node.core.database.read(reports.count_reports)).values())


async def open_alarms(node: Node) -> list[str]:
    """Return the kinds of the open alarms."""
    return [alarm.kind for alarm in await node.core.database.read(alarms.open_alarms)]
