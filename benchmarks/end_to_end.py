"""Full work, end to end: one sender, N recipients and a relay as processes, every store on disk, every commit flushed.

`python -m benchmarks.end_to_end` prints deliveries a second for a burst, p50 and p99 of the latency at a steady rate,
and the ratio of each burst to the pure-crypto ceiling of the same envelope, measured just before it.
A burst comes over eight connections with eight reports under way on each, every one of them a call of its own that is
answered once the report is durable.
A delivery is complete when the recipient has verified, opened, decided and stored it durably. Latency is from the call
of the push to the moment that the receipt names, by one machine's clock: it is read when nothing but the commit is
left to do there.
CPU time is counted until the sender has applied every receipt, for each role apart: on a machine that does other work
too it tells what a change has brought, where deliveries a second do not.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import uuid4

import orjson

from benchmarks.ceiling import cpu_seconds_a_delivery, deliveries_per_second
from benchmarks.cpu import seconds_by_name
from benchmarks.table import Line, at_least, show
from exchange.crypto.random import random_bytes
from exchange.errors import Unavailable
from nodes.demo import enrol
from nodes.demo.cast import COUNCIL, Player
from nodes.demo.enrol import Home
from nodes.demo.processes import Processes
from nodes.node_client import connect
from nodes.stix import EXTENSION
from nodes.v1 import agreements_pb2
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.node_service_pb2_grpc import NodeServiceStub

WAIT_S = 300.0
POLL_S = 0.1
PUSHERS = 8
"""Connections to the sender's node."""

UNDER_WAY = 8
"""Reports of one connection that wait for their answers, in a burst."""

SENDER, RELAY, RECIPIENTS, PUSHING = "the sender", "the relay", "the recipients", "who pushes"
"""Whose CPU time is counted."""

AGREEMENT = """\
agreement: Benchmark
version: 1
parties: [{parties}]
legal_basis: {{kind: mou, citation: benchmark}}
valid: {{from: 2021-01-01T00:00:00Z, until: none}}
terms:
  - clause: "1"
    from: any
    to: any
    purposes: [protect_life]
    categories: {{allow: [alert]}}
    about: any
    use_in: any
    ceiling: {{tlp: amber}}
    actions_max: internal_only
    personal_data: none
on_termination: {{held_items: purge, within: 30d}}
"""

LABEL = b"""\
tlp: amber
categories: [alert]
purposes: [protect_life]
release: {to: ["*"]}
personal_data: none
basis: {kind: mou, citation: benchmark}
"""


