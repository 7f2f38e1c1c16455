"""The scenarios' whole cast as processes: a relay and eight nodes that play what scenarios.json tells."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from exchange.policy.model import Category, Tlp
from exchange.policy.terms import AgreementRef
from exchange.receipts.verify import open_refusal
from exchange.runtime.clock import now_ms
from nodes.demo import cast, enrol
from nodes.demo.enrol import Home
from nodes.demo.exchange import Exchange, until_in_force, until_ready
from nodes.demo.processes import Processes
from nodes.demo.proofs import copy_disks, replay
from nodes.demo.stage import Stage
from nodes.node_client import connect
from nodes.session import HOME_VARIABLE
from nodes.v1 import agreements_pb2
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.consent_pb2 import ListConsentsRequest
from tests.support.forger import Forger

DAY_MS = 86_400_000
PATIENCE_S = 90.0
"""Eight nodes share the machine with all other tests."""

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
"""Reports and labels that the demo does not play."""

QUICK = {
    "RECEIPTS_S": "0.1",
    "OBLIGATIONS_S": "1",
    "RETRY_FIRST_S": "0.1",
    "RETRY_MOST_S": "1",
    "RESEAL_FIRST_S": "0.2",
}


@contextmanager
def the_eight(path: Path) -> Iterator[Exchange]:
    """Run the relay and all eight nodes, under all agreements, while the block runs."""
    home, processes = Home(path), Processes(path)
    with pytest.MonkeyPatch.context() as patch, Stage(cast.players(), Console(quiet=True)) as stage:
        for name, value in QUICK.items():
            patch.setenv(f"CONCORD_NODE_TIMING__{name}", value)
        exchange = Exchange(home, processes, stage, patience_s=PATIENCE_S, written=dict(_files()))
        try:
            enrol.prepare(home)
            fingerprint = enrol.found(home, processes)
            for player in cast.players():
                enrol.join(home, player, processes, fingerprint)
            until_ready(exchange)
            enrol.sign_agreements(home)
            until_in_force(exchange)
            patch.setenv(HOME_VARIABLE, str(enrol.staff(home, cast.PLAYERS)))
            yield exchange
        finally:
            processes.stop()


@contextmanager
def away(exchange: Exchange, party: str) -> Iterator[None]:
    """Stop a partner's node while the block runs."""
    exchange.processes.stop_one(party)
    try:
        yield
    finally:
        enrol.start_node(exchange.home, party, exchange.processes)
        exchange.until(lambda: exchange.status(party) is not None, f"the node of {party}")


def told(scenario: str) -> Mapping[str, str]:
    """Return who gets what in a scenario, in the words of its file."""
    found: dict[str, str] = next(each["deliver"] for each in cast.scenarios()["scenarios"] if each["id"] == scenario)
    return found


def full(scenario: str) -> set[str]:
    """Return the partners that a scenario's file gives the whole report."""
    return {party for party, words in told(scenario).items() if words.startswith("full")}


def delivered(exchange: Exchange, name: str, *audience: str) -> None:
    """Return when all of the audience hold a report, byte for byte, and nobody else holds anything of it."""
    states = exchange.settled(name)
    assert states == dict.fromkeys(audience, "receipted"), name
    for party in cast.PLAYERS:
        if party == exchange.senders[name]:
            continue
        shown = exchange.shown(party, name)
        if party in audience:
            assert shown is not None and shown.content == exchange.signed(name), (name, party)
        else:
            assert shown is None, (name, party)


def changes(exchange: Exchange, party: str, name: str) -> tuple[str, set[tuple[str, str, str]]]:
    """Return what a version changed, as a partner's command shows it: in which version before, and each field."""
    node = ("--home", exchange.home.node(party))
    shown = json.loads(enrol.command("report", "show", exchange.items[name], "--changes", "--json", *node))
    told = shown["revision"]
    fields = {(each["field"].split(".")[-1], each["before"], each["after"]) for each in told["changes"]}
    return told["before"], fields


def _files() -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    for label in FOLDER.glob("*.label.yaml"):
        name = label.name.removesuffix(".label.yaml")
        report = next(path for folder in (FOLDER, cast.SCENARIOS) if (path := folder / f"{name}.stix.json").exists())
        yield name, (report.read_bytes(), label.read_bytes())


