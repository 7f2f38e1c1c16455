"""How long a flash report takes through a backlog of routine ones, beside one that is alone on its way.

`python -m benchmarks.lanes --backlog 2000` prints p50 of 50 flash reports, each pushed when the one before is stored,
from the call of the push to the moment at which the recipient has stored it. The backlog lies at the relay: the
recipient's node is stopped while it is pushed, and drains it while the flash reports pass. Figures of flash reports
that came after the backlog was gone would flatter, so the run fails when it was too small.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.end_to_end import PUSHERS, WAIT_S, Field, a_report, field, push_request
from benchmarks.table import Line, at_most, show
from exchange.errors import Unavailable
from nodes.demo import enrol
from nodes.demo.cast import COUNCIL
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb

BACKLOG = 100_000
FLASH = 50
LOOK_S = 0.002
SIZE = 4096
MOST_MORE_MS = 50.0
"""By how much p50 through the backlog may exceed p50 of an idle exchange."""


def flash_reports(made: Field, count: int) -> list[float]:
    """Push flash reports, each when the one before is stored; return the milliseconds that each took."""
    return [_one(made) for _ in range(count)]


def _one(made: Field) -> float:
    with connect(made.home.node(COUNCIL)) as node:
        request = push_request(node, a_report(SIZE, precedence="flash"))
        pushed_ms = time.time() * 1000
        item = node.PushReport(request).item
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for recipient in node.TraceReport(pb.TraceReportRequest(id=item)).recipients:
                if recipient.state == "receipted":
                    return recipient.receipted_ms - pushed_ms
            time.sleep(LOOK_S)
    raise Unavailable(f"a flash report was not receipted within {WAIT_S:.0f} s")


def pile_up(made: Field, count: int) -> None:
    """Stop the recipient, and push routine reports until all of them wait for it at the relay."""
    (recipient,) = made.recipients
    made.processes.stop_one(recipient)
    with ThreadPoolExecutor(PUSHERS) as pool:
        list(pool.map(made.push, [[a_report(SIZE) for _ in range(first, count, PUSHERS)] for first in range(PUSHERS)]))
    with connect(made.home.node(COUNCIL)) as node:
        while any(lane.outbox for lane in node.GetStatus(pb.GetStatusRequest()).lanes):
            time.sleep(0.5)


def drain(made: Field, stored: int) -> None:
    """Start the recipient and return when the first of the backlog has come."""
    (recipient,) = made.recipients
    enrol.start_node(made.home, recipient, made.processes)
    made.processes.wait_until(lambda: _received(made) > stored, "the recipient")


def _received(made: Field) -> int:
    (recipient,) = made.recipients
    try:
        with connect(made.home.node(recipient)) as node:
            return node.GetStatus(pb.GetStatusRequest()).reports_received
    except Unavailable:
        return -1


def lines(backlog: int, flash: int) -> list[Line]:
    """Return the figures."""
    with field(1) as made:
        flash_reports(made, 5)
        idle = flash_reports(made, flash)
        before = _received(made)
        pile_up(made, backlog)
        drain(made, before)
        through = flash_reports(made, flash)
        left = backlog + flash - (_received(made) - before)
    if left <= 0:
        raise Unavailable("the backlog was gone before the last flash report", hint="ask for a larger --backlog")
    return _lines(idle, through, f"{backlog:,}", f"{left:,} left at the end")


def _lines(idle: Sequence[float], through: Sequence[float], backlog: str, left: str) -> list[Line]:
    before, after = statistics.median(idle), statistics.median(through)
    more = after - before
    return [
        Line("flash report, nothing else under way, half within", f"{before:.0f} ms"),
        Line(
            f"flash report through {backlog} routine ones, half within",
            f"{after:.0f} ms",
            f"+ {MOST_MORE_MS:.0f} ms",
            "× 2",
            f"+ {more:.0f} ms, × {after / before:.1f}; {left}",
            at_most(after, before + MOST_MORE_MS, min(2 * before, before + MOST_MORE_MS)),
        ),
    ]


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="routine reports that wait")
    parser.add_argument("--flash", type=int, default=FLASH, help="flash reports, idle and through the backlog")
    given = parser.parse_args()
    show(lines(given.backlog, given.flash))


if __name__ == "__main__":
    main()
