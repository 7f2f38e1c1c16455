"""What a thief takes from a running node that has sent and received: every file of its home, and one recording.

The node has reports in each state that there is, destroyed prekeys and reports, an operator who is logged in, a sensor
and a spool. Its secrets are kept beside the loot, so that tests can look for them.
"""

import asyncio
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from exchange.crypto.xwing import XWingKey
from exchange.directory.prekeys import day_of
from exchange.envelope.model import Lane
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import write_private
from nodes.backup import back_up
from nodes.door_service import push_from_spool
from nodes.keystore import save_keys
from nodes.login import answer
from nodes.operators import Profile
from nodes.parts import Node
from nodes.permits import Act, node_subject
from nodes.relay_port import Answered, Delivered
from nodes.roles import Role
from nodes.sensors import Scope
from nodes.spool import SENSOR, Spool
from nodes.store.rows import Reach
from nodes.withdrawing import withdraw
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import NodeWorld, Place, a_label, at, nodes, push, reached, ready, receipted
from tests.support.operators import key_of, permits
from tests.support.reports import a_report

PASSPHRASE = b"correct horse battery staple"
MEMORY_KIB = 64 * 1024
TITLES = {
    "received": "Alder depot is watched",
    "destroyed": "Birch bridge is mined",
    "sent": "Cedar school is closed",
    "undelivered": "Dogwood ferry is late",
    "unsealed": "Elm hospital is full",
    "unanswered": "Fir station is dark",
}
SPOOLED = "Hazel market is open"
CITATION = "Memorandum, art. 4"
"""Stands in every label."""

REASON = "wrong street"
"""Text of the retraction, by which one report was destroyed."""

IN_CONTENT = "location--33333333-3333-4333-8333-333333333333"
OPERATOR = "ada-of-the-night-watch"
"""Long enough not to stand in ciphertext by chance."""

PEOPLE = (OPERATOR, "noor")
"""Two operators, whom a backup takes."""


@dataclass(slots=True)
class Loot:
    """The copy, and what the thief does not know unless a test lets it."""

    home: Path
    backup: Path
    """A backup of the node, alone in its folder."""
    place: Place
    items: Mapping[str, bytes] = field(default_factory=dict)
    """Item hash of each report."""
    report_keys: Mapping[str, bytes] = field(default_factory=dict)
    prekeys_held: list[XWingKey] = field(default_factory=list)
    prekeys_destroyed: list[XWingKey] = field(default_factory=list)
    recording: bytes = b""
    """The delivery of `received`, as whoever records the line has it under TLS."""
    tokens: list[str] = field(default_factory=list)
    """Of an operator's session and of sensors."""
    log: list[str] = field(default_factory=list)


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect everything that is logged, debugging too, while the block runs."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, root = Handler(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def steal(path: Path) -> Loot:
    """Let a node live a little, and copy its home into `path` while it runs."""
    with logged() as lines:
        loot = asyncio.run(_scene(path))
        loot.log = lines
    return loot


async def _scene(path: Path) -> Loot:
    async with nodes("XA", also=["XN"], agree=False) as (world, running):
        place = await world.place("XV")
        await world.relay.join("XO", days=0)
        await world.relay.agree("XA", "XV", "XN", "XO")
        save_keys(place.home, place.keys, PASSPHRASE, memory_kib=MEMORY_KIB)
        address = place.config.relay_address
        text = (
            f'party = "XV"\nexchange = "{EXCHANGE}"\nrelay_address = "{address}"\nkeystore_memory_kib = {MEMORY_KIB}\n'
        )
        write_private(place.home / "node.toml", text.encode())
        async with at(place) as node:
            await ready(running["XA"], ["XV"])
            await ready(node, ["XA", "XN"])
            loot = Loot(path / "stolen", path / "vault" / "xv.backup", place)
            loot.backup.parent.mkdir()
            await _people(node, loot)
            await _live(world, running["XA"], node, loot)
            both = permits(Act.BACKUP, node_subject(EXCHANGE, "XV"), *PEOPLE)
            back_up(place.home, loot.backup, PASSPHRASE, now_ms=now_ms(), permits=both)
            shutil.copytree(place.home, loot.home)
            return loot


