"""A relay and a few partners, XA and XV when nothing else is said, with one agreement, as processes.

Made once and used by many tests.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nodes.demo.cast import Player
from nodes.demo.enrol import Home, command, found, join, prepare, sign_agreement
from nodes.demo.processes import Processes

PARTNERS = (Player("XA", "Asterin Safety Desk", "", "red"), Player("XV", "Velkar Citizens Abroad", "", "amber"))
COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


def concord(*words: str | Path, stdin: bytes = b"") -> Ran:
    """Run one command as a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "nodes", *map(str, words)], input=stdin, capture_output=True, timeout=COMMAND_S
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@dataclass(frozen=True, slots=True)
class SmallExchange:
    """The exchange, and where its homes are."""

    home: Home
    processes: Processes

    @property
    def xa(self) -> Path:
        """The node that sends."""
        return self.home.node("XA")

    @property
    def xv(self) -> Path:
        """The node that receives."""
        return self.home.node("XV")


@contextmanager
def small_exchange(path: Path, partners: Sequence[Player] = PARTNERS, agreement: str = "") -> Iterator[SmallExchange]:
    """Run it while the block runs; the agreement between the partners is a draft when no text is given."""
    home, processes = Home(path), Processes(path)
    try:
        prepare(home)
        fingerprint = found(home, processes)
        for player in partners:
            join(home, player, processes, fingerprint)
        text = home.path / "liaison.yaml"
        text.write_text(
            agreement or command("agreement", "draft", *(p.party for p in partners), "--title", "Liaison protocol")
        )
        for player in partners:
            ready = partial(_knows, home.node(player.party), len(partners))
            processes.wait_until(ready, f"{player.party}'s node")
        sign_agreement(home, text)
        processes.wait_until(lambda: _in_force(home.node(partners[0].party)), "the agreement")
        yield SmallExchange(home, processes)
    finally:
        processes.stop()


def _knows(node: Path, partners: int) -> bool:
    shown = concord("partner", "list", "--home", node, "--json")
    return shown.code == 0 and shown.out.count('"admitted"') == partners


def _in_force(node: Path) -> bool:
    return '"active"' in concord("agreement", "list", "--home", node, "--json").out
