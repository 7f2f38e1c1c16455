"""What attachments cost in memory: a sender, a recipient and a relay as processes, every store on disk.

`python -m benchmarks.attachments` prints the peak of resident memory of each while files pass, over what it has when it
is idle, in the same process. A round is over when the recipient has verified and stored every file. `--file-mib 2048`
moves one file of that size by commands from disk to disk, and back up (benchmarks/large_file.py).
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import large_file
from benchmarks.end_to_end import LABEL, POLL_S, WAIT_S, Field, a_report, field
from benchmarks.memory import forget_peak, resident
from benchmarks.table import Line, at_most, show
from exchange.crypto.random import random_bytes
from exchange.errors import Unavailable
from exchange.limits import MIB
from nodes.demo.cast import COUNCIL
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.attachment_pb2 import AttachFileRequest
from nodes.v1.node_service_pb2_grpc import NodeServiceStub


@dataclass(frozen=True, slots=True)
class Run:
    """How much is measured."""

    files: int = 20
    mib: int = 8
    """MiB of a file."""
    rounds: int = 5


def passed(made: Field, run: Run) -> None:
    """Push reports with a file each, and return when the recipient has all of them."""
    with connect(made.home.node(COUNCIL)) as node:
        items = [_push(node, run.mib * MIB) for _ in range(run.files)]
    deadline = time.monotonic() + WAIT_S
    while not all(_is_here(made.watched[0], item) for item in items):
        if time.monotonic() > deadline:
            raise Unavailable(f"the files are not there after {WAIT_S:.0f} s")
        time.sleep(POLL_S)


def _push(node: NodeServiceStub, size: int) -> str:
    def requests() -> Iterator[AttachFileRequest]:
        yield AttachFileRequest(name="file.bin", media_type="application/octet-stream", size=size)
        for _ in range(0, size, MIB):
            yield AttachFileRequest(data=random_bytes(MIB))

    attached = node.AttachFile(requests()).id
    report = pb.ReportFile(content=a_report(1_000), label_yaml=LABEL)
    # What a person would confirm.
    confirmed = [hint.accept for hint in node.WhoGets(pb.WhoGetsRequest(report=report)).hints]
    return node.PushReport(pb.PushReportRequest(report=report, confirmed=confirmed, attached=[attached])).item


def _is_here(node: NodeServiceStub, item: str) -> bool:
    listed = node.ListReports(pb.ListReportsRequest(limit=1000)).reports
    if item not in {report.item for report in listed}:
        return False
    return all(each.state == "here" for each in node.ShowReport(pb.ShowReportRequest(id=item)).attachments)


def lines(run: Run) -> list[Line]:
    """Return the figures."""
    times: list[float] = []
    with field(1) as made:
        pids = {each.name: each.pid for each in made.processes.started()}
        of = {"relay": pids["relay"], "sender": pids[COUNCIL], "recipient": pids[made.recipients[0]]}
        idle = {role: resident(pid, "VmRSS") for role, pid in of.items()}
        peaks: dict[str, list[int]] = {role: [] for role in of}
        for _ in range(run.rounds):
            for pid in of.values():
                forget_peak(pid)
            start = time.perf_counter()
            passed(made, run)
            times.append(time.perf_counter() - start)
            for role, pid in of.items():
                peaks[role].append(resident(pid, "VmHWM"))
    speed = f"; {run.files * run.mib / statistics.median(times):.0f} MiB a second"
    made_lines = []
    for role in of:
        peak = statistics.median(peaks[role])
        beside = f"idle {idle[role] / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB"
        what = f"{role}'s memory while {run.files} × {run.mib} MiB pass, over idle"
        figure = f"{peak / idle[role]:.2f}"
        if role == "relay":
            holds = at_most(peak / idle[role], 3, 1.5)
            made_lines.append(Line(what, figure, "3", "1.5", beside + speed, holds))
        else:
            made_lines.append(Line(what, figure, beside=beside))
    return made_lines


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--files", type=int, default=usual.files)
    parser.add_argument("--mib", type=int, default=usual.mib, help="MiB of a file")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--file-mib", type=int, default=0, help="one file of so many MiB instead, by commands")
    wanted = vars(parser.parse_args())
    large = wanted.pop("file_mib")
    show(large_file.lines(large) if large else lines(Run(**wanted)))


if __name__ == "__main__":
    main()
