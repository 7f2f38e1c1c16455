"""What the docs say is so: links lead somewhere, commands exist, every command shows an example."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from nodes.admin.main import MOUNTED, NOUNS, _commands
from tests.support.role_table import PAGE, role_table

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

READS = {
    ("relay", "status"),
    ("node", "status"),
    ("node", "doctor"),
    ("report", "check"),
    ("report", "who-gets"),
    ("report", "push"),
    ("report", "list"),
    ("report", "show"),
    ("report", "trace"),
    ("report", "why"),
    ("report", "overdue"),
    ("partner", "list"),
    ("partner", "show"),
    ("partner", "fingerprint"),
    ("agreement", "check"),
    ("agreement", "simulate"),
    ("agreement", "list"),
    ("agreement", "show"),
    ("operator", "list"),
    ("operator", "audit"),
    ("sensor", "list"),
    ("key", "list"),
    ("log", "verify"),
}


def commands() -> Iterator[tuple[str, str, typer.models.CommandInfo]]:
    """Every command as (noun, verb, what Typer knows)."""
    for noun in (*MOUNTED, *NOUNS):
        for info in _commands(noun).registered_commands:
            assert info.callback is not None
            yield noun, info.name or info.callback.__name__.replace("_", "-"), info


COMMANDS = {(noun, verb): info for noun, verb, info in commands()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_pages_name_exist(page: Path) -> None:
    # CONVENTIONS.md ends with places in other projects.
    text = page.read_text().split("## Places to open")[0]
    for named in re.findall(
        r"\b((?:exchange|nodes|tests|protos|docs|benchmarks)/[\w./-]+\.(?:py|md|proto|json))\b", text
    ):
        assert (ROOT / named).exists() or "NOUN" in named, f"{page.name} names {named}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_docs_exist(page: Path) -> None:
    nouns = "|".join((*MOUNTED, *NOUNS))
    for noun, verb in re.findall(rf"(?:^|[`(\s])concord ({nouns}) ([a-z][a-z-]*)", page.read_text(), re.MULTILINE):
        assert (noun, verb) in COMMANDS, f"{page.name} names `concord {noun} {verb}`"


@pytest.mark.parametrize("noun, verb", sorted(COMMANDS), ids=lambda word: word)
def test_every_command_shows_an_example_of_itself(noun: str, verb: str) -> None:
    callback = COMMANDS[noun, verb].callback
    assert f"Example: concord {noun} {verb}" in (inspect.getdoc(callback) or "")


@pytest.mark.parametrize("noun, verb", sorted(READS), ids=lambda word: word)
def test_every_read_speaks_json(noun: str, verb: str) -> None:
    parameters = inspect.signature(COMMANDS[noun, verb].callback or test_every_read_speaks_json).parameters
    assert "as_json" in parameters, f"concord {noun} {verb} has no --json"


def test_commands_of_the_design_exist() -> None:
    wanted = {
        "root": "init sign invite admit",
        "relay": "init serve status",
        "node": "init join serve status doctor",
        "report": "new check who-gets push list show trace correct retract",
        "partner": "list show fingerprint suspend expel publish",
        "agreement": "draft check simulate sign list show accede suspend resume terminate acknowledge",
        "community": "create add remove end list show",
        "operator": "init add list revoke login logout audit",
        "sensor": "add list revoke",
        "key": "list revoke",
        "log": "verify",
    }
    missing = [(noun, verb) for noun, verbs in wanted.items() for verb in verbs.split() if (noun, verb) not in COMMANDS]
    assert not missing


def test_the_guide_shows_the_table_of_roles() -> None:
    assert role_table() in PAGE.read_text(), "write it anew: python -m tests.support.role_table"


def test_every_module_that_the_entry_points_name_loads() -> None:
    for noun in NOUNS:
        assert isinstance(importlib.import_module(f"nodes.admin.{noun}").app, typer.Typer)


def test_the_tests_that_the_pages_on_security_name_exist() -> None:
    pages = {path.name: path.read_text() for path in (ROOT / "docs/security").glob("*.md")}
    assert {"threat-model.md", "stolen-disk.md"} <= set(pages)
    named = {name for text in pages.values() for name in re.findall(r"`(test_[a-z0-9_]+)`", text)}
    assert len(named) > 40
    defined = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (test_[a-z0-9_]+)", path.read_text())
    }
    assert not named - defined