@dataclass(frozen=True, slots=True)
class Field:
    """The running exchange of one benchmark."""

    home: Home
    processes: Processes
    recipients: Sequence[str]
    watched: Sequence[NodeServiceStub]
    """Open connections to the recipients' nodes."""

    def received(self) -> list[int]:
        """Return how many reports each recipient has stored."""
        return [_received(node) for node in self.watched]

    def wait_for(self, counts: Sequence[int]) -> None:
        """Return when every recipient has stored so many reports; only one is asked at a time: asking costs it CPU."""
        left = list(zip(self.watched, counts, strict=True))

        def nobody_left() -> bool:
            while left and _received(left[-1][0]) >= left[-1][1]:
                left.pop()
            return not left

        _until(nobody_left, "the burst")

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that each role has used so far."""
        roles = {COUNCIL: SENDER, "relay": RELAY, **dict.fromkeys(self.recipients, RECIPIENTS)}
        used = seconds_by_name((roles[each.name], each.pid) for each in self.processes.started())
        return {**used, PUSHING: time.process_time()}

    def push(self, contents: Sequence[bytes], *, under_way: int = 1) -> str:
        """Push reports at the sender over one connection, in order; return the item of the last.

        So many are under way at once: with one, each is pushed when the one before is answered.
        """
        item = ""
        with connect(self.home.node(COUNCIL)) as node:
            confirmed = _unusual(node, contents[0]) if contents else []
            requests = (pb.PushReportRequest(report=_file(content), confirmed=confirmed) for content in contents)
            waiting = deque(node.PushReport.future(request) for request in islice(requests, under_way))
            while waiting:
                item = waiting.popleft().result().item
                waiting.extend(node.PushReport.future(request) for request in islice(requests, 1))
        return item

    def wait_for_receipts(self, items: Sequence[str]) -> None:
        """Return when the sender has the receipts of every recipient for these; only one is asked for at a time."""
        left = list(items)
        with connect(self.home.node(COUNCIL)) as node:

            def none_left() -> bool:
                while left and len(_stored(node, [(left[-1], 0.0)])) == len(self.recipients):
                    left.pop()
                return not left

            _until(none_left, "the receipts")


def _received(node: NodeServiceStub) -> int:
    return node.GetStatus(pb.GetStatusRequest()).reports_received


def _file(content: bytes) -> pb.ReportFile:
    return pb.ReportFile(content=content, label_yaml=LABEL)


def _unusual(node: NodeServiceStub, content: bytes) -> list[str]:
    """Return what a person would confirm; the audience is the same for every report."""
    return [hint.accept for hint in node.WhoGets(pb.WhoGetsRequest(report=_file(content))).hints]


@contextmanager
def field(recipients: int) -> Iterator[Field]:
    """An exchange of one sender and `recipients` recipients under one agreement."""
    names = [COUNCIL, *(f"Y{chr(ord('A') + number)}" for number in range(recipients))]
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        home, processes = Home(Path(scratch)), Processes(Path(scratch))
        try:
            enrol.prepare(home)
            fingerprint = enrol.found(home, processes)
            for name in names:
                # With the timing that a node has by itself: a demonstration gives receipts ten times as often.
                enrol.join(home, Player(name, name, "", "red"), processes, fingerprint, settings="")
            text = Path(scratch) / "files" / "benchmark.yaml"
            text.write_text(AGREEMENT.format(parties=", ".join(sorted(names))))
            _until(lambda: all(_sees(home, name, names) for name in names), "the partners")
            enrol.sign_agreement(home, text)
            _until(lambda: all(_in_force(home, name) for name in names), "the agreement")
            with ExitStack() as stack:
                yield Field(
                    home, processes, names[1:], [stack.enter_context(connect(home.node(name))) for name in names[1:]]
                )
        finally:
            processes.stop()


def _sees(home: Home, party: str, names: Sequence[str]) -> bool:
    try:
        with connect(home.node(party)) as node:
            partners = node.ListPartners(pb.ListPartnersRequest()).partners
    except Unavailable:
        return False
    return {p.party for p in partners if p.prekey_days and p.status == "admitted"} == set(names)


def _in_force(home: Home, party: str) -> bool:
    with connect(home.node(party)) as node:
        agreements = node.ListAgreements(agreements_pb2.ListAgreementsRequest()).agreements
    return [agreement.status for agreement in agreements] == ["active"]


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > deadline:
            raise Unavailable(f"{what}: not there after {WAIT_S:.0f} s")
        time.sleep(POLL_S)


def push_request(node: NodeServiceStub, content: bytes) -> pb.PushReportRequest:
    """Return what pushes a report with everything confirmed that a person would."""
    return pb.PushReportRequest(report=_file(content), confirmed=_unusual(node, content))


def a_report(size: int, precedence: str = "routine") -> bytes:
    """Return a report of about `size` bytes that is unlike every other."""
    now = "2026-01-01T00:00:00.000Z"
    root = {
        "type": "report",
        "spec_version": "2.1",
        "id": f"report--{uuid4()}",
        "created": now,
        "modified": now,
        "published": now,
        "name": "Benchmark",
        "description": random_bytes(max(1, (size - 460) // 2)).hex(),
        "object_refs": [],
        "extensions": {EXTENSION: {"extension_type": "property-extension", "kind": "alert", "precedence": precedence}},
    }
    return orjson.dumps({"type": "bundle", "id": f"bundle--{uuid4()}", "objects": [root]})


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst came to."""

    speed: float
    """Deliveries a second until all are stored at all recipients."""
    cpu: Mapping[str, float]
    """CPU seconds of a delivery, by role, until the sender has the receipts."""


def burst(made: Field, *, reports: int, size: int) -> Burst:
    """Push everything at once."""
    contents = [a_report(size) for _ in range(reports)]
    expected = [count + reports for count in made.received()]
    deliveries = reports * len(made.recipients)
    used = made.cpu()
    start = time.perf_counter()
    with ThreadPoolExecutor(PUSHERS) as pool:
        push = partial(made.push, under_way=UNDER_WAY)
        last = list(pool.map(push, [contents[first::PUSHERS] for first in range(PUSHERS)]))
    made.wait_for(expected)
    speed = deliveries / (time.perf_counter() - start)
    made.wait_for_receipts([item for item in last if item])
    return Burst(speed, {role: (seconds - used[role]) / deliveries for role, seconds in made.cpu().items()})


@dataclass(frozen=True, slots=True)
class Steady:
    """What a steady rate came to."""

    waits_ms: Sequence[float]
    """From each push to the moment that each recipient's receipt names, in order."""
    cpu: float
    """CPU seconds of a delivery, of sender, relay and recipient, until the sender has the receipts."""
    cores: float
    """Cores that would be busy all the time with it; near those of the machine, latency is a queue before them."""