async def _people(node: Node, loot: Loot) -> None:
    """Admit two operators, one of whom logs in, and a sensor."""
    key, roles = key_of(OPERATOR), frozenset({Role.ADMINISTRATOR})
    for name in PEOPLE:
        await node.operators.add(Profile(name, key_of(name).public, roles, Tlp.RED, now_ms() + 86_400_000), by="")
    challenge = node.operators.challenge()
    login = await node.operators.login(key.public.key_id, challenge.nonce, answer(challenge, key))
    scope = Scope("gate", (Category.ALERT,), Tlp.AMBER, 10, b"", now_ms() + 86_400_000)
    spool = Scope(SENSOR, (Category.ALERT,), Tlp.AMBER, 10, b"", now_ms() + 86_400_000)
    loot.tokens = [login.token, await node.sensors.add(scope), await node.sensors.add(spool)]


async def _live(world: NodeWorld, partner: Node, node: Node, loot: Loot) -> None:
    """Receive, destroy, send, and leave undelivered."""
    take, items = node.receiver.take, {}

    async def record(frame: Delivered) -> object:
        for each in frame.waiting:
            if each.lane is Lane.ROUTINE and not loot.recording:
                loot.recording = each.delivery
        return await take(frame)

    node.receiver.take = record  # type: ignore[method-assign,assignment]
    items["received"] = (await push(partner, "XV", name=TITLES["received"])).item
    items["destroyed"] = (await push(partner, "XV", name=TITLES["destroyed"])).item
    await receipted(partner, items["received"], "XV")
    await receipted(partner, items["destroyed"], "XV")
    keys = dict(await node.core.keybox.keys(list(items.values())))
    await withdraw(
        partner.core, items["destroyed"], reason_code="wrong", text=REASON, purge=True, wake=partner.outbox.wake
    )
    await reached(partner, items["destroyed"], "XV", Reach.PURGED)
    items["sent"] = (await push(node, "XA", name=TITLES["sent"])).item
    await receipted(node, items["sent"], "XA")
    items["undelivered"] = (await push(node, "XN", name=TITLES["undelivered"])).item
    await reached(node, items["undelivered"], "XN", Reach.PROMISED)
    await _spool(node)
    items["unsealed"] = (await push(node, "XO", name=TITLES["unsealed"])).item
    items["unanswered"] = await _unanswered(node)
    await _destroy_prekeys(node, loot)
    keys |= await node.core.keybox.keys(list(items.values()))
    loot.items, loot.report_keys = items, {name: keys[item] for name, item in items.items()}


async def _unanswered(node: Node) -> bytes:
    """Leave a sealed envelope in the outbox: the relay's answer never comes."""

    async def lost(_: Answered) -> None:
        await asyncio.Event().wait()

    node.sender._take = lost  # type: ignore[method-assign,assignment]
    item = (await push(node, "XA", name=TITLES["unanswered"])).item
    await reached(node, item, "XA", Reach.SEALED)
    return item


async def _spool(node: Node) -> None:
    """Let a program drop one report, which is pushed, and another, which waits."""
    spool = Spool(node.home / "spool", node.sensors, partial(push_from_spool, node.authoring))
    spool.prepare()
    (spool.directory / "one.label.yaml").write_bytes(a_label("XA"))
    (spool.directory / "one.json").write_bytes(a_report(name=SPOOLED))
    assert await spool.run_once() == 1
    assert (spool.sent / "one.json").exists()


async def _destroy_prekeys(node: Node, loot: Loot) -> None:
    """Destroy the prekeys up to today's, as the node does once nothing can come under them."""
    before = dict(node.core.keybox._prekeys)
    await node.core.keybox.destroy_prekeys_before(day_of(now_ms()) + 1)
    held = node.core.keybox._prekeys
    loot.prekeys_held = list(held.values())
    loot.prekeys_destroyed = [key for key_id, key in before.items() if key_id not in held]
