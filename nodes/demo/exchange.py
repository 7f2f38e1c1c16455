"""The running exchange, as the demo's acts and the scenarios' tests see it: push at one node, wait, look at another."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exchange.errors import Unavailable, VerificationFailed
from exchange.policy.agreement_text import parse_agreement_text
from nodes.demo import cast
from nodes.demo.enrol import Home
from nodes.demo.processes import Processes
from nodes.demo.stage import Stage
from nodes.node_client import connect
from nodes.stix import read_report, without_audience
from nodes.v1 import agreements_pb2
from nodes.v1 import node_service_pb2 as pb

WAIT_S = 60.0
POLL_S = 0.1
SETTLED = frozenset({"receipted", "refused", "denied", "retracted", "purged"})


@dataclass(slots=True)
class Exchange:
    """Eight nodes and what was pushed so far."""

    home: Home
    processes: Processes
    stage: Stage
    patience_s: float = WAIT_S
    written: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Reports and labels by name that stand in none of the demo's files."""
    items: dict[str, str] = field(default_factory=dict)
    """Item of each scenario that was pushed."""
    senders: dict[str, str] = field(default_factory=dict)
    """Who pushed it."""

    def who_gets(self, party: str, name: str) -> list[pb.PartnerDecision]:
        """Return the dry run of a scenario's report at `party`."""
        with connect(self.home.node(party)) as node:
            return list(node.WhoGets(pb.WhoGetsRequest(report=self.file(name))).decisions)

    def check(self, party: str, content: bytes, label: bytes) -> None:
        """Check a report at `party`; raises what the node raises."""
        with connect(self.home.node(party)) as node:
            node.CheckReport(pb.CheckReportRequest(report=pb.ReportFile(content=content, label_yaml=label)))

    def push(self, party: str, name: str, *, corrects: str = "") -> str:
        """Push a scenario's report at `party` and return its item."""
        with connect(self.home.node(party)) as node:
            supersedes = self.items[corrects] if corrects else ""
            dry_run = node.WhoGets(pb.WhoGetsRequest(report=self.file(name), supersedes=supersedes))
            confirmed = [hint.accept for hint in dry_run.hints]
            request = pb.PushReportRequest(report=self.file(name), supersedes=supersedes, confirmed=confirmed)
            reply = node.PushReport(request)
        self.remember(name, party, reply.item)
        return reply.item

    def report(self, name: str) -> tuple[bytes, bytes]:
        """Return the bytes of a report and of its label."""
        return self.written.get(name) or cast.report(name)

    def signed(self, name: str) -> bytes:
        """Return the bytes of a report as they are signed: without its audience."""
        content, _ = self.report(name)
        return without_audience(read_report(content), content)

    def file(self, name: str) -> pb.ReportFile:
        """Return a report and its label as the node's socket takes them."""
        content, label = self.report(name)
        return pb.ReportFile(content=content, label_yaml=label)

    def remember(self, name: str, party: str, item: str) -> None:
        """Note which item a scenario became."""
        self.items[name], self.senders[name] = item, party

    def retract(self, party: str, name: str, text: str) -> list[str]:
        """Withdraw a scenario's report; return the recipients that the retraction goes to."""
        request = pb.RetractReportRequest(id=self.items[name], reason_code="source-withdrawn", text=text)
        with connect(self.home.node(party)) as node:
            return list(node.RetractReport(request).recipients)

    def trace(self, name: str) -> pb.TraceReportResponse:
        """Return the story of a scenario's report, as its sender tells it."""
        with connect(self.home.node(self.senders[name])) as node:
            return node.TraceReport(pb.TraceReportRequest(id=self.items[name]))

    def settled(self, name: str) -> dict[str, str]:
        """Wait until every recipient has answered; return where the report stands with each."""

        def states() -> dict[str, str]:
            return {r.partner: r.state for r in self.trace(name).recipients if r.state != "denied"}

        self.until(lambda: bool(found := states()) and set(found.values()) <= SETTLED, f"the receipts for {name}")
        return states()

    def shown(self, party: str, name: str) -> pb.ShowReportResponse | None:
        """Return a scenario's report as `party` shows it; None when it has never arrived there."""
        item = self.items[name]
        with connect(self.home.node(party)) as node:
            listed = node.ListReports(pb.ListReportsRequest(limit=1000)).reports
            if item not in {report.item for report in listed}:
                return None
            return node.ShowReport(pb.ShowReportRequest(id=item))

    def holders(self, name: str) -> list[str]:
        """Return the partners at which the report arrived, its sender aside."""
        return [party for party in self.others(self.senders[name]) if self.shown(party, name) is not None]

    def others(self, party: str) -> list[str]:
        """Return every partner but one."""
        return [player for player in cast.PLAYERS if player != party]

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done` answers yes, and keep the screen fresh meanwhile."""
        deadline = time.monotonic() + self.patience_s
        while not done():
            self.stage.go_on()
            if time.monotonic() > deadline:
                waited = f"not there after {self.patience_s:.0f} seconds"
                raise Unavailable(f"{what}: {waited}", hint="look at the nodes' log files")
            self.refresh()
            time.sleep(POLL_S)
        self.refresh()

    def refresh(self, parties: Sequence[str] = cast.PLAYERS) -> None:
        """Read every node's figures for the screen, if somebody sees it."""
        if self.stage.live is None:
            return
        for party in parties:
            line = self.stage.lines[party]
            status = self.status(party)
            if status is None:
                line.state = "-"
                continue
            line.state = f"{status.membership}, {status.relay}"
            line.sent, line.received = status.reports_sent, status.reports_received
            line.receipts = status.reports_sent - status.unreceipted

    def status(self, party: str) -> pb.GetStatusResponse | None:
        """Return how a node is; None when it does not run."""
        try:
            with connect(self.home.node(party)) as node:
                return node.GetStatus(pb.GetStatusRequest())
        except Unavailable:
            return None


def until_ready(exchange: Exchange) -> None:
    """Wait until every node is admitted, connected, and knows everybody's prekeys."""
    exchange.until(lambda: all(_ready(exchange, party) for party in cast.PLAYERS), "all nodes connected")


def _ready(exchange: Exchange, party: str) -> bool:
    status = exchange.status(party)
    if status is None or (status.membership, status.relay) != ("admitted", "connected"):
        return False
    with connect(exchange.home.node(party)) as node:
        partners = node.ListPartners(pb.ListPartnersRequest()).partners
    return len(partners) == len(cast.PLAYERS) and all(p.status == "admitted" and p.prekey_days for p in partners)


def until_in_force(exchange: Exchange) -> None:
    """Wait until every party of every agreement knows it to be in force."""
    expected = [parse_agreement_text(text.read_bytes()) for text in cast.AGREEMENTS]
    pairs = [(terms.title, party) for terms in expected for party in terms.parties]
    exchange.until(lambda: all(title in _in_force(exchange, party) for title, party in pairs), "the agreements")


def _in_force(exchange: Exchange, party: str) -> set[str]:
    with connect(exchange.home.node(party)) as node:
        agreements = node.ListAgreements(agreements_pb2.ListAgreementsRequest()).agreements
    return {agreement.title for agreement in agreements if agreement.status == "active"}


def until_audited(exchange: Exchange) -> None:
    """Let every node check the relay's logs against what it was promised; raises when one does not hold."""
    for party in cast.PLAYERS:
        with connect(exchange.home.node(party)) as node:
            for step in node.VerifyLog(pb.VerifyLogRequest(full=True)):
                if step.result not in ("", "ok"):
                    raise VerificationFailed(f"{party}: {step.log}, {step.step}: {step.detail}")