def steady(made: Field, *, rate: float, seconds: float, size: int) -> Steady:
    """Push one report after the other, so many a second."""
    items: list[tuple[str, float]] = []
    used, start = _of_exchange(made), time.monotonic()
    with connect(made.home.node(COUNCIL)) as node:
        confirmed = _unusual(node, a_report(size))
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            request = pb.PushReportRequest(report=_file(a_report(size)), confirmed=confirmed)
            pushed = time.time()
            items.append((node.PushReport(request).item, pushed * 1000))
        # Asking costs the sender CPU: about one report until it is there, then about all.
        made.wait_for_receipts([items[-1][0]])
        cpu = _of_exchange(made) - used
        total = len(items) * len(made.recipients)
        _until(lambda: len(_stored(node, items)) == total, "the receipts")
        return Steady(sorted(_stored(node, items)), cpu / total, cpu / seconds)


def _of_exchange(made: Field) -> float:
    """Return CPU seconds of relay and nodes so far."""
    return sum(seconds for role, seconds in made.cpu().items() if role != PUSHING)


def _stored(node: NodeServiceStub, items: Sequence[tuple[str, float]]) -> list[float]:
    made = []
    for item, pushed_ms in items:
        story = node.TraceReport(pb.TraceReportRequest(id=item))
        made += [r.receipted_ms - pushed_ms for r in story.recipients if r.state == "receipted"]
    return made


@dataclass(frozen=True, slots=True)
class Run:
    """How much is measured."""

    recipients: int = 8
    reports: int = 200
    """Of a burst."""
    size: int = 4096
    """Bytes of a report."""
    rounds: int = 5
    rate: float = 20.0
    """Reports a second for the latency."""
    seconds: float = 5.0
    """Length of the latency run."""


def lines(run: Run) -> list[Line]:
    """Return the figures."""
    ratios: list[float] = []
    bursts: list[Burst] = []
    with field(run.recipients) as made:
        burst(made, reports=20, size=run.size)
        for _ in range(run.rounds):
            ceiling = deliveries_per_second(recipients=run.recipients, size=run.size, seconds=2.0)
            bursts.append(burst(made, reports=run.reports, size=run.size))
            ratios.append(bursts[-1].speed / ceiling)
        steadily = steady(made, rate=run.rate, seconds=run.seconds, size=run.size)
    waits = steadily.waits_ms
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    busy = f"{steadily.cores:.2f} cores of {len(os.sched_getaffinity(0))} are busy with it"
    of_ceiling = statistics.median(ratios)
    speed = (
        f"{statistics.median(each.speed for each in bursts):,.0f} deliveries/s; {min(ratios):.2f} to {max(ratios):.2f}"
    )
    return [
        Line(
            f"full work ÷ pure crypto, N={run.recipients}, {run.size:,} B",
            f"{of_ceiling:.2f}",
            "0.50",
            "0.70",
            speed,
            at_least(of_ceiling, 0.5, 0.7),
        ),
        *_cpu_lines(run, bursts),
        Line(f"latency at {run.rate:.0f} reports a second, half within", f"{p50:.0f} ms"),
        Line(f"latency at {run.rate:.0f} reports a second, 99 % within", f"{p99:.0f} ms"),
        Line(
            f"CPU time of a delivery at {run.rate:.0f} reports a second", f"{steadily.cpu * 1000:.2f} ms", beside=busy
        ),
    ]


def _cpu_lines(run: Run, bursts: Sequence[Burst]) -> list[Line]:
    bare = cpu_seconds_a_delivery(recipients=run.recipients, size=run.size)
    of_all = [sum(each.cpu.values()) - each.cpu[PUSHING] for each in bursts]
    whole = statistics.median(of_all)
    beside = f"pure crypto {bare * 1000:.2f} ms, {bare / whole:.2f} of it"
    roles = (SENDER, RELAY, RECIPIENTS, PUSHING)
    return [
        Line("CPU time of a delivery, sender, relay and recipient", f"{whole * 1000:.2f} ms", beside=beside),
        *(
            Line(f"  of {role}", f"{statistics.median(each.cpu[role] for each in bursts) * 1000:.2f} ms")
            for role in roles
        ),
    ]


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--recipients", type=int, default=usual.recipients)
    parser.add_argument("--reports", type=int, default=usual.reports, help="reports of a burst")
    parser.add_argument("--size", type=int, default=usual.size, help="bytes of a report")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--rate", type=float, default=usual.rate, help="reports a second for the latency")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="length of the latency run")
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
