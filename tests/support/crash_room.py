"""A room with a relay and nodes whose power fails at every durable step of a story, one after the other.

`python -m tests.support.crash_room STORY` plays a story in a process of its own, again and again from the homes that
the last one left: each play is killed with SIGKILL at the first armed point that it comes to, relay and nodes at once,
and the next one goes on with the points that are left. The last play comes to no point and reaches the story's end,
where the story judges what is there. Prints the points that no play came to.

A story does what people would: what was not answered is done again, what was answered is not (`Room.once`).
"""

import asyncio
import contextlib
import faulthandler
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from exchange.crypto.codec import encode_signed
from exchange.directory import ceremony
from exchange.directory.state import Status
from exchange.names import party_id
from exchange.policy.agreement import AgreementRef
from exchange.relay.app import running as relay_running
from exchange.relay.home import GENESIS, RelayHome
from exchange.relay.sequencer import Log
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.armour import write_armour
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.lifecycle import Drain
from exchange.runtime.relay_info import write_relay_info
from exchange.runtime.secrets import private_dir, write_private
from exchange.v1 import join_service_pb2
from exchange.v1.join_service_pb2_grpc import JoinServiceStub
from nodes.app import RELAY_INFO
from nodes.config import FILE as CONFIG
from nodes.config import NodeConfig, Timing, load
from nodes.keystore import FILE, NodeKeys, load_keys, save_keys
from nodes.parts import Node
from tests.support import node_world
from tests.support.crash_points import AFTER, BEFORE, Armed, Point
from tests.support.directory_builders import EXCHANGE, Exchange, an_exchange, party_keys
from tests.support.durable_steps import step_at
from tests.support.node_world import QUICK, NodeWorld, Place, at, node_keys, ready
from tests.support.processes import LEAST_MEMORY_KIB, PASSPHRASE
from tests.support.relay_world import CALL_S, DAY_MS, World, secrets, settings

PARTIES = ("XA", "XV", "XT", "XO")
PLAY_S = 400
"""A play that takes longer hangs."""

PATIENCE_S = 100.0
"""How long a story waits for something, on a machine that plays others too."""

AGREEMENT_ID = b"one agreement..."
AGREED = {
    "agreement_id": AGREEMENT_ID,
    "salt": b"and one salt....",
    "valid_from_ms": now_ms() - DAY_MS,
    "valid_until_ms": now_ms() + 300 * DAY_MS,
}


@dataclass(slots=True)
class Room:
    """What outlives the power: homes, keys, and what people have been told."""

    root: Path
    exchange: Exchange
    keys: Mapping[str, NodeKeys]
    relay: RelayHome
    world: NodeWorld = field(init=False)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    """What else a party's node.toml says."""

    async def once(self, what: str, act: Callable[[], Awaitable[bytes | None]]) -> bytes:
        """Do something until it has been answered; return the answer that came first."""
        told = self.root / f"told-{what}"
        if not told.exists():
            answer = await act() or b""
            part = self.root / "told"
            part.write_bytes(answer)
            part.rename(told)
        return told.read_bytes()

    @asynccontextmanager
    async def on(
        self, *names: str, agree: bool = True, also: Collection[str] = (), timing: Timing = QUICK
    ) -> AsyncIterator[dict[str, Node]]:
        """Run the relay and these parties' nodes, who have one agreement, with those in `also`, who run none."""
        self._mirror()
        async with AsyncExitStack() as stack:
            at_ = relay_running(self.relay, settings(), secrets(), Drain())
            relay = World(self.relay, self.exchange, await stack.enter_async_context(at_))
            self.world = NodeWorld(relay, self.root)
            for name in (*names, *also):
                await self._joined(name)
                stack.push_async_callback(relay.partners[name].channel.close)
            if agree:
                await self.agree(*names, *also)
            running = {name: await stack.enter_async_context(at(self._place(name, timing))) for name in names}
            for node in running.values():
                others = [name for name in names if name != node.core.me]
                await self.once(f"{node.core.me} is ready", partial(ready, node, others, agree=agree))
            yield running

    async def agree(self, *names: str, **changes: object) -> AgreementRef:
        """Let these parties have one agreement, and return how statements name it."""

        async def act() -> bytes:
            return (await self.world.relay.agree(*names, **AGREED, **changes)).commitment

        return AgreementRef(AGREEMENT_ID, 1, await self.once("agreed", act))

    def _mirror(self) -> None:
        """Know the directory as the relay has it."""
        store = self.relay.root / "relay.db"
        if not store.exists():
            return
        with Database(sqlite_url(store)) as database, contextlib.suppress(Exception):  # before its first migration
            known = self.exchange.directory.size
            for entry in database.read_now(lambda c: SqlLogs(c).entries(Log.DIRECTORY, known, 1_000)):
                self.exchange.directory.apply(entry, self.exchange.directory.size)
                self.exchange.entries.append(entry)

    def write_home(self, name: str) -> None:
        """Write what `concord node init` writes and stories keep in memory."""
        place = self.world.places[name]
        text = f'party = "{name}"\nexchange = "{EXCHANGE}"\nrelay_address = "{place.config.relay_address}"\n'
        write_private(place.home / CONFIG, f"{text}keystore_memory_kib = {LEAST_MEMORY_KIB}\n".encode())
        save_keys(place.home, place.keys, PASSPHRASE, memory_kib=LEAST_MEMORY_KIB)

    async def _joined(self, name: str) -> None:
        relay, keys = self.world.relay, party_keys(name)
        self.exchange.parties[keys.party] = keys
        record = self.exchange.directory.party(party_id(name))
        if record is None:
            await relay.join(name, days=0)
            return
        relay.partners[name] = relay.connect(keys)
        if record.status is not Status.JOINING:
            return
        admission = ceremony.make_admission(
            exchange=EXCHANGE,
            party=keys.party,
            root_key_id=keys.root.public.key_id,
            now_ms=now_ms(),
            council_key=self.exchange.council_key,
        )
        request = join_service_pb2.JoinServiceAdmitRequest(admission=encode_signed(admission))
        async with relay.join_channel() as channel:
            await JoinServiceStub(channel).Admit(request, timeout=CALL_S)

    def _place(self, name: str, timing: Timing) -> Place:
        home = private_dir(self.root / name)
        private_dir(home / "exchange")
        info = self.world.relay.listening.info
        (home / RELAY_INFO).write_text(write_relay_info(info))
        config = NodeConfig(party=name, exchange=EXCHANGE, relay_address=info.address, timing=timing)
        config = config.model_copy(update=self.settings.get(name, {}))
        keys = self.keys[name]
        if (home / FILE).exists():
            config = config.model_copy(update={"store_url": load(home).store_url})
            keys = load_keys(home, PASSPHRASE)
        made = self.world.places[name] = Place(name, home, keys, config)
        return made


