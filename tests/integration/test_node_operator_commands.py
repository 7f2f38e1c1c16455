"""`concord operator` as people use it: keys, sessions and roles at a running node, and everything that is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exchange.runtime.lifecycle import HomeLock
from exchange.runtime.secrets import write_private
from nodes.admin.exit_codes import CONFIGURATION, DENIED, NOT_FOUND, OK, USAGE
from nodes.admin.main import run
from nodes.keystore import save_keys
from nodes.operator_home import write_operator_key
from nodes.session import HOME_VARIABLE
from tests.support.doors import open_socket
from tests.support.node_world import a_node_world, nodes
from tests.support.operators import key_of

UNLOCK = ("--passphrase-file", "pass")
QUICK = ("--memory-mib", "64", *UNLOCK)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command did."""

    code: int
    out: str
    err: str


class People:
    """Whoever sits at a node's socket, each with a home of their own in the present directory."""

    def __init__(self, node: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.node, self._patch, self._capture = node, patch, capture

    async def does(self, who: str, *words: str) -> Said:
        """Let somebody run a command at the node."""
        self._patch.setenv(HOME_VARIABLE, str(Path(who).absolute()))
        self._patch.setenv("CONCORD_HOME", str(self.node))
        self._capture.readouterr()
        code = await asyncio.to_thread(run, ["operator", *words])
        told = self._capture.readouterr()
        assert "Traceback" not in told.err and "bug in Concord" not in told.err, told.err
        return Said(code, told.out.strip(), told.err)

    async def ok(self, who: str, *words: str) -> str:
        """Let somebody run a command that must succeed; return its data."""
        said = await self.does(who, *words)
        assert said.code == OK, said.err
        return said.out

    async def json(self, who: str, *words: str) -> Any:
        """Return what a command writes for machines; Any: whatever that is."""
        return json.loads(await self.ok(who, *words, "--json"))

    async def admit(self, by: str, who: str, *roles: str) -> None:
        """Make somebody's key, admit it, and log in."""
        await self.ok(who, "init", *QUICK)
        await self.ok(by, "add", who, "--key", f"{who}/operator.pub", *(w for role in roles for w in ("--role", role)))
        await self.ok(who, "login", *UNLOCK)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, with a passphrase file and the key of somebody."""
    monkeypatch.chdir(tmp_path)
    write_private(Path("pass"), b"open sesame\n")
    write_private(Path("wrong"), b"open barley\n")
    Path("eve.pub").write_text(write_operator_key(key_of("eve").public))
    return tmp_path


@asynccontextmanager
async def people(patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> AsyncIterator[People]:
    """Run XA with its socket open; nobody is admitted yet."""
    async with nodes("XA", "XV") as (_, running), open_socket(running["XA"]) as node:
        yield People(node.home, patch, capture)


async def test_the_first_is_an_administrator_and_from_then_on_a_session_is_needed(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with people(monkeypatch, capsys) as there:
        empty = await there.does("root", "list")
        assert (empty.code, empty.out) == (OK, "") and "whoever reaches the socket may do everything" in empty.err
        mine = await there.ok("root", "init", *QUICK)
        again = await there.does("root", "init", *QUICK)
        assert again.code == DENIED and "never overwritten" in again.err
        early = await there.does("root", "add", "root", "--key", "root/operator.pub", "--role", "author")
        assert early.code == USAGE and "the first operator is an administrator" in early.err
        assert await there.ok("root", "add", "root", "--key", "root/operator.pub", "--role", "administrator") == mine
        closed = await there.does("root", "list")
        assert closed.code == DENIED and "hint: concord operator login" in closed.err
        wrong = await there.does("root", "login", "--passphrase-file", "wrong")
        assert wrong.code == CONFIGURATION
        nobody = await there.does("nobody", "login", *UNLOCK)
        assert nobody.code == CONFIGURATION and "hint: concord operator init" in nobody.err
        begun = await there.json("root", "login", *UNLOCK)
        assert (begun["name"], begun["roles"], begun["session_until_ms"] > 0) == ("root", ["administrator"], True)
        (row,) = await there.json("root", "list")
        assert (row["status"], row["fingerprint"], row["profile"]["ceiling"]) == ("active", mine, "amber")


async def test_operators_are_listed_with_all_that_they_may_and_refused_once_revoked(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with people(monkeypatch, capsys) as there:
        await there.admit("root", "root", "administrator")
        await there.admit("root", "ada", "author", "auditor")
        table = await there.ok("root", "list")
        assert [line.split()[:2] for line in table.splitlines()[1:]] == [["ada", "active"], ["root", "active"]]
        assert "auditor, author" in table or "author, auditor" in table
        assert (await there.ok("ada", "list")).splitlines()[0].startswith("operator")
        refused = await there.does("ada", "add", "eve", "--key", "eve.pub", "--role", "author")
        assert refused.code == DENIED and "administrator" in refused.err

        await there.ok("root", "revoke", "ada")
        await there.ok("root", "revoke", "ada")
        assert (await there.does("ada", "list")).code == DENIED
        late = await there.does("ada", "login", *UNLOCK)
        assert late.code == DENIED and "no active operator answered" in late.err
        assert {row["profile"]["name"]: row["status"] for row in await there.json("root", "list")} == {
            "ada": "revoked",
            "root": "active",
        }
        unknown = await there.does("root", "revoke", "zoe")
        assert unknown.code == NOT_FOUND and "no operator 'zoe'" in unknown.err
        last = await there.does("root", "revoke", "root")
        assert last.code == DENIED and "the last administrator" in last.err


async def test_a_session_ends_with_logout_and_all_of_it_stands_in_the_audit(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with people(monkeypatch, capsys) as there:
        await there.admit("root", "root", "administrator")
        await there.ok("root", "logout")
        twice = await there.does("root", "logout")
        assert twice.code == USAGE and "nobody is logged in" in twice.err
        assert (await there.does("root", "audit")).code == DENIED
        await there.ok("root", "login", *UNLOCK)
        lines = await there.json("root", "audit")
        actions = ["operator.add", "operator.login", "operator.logout", "refused", "operator.login"]
        assert [line["action"] for line in reversed(lines)] == actions
        page = await there.does("root", "audit", "--limit", "2")
        assert len(page.out.splitlines()) == 3 and f"--before {lines[1]['number']}" in page.err
        rest = await there.json("root", "audit", "--before", str(lines[1]["number"]))
        assert rest == lines[2:]


BAD = (
    (("Eve", "--key", "eve.pub", "--role", "author"), USAGE, "Eve"),
    (("e" * 80, "--key", "eve.pub", "--role", "author"), USAGE, "eeee"),
    (("owner", "--key", "eve.pub", "--role", "author"), USAGE, "owner stands for whoever owns the socket"),
    (("root", "--key", "eve.pub", "--role", "author"), DENIED, "the operator root exists"),
    (("eve", "--key", "root/operator.pub", "--role", "author"), DENIED, "this is the key of root"),
    (("eve", "--role", "author"), USAGE, "--key"),
    (("eve", "--key", "eve.pub"), USAGE, "--role"),
    (("eve", "--key", "eve.pub", "--role", "minister"), USAGE, "minister"),
    (("eve", "--key", "eve.pub", "--role", ""), USAGE, "role"),
    (("eve", "--key", "eve.pub", "--role", "author", "--role", "releaser"), USAGE, "exclude each other"),
    (("eve", "--key", "eve.pub", "--role", "administrator", "--role", "author"), USAGE, "exclude each other"),
    (("eve", "--key", "eve.pub", "--role", "author", "--ceiling", "orange"), USAGE, "amber+strict"),
    (("eve", "--key", "eve.pub", "--role", "author", "--clearance", "secret"), USAGE, "SCALE:LEVEL"),
    (("eve", "--key", "eve.pub", "--role", "author", "--clearance", "nato:secret"), USAGE, "node.toml [readers]"),
    (("eve", "--key", "eve.pub", "--role", "author", "--attribute", "fire"), USAGE, "node.toml [readers]"),
    (("eve", "--key", "eve.pub", "--role", "author", "--days", "0"), USAGE, "--days"),
    (("eve", "--key", "eve.pub", "--role", "author", "--days", "5000"), USAGE, "--days"),
    (("eve", "--key", "gone.pub", "--role", "author"), NOT_FOUND, "gone.pub"),
    (("eve", "--key", ".", "--role", "author"), NOT_FOUND, "a file that holds the operator's key"),
    (("eve", "--key", "pass", "--role", "author"), USAGE, "pass"),
    (("eve", "--key", "long.pub", "--role", "author"), USAGE, "long.pub"),
    (("eve", "--key", "cut.pub", "--role", "author"), USAGE, "cut.pub"),
)
"""What follows `operator add`, how it ends, and what it says."""


async def test_whom_a_node_cannot_admit_is_refused_with_a_reason_and_nothing_changes(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("long.pub").write_text("x" * 100_000)
    Path("cut.pub").write_text(Path("eve.pub").read_text()[:200])
    async with people(monkeypatch, capsys) as there:
        await there.admit("root", "root", "administrator")
        before = await there.json("root", "list")
        for words, code, said in BAD:
            refused = await there.does("root", "add", *words)
            assert (refused.code, refused.out) == (code, ""), (words, refused.err)
            assert said in refused.err and refused.err.startswith("error: "), (words, refused.err)
        assert await there.json("root", "list") == before


async def test_the_owner_admits_an_administrator_offline_with_the_nodes_passphrase_while_it_is_stopped(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        save_keys(place.home, place.keys, b"open sesame", memory_kib=65_536)
        settings = f'party = "XA"\nexchange = "test.concord.example"\nrelay_address = "{place.config.relay_address}"\n'
        write_private(place.home / "node.toml", settings.encode())
        there = People(place.home, monkeypatch, capsys)
        words = ("add", "rex", "--key", "eve.pub", "--role", "administrator", "--offline")
        with HomeLock(place.home):
            running = await there.does("rex", *words, *UNLOCK)
        assert running.code == CONFIGURATION and "in use" in running.err
        assert (await there.does("rex", *words, "--passphrase-file", "wrong")).code == CONFIGURATION
        admitted = await there.does("rex", *words, *UNLOCK)
        assert admitted.code == OK and "start the node" in admitted.err
        again = await there.does("rex", *words, *UNLOCK)
        assert again.code == DENIED and "the operator rex exists" in again.err