def vary(exchange: Exchange, name: str, like: str, **changes: str) -> str:
    """Let `name` be the report `like`, once more, under a label in which these lines differ; return `name`."""
    content, label = exchange.report(like)
    # A push of the same content and label would be a repeat.
    lines = [f"# {name}", *label.decode().splitlines()]
    for key, value in changes.items():
        (at,) = [number for number, line in enumerate(lines) if line.startswith(f"{key}:")]
        lines[at] = f"{key}: {value}"
    exchange.written[name] = content, "\n".join(lines).encode()
    return name


def a_sensor(exchange: Exchange, party: str, *categories: Category, ceiling: Tlp) -> pb.AddSensorResponse:
    """Let a sensor push at a node."""
    scope = pb.SensorScope(
        name="feed",
        categories=[category.word for category in categories],
        ceiling=ceiling.word,
        per_hour=1_000,
        until_ms=now_ms() + DAY_MS,
    )
    administrator = exchange.home.operator(enrol.ADMINISTRATOR)
    with connect(exchange.home.node(party), operator_home=administrator) as node:
        return node.AddSensor(pb.AddSensorRequest(scope=scope))


def approve(exchange: Exchange, party: str, item: str) -> None:
    """Let the release desk of a node approve a report, with a key of its own."""
    own = exchange.home.operator(enrol.RELEASE_DESK)
    where = ("--home", exchange.home.node(party), "--operator-home", own)
    enrol.command("report", "approve", item, "--yes", *where, *exchange.home.passphrase)


def held(exchange: Exchange, party: str) -> list[pb.ReportSummary]:
    """Return what a partner holds of others, last arrival first."""
    with connect(exchange.home.node(party)) as node:
        return list(node.ListReports(pb.ListReportsRequest(direction="received", limit=1000)).reports)


def state(exchange: Exchange, name: str, party: str) -> str:
    """Return where a report stands with one recipient, as its sender tells it."""
    return next((row.state for row in exchange.trace(name).recipients if row.partner == party), "")


def reaches(exchange: Exchange, name: str, wanted: str) -> set[str]:
    """Return the recipients of a report that stand in this state."""
    return {row.partner for row in exchange.trace(name).recipients if row.state == wanted}


def stands(exchange: Exchange, party: str, items: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return where each of a sender's items stands with each recipient that was not denied it."""
    with connect(exchange.home.node(party)) as node:
        stories = {item: node.TraceReport(pb.TraceReportRequest(id=item)) for item in items}
    return {
        item: {row.partner: row.state for row in story.recipients if row.state != "denied"}
        for item, story in stories.items()
    }


def until_stands(exchange: Exchange, name: str, wanted: str, *parties: str) -> None:
    """Wait until a report stands in this state with exactly these recipients."""
    exchange.until(lambda: reaches(exchange, name, wanted) == set(parties), f"{name}: {wanted} at {parties}")


def standing(exchange: Exchange, party: str, other: str) -> str:
    """Return how a partner stands, as another one's node knows it."""
    with connect(exchange.home.node(party)) as node:
        partners = node.ListPartners(pb.ListPartnersRequest()).partners
    return next(partner.status for partner in partners if partner.party == other)


def consents(exchange: Exchange, party: str) -> set[str]:
    """Return the requests for consent that a partner knows of."""
    with connect(exchange.home.node(party)) as node:
        return {consent.request for consent in node.ListConsents(ListConsentsRequest(limit=50)).consents}


def forge(exchange: Exchange, party: str, name: str, *, to: str) -> str:
    """Let somebody with a partner's stolen keystore sign a report now and send it; return why the relay refuses it.

    Empty when the relay promises it; Unavailable when it lets nobody in.
    """
    home = exchange.home
    thief = Forger.of(
        party,
        home.node(party),
        Path(home.passphrase[1]).read_bytes().strip(),
        directory=replay(copy_disks(home), "relay.db"),
        relay_info=home.relay / "relay.info",
    )
    with connect(home.node(to)) as node:
        agreements = node.ListAgreements(agreements_pb2.ListAgreementsRequest()).agreements
    basis = next(
        AgreementRef(bytes.fromhex(each.id), each.version, bytes.fromhex(each.stands))
        for each in agreements
        if {party, to} <= set(each.parties)
    )
    outcome = asyncio.run(thief.send(*exchange.report(name), to, basis=basis))
    if outcome.decisions:
        return ""
    keys = thief.directory.relay_keys
    return open_refusal(outcome.answer, keys.promise, thief.directory.exchange).reason


def withdrawn(exchange: Exchange, name: str, party: str) -> bool:
    """Say whether a partner shows a report as withdrawn."""
    shown = exchange.shown(party, name)
    return shown is not None and shown.summary.state == "withdrawn" and not shown.content
