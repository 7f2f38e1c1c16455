"""docs/guides, executed as they stand: each command in the terminal of the person whose it is, at running nodes.

The guides share one exchange, and follow one another in it as a newcomer would read them. What a page takes as given
(a report that somebody holds) is made before it. What a page shows must come, and what it shows as refused must be
refused, with these words and this exit code.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from nodes.demo.cast import Player
from nodes.demo.enrol import start_node
from tests.support import pages
from tests.support.pages import Step
from tests.support.small_exchange import SmallExchange, concord, small_exchange
from tests.support.terminal import Terminal

pytestmark = pytest.mark.processes

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
SETTLE_S = 30.0
PARTNERS = tuple(
    Player(party, name, "", "red")
    for party, name in {
        "XA": "Asterin Safety Desk",
        "XV": "Velkar Citizens Abroad",
        "XO": "Orinthia Watch Cell",
        "XH": "Host Coordination Cell",
    }.items()
)
LIAISON = """\
agreement: Liaison protocol
version: 1
parties: [XA, XV, XO, XH]
legal_basis: {kind: mou, citation: "Exchange of letters of 2026"}
valid: {from: 2026-01-01T00:00:00Z, until: none}
terms:
  - clause: "1"
    from: any
    to: any
    purposes: [protect_life, training]
    categories: {allow: [alert, guidance, travel, terror_attack], deny: []}
    about: any
    use_in: any
    ceiling: {tlp: amber+strict}
    actions_max: internal_only
    personal_data: none
    onward_default: consent
    onward_hops: 2
    retention_max: 365d
on_termination: {held_items: purge, within: 30d}
"""


@dataclass(slots=True)
class World:
    """The exchange, the desk on which everybody's files lie, and the ids that a page has shown so far."""

    exchange: SmallExchange
    desk: Path
    ids: dict[str, str] = field(default_factory=dict)

    def terminal(self, who: str) -> Terminal:
        """The terminal of somebody: of a party by its id, or of one of the people at XA's node."""
        own, node = self.desk / "people" / who, self.desk / who
        own.mkdir(parents=True, exist_ok=True)
        node = node if node.exists() else self.desk / "xa"
        beside = Path(sys.executable).parent
        environment = {
            "PATH": f"{beside}:{os.environ['PATH']}",
            "HOME": str(own),
            "CONCORD_HOME": str(node),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        passphrase = Path(self.exchange.home.passphrase[1]).read_bytes().strip()
        return Terminal(self.desk, environment, passphrase)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallExchange]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RECEIPTS_S", "RETRY_FIRST_S", "RESEAL_FIRST_S"):
            patch.setenv(f"CONCORD_NODE_TIMING__{name}", "0.1")
        with small_exchange(tmp_path_factory.mktemp("guides"), PARTNERS, LIAISON) as made:
            yield made


@pytest.fixture
def world(exchange: SmallExchange, tmp_path: Path) -> World:
    for player in PARTNERS:
        party = player.party
        (tmp_path / party.lower()).symlink_to(exchange.home.node(party))
        (tmp_path / f"root-{party.lower()}").symlink_to(exchange.home.root(party))
    return World(exchange, tmp_path)


def test_first_agreement(world: World) -> None:
    follow("first-agreement", world)


def test_communities(world: World) -> None:
    follow("communities", world)


def test_consent(world: World) -> None:
    world.ids["3f9a1c"] = a_report_of_xa(world)
    follow("consent", world)


def test_operators_and_four_eyes(world: World) -> None:
    follow("operators", world)
    follow("four-eyes", world)


def test_what_a_page_shows_is_looked_for_line_by_line() -> None:
    ids: dict[str, str] = {}
    screen = "item     state\n41d2e5f6a7b8c9  current\nerror: it is late\n"
    assert pages.missing(["item  state", "3f9a1c…  current"], screen, ids) == ""
    assert pages.with_ids("concord report show 3f9a1c", ids) == "concord report show 41d2e5f6a7b8"
    assert pages.missing(["3f9a1c…  current", "error: …"], screen, ids) == ""
    for absent in ("3f9a1c…  withdrawn", "error: it is", "state", "hint: …"):
        assert pages.missing([absent], screen, ids) == absent
    assert pages.missing(["error: it is late", "item  state"], screen, ids) == "item  state"
    assert pages.missing(["3f9a1c…  current"], "ffffffffffff  current", ids) == "3f9a1c…  current"


def follow(name: str, world: World) -> None:
    """Do everything that a guide says, in its order."""
    for step in pages.steps(GUIDES / f"{name}.md"):
        if step.language == "sh":
            run(step, world)
        elif step.language == "toml":
            configure(step, world)


def run(step: Step, world: World) -> None:
    """Run one step; what settles may be looked at again."""
    script = pages.with_ids(step.text, world.ids)
    deadline = time.monotonic() + (SETTLE_S if step.settles else 0.0)
    while True:
        said = world.terminal(step.who).run(script)
        lacks = pages.missing(step.shown, said.screen, world.ids)
        if said.code == step.code and not lacks:
            return
        if time.monotonic() >= deadline:
            pytest.fail(f"{script}\nended with {said.code} without showing: {lacks}\n\n{said.screen}")
        time.sleep(0.3)


def configure(step: Step, world: World) -> None:
    """Add to XA's node.toml what the page shows, and start the node anew."""
    home = world.exchange.home
    with (home.node("XA") / "node.toml").open("a") as settings:
        settings.write(f"\n{step.text}")
    world.exchange.processes.stop_one("XA")
    start_node(home, "XA", world.exchange.processes)
    status = ("node", "status", "--home", world.exchange.xa)
    world.exchange.processes.wait_until(lambda: concord(*status).code == 0, "XA's node")


def a_report_of_xa(world: World) -> str:
    """Let XA send XV a report that may go on by its consent; return its item, and when XV has it."""
    me = world.terminal("xa")
    made = """
    concord report new roadblock --kind alert --title "Roadblock on the valley road"
    cat > roadblock.label.yaml <<'LABEL'
tlp: amber
categories: [travel]
purposes: [protect_life]
release: {to: [XV]}
personal_data: none
basis: {kind: mou, citation: "Liaison protocol, clause 1"}
onward: consent
LABEL
    concord report push roadblock.json --yes --accept FIRST_TIME_TO_PARTNER:XV > item
    """
    said = me.run(made)
    assert said.code == 0, said.screen
    item = (world.desk / "item").read_text().strip()
    arrived = partial(_arrived, world.exchange, item)
    world.exchange.processes.wait_until(arrived, "the report at XV")
    return item


def _arrived(exchange: SmallExchange, item: str) -> bool:
    return concord("report", "show", item, "--home", exchange.xv).code == 0
