"""Ways through network namespaces: the relays live in one, each node in one of its own, with a link to each relay.

Nothing of the machine's own network changes. A namespace lives as long as the process that holds it, so a run that is
killed leaves none behind.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

MIDDLE = "middle"
HOLD = "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL); signal.pause()"
"""Hold a namespace until the parent ends, however it ends (PR_SET_PDEATHSIG)."""
PATIENCE_S = 10.0


def allowed() -> bool:
    """Whether this process may make namespaces and links, and the tools are here."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    try_it = ["ip", "link", "add", "one", "type", "veth", "peer", "name", "other"]
    return subprocess.run([*_apart(), *try_it], capture_output=True, timeout=PATIENCE_S).returncode == 0


def _apart() -> list[str]:
    """Return the words that run a command in a namespace of its own; whoever is not root is root in there alone."""
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]


@dataclass(slots=True)
class Namespaces:
    """As tests/chaos/ways.py wants them; a context manager."""

    _held: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._hold(MIDDLE, _apart())
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._held.values():
            holder.kill()
            holder.wait()

    def listen(self, address: str) -> str:
        """Relays listen at every address of their namespace."""
        return f"0.0.0.0:{address.rpartition(':')[2]}"

    def lead(self, party: str, to: Sequence[str]) -> list[str]:
        """Make the node's namespace, and a link from there for each relay."""
        number = len(self._held)
        self._hold(party, [*self._inside(MIDDLE), "unshare", "--net"])
        addresses = []
        for way, address in enumerate(to):
            here, there = f"10.{77 + way}.{number}.1", f"10.{77 + way}.{number}.2"
            peer = ("type", "veth", "peer", "name", f"way{way}", "netns", str(self._held[party].pid))
            self._ip(MIDDLE, "link", "add", "name", _link(party, way), *peer)
            for name, link, own in ((MIDDLE, _link(party, way), here), (party, f"way{way}", there)):
                self._ip(name, "addr", "add", f"{own}/30", "dev", link)
                self._ip(name, "link", "set", "dev", link, "up")
            addresses.append(f"{here}:{address.rpartition(':')[2]}")
        return addresses

    def around(self, name: str) -> list[str]:
        """Enter the namespace of a node; relays live in the middle."""
        return self._inside(name if name in self._held else MIDDLE)

    def cut(self, party: str, ways: Sequence[int]) -> None:
        """Take the links down at the relays' end: nodes are not told."""
        for way in ways:
            self._ip(MIDDLE, "link", "set", "dev", _link(party, way), "down")

    def mend(self, party: str, ways: Sequence[int]) -> None:
        """Take them up again."""
        for way in ways:
            self._ip(MIDDLE, "link", "set", "dev", _link(party, way), "up")

    def _hold(self, name: str, apart: Sequence[str]) -> None:
        holder = subprocess.Popen([*apart, sys.executable, "-c", HOLD], stdin=subprocess.DEVNULL)
        outside = {_space(os.getpid()), *(_space(each.pid) for each in self._held.values())}
        deadline = time.monotonic() + PATIENCE_S
        while _space(holder.pid) in outside:
            if holder.poll() is not None or time.monotonic() > deadline:
                holder.kill()
                raise RuntimeError(f"no namespace for {name}")
            time.sleep(0.01)
        self._held[name] = holder
        self._ip(name, "link", "set", "dev", "lo", "up")

    def _inside(self, name: str) -> list[str]:
        where = f"/proc/{self._held[name].pid}/ns"
        own = [] if os.geteuid() == 0 else [f"--user={where}/user", "--preserve-credentials"]
        return ["nsenter", *own, f"--net={where}/net"]

    def _ip(self, name: str, *words: str) -> None:
        subprocess.run([*self._inside(name), "ip", *words], check=True, timeout=PATIENCE_S)


def _link(party: str, way: int) -> str:
    return f"{party.lower()}-{way}"


def _space(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())
