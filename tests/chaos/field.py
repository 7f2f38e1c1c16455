"""The exchange that is broken: two relays on one PostgreSQL, nodes that know both, each over ways of its own."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nodes.demo import enrol
from nodes.demo.cast import COUNCIL, EXCHANGE, Player
from nodes.demo.enrol import MEMORY, Home, command, free_address
from nodes.demo.processes import Processes
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from tests.chaos import ways
from tests.chaos.clocked import set_offset
from tests.chaos.schedule import RELAYS
from tests.chaos.ways import Ways
from tests.support import postgres
from tests.support.ten_nodes import settings_of

PARTIES = ("XA", "XH", "XM", "XN", "XO", "XP", "XQ", "XR", "XT", "XV")
TITLE = "Liaison protocol"
CLOCKED = "tests.chaos.clocked"
DATABASE = "chaos"
START_S = 180.0
"""So many processes start at once that each takes its time."""

FAULTY = 1
"""So many witnesses may be off, and the others are still a quorum."""


@dataclass(slots=True)
class Field:
    """A running exchange, and what can be done to its parts."""

    home: Home
    processes: Processes
    server: postgres.Server
    ways: Ways
    parties: Sequence[str]

    def home_of(self, name: str) -> Path:
        """Where a relay process or a node has its home."""
        return self.home.path / name if name in RELAYS else self.home.node(name)

    def start(self, name: str) -> None:
        """Start a relay process or a node."""
        home = self.home_of(name)
        words = ["relay" if name in RELAYS else "node", "serve", "--home", str(home), *self.home.passphrase]
        self.processes.start(name, home, words, module=CLOCKED, before=self.ways.around(name))

    def kill(self, name: str) -> None:
        """Kill a process as a power cut would."""
        self.processes.kill_one(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process."""
        for process in self.processes.running():
            if process.name == name:
                os.kill(process.pid, number)

    def set_clock(self, name: str, offset_ms: int) -> None:
        """Let a node's or a relay's clock jump."""
        set_offset(self.home_of(name), offset_ms)

    def ended(self) -> list[str]:
        """Return the processes that do not run."""
        running = {process.name for process in self.processes.running()}
        return [process.name for process in self.processes.started() if process.name not in running]

    def code(self, name: str) -> int | None:
        """Return with what a process ended; below 0 it was a signal."""
        pids = {process.pid for process in self.processes.started() if process.name == name}
        return next((child.returncode for pid, child in self.processes._children.items() if pid in pids), None)

    def status(self, party: str) -> pb.GetStatusResponse:
        """How a node is."""
        with connect(self.home.node(party)) as node:
            return node.GetStatus(pb.GetStatusRequest())

    def connected(self, party: str) -> bool:
        """Whether a node is up and speaks with a relay."""
        try:
            return self.status(party).relay == "connected"
        except Exception:  # noqa: BLE001 - it is not up yet
            return False

    def wait_until_connected(self) -> None:
        """Wait until every node speaks with a relay."""
        for party in self.parties:
            self._wait_until(partial(self.connected, party), f"{party}'s node")

    # -- founding ------------------------------------------------------------------------------------------------------

    def found(self) -> None:
        """Let everybody in at one relay, then go on with two, over the ways."""
        enrol.prepare(self.home)
        fingerprint = self._first_relay()
        for party in self.parties:
            enrol.admit(self.home, Player(party, f"Office of {party}", "", "red"), fingerprint)
        self.processes.stop()
        self._second_relay()
        self._lead()
        for name in (*RELAYS, *self.parties):
            self.start(name)
        for party in self.parties:
            self._wait_until(partial(self._sees_all, party), f"the partners at {party}")
        text = self.home.path / "files" / "liaison.yaml"
        text.write_text(command("agreement", "draft", *self.parties, "--title", TITLE))
        enrol.sign_agreement(self.home, text)
        enrol.name_witnesses(self.home, self.parties, quorum=len(self.parties) - FAULTY)
        for party in self.parties:
            self._wait_until(partial(self._in_force, party), f"the agreement at {party}")

    def _wait_until(self, ready: Callable[[], bool], what: str) -> None:
        self.processes.wait_until(ready, what, seconds=START_S)

    def _first_relay(self) -> str:
        root = self.home.root(COUNCIL)
        unlock = self.home.passphrase
        fingerprint = command("root", "init", "--home", root, "--party", COUNCIL, *unlock, *MEMORY).strip()
        addresses = ("--address", free_address(), "--join-address", free_address())
        council = ("--exchange", EXCHANGE, "--council", root / "root.pub")
        command("relay", "init", "--home", self.home.relay, *council, *addresses, *unlock, *MEMORY)
        unsigned, signed = self.home.relay / "genesis.unsigned", self.home.relay / "genesis.signed"
        command("root", "sign", unsigned, "--home", root, "--out", signed, "--yes", *unlock)
        config = self.home.relay / "relay.toml"
        config.write_text(f'database = "{self.server.new_database(DATABASE)}"\n{config.read_text()}')
        enrol.start_relay(self.home, self.processes)
        return fingerprint

    def _second_relay(self) -> None:
        """Copy the first one's keys and settings, as an operator does; only the addresses are others."""
        first, second = map(self.home_of, RELAYS)
        second.mkdir(mode=0o700)
        for name in ("relay.keys", "genesis.signed", "relay.toml"):
            shutil.copy2(first / name, second / name)
        text = (second / "relay.toml").read_text()
        for name in ("address", "join_address"):
            text = text.replace(settings_of(first / "relay.toml")[name], free_address())
        (second / "relay.toml").write_text(text)

    def _lead(self) -> None:
        """Let every node reach both relays, over ways of its own; half of them begin at the second."""
        files = [self.home_of(name) / "relay.toml" for name in RELAYS]
        targets = [settings_of(file)["address"] for file in files]
        for file, target in zip(files, targets, strict=True):
            _replace(file, f'address = "{target}"', f'address = "{self.ways.listen(target)}"')
        for number, party in enumerate(self.parties):
            led = self.ways.lead(party, targets)
            where = ", ".join(led if number % 2 == 0 else reversed(led))
            _replace(
                self.home.node(party) / "node.toml", f'relay_address = "{targets[0]}"', f'relay_address = "{where}"'
            )
        for name in (*RELAYS, *self.parties):
            self.set_clock(name, 0)

    def _sees_all(self, party: str) -> bool:
        try:
            with connect(self.home.node(party)) as node:
                found = node.ListPartners(pb.ListPartnersRequest()).partners
        except Exception:  # noqa: BLE001 - it is not up yet
            return False
        return {each.party for each in found if each.prekey_days and each.status == "admitted"} == set(self.parties)

    def _in_force(self, party: str) -> bool:
        return '"active"' in command("agreement", "list", "--home", self.home.node(party), "--json")


def _replace(file: Path, was: str, now: str) -> None:
    text = file.read_text()
    assert was in text
    file.write_text(text.replace(was, now))


@contextmanager
def running(path: Path, parties: Sequence[str], *, proxies: bool = False) -> Iterator[Field]:
    """Found the exchange of these parties and run it while the block runs; its homes are made below `path`."""
    with postgres.running_server() as server, ways.made(proxies=proxies) as led:
        made = Field(Home(path), Processes(path), server, led, parties)
        try:
            made.found()
            yield made
        finally:
            for name in (*RELAYS, *parties):
                made.signal(name, signal.SIGCONT)
            made.processes.stop()
