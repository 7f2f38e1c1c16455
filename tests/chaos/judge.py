"""What must hold when all is mended: each report exactly where it belongs, once, with its receipts; all logs whole.

Asked of the nodes by the calls and commands that people use.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from exchange.errors import ExchangeError
from nodes.demo.enrol import command
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from tests.chaos.field import Field
from tests.chaos.load import Pushed

PAGE = 1_000
POLL_S = 0.5
VOUCHED_S = 120.0
"""The witnesses have so long, from the last delivery, to vouch for everything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    missing: Sequence[str]
    """Deliveries that did not happen, or that their sender has no receipt for; files that did not come."""
    strange: Sequence[str]
    """Reports that somebody has who should not, or twice, or not as they were pushed, or that nobody pushed."""
    wrong: Sequence[str]
    """What a log or a promise does not keep, evidence, and alarms."""
    checked: Mapping[str, int]
    """How much was looked at, in the words of the figures."""

    @property
    def holds(self) -> bool:
        """Whether nothing at all was found."""
        return not (self.missing or self.strange or self.wrong)


def wait_until_arrived(exchange: Field, pushed: Sequence[Pushed], seconds: float, tell: Callable[[int], None]) -> None:
    """Wait until every report has all its receipts and files, or time is over; `tell` hears how much is missing."""
    deadline = time.monotonic() + seconds
    while (left := len(_missing(exchange, pushed))) and time.monotonic() < deadline:
        tell(left)
        time.sleep(POLL_S)


def judge(exchange: Field, pushed: Sequence[Pushed], scratch: Path) -> Verdict:
    """Compare what was pushed with what everybody has; proofs are written below `scratch`."""
    court = _Court(exchange, pushed, scratch)
    missing, strange = _missing(exchange, pushed), list(court.strange())
    wrong = list(chain.from_iterable(court.wrong(party) for party in exchange.parties))
    return Verdict(missing, strange, wrong, court.checked)


def _missing(exchange: Field, pushed: Sequence[Pushed]) -> list[str]:
    by_sender: dict[str, list[Pushed]] = defaultdict(list)
    for each in pushed:
        by_sender[each.sender].append(each)
    missing = []
    for party, theirs in by_sender.items():
        listed = {each.item: each for each in _reports(exchange, party, "sent")}
        for report in theirs:
            shown = listed.get(report.item)
            if shown is None or not shown.receipted == shown.recipients == len(report.audience):
                has = 0 if shown is None else shown.receipted
                missing.append(f"{report.item[:12]} of {party}: {has} receipts of {sorted(report.audience)}")
    return missing or list(_unfetched(exchange, pushed))


def _unfetched(exchange: Field, pushed: Sequence[Pushed]) -> Iterator[str]:
    for party in exchange.parties:
        for each in pushed:
            if each.files and party in each.audience:
                with connect(exchange.home.node(party)) as node:
                    shown = node.ShowReport(pb.ShowReportRequest(id=each.item)).attachments
                here = {one.name: one.sha256 for one in shown if one.state == "here"}
                if here != each.files:
                    states = [f"{one.name} {one.state} {one.why}".strip() for one in shown]
                    yield f"files of {each.item[:12]} at {party}: {', '.join(states) or 'none'}"


def _reports(exchange: Field, party: str, direction: str) -> Iterator[pb.ReportSummary]:
    before = ""
    with connect(exchange.home.node(party)) as node:
        while True:
            asked = pb.ListReportsRequest(direction=direction, limit=PAGE, before=before)
            page = node.ListReports(asked).reports
            yield from page
            if len(page) < PAGE:
                return
            before = page[-1].item


@dataclass(slots=True)
class _Court:
    """Looks at everything, and counts it."""

    exchange: Field
    pushed: Sequence[Pushed]
    scratch: Path
    checked: Counter[str] = field(default_factory=Counter)

    def strange(self) -> Iterator[str]:
        """Yield what should not be, or not be so."""
        replaced = {each.supersedes for each in self.pushed}
        for party in self.exchange.parties:
            due = {each.item: each for each in self.pushed if party in each.audience}
            listed = list(_reports(self.exchange, party, "received"))
            found = Counter(each.item for each in listed)
            self.checked["reports compared"] += len(listed)
            yield from (f"{party} has {item[:12]}, which is not for it" for item in found.keys() - due)
            yield from (f"{party} has not {item[:12]}" for item in due.keys() - found)
            yield from (f"{party} has {item[:12]} {times} times" for item, times in found.items() if times > 1)
            for each in listed:
                state = "replaced" if each.item in replaced else "current"
                if each.item in due and each.state != state:
                    yield f"{each.item[:12]} is {each.state} at {party}, and should be {state}"
            yield from self._altered(party, [due[item] for item in due.keys() & found])
            sent = Counter(each.item for each in _reports(self.exchange, party, "sent"))
            ours = Counter(each.item for each in self.pushed if each.sender == party)
            yield from (f"{party} sent {item[:12]}, which nobody pushed" for item in sent - ours)

    def _altered(self, party: str, due: Sequence[Pushed]) -> Iterator[str]:
        with connect(self.exchange.home.node(party)) as node:
            for each in due:
                shown = node.ShowReport(pb.ShowReportRequest(id=each.item))
                if (shown.content, shown.summary.lane) != (each.content, each.lane):
                    yield f"{party} has {each.item[:12]} other than it was pushed"

    def wrong(self, party: str) -> Iterator[str]:
        """Yield what does not hold at one node."""
        home = ("--home", self.exchange.home.node(party))
        yield from (f"{party}: alarm: {alarm}" for alarm in self.exchange.status(party).alarms)
        evidence = json.loads(command("log", "evidence", *home, "--json"))
        yield from (f"{party}: evidence: {each['what']}" for each in evidence)
        with connect(self.exchange.home.node(party)) as node:
            for step in node.VerifyLog(pb.VerifyLogRequest(full=True)):
                if step.result:
                    self.checked["promises and log entries checked"] += step.done
                if step.result not in ("", "ok"):
                    yield f"{party}: {step.log}: {step.step}: {step.detail}"
        yield from self._unproven(party)

    def _unproven(self, party: str) -> Iterator[str]:
        """Yield nothing when its last report is proven to stand in the log, to anybody, with a quorum's word for it."""
        mine = [each for each in self.pushed if each.sender == party]
        if not mine:
            return
        deadline, proof = time.monotonic() + VOUCHED_S, self.scratch / f"{party}.tlog-proof"
        home, item = ("--home", self.exchange.home.node(party)), mine[-1].item
        while True:
            proof.unlink(missing_ok=True)
            try:
                command("log", "export-proof", item, "--out", proof, *home)
                # Ends in an error when a check fails.
                checks = {each["what"]: each for each in json.loads(command("verify", proof, "--json"))}
                vouched = checks["witnesses"]["result"] == "holds"
                left = [] if vouched else [f"witnesses: {checks['witnesses']['detail']}"]
            except ExchangeError as error:
                left = [str(error)]
            if not left:
                self.checked["proofs verified"] += 1
                return
            if time.monotonic() > deadline:
                yield from (f"{party}: proof of {item[:12]}: {each}" for each in left)
                return
            time.sleep(POLL_S)
