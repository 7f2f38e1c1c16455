"""Found the exchange and let eight partners join, with the commands that people use.

Each root lies in a home of its own, as if on its own offline machine; files go from home to home as they would
by courier. The commands run in this process, which saves the start of eighty; relay and nodes are processes.
"""

import contextlib
import io
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exchange.crypto.random import token
from exchange.errors import InternalError
from exchange.policy.agreement_text import parse_agreement_text
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import read_passphrase
from nodes.admin.exit_codes import INTERRUPTED
from nodes.admin.main import run
from nodes.demo.cast import AGREEMENTS, COUNCIL, EXCHANGE, Player
from nodes.demo.processes import Processes
from nodes.login_client import log_in
from nodes.node_client import connect
from nodes.operator_home import open_operator
from nodes.roles import Role
from nodes.session import keep_session
from nodes.v1.operator_pb2 import AddOperatorRequest, OperatorProfile

ADMINISTRATOR, DUTY_OFFICER, RELEASE_DESK = "administrator", "duty-officer", "release-desk"
OPERATORS = {
    ADMINISTRATOR: (Role.ADMINISTRATOR,),
    DUTY_OFFICER: (Role.AUTHOR, Role.SECURITY_OFFICER, Role.AUDITOR),
    RELEASE_DESK: (Role.RELEASER, Role.AUDITOR),
}
"""Who works at every node, and as what."""
STAFF_MS = 30 * 24 * 60 * 60 * 1000

MEMORY = ("--memory-mib", "64")
"""The floor of the keystore: a demonstration unlocks eighteen of them."""


QUICK = """
# Somebody watches: receipts do not wait for company, and a relay that was away is asked again soon.
[timing]
receipts_s = 0.2
retry_most_s = 2.0
audit_pause_s = 0.5
"""
"""What the nodes of a demonstration say of time."""

WATCHFUL = "witness_s = 5.0\n"
"""Behind QUICK: what was promised a moment ago is cosigned before the story ends."""

QUORUM = 6
"""Of the eight witnesses: any two may be off, and who shows two histories needs four liars."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where everything of one demo lies."""

    path: Path

    @property
    def relay(self) -> Path:
        """The relay's home."""
        return self.path / "relay"

    def node(self, party: str) -> Path:
        """A partner's node."""
        return self.path / party.lower()

    def root(self, party: str) -> Path:
        """A partner's root, which would lie on an offline machine."""
        return self.path / "roots" / party.lower()

    def operator(self, name: str) -> Path:
        """The own home of an operator, which would lie on that person's machine."""
        return self.path / "operators" / name

    @property
    def passphrase(self) -> tuple[str, str]:
        """The option that unlocks every keystore of this demo."""
        return ("--passphrase-file", str(self.path / "passphrase"))


def command(*words: str | Path) -> str:
    """Run one `concord` command in this process and return what it wrote to stdout."""
    code, out, err = _run(*words)
    if code != 0:
        raise InternalError(f"concord {' '.join(map(str, words[:3]))} … ended with {code}: {err.strip()}")
    return out


def _run(*words: str | Path) -> tuple[int, str, str]:
    """Return a command's exit code and what it wrote. Ctrl-C within it ends the demo, not only the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code, out.getvalue(), err.getvalue()


def prepare(home: Home) -> None:
    """Make the directories and one random passphrase for all keystores of this demo."""
    (home.path / "roots").mkdir(parents=True)
    (home.path / "files").mkdir()
    handle = os.open(home.path / "passphrase", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(token() + "\n")


def found(home: Home, processes: Processes) -> str:
    """Make the council's root and the relay, start the relay, and return the root's fingerprint."""
    root = home.root(COUNCIL)
    fingerprint = command("root", "init", "--home", root, "--party", COUNCIL, *home.passphrase, *MEMORY)
    addresses = ("--address", free_address(), "--join-address", free_address())
    council = ("--exchange", EXCHANGE, "--council", root / "root.pub")
    command("relay", "init", "--home", home.relay, *council, *addresses, *home.passphrase, *MEMORY)
    unsigned, signed = home.relay / "genesis.unsigned", home.relay / "genesis.signed"
    command("root", "sign", unsigned, "--home", root, "--out", signed, "--yes", *home.passphrase)
    start_relay(home, processes)
    return fingerprint.strip()


def start_relay(home: Home, processes: Processes) -> None:
    """Start the relay and wait until it answers."""
    processes.start("relay", home.relay, ["relay", "serve", "--home", str(home.relay), *home.passphrase])
    processes.wait_until(lambda: _answers("relay", home.relay), "the relay")


def start_node(home: Home, party: str, processes: Processes) -> None:
    """Start a partner's node."""
    arguments = ["node", "serve", "--home", str(home.node(party)), *home.passphrase]
    processes.start(party, home.node(party), arguments)


