"""Ten partners, a council of three voices of five and witnesses of seven of ten, founded by command, as processes."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nodes.demo.enrol import MEMORY, QUICK, Home, command, free_address, prepare, start_node, start_relay
from nodes.demo.processes import Processes

PARTIES = ("XA", "XH", "XM", "XN", "XO", "XP", "XQ", "XR", "XT", "XV")
COUNCIL = PARTIES[:5]
VOICES = 3
QUORUM = 7
EXCHANGE = "ten.concord.example"
WATCHFUL = "witness_s = 1.0\nwitness_again_s = 3.0\n"
LYING = "tests.support.lying_witness"


@dataclass(slots=True)
class TenNodes:
    """The exchange: where its homes are, and its processes."""

    home: Home
    processes: Processes

    def node(self, party: str) -> tuple[str, Path]:
        """The option that names a partner's node."""
        return ("--home", self.home.node(party))

    def status(self, party: str) -> dict[str, object]:
        """How a node is."""
        found: dict[str, object] = json.loads(command("node", "status", *self.node(party), "--json"))
        return found

    def start(self, parties: Sequence[str] = PARTIES, *, lying: Sequence[str] = ()) -> None:
        """Start the relay and these nodes; the lying ones are witnesses that vouch for what they were not shown."""
        start_relay(self.home, self.processes)
        for party in parties:
            self.start_node(party, lies=party in lying)

    def start_node(self, party: str, *, lies: bool = False) -> None:
        """Start one node."""
        if lies:
            words = ["node", "serve", "--home", str(self.home.node(party)), *self.home.passphrase]
            self.processes.start(party, self.home.node(party), words, module=LYING)
        else:
            start_node(self.home, party, self.processes)

    def vouched(self, party: str) -> bool:
        """Whether a quorum has vouched for all of the directory that a node has."""
        shown = self.status(party)
        return bool(shown["witnessed"]) and shown["quorum_size"] == shown["directory_size"]

    def by_council(self, *words: str, voices: Sequence[str] = COUNCIL[:VOICES]) -> int:
        """Let a node draft a statement with this command, council roots sign it, and the node publish it."""
        file = self.home.path / "files" / f"{len(list((self.home.path / 'files').iterdir()))}.statement"
        by = self.node(voices[0])
        command(*words, "--out", file, *by)
        for party in voices:
            signed = file.with_suffix(f".{party}")
            command("root", "sign", file, "--out", signed, "--yes", "--home", self.home.root(party), *self._unlock)
            file = signed
        return int(command("partner", "publish", file, *by))

    @property
    def _unlock(self) -> tuple[str, str]:
        return self.home.passphrase

    # -- founding ------------------------------------------------------------------------------------------------------

    def found(self) -> None:
        """Make the roots and the genesis, start the relay, let everybody in, and name the witnesses."""
        prepare(self.home)
        fingerprints = {party: self._root(party) for party in PARTIES}
        council = [word for party in COUNCIL for word in ("--council", str(self.home.root(party) / "root.pub"))]
        where = ("--address", free_address(), "--join-address", free_address())
        about = ("--exchange", EXCHANGE, "--threshold", str(VOICES))
        command("relay", "init", "--home", self.home.relay, *about, *council, *where, *self._unlock, *MEMORY)
        file = self._signed_in_turn(self.home.relay / "genesis.unsigned", COUNCIL[:VOICES])
        shutil.copy(file, self.home.relay / "genesis.signed")
        start_relay(self.home, self.processes)
        for number, party in enumerate(PARTIES):
            # Not always the same three: any will do.
            self._join(party, fingerprints[party], [COUNCIL[(number + each) % 5] for each in range(VOICES)])
        self._name_witnesses()

    def _root(self, party: str) -> str:
        made = command("root", "init", "--home", self.home.root(party), "--party", party, *self._unlock, *MEMORY)
        return made.strip()

    def _signed_in_turn(self, file: Path, parties: Sequence[str]) -> Path:
        for party in parties:
            signed = self.home.path / "files" / f"{file.name}.{party}"
            command("root", "sign", file, "--home", self.home.root(party), "--out", signed, "--yes", *self._unlock)
            file = signed
        return file

    def _join(self, party: str, fingerprint: str, voices: Sequence[str]) -> None:
        files, info = self.home.path / "files", ("--relay", self.home.relay / "relay.info")
        invitation = files / f"{party}.invitation"
        about = ("--country", party, "--name", f"Office of {party}", "--ceiling", "red", "--out", invitation)
        command("root", "invite", party, "--home", self.home.root(voices[0]), *info, *about, *self._unlock)
        signed = self._signed_in_turn(files / f"{party}.invitation.statement", voices[1:])
        complete = files / f"{party}.complete"
        command("root", "complete", invitation, signed, "--out", complete)
        node, credentials = (*self.node(party), *self._unlock), files / f"{party}.credentials"
        command("node", "init", "--invitation", complete, *node, *MEMORY)
        with (self.home.node(party) / "node.toml").open("a") as settings:
            settings.write(QUICK + WATCHFUL)
        own = ("--home", self.home.root(party), *self._unlock)
        command("root", "sign", self.home.node(party) / "node.request", "--out", credentials, "--yes", *own)
        command("node", "join", "--invitation", complete, "--credentials", credentials, *node)
        self._admit(party, fingerprint, voices)
        start_node(self.home, party, self.processes)

    def _admit(self, party: str, fingerprint: str, voices: Sequence[str]) -> None:
        request = self.home.relay / "requests" / f"{party}.join"
        so_far: tuple[str, ...] = ()
        for voice in voices:
            out = self.home.path / "files" / f"{party}.admission.{voice}"
            by = ("--home", self.home.root(voice), "--relay", self.home.relay / "relay.info", "--out", out)
            command("root", "admit", request, *by, "--fingerprint", fingerprint, *so_far, *self._unlock)
            so_far = ("--with", str(out))

    def _name_witnesses(self) -> None:
        files = []
        for party in PARTIES:
            out = self.home.path / "files" / f"{party}.witness"
            self.processes.wait_until(partial(self.answers, party), f"{party}'s node")
            command("log", "witness", *self.node(party), "--out", out)
            files.append(str(out))
        self.by_council("root", "witnesses", *files, "--quorum", str(QUORUM))

    def answers(self, party: str) -> bool:
        """Whether a node is up and speaks with its relay."""
        try:
            return self.status(party)["relay"] == "connected"
        except Exception:  # noqa: BLE001 - it is not up yet
            return False

    def has_evidence(self, party: str) -> bool:
        """Whether a node holds a proof against the relay."""
        return self.answers(party) and json.loads(command("log", "evidence", *self.node(party), "--json")) != []

    # -- a second relay with the same keys -----------------------------------------------------------------------------

    def forked(self, path: Path, parties: Sequence[str]) -> "TenNodes":
        """Return a copy of the stopped relay and of these nodes' homes, which go on apart from here.

        The copy of the relay signs with the same keys: whoever is shown one of both cannot know of the other.
        """
        home = Home(path)
        path.mkdir()
        shutil.copytree(self.home.relay, home.relay)
        shutil.copytree(self.home.path / "roots", path / "roots")
        (path / "files").mkdir()
        shutil.copy(self.home.path / "passphrase", path / "passphrase")
        address, join = free_address(), free_address()
        was = settings_of(self.home.relay / "relay.toml")
        _replace(home.relay / "relay.toml", {was["address"]: address, was["join_address"]: join})
        for party in parties:
            shutil.copytree(self.home.node(party), home.node(party))
            _replace(home.node(party) / "node.toml", {was["address"]: address})
        return TenNodes(home, Processes(path))

    def take_back(self, other: "TenNodes", party: str) -> None:
        """Let a node that was with the copy of the relay speak with the relay here, with all that it has seen."""
        shutil.rmtree(self.home.node(party))
        shutil.copytree(other.home.node(party), self.home.node(party))
        theirs, ours = (settings_of(home.relay / "relay.toml")["address"] for home in (other.home, self.home))
        _replace(self.home.node(party) / "node.toml", {theirs: ours})


def settings_of(file: Path) -> dict[str, str]:
    """Return the words that a configuration gives in quotes."""
    pairs = (line.split(" = ", 1) for line in file.read_text().splitlines() if " = " in line)
    return {name: value.strip('"') for name, value in pairs}


def _replace(file: Path, words: dict[str, str]) -> None:
    text = file.read_text()
    for before, after in words.items():
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)


@contextmanager
def ten_nodes(path: Path) -> Iterator[TenNodes]:
    """Found it and run it while the block runs."""
    made = TenNodes(Home(path), Processes(path))
    try:
        made.found()
        yield made
    finally:
        made.processes.stop()