Story = Callable[[Room], Awaitable[None]]


def play(story: Story, steps: Collection[str]) -> list[Point]:
    """Play a story to its end, killed at each of these steps before and after; return the points never come to.

    After a crash before one step another may do its work, so what is left then is tried in a new room.
    """
    left = {(step, when) for step in steps for when in (BEFORE, AFTER)}
    while True:
        were = len(left)
        _in_a_room(story, left)
        if not left or len(left) == were:
            return sorted(left)


def _in_a_room(story: Story, left: set[Point]) -> None:
    """Play in a new room until the story comes to its end; take from `left` what it was killed at."""
    step_at("", 0)  # what all plays ask is found out once, and so are the keys
    keys = {name: replace(node_keys(name), master=bytes(range(32))) for name in PARTIES}
    secrets()
    exchange = an_exchange(())
    root = Path(tempfile.mkdtemp(prefix="room-"))
    home = RelayHome(private_dir(root / "relay"))
    home.genesis.write_text(write_armour(GENESIS, exchange.entries[0]))
    try:
        while (killed := _one_play(Room(root, exchange, keys, home), story, left)) is not None:
            print("killed", *reversed(killed), file=sys.stderr)
            left.remove(killed)
    finally:
        shutil.rmtree(root)


def _one_play(room: Room, story: Story, left: Collection[Point]) -> Point | None:
    """Play in a child; return the point at which it was killed, or None when it came to the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _child(room, story, left, writing)
    os.close(writing)
    with os.fdopen(reading) as said:
        last = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and last:
        step, when = json.loads(last)
        return step, when
    if status:
        sys.exit(f"the play ended with {status}; left: {sorted(left)}")
    return None


def _child(room: Room, story: Story, left: Collection[Point], writing: int) -> None:
    code = 1
    try:
        faulthandler.dump_traceback_later(PLAY_S, exit=True)
        node_world.PATIENCE_S = PATIENCE_S

        def tell(point: Point) -> None:
            os.write(writing, json.dumps(point).encode())

        Armed(left, tell).arm()
        asyncio.run(_playing(story, room))
        code = 0
    except BaseException:  # noqa: BLE001 - the parent reads how it ended
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _playing(story: Story, room: Room) -> None:
    await story(room)


if __name__ == "__main__":
    stories = importlib.import_module("tests.crash.stories")
    told, named = stories.STORIES[sys.argv[1]]
    print(json.dumps(play(told, sys.argv[2:] or named)))
