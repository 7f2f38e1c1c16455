"""An exchange that nobody has to trust: ten nodes, three voices of five, seven witnesses of ten, as processes.

The tests follow each other: what one has stopped stays stopped.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from nodes.demo.enrol import command, sign_agreement
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from tests.e2e.test_guides import GUIDES, World, run
from tests.support import pages
from tests.support.reports import a_report
from tests.support.small_exchange import SmallExchange
from tests.support.ten_nodes import TenNodes, ten_nodes

pytestmark = pytest.mark.processes

LABEL = b"""\
tlp: amber
categories: [alert]
purposes: [protect_life]
release: {to: [XV]}
personal_data: none
basis: {kind: mou, citation: "Liaison protocol, clause 1"}
lane: flash
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenNodes]:
    with ten_nodes(tmp_path_factory.mktemp("ten")) as made:
        yield made


def wait_for_quorum(exchange: TenNodes, *parties: str) -> None:
    for party in parties:
        exchange.processes.wait_until(partial(exchange.vouched, party), f"the quorum at {party}")


def agree(exchange: TenNodes) -> None:
    text = exchange.home.path / "liaison.yaml"
    text.write_text(command("agreement", "draft", "XA", "XV", "--title", "Liaison protocol"))
    sign_agreement(exchange.home, text)
    shown = partial(command, "agreement", "list", *exchange.node("XA"), "--json")
    exchange.processes.wait_until(lambda: '"active"' in shown(), "the agreement")


def send(exchange: TenNodes, title: str) -> None:
    """Push a report at XA and wait until XV has confirmed that it has it."""
    file = pb.ReportFile(content=a_report(name=title, id=f"report--{uuid4()}"), label_yaml=LABEL)
    with connect(exchange.home.node("XA")) as node:
        confirmed = [hint.accept for hint in node.WhoGets(pb.WhoGetsRequest(report=file)).hints]
        item = node.PushReport(pb.PushReportRequest(report=file, confirmed=confirmed)).item

        def receipted() -> bool:
            found = node.TraceReport(pb.TraceReportRequest(id=item)).recipients
            return {each.partner: each.state for each in found}.get("XV") == "receipted"

        exchange.processes.wait_until(receipted, f"the receipt for {title}")


def log_of(exchange: TenNodes, party: str) -> str:
    return (exchange.home.node(party) / "log").read_text()


def test_seven_of_ten_vouch_for_what_the_relay_shows(exchange: TenNodes) -> None:
    wait_for_quorum(exchange, "XA", "XV")
    shown = exchange.status("XV")
    assert shown["witnessed"] and not shown.get("alarms")
    agree(exchange)
    send(exchange, "All ten are there")


def test_one_witness_lies_two_are_off_and_the_exchange_goes_on(exchange: TenNodes) -> None:
    for party in ("XR", "XT", "XQ"):
        exchange.processes.stop_one(party)
    exchange.start_node("XQ", lies=True)
    index = exchange.by_council("partner", "suspend", "XR")
    wait_for_quorum(exchange, "XA", "XV")
    assert int(str(exchange.status("XV")["directory_size"])) > index
    exchange.processes.wait_until(lambda: "witness.waits" in log_of(exchange, "XQ"), "the relay's refusal")
    send(exchange, "Seven are enough")


def test_with_six_nothing_newer_is_vouched_for_and_reports_still_go(exchange: TenNodes) -> None:
    exchange.processes.stop_one("XP")
    before = int(str(exchange.status("XV")["quorum_size"]))
    index = exchange.by_council("partner", "suspend", "XR", "--lift")
    exchange.processes.wait_until(lambda: int(str(exchange.status("XV")["directory_size"])) > index, "the entry")
    send(exchange, "Nothing on this way waits for a witness")
    shown = exchange.status("XV")
    assert int(str(shown["quorum_size"])) == before <= index


LIARS = ("XH", "XM", "XN", "XO", "XT")
"""Witnesses that vouch for two histories: five of ten are needed for that, where seven must agree."""


def test_five_witnesses_lie_and_whom_they_lied_to_has_the_proof(
    exchange: TenNodes, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    exchange.processes.stop()
    other = exchange.forked(tmp_path_factory.mktemp("fork") / "x", (*LIARS, "XV", "XP"))
    try:
        other.start((*LIARS, "XV", "XP"))
        other.processes.wait_until(partial(other.answers, "XH"), "XH's node")
        other.by_council("partner", "suspend", "XR", voices=LIARS[:3])
        wait_for_quorum(other, "XV")
        assert not other.status("XV")["alarms"], "seven vouch for what it sees: it cannot know"
    finally:
        other.processes.stop()
    exchange.start((*LIARS, "XA", "XQ", "XR"))
    exchange.processes.wait_until(partial(exchange.answers, "XA"), "XA's node")
    exchange.by_council("partner", "suspend", "XP")
    wait_for_quorum(exchange, "XA")
    exchange.take_back(other, "XV")
    exchange.start_node("XV")
    exchange.processes.wait_until(partial(exchange.has_evidence, "XV"), "XV's evidence")
    # Seven of eight cosigned here: at most one of the five is missing. What the relay shows is fetched a moment later.
    found: set[str] = set()

    def most_are_named() -> bool:
        found.update(named(exchange, tmp_path / f"{uuid4()}.evidence"))
        return len(found) >= len(LIARS) - 1

    exchange.processes.wait_until(most_are_named, "the liars' names")
    assert found <= set(LIARS)
    follow_the_guide(exchange, tmp_path)


def named(exchange: TenNodes, file: Path) -> set[str]:
    """Return the witnesses against which XV's newest evidence is proof, checked from the file alone."""
    command("log", "evidence", *exchange.node("XV"), "--out", file)
    checks = json.loads(command("verify", file, "--json"))
    return {each["what"].removeprefix("witness ") for each in checks if each["result"] == "witness was wrong"}


def follow_the_guide(exchange: TenNodes, desk: Path) -> None:
    """Do what docs/guides/relay-lied.md says, as XV's people and those of another partner."""
    for party in ("XV", "XA"):
        (desk / party.lower()).symlink_to(exchange.home.node(party))
    world = World(SmallExchange(exchange.home, exchange.processes), desk)
    for step in pages.steps(GUIDES / "relay-lied.md"):
        run(step, world)