def join(
    home: Home, player: Player, processes: Processes, fingerprint: str, *, settings: str = QUICK + WATCHFUL
) -> None:
    """Take one partner from the invitation to a running node; as `admit`."""
    admit(home, player, fingerprint, settings=settings)
    start_node(home, player.party, processes)


def admit(home: Home, player: Player, fingerprint: str, *, settings: str = QUICK + WATCHFUL) -> None:
    """Take one partner from the invitation to its admission; the council's root has its `fingerprint` already.

    `settings` are added to its node.toml.
    """
    files, party, root = home.path / "files", player.party, home.root(player.party)
    council = ("--home", home.root(COUNCIL), *home.passphrase)
    invitation, credentials = files / f"{party}.invitation", files / f"{party}.credentials"
    if party != COUNCIL:
        made = command("root", "init", "--home", root, "--party", party, *home.passphrase, *MEMORY)
        fingerprint = made.strip()
    about = ("--country", party, "--name", player.name, "--ceiling", player.ceiling)
    info = ("--relay", home.relay / "relay.info")
    command("root", "invite", party, *council, *info, *about, "--out", invitation)
    node = ("--home", home.node(party), *home.passphrase)
    command("node", "init", "--invitation", invitation, "--sensors", free_address(), *node, *MEMORY)
    with (home.node(party) / "node.toml").open("a") as file:
        file.write(settings)
    request = home.node(party) / "node.request"
    command("root", "sign", request, "--home", root, "--out", credentials, "--yes", *home.passphrase)
    command("node", "join", "--invitation", invitation, "--credentials", credentials, *node)
    asked = home.relay / "requests" / f"{party}.join"
    command("root", "admit", asked, *council, *info, "--fingerprint", fingerprint)


def sign_agreements(home: Home) -> list[str]:
    """Let every party sign every agreement; return their titles. The last signature puts each into force."""
    return [sign_agreement(home, text) for text in AGREEMENTS]


def sign_agreement(home: Home, text: Path) -> str:
    """Let every party of one text sign it, and hand it to the last one's node; return its title."""
    terms = parse_agreement_text(text.read_bytes())
    signed, source = home.path / "files" / f"{text.stem}.agreement", text
    for party in terms.parties:
        last = party == terms.parties[-1]
        root = ("--root", home.root(party), *home.passphrase)
        node = ("--home", home.node(party), "--hand-over" if last else "--no-hand-over")
        command("agreement", "sign", source, *root, *node, "--out", signed, "--yes")
        source = signed
    return terms.title


def by_council(home: Home, *words: str) -> None:
    """Let the council's node draft a statement with this command, its root sign it, and the node publish it."""
    node, root = ("--home", home.node(COUNCIL)), ("--home", home.root(COUNCIL), *home.passphrase)
    drafted = home.path / "files" / f"{token()}.statement"
    signed = drafted.with_suffix(".signed")
    command(*words, "--out", drafted, *node)
    command("root", "sign", drafted, "--out", signed, "--yes", *root)
    command("partner", "publish", signed, *node)


def name_witnesses(home: Home, parties: Iterable[str], *, quorum: int = QUORUM) -> None:
    """Let the council name the nodes of these parties as witnesses of the relay's logs."""
    files = []
    for party in parties:
        file = home.path / "files" / f"{party}.witness"
        command("log", "witness", "--home", home.node(party), "--out", file)
        files.append(str(file))
    by_council(home, "root", "witnesses", *files, "--quorum", str(quorum))


def staff(home: Home, parties: Iterable[str]) -> Path:
    """Let every node admit its operators, who log in; return the home of the one who works here from now on.

    For a demonstration one person plays the same part at all nodes. Afterwards every call needs a session.
    """
    keys = {}
    for name in OPERATORS:
        own = home.operator(name)
        command("operator", "init", "--operator-home", own, *home.passphrase, *MEMORY)
        keys[name] = open_operator(own, read_passphrase(file=Path(home.passphrase[1])))
    for party in parties:
        node = home.node(party)
        for name, roles in OPERATORS.items():
            profile = OperatorProfile(
                name=name, key=keys[name].public.raw, roles=roles, ceiling="red", until_ms=now_ms() + STAFF_MS
            )
            with connect(node, operator_home=home.operator(ADMINISTRATOR)) as admitting:
                admitting.AddOperator(AddOperatorRequest(profile=profile))
            begun, _ = log_in(node, keys[name])
            keep_session(home.operator(name), node, begun)
    return home.operator(DUTY_OFFICER)


def _answers(noun: str, home: Path) -> bool:
    return _run(noun, "status", "--home", home, "--json")[0] == 0


def free_address() -> str:
    """Return a loopback address whose port was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
