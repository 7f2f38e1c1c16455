"""The guides about keys and expulsion, executed as they stand, in exchanges of their own: nodes die and come back.

Besides what the other guides hold, a block `gone` is the end of somebody's machine, and `serve` starts a node.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.demo.cast import Player
from nodes.demo.enrol import QUICK
from tests.e2e.test_guides import GUIDES, LIAISON, World, run
from tests.support import pages
from tests.support.pages import Step
from tests.support.small_exchange import SmallExchange, concord, small_exchange

pytestmark = pytest.mark.processes

PARTNERS = (
    Player("XA", "Asterin Safety Desk", "", "red"),
    Player("XV", "Velkar Citizens Abroad", "", "red"),
    Player("XO", "Orinthia Watch Cell", "", "red"),
)
AGREEMENT = LIAISON.replace("parties: [XA, XV, XO, XH]", "parties: [XA, XV, XO]")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    desk = tmp_path / "desk"
    desk.mkdir()
    with small_exchange(tmp_path / "homes", PARTNERS, AGREEMENT) as exchange:
        for player in PARTNERS:
            party = player.party
            (desk / party.lower()).symlink_to(exchange.home.node(party))
            (desk / f"root-{party.lower()}").symlink_to(exchange.home.root(party))
        (desk / "relay.info").symlink_to(exchange.home.relay / "relay.info")
        (desk / "relay").symlink_to(exchange.home.relay)
        yield World(exchange, desk)


@pytest.mark.parametrize(
    "guides",
    [("rotate-a-key", "key-stolen"), ("lost-disk-or-root",), ("expel-a-partner",), ("relay-keys",)],
    ids="-".join,
)
def test_the_guide_works_as_it_is_written(world: World, guides: tuple[str, ...]) -> None:
    for name in guides:
        for step in pages.steps(GUIDES / f"{name}.md"):
            if step.language == "gone":
                world.exchange.processes.kill_one(step.who.upper())
            elif step.language == "serve":
                serve(step, world.exchange, world.desk)
            elif step.language == "sh":
                run(step, world)


def serve(step: Step, exchange: SmallExchange, desk: Path) -> None:
    """Start the node of a new home, with the quick timing that the demo's nodes have."""
    home = desk / step.who
    text = (home / "node.toml").read_text()
    if QUICK.strip() not in text:
        (home / "node.toml").write_text(text + QUICK)
    exchange.processes.start(
        step.who.partition("-")[0].upper(), home, ["node", "serve", "--home", str(home), *exchange.home.passphrase]
    )
    exchange.processes.wait_until(lambda: concord("node", "status", "--home", home).code == 0, f"the node in {home}")
