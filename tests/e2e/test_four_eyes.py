"""Four eyes by the commands alone: an author pushes, a releaser looks, approves or rejects, and a recipient has it."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nodes.admin.exit_codes import DENIED, OK
from nodes.admin.main import run
from nodes.admin.options import HOME_VARIABLE as NODE_VARIABLE
from nodes.session import HOME_VARIABLE
from tests.support.small_exchange import SmallExchange, concord, small_exchange

pytestmark = pytest.mark.processes

LABEL = """\
tlp: amber
categories: [alert]
purposes: [protect_life]
release: {to: [XV]}
personal_data: none
basis: {kind: mou, citation: "Liaison protocol, clause 1"}
approvals: 1
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallExchange]:
    with small_exchange(tmp_path_factory.mktemp("four-eyes")) as made:
        yield made


class Person:
    """Somebody with an operator's home."""

    def __init__(
        self, name: str, exchange: SmallExchange, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home = Path(name).absolute()
        self._exchange, self._monkeypatch, self._capsys = exchange, monkeypatch, capsys

    def does(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return exit code, data and words."""
        self._monkeypatch.setenv(HOME_VARIABLE, str(self.home))
        self._monkeypatch.setenv(NODE_VARIABLE, str(self._exchange.xa))
        self._capsys.readouterr()
        code = run(list(words))
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err, said.err
        return code, said.out, said.err

    def ok(self, *words: str) -> str:
        """Run a command that must succeed; return its data."""
        code, out, err = self.does(*words)
        assert code == OK, err
        return out.strip()


def test_a_report_waits_for_a_releaser_who_looks_and_approves_or_rejects(
    exchange: SmallExchange,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pass").write_text("open sesame\n")
    Path("pass").chmod(0o600)
    unlock = ("--passphrase-file", "pass")
    ada, clara, rana = (Person(name, exchange, monkeypatch, capsys) for name in ("ada", "clara", "rana"))
    for person in (ada, clara, rana):
        person.ok("operator", "init", "--operator-home", str(person.home), "--memory-mib", "64", *unlock)
    for name, roles in (("ada", "administrator"), ("clara", "author"), ("rana", "releaser")):
        ada.ok("operator", "add", name, "--key", f"{name}/operator.pub", "--role", roles)
        {"ada": ada, "clara": clara, "rana": rana}[name].ok("operator", "login", *unlock)

    clara.ok("report", "new", "roadblock", "--kind", "alert", "--title", "Roadblock on the valley road")
    Path("roadblock.label.yaml").write_text(LABEL)
    code, _, words = clara.does("report", "push", "roadblock.json", "--yes")
    assert (code, "FIRST_TIME_TO_PARTNER" in words, "not yet" in words) == (DENIED, True, True)
    item = clara.ok("report", "push", "roadblock.json", "--yes", "--accept", "FIRST_TIME_TO_PARTNER:XV")

    (pending,) = json.loads(rana.ok("report", "pending", "--json"))
    assert (pending["item"], pending["author"], pending["missing"]) == (item, "clara", 1)
    assert "Roadblock" in rana.ok("report", "pending")
    assert clara.does("report", "approve", item[:12], "--yes", *unlock)[0] == DENIED
    code, out, words = rana.does("report", "approve", item[:12], "--yes", *unlock)
    assert (code, out.strip()) == (OK, item), words
    assert "XV" in words and "approvals: 1" in words
    assert "Roadblock on the valley road" in words and "enough have approved it" in words
    exchange.processes.wait_until(partial(_arrived, exchange, item), "the delivery")
    assert rana.ok("report", "pending") == ""

    clara.ok("report", "new", "second", "--kind", "alert", "--title", "Something else")
    Path("second.label.yaml").write_text(LABEL)
    second = clara.ok("report", "push", "second.json", "--yes", "--accept", "FIRST_TIME_TO_PARTNER:XV")
    assert rana.ok("report", "reject", second[:12], "--text", "Not ours to tell.", "--yes") == second
    assert "rejected by rana: Not ours to tell." in clara.ok("report", "trace", second)
    shown = json.loads(clara.ok("report", "list", "--json"))
    assert {each["item"]: each["state"] for each in shown} == {item: "current", second: "rejected"}


def _arrived(exchange: SmallExchange, item: str) -> bool:
    return concord("report", "show", item, "--home", exchange.xv).code == OK
